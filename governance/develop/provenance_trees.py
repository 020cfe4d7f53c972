"""What the rewriting of `provenance` builds and looks for in sqlglot trees. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlglot import exp

from governance.develop.uses import is_aggregate

PROVENANCE = "__provenance"
SOURCES = "__source"
"""The schema in which a source is bound: `__source.s0` has the columns of its table and PROVENANCE."""
PLAIN = "__plain"
"""The schema in which a source is bound without PROVENANCE, for what groups by all columns."""


ENTRY = "STRUCT(s USMALLINT, b VARCHAR, r BIGINT)"


@dataclass(slots=True)
class Cte:
    """A common table expression: what its users need of it (None: everything), and the sources below it."""

    sources: frozenset[int]
    needed: set[str] | None = field(default_factory=set)
    plain: str = ""
    """Why it has no provenance of its own; empty when it has."""

    def use(self, names: set[str] | None) -> None:
        self.needed = None if names is None or self.needed is None else self.needed | names


Environment = Mapping[str, Cte]


def source_table(number: int) -> exp.Table:
    """The reference to source `number`."""
    return exp.table_(f"s{number}", db=SOURCES, quoted=True)


def counted(tree: exp.Query) -> exp.Query:
    """A copy for following columns: `count(*)` counts what it has rows of, so that a count has sources too."""
    copy = tree.copy()
    for node in list(copy.find_all(exp.Count)):
        if isinstance(node.this, exp.Star) and "provenance" in node.meta:
            node.set("this", node.meta["provenance"].copy())
    return copy


def with_plain_pivots(tree: exp.Query) -> exp.Query:
    """The tree, in which whatever is pivoted has its own columns alone: a PIVOT groups by all that it does not use."""
    for table in [t for t in tree.find_all(exp.Table) if t.args.get("pivots")]:
        if table.db == SOURCES:
            table.set("db", exp.to_identifier(PLAIN, quoted=True))
        elif not table.db and (cte := _cte_of(table)) is not None:
            names = cte.alias_column_names or outputs(cte.this)
            shown = [exp.column(name, table=table.name, quoted=True) for name in names]
            plain = exp.select(*shown).from_(exp.to_table(table.name, quoted=True)).subquery(table.alias_or_name)
            plain.set("pivots", table.args["pivots"])
            table.replace(plain)
    return tree


def _cte_of(table: exp.Table) -> exp.CTE | None:
    """The common table expression that a table without a schema names."""
    at: exp.Expr | None = table
    while at is not None:
        with_ = at.args.get("with_")
        for cte in with_.expressions if with_ is not None else ():
            if cte.alias == table.name:
                assert isinstance(cte, exp.CTE)
                return cte
        at = at.parent
    return None


def entry(number: int) -> exp.Expr:
    values = {"s": exp.Literal.number(number), "b": exp.null(), "r": exp.null()}
    return exp.Struct(expressions=[exp.PropertyEQ(this=exp.to_identifier(n), expression=v) for n, v in values.items()])


def provenance(alias: str) -> exp.Column:
    return exp.column(PROVENANCE, table=alias, quoted=True)


def named(rows: exp.Expr) -> exp.Expr:
    return exp.alias_(rows, PROVENANCE, quoted=True)


def concat(parts: Sequence[exp.Expr]) -> exp.Expr:
    """All lists in one; a NULL is an empty list."""
    if not parts:
        return exp.cast(exp.Array(expressions=[]), f"{ENTRY}[]", dialect="duckdb")
    made = parts[0]
    for part in parts[1:]:
        made = exp.Anonymous(this="list_concat", expressions=[made, part])
    return made


def only(query: exp.Query, names: Sequence[str]) -> exp.Query:
    """A rewritten query with `names` and PROVENANCE alone, where no other part of it can speak of what is left out. (DuckDB fails
    on a correlated `count` whose value nobody reads.)
    """
    if isinstance(query, exp.Select) and not any(query.args.get(p) for p in ("distinct", "having", "qualify", "order")):
        kept = [p for p in query.expressions if p.alias_or_name in (*names, PROVENANCE)]
        query.set("expressions", kept)
    return query


def outputs(query: exp.Expr) -> list[str]:
    """Names of the output columns."""
    assert isinstance(query, exp.Query)
    return list(query.named_selects)


def extend(node: exp.Expr) -> None:
    """Give a list of column aliases the name of the column that was added."""
    alias = node.args.get("alias")
    if isinstance(alias, exp.TableAlias) and alias.args.get("columns"):
        alias.append("columns", exp.to_identifier(PROVENANCE, quoted=True))


def needs_of(nodes: Iterable[exp.Expr]) -> dict[str, set[str]]:
    """Columns by the source that they are of."""
    found: dict[str, set[str]] = {}
    for node in nodes:
        for column in node.find_all(exp.Column):
            found.setdefault(column.table, set()).add(column.name)
    return found


def sources_below(node: exp.Expr, env: Environment) -> frozenset[int]:
    """Numbers of all sources below `node`, through the CTEs that it names as well."""
    found: set[int] = set()
    inner = {cte.alias: cte for cte in node.find_all(exp.CTE)}
    for table in node.find_all(exp.Table):
        if table.db in (SOURCES, PLAIN):
            found.add(int(table.name[1:]))
        elif table.name in env and table.name not in inner:
            found |= env[table.name].sources
    return frozenset(found)


def own_nodes(nodes: Iterable[exp.Expr], kind: type[exp.Expr]) -> list[Any]:
    """Nodes of a kind below `nodes`, none of a nested query."""
    found = []
    for node in nodes:
        for below in node.walk(prune=lambda n: isinstance(n, exp.Query)):
            if isinstance(below, kind):
                found.append(below)
    return found


def queries_in(node: exp.Expr | None) -> list[exp.Query]:
    """The topmost queries in an expression."""
    if node is None:
        return []
    found: list[exp.Query] = []
    for below in node.walk(prune=lambda n: isinstance(n, exp.Select | exp.SetOperation)):
        if isinstance(below, exp.Select | exp.SetOperation):
            found.append(below)
    return found


def denied(query: exp.Expr, top: exp.Expr | None) -> bool:
    """Whether an odd number of NOTs stands above a query in its expression."""
    denials, at = 0, query.parent
    while at is not None and at is not top:
        denials += isinstance(at, exp.Not)
        at = at.parent
    return denials % 2 == 1


def aggregates(select: exp.Select) -> bool:
    """Whether the rows of a SELECT are groups."""
    if select.args.get("group") or select.args.get("having"):
        return True
    nodes = [*select.expressions, *(c for c in (select.args.get("qualify"), select.args.get("order")) if c is not None)]
    return any(is_aggregate(node) and not of_window(node) for node in own_nodes(nodes, exp.Func))


def of_window(node: exp.Expr) -> bool:
    """Whether a function is the one that a window computes."""
    at: exp.Expr | None = node
    while isinstance(at.parent if at else None, exp.IgnoreNulls | exp.RespectNulls | exp.Filter) and at is not None:
        at = at.parent
    parent = at.parent if at is not None else None
    return isinstance(parent, exp.Window) and parent.this is at


def is_distinct(node: exp.Expr) -> bool:
    return bool(node.args.get("distinct"))


def calls_itself(cte: exp.CTE) -> bool:
    with_ = cte.parent
    recursive = isinstance(with_, exp.With) and with_.args.get("recursive")
    return bool(recursive) and any(t.name == cte.alias and not t.db for t in cte.this.find_all(exp.Table))
