"""Statements that the trusted scanner answers by itself: there is no computation of the user's in them to lock away.

    SELECT * | <columns> FROM <table> [WHERE c] [LIMIT n [OFFSET m]]
    SELECT <columns>, count(*), count([DISTINCT] x), min(x), max(x), sum(x), avg(x) FROM <table> [WHERE c]
        [GROUP BY <columns> | ALL] [HAVING c] [ORDER BY <columns, aggregates, positions>] [LIMIT n [OFFSET m]]

`c` joins comparisons of one column (in HAVING: or aggregate) with constants, as in `conditions.py`. Of the user's text nothing is
kept but such constants, the names of columns that the subject sees, and aliases: what the scanner runs is a tree of ours.

It is sound because nothing here can fail on a value, whether of a row that is hidden or of one that is not: a constant is taken only
when comparing it casts no column, sums are taken only where they cannot overflow. Everything else (an expression, another
function, a join, a subquery, a sum over floats, whose rounding depends on the order) goes the ordinary way: `plan` says None.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from sqlglot import exp

from governance.catalog.types import ColumnType
from governance.errors import Refused
from governance.policy.masks import IN_BATCHES
from governance.policy.restrictions import Restricted, Restrictions
from governance.use import conditions
from governance.use.conditions import Node
from governance.use.exact import exact
from governance.use.guard import Statement, nodes_of

SEEN = "seen"
"""The relation that a direct statement reads: the table as the subject sees it."""
MAX_ITEMS = 64
_SCANNER_MAKES = IN_BATCHES | {"ff1"}
"""Masks that are made by Python, a value or a batch at a time: such columns are given, never compared or grouped."""
_KEYS = frozenset(
    {"type", "modifiers", "cte_map", "select_list", "from_table", "where_clause", "group_expressions", "group_sets"}
) | {"having", "aggregate_handling"}
"""What a SELECT node may say; any other key must be empty."""
_STAR_SAYS = ("alias", "relation_name", "exclude_list", "replace_list", "expr", "qualified_exclude_list", "rename_list")
"""What a star may not say."""
_OTHER = "a statement of another form"


@dataclass(frozen=True, slots=True)
class Direct:
    """`sql` reads `SEEN`, which has `columns`. `rows`: the names of the columns that leave, when rows do; of groups none."""

    columns: tuple[Restricted, ...]
    sql: str
    rows: tuple[str, ...] = ()

    @property
    def grouped(self) -> bool:
        return not self.rows


def plan(statement: Statement, restrictions: Restrictions) -> Direct | None:
    """What the scanner is to answer for a statement over this one table; None when it has another form."""
    try:
        return _Reader(restrictions).read(statement.tree.get("node", {}))
    except Refused:
        return None


def narrowed(statement: Statement, restrictions: Restrictions) -> str:
    """What of a statement's WHERE the scanner may hold beforehand, as a condition over `SEEN`: comparisons with constants, where the
    statement is one SELECT that reads this table once. Empty when there is none.
    """
    try:
        return _Reader(restrictions).narrowing(statement.tree)
    except Refused:
        return ""


class _Reader:
    """Reads one SELECT node."""

    def __init__(self, restrictions: Restrictions) -> None:
        self._table, self._visible = restrictions.table, restrictions.visible
        self._columns = {column.name.lower(): column for column in restrictions.visible}
        _require(len(self._columns) == len(self._visible))
        self._qualifiers: set[tuple[str, ...]] = set()
        self._used: dict[str, Restricted] = {}

    def read(self, node: Node) -> Direct:
        self._plain(node)
        items = [item for given in node["select_list"] for item in self._items(given)]
        _require(len(items) <= MAX_ITEMS, self._names_are_clear(items))
        groups = self._groups(node, items)
        aggregated = bool(groups) or any(self._column(item) is None for item in items)
        made = exp.select(*(self._selected(item, aggregated) for item in items)).from_(exp.table_(SEEN, quoted=True))
        if node["where_clause"]:
            made = made.where(conditions.condition(node["where_clause"], self._compared, exact))
        if aggregated:
            made = self._aggregated(made, node, items, groups)
        else:
            _require(not node["having"], len(self._used) > 0)
        for modifier in node["modifiers"]:
            made = self._modified(made, modifier, items, groups, aggregated)
        if groups:  # always one order: none that the reading of hidden rows could have a part in
            made = made.order_by(*map(_reference, groups))
        rows = () if aggregated else tuple(column.name for item in items if (column := self._column(item)))
        _require(len(set(rows)) == len(rows))
        return Direct(tuple(self._used.values()) or self._any_column(), made.sql("duckdb"), rows)

    def narrowing(self, tree: Node) -> str:
        node = tree["node"]
        self._over_the_table(node)
        _require(sum(each.get("type") == "BASE_TABLE" for each in nodes_of(tree)) == 1)
        _require(self._names_are_clear(node["select_list"]))
        where = node["where_clause"] or {}
        parts = where["children"] if where.get("type") == "CONJUNCTION_AND" else [where]
        held = []
        for part in parts:
            with suppress(Refused):
                held.append(conditions.condition(part, self._compared, exact))
        return exp.and_(*held).sql("duckdb") if held else ""

    def _plain(self, node: Node) -> None:
        """One SELECT over this one table, and nothing that `_KEYS` has not."""
        _require(not any(value for key, value in node.items() if key not in _KEYS))
        self._over_the_table(node)

    def _over_the_table(self, node: Node) -> None:
        _require(node.get("type") == "SELECT_NODE")
        table = node["from_table"]
        beside = [table.get(key) for key in ("sample", "column_name_alias", "at_clause", "catalog_name")]
        _require(not node["cte_map"].get("map"), table.get("type") == "BASE_TABLE", not any(beside))
        schema, name = str(table["schema_name"]).lower(), str(table["table_name"]).lower()
        _require(f"{schema}.{name}" == self._table.lower())
        alias = str(table.get("alias") or "").lower()
        _require(alias not in self._columns, name not in self._columns)  # else a name may stand for the whole row
        self._qualifiers = {(), (alias,)} if alias else {(), (name,), (schema, name)}

    def _items(self, given: Node) -> Sequence[Node]:
        """A star as the columns that it stands for."""
        if given.get("class") != "STAR":
            return (given,)
        _require(not given.get("columns"), not any(given.get(key) for key in _STAR_SAYS))
        return [{"class": "COLUMN_REF", "column_names": [column.name]} for column in self._visible]

    def _names_are_clear(self, items: Sequence[Node]) -> bool:
        """Whether no alias is that of another item, or a column's name: which one a later name means needs no rule then."""
        aliases = [str(item["alias"]).lower() for item in items if item.get("alias")]
        return len(set(aliases)) == len(aliases) and self._columns.keys().isdisjoint(aliases)

    def _groups(self, node: Node, items: Sequence[Node]) -> tuple[str, ...]:
        given = node["group_expressions"]
        plain = [column.name for item in items if (column := self._column(item))]
        if node["aggregate_handling"] == "FORCE_AGGREGATES":
            _require(not given)
            return tuple(dict.fromkeys(plain))
        _require(node["aggregate_handling"] == "STANDARD_HANDLING")
        _require(not given or node["group_sets"] == [list(range(len(given)))])
        return tuple(dict.fromkeys(self._known(self._meant(item, items)).name for item in given))

    def _meant(self, item: Node, items: Sequence[Node]) -> Node:
        """The item of the select list that a position or an alias stands for; else `item` itself."""
        at = conditions.whole_number(item)
        if at is not None:
            _require(1 <= at <= len(items))
            return items[at - 1]
        names: Sequence[str] = item.get("column_names") or ()
        if len(names) == 1:
            return next((each for each in items if str(each.get("alias")).lower() == names[0].lower()), item)
        return item

    def _aggregated(self, made: exp.Select, node: Node, items: Sequence[Node], groups: Sequence[str]) -> exp.Select:
        plain = {column.name for item in items if (column := self._column(item))}
        _require(plain <= set(groups))
        made = made.group_by(*(_reference(name) for name in groups)) if groups else made

        def operand(item: Node) -> tuple[exp.Expr, ColumnType]:
            _require(item.get("class") != "CONSTANT")
            return self._after(self._meant(item, items), groups)

        return made.having(conditions.condition(node["having"], operand, exact)) if node["having"] else made

    def _modified(
        self, made: exp.Select, modifier: Node, items: Sequence[Node], groups: Sequence[str], aggregated: bool
    ) -> exp.Select:
        match modifier.get("type"):
            case "ORDER_MODIFIER":
                _require(aggregated)
                orders = [each for order in modifier["orders"] for each in _one_by_one(order, items)]
                return made.order_by(*(self._ordered(order, items, groups) for order in orders))
            case "LIMIT_MODIFIER":
                _require(modifier.get("limit_type") == "ROW_COUNT")
                for key, put in (("limit", made.limit), ("offset", made.offset)):
                    if modifier.get(key) is not None:
                        rows = conditions.whole_number(modifier[key])
                        if rows is None:
                            raise Refused(_OTHER)
                        made = put(rows, copy=False)
                return made
        raise Refused(_OTHER)

    def _ordered(self, order: Node, items: Sequence[Node], groups: Sequence[str]) -> exp.Ordered:
        by = self._after(self._meant(order["expression"], items), groups)[0]
        first = str(order.get("null_order")).replace("_", " ").upper() == "NULLS FIRST"
        return exp.Ordered(this=by, desc=order.get("type") == "DESCENDING", nulls_first=first)

    def _selected(self, item: Node, aggregated: bool) -> exp.Expr:
        column = self._column(item)
        if column is None:
            made: exp.Expr = self._aggregate(item)[0]
        elif aggregated:
            made = _reference(self._known(column).name)
        else:
            self._used.setdefault(column.name, column)
            made = _reference(column.name)
        return exp.alias_(made, str(item["alias"]), quoted=True) if item.get("alias") else made

    def _after(self, item: Node, groups: Sequence[str]) -> tuple[exp.Expr, ColumnType]:
        """What stands in HAVING or ORDER BY: a column of the groups, or an aggregate."""
        column = self._column(item)
        if column is None:
            return self._aggregate(item)
        _require(column.name in groups)
        return _reference(column.name), column.type

    def _compared(self, item: Node) -> tuple[exp.Expr, ColumnType]:
        column = self._known(item)
        return _reference(column.name), column.type

    def _aggregate(self, item: Node) -> tuple[exp.Expr, ColumnType]:
        """An aggregate, named by DuckDB as it names the user's, and its type."""
        name, arguments = str(item.get("function_name", "")).lower(), item.get("arguments") or []
        beside = item.get("filter") or (item.get("order_bys") or {}).get("orders") or item.get("export_state")
        elsewhere = item.get("catalog") or item.get("schema") not in (None, "", "main")
        _require(item.get("class") == "FUNCTION", not beside, not elsewhere)
        if name in ("count_star", "count") and not arguments:
            _require(not item.get("distinct"))
            return exp.Count(this=exp.Star()), ColumnType("integer")
        _require(len(arguments) == 1, not arguments[0].get("name"))
        reference = arguments[0].get("expression") or {}
        column = self._known(reference)
        _require(bool(item.get("alias")) or reference["column_names"] == [column.name])  # else it names it otherwise
        of = _aggregated_type(name, column.type)
        argument: exp.Expr = _reference(column.name)
        if item.get("distinct"):
            _require(name == "count")
            argument = exp.Distinct(expressions=[argument])
        return exp.Anonymous(this=name, expressions=[argument]), of

    def _known(self, item: Node | Restricted) -> Restricted:
        """The column that is meant, to be computed with: none that is made after the scan."""
        column = item if isinstance(item, Restricted) else self._column(item)
        _require(column is not None)
        assert column is not None
        _require(column.outcome.mask is None or column.outcome.mask.kind not in _SCANNER_MAKES)
        self._used.setdefault(column.name, column)
        return column

    def _column(self, item: Node) -> Restricted | None:
        if item.get("class") != "COLUMN_REF":
            return None
        *before, name = (str(part).lower() for part in item["column_names"])
        _require(tuple(before) in self._qualifiers, name in self._columns)
        return self._columns[name]

    def _any_column(self) -> tuple[Restricted, ...]:
        """A column to count rows by."""
        plain = [c for c in self._visible if c.outcome.mask is None or c.outcome.mask.kind not in _SCANNER_MAKES]
        _require(bool(plain))
        return tuple(plain[:1])


def _one_by_one(order: Node, items: Sequence[Node]) -> Sequence[Node]:
    """`ORDER BY ALL` as an order by each item."""
    by = order["expression"]
    if by.get("class") != "STAR":
        return (order,)
    _require(not any(by.get(key) for key in _STAR_SAYS))
    return [{**order, "expression": item} for item in items]


def _aggregated_type(name: str, of: ColumnType) -> ColumnType:
    """The type of an aggregate of a column; raises for one that could overflow, or depends on the order of rows."""
    summed = of.kind == "integer" or (of.kind == "decimal" and (of.precision or 38) <= 18)
    match name:
        case "count":
            return ColumnType("integer")
        case "min" | "max":
            return of
        case "sum" if summed:
            return ColumnType("decimal", 38, of.scale or 0) if of.kind == "decimal" else of
        case "avg" | "mean" if summed:
            return ColumnType("double")
    raise Refused(_OTHER)


def _reference(name: str) -> exp.Column:
    return exp.column(exp.to_identifier(name, quoted=True))


def _require(*conditions_hold: bool) -> None:
    if not all(conditions_hold):
        raise Refused(_OTHER)
