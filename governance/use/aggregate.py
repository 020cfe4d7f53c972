"""Statements that touch an aggregate-only column: which ones there are, and what the trusted scanner computes for one.

Allowed is one plain grouped SELECT over one table:

    SELECT <visible columns>, count(*), count(c), sum(c), avg(c) FROM <table>
    [WHERE <up to four conditions on visible columns>] [GROUP BY <visible columns>]
    [HAVING <condition on what is selected>] [ORDER BY <what is selected>] [LIMIT n [OFFSET m]]

No join, subquery, CTE, set operation, window, FILTER, DISTINCT, CASE nor any other function: with one of these, a value
of one person could be carried out of its group. The scanner computes the groups from `Grouped` and suppresses what is
too small (`grouped.py`); HAVING, ORDER BY and LIMIT run in the locked worker, over what was released.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlglot import exp

from governance.catalog.types import ColumnType
from governance.errors import Refused
from governance.policy.masks import IN_BATCHES
from governance.policy.restrictions import Restricted, Restrictions
from governance.use import conditions
from governance.use.guard import Statement
from governance.use.terms import Function, Grouped, Term, released

MAX_GROUPS, MAX_TERMS, MAX_CONDITIONS = 8, 64, 4
_NUMBERS = frozenset({"integer", "decimal", "double"})
_FUNCTIONS: Mapping[str, Function] = {"count": "count", "sum": "sum", "avg": "avg", "mean": "avg"}
_KEYS = frozenset(
    {"cte_map", "select_list", "from_table", "where_clause", "group_expressions", "group_sets", "having"}
) | {
    "type",
    "modifiers",
    "aggregate_handling",
}
"""What a SELECT node may say; any other key must be empty."""


def plan(statement: Statement, restrictions: Sequence[Restrictions]) -> Grouped | None:
    """What to compute for a statement over tables with `restrictions`; None when it touches no aggregate-only column.

    Raises Refused with the code `aggregate_only` when it touches one in any other form.
    """
    closed = {c.name.lower() for r in restrictions for c in r.columns if c.outcome.kind == "aggregate_only"}
    shown = {c.name.lower() for r in restrictions for c in r.visible}
    named = {part for node in _nodes(statement.tree) for part in _names(node)}
    if not named & (closed - shown):
        return None
    if len(restrictions) != 1:
        raise _refused("more than one table")
    return _Reader(restrictions[0]).read(statement.tree.get("node", {}))


class _Reader:
    """Reads one SELECT node; collects the terms that it needs."""

    def __init__(self, restrictions: Restrictions) -> None:
        self._table = restrictions.table
        self._columns = {c.name.lower(): c for c in restrictions.columns if c.opened}
        self._qualifiers: set[tuple[str, ...]] = set()
        self._terms: dict[Term, None] = {}
        self._used: dict[str, Restricted] = {}
        self._aliases: dict[str, Term] = {}
        self._groups: list[str] = []

    def read(self, node: Mapping[str, Any]) -> Grouped | None:
        self._plain(node)
        listed = [self._selected(item) for item in node["select_list"]]
        self._aliases = {
            str(item["alias"]).lower(): term
            for item, term in zip(node["select_list"], listed, strict=True)
            if item.get("alias")
        }
        self._read_groups(node, listed)
        for term in listed:
            self._released(term)
        given = node.get("where_clause")
        where = tuple(each.sql("duckdb") for each in conditions.conjuncts(given, self._seen)) if given else ()
        names = [
            str(item.get("alias") or "") or term.name for item, term in zip(node["select_list"], listed, strict=True)
        ]
        sql = self._statement(node, listed, names)
        if len(self._terms) > MAX_TERMS or len(self._groups) > MAX_GROUPS or len(where) > MAX_CONDITIONS:
            raise _refused("too many columns or conditions")
        least = [c.outcome.min_group for c in self._used.values() if c.outcome.kind == "aggregate_only"]
        if not least:
            return None
        return Grouped(tuple(self._used.values()), tuple(self._groups), tuple(self._terms), where, max(least), sql)

    def _plain(self, node: Mapping[str, Any]) -> None:
        """Refuses whatever is not one SELECT over one table, by naming what it may say."""
        if node.get("type") != "SELECT_NODE" or any(value for key, value in node.items() if key not in _KEYS):
            raise _refused("not one plain SELECT")
        if node["cte_map"].get("map"):
            raise _refused("a CTE")
        table = node["from_table"]
        plain = table.get("type") == "BASE_TABLE" and not any(
            table.get(key) for key in ("sample", "column_name_alias", "at_clause", "catalog_name")
        )
        if not plain:
            raise _refused("not one plain table")
        schema, name = str(table["schema_name"]).lower(), str(table["table_name"]).lower()
        if f"{schema}.{name}" != self._table.lower():
            raise _refused("not one plain table")
        alias = str(table.get("alias") or "").lower()
        self._qualifiers = {(), (alias,)} if alias else {(), (name,), (schema, name)}

    def _read_groups(self, node: Mapping[str, Any], listed: Sequence[Term]) -> None:
        plain = [term.column for term in listed if term.function == "group"]
        given = node["group_expressions"]
        if node["aggregate_handling"] == "FORCE_AGGREGATES" and not given:
            groups = plain
        elif node["aggregate_handling"] == "STANDARD_HANDLING":
            groups = [self._group(item, listed) for item in given]
            if given and node["group_sets"] != [list(range(len(given)))]:
                raise _refused("grouping sets")
        else:
            raise _refused("a form of grouping that is not allowed")
        self._groups = list(dict.fromkeys(groups))
        if set(plain) - set(self._groups):
            raise _refused("a column that is neither grouped by nor aggregated")
        for name in self._groups:
            self._use(self._columns[name.lower()])

    def _group(self, item: Mapping[str, Any], listed: Sequence[Term]) -> str:
        at = conditions.whole_number(item)
        if at is not None:
            term = listed[at - 1] if 1 <= at <= len(listed) else None
        else:
            column = self._column(item)
            term = Term("group", column.name) if column is not None else self._alias(item)
        if term is None or term.function != "group":
            raise _refused("grouping by what is no visible column")
        self._visible(self._columns[term.column.lower()])
        return term.column

    def _selected(self, item: Mapping[str, Any]) -> Term:
        if item.get("class") == "COLUMN_REF":
            column = self._column(item)
            if column is None:
                raise _refused("a name that is no column")
            self._visible(column)
            return Term("group", column.name)
        return self._aggregate(item)

    def _aggregate(self, item: Mapping[str, Any]) -> Term:
        """count(*), or count, sum, avg of one column, and nothing inside or beside it."""
        name = str(item.get("function_name", "")).lower()
        beside = item.get("filter") or item.get("distinct") or (item.get("order_bys") or {}).get("orders")
        elsewhere = item.get("catalog") or item.get("schema") not in (None, "", "main") or item.get("export_state")
        if item.get("class") != "FUNCTION" or beside or elsewhere:
            raise _refused("something other than a plain column or aggregate")
        arguments = item.get("arguments") or []
        if name in ("count_star", "count") and not arguments:
            return Term("rows")
        if name not in _FUNCTIONS or len(arguments) != 1 or arguments[0].get("name"):
            raise _refused("a function that is not allowed here")
        column = self._column(arguments[0].get("expression") or {})
        function = _FUNCTIONS[name]
        if column is None:
            raise _refused("an aggregate of something other than one column")
        if column.outcome.kind != "aggregate_only":
            self._visible(column)
        if function != "count" and column.type.kind not in _NUMBERS:
            raise _refused(f"{function} of a column that holds no numbers")
        return Term(function, column.name)

    def _column(self, item: Mapping[str, Any]) -> Restricted | None:
        """The column that a reference names; None when it names none (a name of another thing)."""
        if item.get("class") != "COLUMN_REF":
            return None
        *before, name = (str(part).lower() for part in item["column_names"])
        return self._columns.get(name) if tuple(before) in self._qualifiers else None

    def _visible(self, column: Restricted) -> None:
        if column.outcome.kind == "aggregate_only":
            raise _refused("an aggregate-only column outside count, sum and avg")
        if column.outcome.mask is not None and column.outcome.mask.kind in IN_BATCHES:
            raise _refused("a column of tokens or ciphers")

    def _use(self, column: Restricted) -> None:
        self._used.setdefault(column.name, column)

    def _released(self, term: Term) -> exp.Column:
        """The released column of a term, which is computed from now on."""
        if term.function == "group" and term.column not in self._groups:
            raise _refused("a column that is not grouped by")
        if term.column:
            self._use(self._columns[term.column.lower()])
        self._terms.setdefault(term)
        return exp.column(released(list(self._terms).index(term)), table="t", quoted=True)

    def _seen(self, item: Mapping[str, Any]) -> tuple[exp.Expr, ColumnType]:
        """An operand of WHERE: a visible column."""
        column = self._column(item)
        if column is None:
            raise _refused("a condition on what is no visible column")
        self._visible(column)
        self._use(column)
        return exp.column(exp.to_identifier(column.name, quoted=True)), column.type

    def _after(self, item: Mapping[str, Any]) -> tuple[exp.Expr, ColumnType]:
        """An operand of HAVING: a grouping column, an aggregate, or the alias of one."""
        term = self._term(item, self._column(item))
        match term.function:
            case "group":
                kind = self._columns[term.column.lower()].type
            case "rows" | "count":
                kind = ColumnType("integer")
            case _:
                kind = ColumnType("double")
        return self._released(term), kind

    def _term(self, item: Mapping[str, Any], column: Restricted | None) -> Term:
        if item.get("class") != "COLUMN_REF":
            return self._aggregate(item)
        if column is not None and column.name in self._groups:
            return Term("group", column.name)
        own = self._alias(item)
        if own is None:
            raise _refused("a name that is not selected")
        return own

    def _alias(self, item: Mapping[str, Any]) -> Term | None:
        """What is selected under the name that a reference is."""
        names: list[str] = item.get("column_names") or []
        return self._aliases.get(str(names[0]).lower()) if len(names) == 1 else None

    def _statement(self, node: Mapping[str, Any], listed: Sequence[Term], names: Sequence[str]) -> str:
        """The locked worker's statement over the released rows."""
        items = [exp.alias_(self._released(term), name, quoted=True) for term, name in zip(listed, names, strict=True)]
        schema, _, short = self._table.partition(".")
        source = exp.alias_(exp.table_(short, db=schema, quoted=True), "t", quoted=True, table=True)
        made = exp.select(*items).from_(source)
        if node.get("having"):
            made = made.where(conditions.condition(node["having"], self._after))
        for modifier in node["modifiers"]:
            match modifier.get("type"):
                case "ORDER_MODIFIER":
                    made = made.order_by(*(self._ordered(order, listed) for order in modifier["orders"]))
                case "LIMIT_MODIFIER" if modifier.get("limit_type", "ROW_COUNT") == "ROW_COUNT":
                    made = _limited(made, modifier)
                case _:
                    raise _refused("DISTINCT, or a limit in percent")
        return made.sql("duckdb")

    def _ordered(self, order: Mapping[str, Any], listed: Sequence[Term]) -> exp.Ordered:
        item = order["expression"]
        at = conditions.whole_number(item)
        if at is not None:
            if not 1 <= at <= len(listed):
                raise _refused("ordering by a position that is not selected")
            term = listed[at - 1]
        else:
            term = self._alias(item) or self._term(item, self._column(item))
        first = str(order.get("null_order")).replace("_", " ").upper() == "NULLS FIRST"
        return exp.Ordered(this=self._released(term), desc=order.get("type") == "DESCENDING", nulls_first=first)


def _limited(made: exp.Select, modifier: Mapping[str, Any]) -> exp.Select:
    for key, put in (("limit", made.limit), ("offset", made.offset)):
        if modifier.get(key) is not None:
            rows = conditions.whole_number(modifier[key])
            if rows is None:
                raise _refused("a limit that is no number")
            made = put(rows, copy=False)
    return made


def _nodes(value: Any) -> Iterator[Mapping[str, Any]]:
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, Mapping):
            yield item
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)


def _names(node: Mapping[str, Any]) -> set[str]:
    return {str(part).lower() for part in node["column_names"]} if node.get("class") == "COLUMN_REF" else set()


def _refused(found: str) -> Refused:
    return Refused(
        f"the statement failed: aggregate_only: {found}",
        allowed="SELECT <visible columns>, count, sum, avg FROM <one table> WHERE <visible columns against constants> "
        "GROUP BY <visible columns>",
        do="see docs/USE.md, Aggregate only",
    )
