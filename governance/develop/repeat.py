"""What would make a model give another set of rows from the same inputs. Pure.

Refused, unless the model's head declares a tolerance: sums and averages over floats, aggregates that pick or list
without a total order, windows and limits without a total order, clocks, random numbers, sampling, settings of the
session.

An order is *total* when the columns of PARTITION BY and ORDER BY hold a key of what is read: of at least one input
its primary key (or the key's tokens), `_batch` and `_row` together (`_row` alone where the table is replaced whole),
or, above a GROUP BY or DISTINCT, all grouped columns. That is a heuristic: a join that multiplies that input's rows
has ties that it does not see.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sqlglot import exp
from sqlglot.optimizer.scope import Scope

from governance.catalog.types import Catalogue
from governance.develop.parse import Parsed, line_of
from governance.develop.uniqueness import Orders
from governance.develop.uses import named_window
from governance.errors import Fault

_CLOCKS = (
    exp.CurrentDate,
    exp.CurrentTime,
    exp.CurrentTimestamp,
    exp.CurrentDatetime,
    exp.Localtime,
    exp.Localtimestamp,
)
_RANDOM = (exp.Rand, exp.Randn, exp.Uuid)
_UNSTABLE = frozenset(
    "now today get_current_time get_current_timestamp transaction_timestamp current_localtime current_localtimestamp "  # noqa: SIM905
    "random setseed gen_random_uuid uuid uuidv4 uuidv7 nextval currval txid_current current_setting getenv getvariable "
    "version current_query current_database current_schema current_schemas pg_postmaster_start_time".split()
)
_PICKING = (
    exp.AnyValue,
    exp.First,
    exp.Last,
    exp.FirstValue,
    exp.LastValue,
    exp.NthValue,
    exp.ArgMax,
    exp.ArgMin,
    exp.Mode,
)
_PICKING_NAMES = frozenset(
    {"arbitrary", "any_value", "first", "last", "arg_min_null", "arg_max_null", "argmin", "argmax"}
)
_LISTING = (exp.ArrayAgg, exp.GroupConcat, exp.JSONArrayAgg, exp.JSONObjectAgg, exp.ObjectAgg)
_LISTING_NAMES = frozenset({"list", "array_agg", "string_agg", "group_concat", "json_group_array", "json_group_object"})
_FLOATS = (
    *(exp.Stddev, exp.StddevPop, exp.StddevSamp, exp.Variance, exp.VariancePop, exp.Corr, exp.CovarPop, exp.CovarSamp),
    *(exp.Kurtosis, exp.Skewness, exp.RegrSlope, exp.RegrIntercept, exp.RegrR2, exp.RegrSxx, exp.RegrSxy, exp.RegrSyy),
    *(exp.RegrAvgx, exp.RegrAvgy),
)
_FLOAT_NAMES = frozenset(
    {"fsum", "kahan_sum", "sumkahan", "favg", "product", "geomean", "geometric_mean", "entropy", "sem"}
)
_APPROXIMATE = (exp.ApproxDistinct, exp.ApproxQuantile, exp.ApproxTopK)
_APPROXIMATE_NAMES = frozenset({"approx_quantile", "approx_top_k", "reservoir_quantile", "approx_count_distinct"})
_EXACT = frozenset(
    {"DECIMAL", "INT", "BIGINT", "SMALLINT", "TINYINT", "INT128", "UINT", "UBIGINT", "BOOLEAN", "INT256"}
)
_ORDERED_WINDOWS = (exp.RowNumber, exp.Lag, exp.Lead, exp.FirstValue, exp.LastValue, exp.NthValue, exp.Ntile)


def repeat_faults(parsed: Parsed, file: str, catalogue: Catalogue) -> list[Fault]:
    """Every place of the statement that breaks repeatability."""
    if parsed.scope is None:
        return []
    orders = Orders(parsed.schema, catalogue)
    found = set(_anywhere(parsed.scope.expression))
    for scope in parsed.scope.traverse():
        found |= set(_in_scope(scope, orders))
    do = "rewrite it, or declare `-- gov.tolerance: REASON` in the model's head"
    return [Fault(file, line, "repeatability", what, allowed, do) for line, what, allowed in sorted(found)]


Found = tuple[int, str, str]


def _anywhere(tree: exp.Expr) -> Iterator[Found]:
    """Functions and clauses that are refused wherever they stand."""
    for node in tree.walk():
        name = node.name.lower() if isinstance(node, exp.Anonymous) else ""
        if isinstance(node, (*_CLOCKS, *_RANDOM)) or name in _UNSTABLE:
            what = _name(node)
            yield line_of(node.parent), f"{what}: a clock, random number or setting", "columns of the inputs"
        elif isinstance(node, exp.TableSample):
            yield line_of(node.parent), "a sample", "a condition on columns"
        elif isinstance(node, _APPROXIMATE) or name in _APPROXIMATE_NAMES:
            yield line_of(node), "an approximate aggregate", "exact aggregates"
        elif isinstance(node, _FLOATS) or name in _FLOAT_NAMES:
            yield line_of(node), "an aggregate over floats", "sum, count, min, max over DECIMAL or integers"
        elif isinstance(node, exp.Sum | exp.Avg) and not _exact(node.this):
            what = f"{_name(node)} over floats or an unknown type"
            yield line_of(node), what, "DECIMAL and integers: CAST(... AS DECIMAL(p,s)) inside"
        elif isinstance(node, exp.Join) and str(node.args.get("method") or "").upper() == "POSITIONAL":
            yield line_of(node), "a positional join", "a join on columns"


def _exact(node: exp.Expr) -> bool:
    """True when a sum over it does not depend on order. `/` gives DOUBLE in DuckDB, whatever stands on its sides."""
    if isinstance(node, exp.Distinct):
        return all(_exact(e) for e in node.expressions)
    if isinstance(node, exp.Cast | exp.TryCast):
        return node.to.this.name in _EXACT
    if any(isinstance(n, exp.Div) for n in _outside_casts(node)):
        return False
    kind = node.type
    return kind is not None and isinstance(kind, exp.DataType) and kind.this.name in _EXACT


def _outside_casts(node: exp.Expr) -> Iterator[exp.Expr]:
    yield node
    if not isinstance(node, exp.Cast | exp.TryCast | exp.Query):
        for child in node.iter_expressions():
            yield from _outside_casts(child)


def _in_scope(scope: Scope, orders: Orders) -> Iterator[Found]:
    """Picks, lists, windows and limits, whose order must be total for the rows of their scope."""
    select = scope.expression
    for node in scope.walk():
        name = node.name.lower() if isinstance(node, exp.Anonymous) else ""
        if isinstance(node, exp.Window):
            yield from _window(scope, node, orders)
        elif (isinstance(node, _PICKING) or name in _PICKING_NAMES) and not _windowed(node):
            yield from _pick(scope, node, orders)
        elif (isinstance(node, _LISTING) or name in _LISTING_NAMES) and not _windowed(node):
            yield from _list(scope, node, orders)
    cut = isinstance(select, exp.Query) and (select.args.get("limit") or select.args.get("offset"))
    if cut and not orders.total(scope, _ordered(select.args.get("order"), select)):
        yield line_of(select), "LIMIT without a total ORDER BY", "ORDER BY that holds a key"
    distinct = select.args.get("distinct")
    if isinstance(distinct, exp.Distinct) and distinct.args.get("on") is not None:
        on = list(distinct.args["on"].find_all(exp.Column))
        if not orders.total(scope, [*on, *_ordered(select.args.get("order"), select)]):
            yield line_of(select), "DISTINCT ON without a total ORDER BY", "ORDER BY that holds a key"


def _window(scope: Scope, node: exp.Window, orders: Orders) -> Iterator[Found]:
    windows = {w.this.name.lower(): w for w in scope.expression.args.get("windows") or ()}
    specs = (node, *named_window(node, windows))
    function = node.this.find(exp.AggFunc, exp.Func) if not isinstance(node.this, exp.Func) else node.this
    frames = [s.args["spec"] for s in specs if s.args.get("spec") is not None]
    by_row = any(str(f.args.get("kind") or "").upper() == "ROWS" for f in frames)
    whole = by_row and all(str(f.args.get(k) or "").upper() == "UNBOUNDED" for f in frames for k in ("start", "end"))
    listing = isinstance(function, (*_LISTING, exp.First, exp.Last, exp.ArgMax, exp.ArgMin, exp.Mode))
    if not (isinstance(function, _ORDERED_WINDOWS) or listing or (by_row and not whole)):
        return
    columns: list[exp.Expr] = []
    for spec in specs:
        columns += spec.args.get("partition_by") or []
        columns += _ordered(spec.args.get("order"), scope.expression)
    if not any(spec.args.get("order") for spec in specs) or not orders.total(scope, columns):
        name = _name(function) if function is not None else "a function"
        yield line_of(node), f"{name} over a window without a total order", "ORDER BY that holds a key of an input"


def _pick(scope: Scope, node: exp.Expr, orders: Orders) -> Iterator[Found]:
    order = node.this if isinstance(node.this, exp.Order) else None
    if order is None or not orders.total_of_inputs(scope, [*_groups(scope), *_ordered(order, scope.expression)]):
        name = _name(node)
        allowed = "min, max, or one with an ORDER BY that holds a key"
        yield line_of(node), f"{name} picks any of several values", allowed


def _list(scope: Scope, node: exp.Expr, orders: Orders) -> Iterator[Found]:
    """A list is repeatable when its order is total, or when it orders by the very values that it lists."""
    order = node.this if isinstance(node.this, exp.Order) else None
    if order is not None:
        listed = order.this.expressions[0] if isinstance(order.this, exp.Distinct) else order.this
        if any(o.this == listed for o in order.expressions):
            return
        if orders.total_of_inputs(scope, [*_groups(scope), *_ordered(order, scope.expression)]):
            return
    name = _name(node)
    yield line_of(node), f"{name} without a total ORDER BY", "an ORDER BY of the listed value or of a key"


def _name(node: exp.Expr) -> str:
    if isinstance(node, exp.Anonymous):
        return node.name.lower()
    return type(node).sql_name().lower() if isinstance(node, exp.Func) else type(node).__name__.lower()


def _windowed(node: exp.Expr) -> bool:
    parent = node.parent
    while isinstance(parent, exp.IgnoreNulls | exp.RespectNulls | exp.Filter | exp.WithinGroup):
        parent = parent.parent
    return isinstance(parent, exp.Window)


def _groups(scope: Scope) -> list[exp.Expr]:
    group = scope.expression.args.get("group")
    return list(group.expressions) if group is not None else []


def _ordered(order: exp.Expr | None, select: exp.Expr) -> list[exp.Expr]:
    """The expressions of an ORDER BY; of ORDER BY ALL every output column."""
    if order is None:
        return []
    keys: Iterable[exp.Expr] = (o.this for o in order.expressions)
    parts: list[exp.Expr] = []
    for key in keys:
        every = isinstance(key, exp.Star) or (key.name.upper() == "ALL" and not isinstance(key, exp.Column))
        parts += list(select.expressions) if every else [key]
    return parts
