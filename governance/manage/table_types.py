"""GX's expectations about a whole table or a column's aggregate, each as one function `Call -> Compiled`.

A value that could be a cell's (smallest, largest, median, quantile, most frequent) leaves the store pass only for columns that are not
encrypted; of an encrypted one the pass itself decides and gives TRUE or FALSE.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

from governance.catalog.types import Field
from governance.manage.call import Call, Compiled
from governance.manage.kwargs import check_order, is_number
from governance.manage.row_types import in_values
from governance.manage.sql import (
    Node,
    Unfit,
    all_of,
    call,
    cast,
    column,
    literal,
    needs_number,
    needs_order,
    negate,
    not_null,
    number,
    text,
)

SALT = "gov_salt"
"""DuckDB variable that the store pass may set: distinct values are counted by salted hashes, since what counts may spill."""

_TYPE_NAMES: Mapping[str, frozenset[str]] = {
    "string": frozenset({"VARCHAR", "TEXT", "STRING", "STR", "OBJECT", "STRINGTYPE", "CHAR"}),
    "integer": frozenset({"BIGINT", "INTEGER", "INT", "INT64", "LONG", "LONGTYPE", "INTEGERTYPE"}),
    "decimal": frozenset({"DECIMAL", "NUMERIC", "DECIMALTYPE"}),
    "double": frozenset({"DOUBLE", "FLOAT", "FLOAT64", "REAL", "DOUBLETYPE", "DOUBLE_PRECISION"}),
    "boolean": frozenset({"BOOLEAN", "BOOL", "BOOLEANTYPE"}),
    "date": frozenset({"DATE", "DATETYPE"}),
    "timestamp": frozenset({"TIMESTAMP", "DATETIME", "DATETIME64", "TIMESTAMPTYPE"}),
}


def row_count(c: Call) -> Compiled:
    return c.table([], c.filtered(exp.Count(this=exp.Star())))


def columns_only(c: Call) -> Compiled:
    """Judged on the contract's column names alone: needs nothing from the data."""
    return Compiled(())


def column_exists(c: Call) -> Compiled:
    c.field()
    return Compiled(())


def column_type(c: Call) -> Compiled:
    """The stored column has the contract's type, so this holds always or is a fault now."""
    field = c.field()
    names = c.kwargs["type_list"] if "type_list" in c.kwargs else [c.kwargs["type_"]]
    given = {n.upper().partition("(")[0].strip() for n in names}
    if not given & _TYPE_NAMES[field.type.kind]:
        allowed = ", ".join(sorted(_TYPE_NAMES[field.type.kind]))
        raise Unfit(f"the contract says that '{field.name}' is a {field.type.kind}", allowed)
    return c.table([field], exp.GTE(this=exp.Count(this=exp.Star()), expression=number(0)), holds=True)


def minimum(c: Call) -> Compiled:
    return _extreme(c, exp.Min(this=needs_order(c.field())))


def maximum(c: Call) -> Compiled:
    return _extreme(c, exp.Max(this=needs_order(c.field())))


def median(c: Call) -> Compiled:
    return _extreme(c, call("median", needs_number(c.field())))


def mean(c: Call) -> Compiled:
    return c.table([c.field()], _double(c.filtered(exp.Avg(this=needs_number(c.field())))))


def total(c: Call) -> Compiled:
    return c.table([c.field()], _double(c.filtered(exp.Sum(this=needs_number(c.field())))))


def standard_deviation(c: Call) -> Compiled:
    return c.table([c.field()], _double(c.filtered(call("stddev_samp", needs_number(c.field())))))


def quantiles(c: Call) -> Compiled:
    field = c.field()
    points, bounds = c.kwargs["quantile_ranges"]["quantiles"], c.kwargs["quantile_ranges"]["value_ranges"]
    values = [_double(c.filtered(call("quantile_disc", needs_number(field), number(float(q))))) for q in points]
    if not field.encrypted:
        return c.table([field], exp.Array(expressions=values))
    holds = [_near(v, low, high) for v, (low, high) in zip(values, bounds, strict=True)]
    return c.table([field], all_of(holds), holds=True)


def _near(value: Node, low: float | None, high: float | None) -> Node:
    """GX's own comparison: of quantiles, what is close to a bound is in; without a value none is."""
    parts = [not_null(value.copy())]
    if low is not None:
        parts.append(exp.GTE(this=value.copy(), expression=number(low - _tolerance(low))))
    if high is not None:
        parts.append(exp.LTE(this=value.copy(), expression=number(high + _tolerance(high))))
    return all_of(parts)


def _tolerance(bound: float) -> float:
    return 1e-8 + 1e-4 * abs(bound)


def distinct_count(c: Call) -> Compiled:
    return c.table([c.field()], _distinct(c))


def distinct_proportion(c: Call) -> Compiled:
    return c.table([c.field()], _ratio(_distinct(c), c.filtered(exp.Count(this=column(c.field().name)))))


def present_proportion(c: Call) -> Compiled:
    present = c.filtered(exp.Count(this=column(c.field().name)))
    return c.table([c.field()], _ratio(present, c.filtered(exp.Count(this=exp.Star()))))


def distinct_in_set(c: Call) -> Compiled:
    return c.table([c.field()], exp.EQ(this=_outside_set(c), expression=number(0)), holds=True)


def distinct_contain_set(c: Call) -> Compiled:
    return c.table([c.field()], exp.EQ(this=_found_in_set(c), expression=number(_set_size(c))), holds=True)


def distinct_equal_set(c: Call) -> Compiled:
    outside = exp.EQ(this=_outside_set(c), expression=number(0))
    all_found = exp.EQ(this=_found_in_set(c), expression=number(_set_size(c)))
    return c.table([c.field()], all_of([outside, all_found]), holds=True)


def most_common_in_set(c: Call) -> Compiled:
    """Holds when the most frequent value is in the set and no other is as frequent; with `ties_okay` when one of the most frequent is."""
    inside = in_values(c.field(), c.values("value_set"))
    often, outside = _often(c, inside, 1), _often(c, negate(inside), 1)
    holds: list[Node] = [exp.GT(this=often, expression=number(0))]
    if c.kwargs.get("ties_okay"):
        holds.append(exp.GTE(this=often.copy(), expression=outside))
    else:
        others = call("greatest", outside, _often(c, inside, 2))
        holds.append(exp.GT(this=often.copy(), expression=others))
    return c.table([c.field()], all_of(holds), holds=True)


def _often(c: Call, which: Node, place: int) -> Node:
    """How often the most frequent value among those rows is there, or the one at that place; 0 without one."""
    counts = call("map_values", c.filtered(call("histogram", column(c.field().name)), which))
    at = call("list_extract", call("list_reverse_sort", counts), number(place))
    return exp.Coalesce(this=at, expressions=[number(0)])


def _extreme(c: Call, aggregate: Node) -> Compiled:
    field = c.field()
    value = c.filtered(aggregate)
    low, high = c.kwargs.get("min_value"), c.kwargs.get("max_value")
    strict = bool(c.kwargs.get("strict_min")), bool(c.kwargs.get("strict_max"))
    inside = _inside(value, field, low, high, *strict)
    check_order(c.kwargs, instants=field.type.kind in ("date", "timestamp"))
    if field.encrypted:
        return c.table([field], inside, holds=True)
    if field.type.kind in ("date", "timestamp"):
        return c.table([field], call("strftime", value, text("%Y-%m-%dT%H:%M:%S.%f")))
    return c.table([field], value if field.type.kind == "integer" else _double(value))


def _inside(
    value: Node, field: Field, low: object, high: object, strict_low: bool = False, strict_high: bool = False
) -> Node:
    parts: list[Node] = []
    if low is not None:
        kind = exp.GT if strict_low else exp.GTE
        parts.append(kind(this=value.copy(), expression=literal(low, field.type)))
    if high is not None:
        kind2 = exp.LT if strict_high else exp.LTE
        parts.append(kind2(this=value.copy(), expression=literal(high, field.type)))
    return all_of(parts) if parts else exp.true()


def _distinct(c: Call) -> Node:
    salted = call("concat", call("getvariable", text(SALT)), cast(column(c.field().name), "VARCHAR"))
    keyed = exp.case().when(
        exp.Not(this=exp.Is(this=column(c.field().name), expression=exp.null())), call("md5_number", salted)
    )
    return c.filtered(exp.Count(this=exp.Distinct(expressions=[keyed])))


def _outside_set(c: Call) -> Node:
    return c.filtered(exp.Count(this=exp.Star()), negate(in_values(c.field(), c.values("value_set"))))


def _found_in_set(c: Call) -> Node:
    found = exp.Count(this=exp.Distinct(expressions=[column(c.field().name)]))
    return c.filtered(found, in_values(c.field(), c.values("value_set")))


def _set_size(c: Call) -> int:
    """Different values of the set: 1 and 1.0 are one."""
    given = [v for v in c.values("value_set") if v is not None]
    return len({v if is_number(v) else literal(v, c.field().type).sql() for v in given})


def _ratio(part: Node, whole: Node) -> Node:
    return exp.Div(this=_double(part), expression=exp.Nullif(this=whole, expression=number(0)))


def _double(node: Node) -> Node:
    return cast(node, "DOUBLE")
