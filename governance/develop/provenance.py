"""A qualified SELECT rewritten so that each of its rows carries the source rows that produced it. Pure, on sqlglot trees.

The rewritten query has one column more, `PROVENANCE`: a list of structs (s: number of the source, b: batch, r: row),
with repeats. Exact for SELECT, WHERE, joins, GROUP BY, DISTINCT, UNION, INTERSECT, windows and nested queries:

- a joined row has the rows that were joined, a group those of all its rows, a row of UNION or DISTINCT those of all its
  equals;
- a window function adds the rows that it computes with: an aggregate its frame, `row_number` and `rank` the rows
  before, `lag` and its like the one row that they take;
- `EXISTS`, `IN` and a value of a nested query add the nested rows that fit.

Where rows count by being absent (`EXCEPT`, `NOT EXISTS`, `NOT IN`, anti joins), and where a construct is not rewritten
(PIVOT, a recursive CTE by UNION, `= ANY`), the entry names its source as a whole (b and r are NULL): a superset, which
`Rewritten.whole` tells the reason of. `EXCEPT ALL` and what else is not known make the whole nested query a superset.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlglot import exp

from governance.develop import provenance_trees as trees
from governance.develop.forms import values_of
from governance.develop.provenance_sets import absent, grouped, outer_tail, present
from governance.develop.provenance_window import window_rows

_CLAUSES = ("where", "group", "having", "qualify", "order", "distinct")


class _Unknown(Exception):
    """A construct that is not rewritten; the message names it."""


@dataclass(frozen=True, slots=True)
class Rewritten:
    """The query with PROVENANCE; `whole` has the sources of which a superset is given, with the reason."""

    tree: exp.Query
    whole: Mapping[int, str]


def rewrite(tree: exp.Query, *, needed: Iterable[str] | None = None) -> Rewritten:
    """`tree` with PROVENANCE. Its tables are sources already (`source_table`), its columns qualified, its stars expanded.

    With `needed` the rows that only other output columns compute with (windows, nested values) are left out.
    """
    rewriter = _Rewriter()
    made = rewriter.query(trees.with_plain_pivots(tree.copy()), None if needed is None else set(needed), {})
    return Rewritten(made, dict(rewriter.whole))


class _Rewriter:
    def __init__(self) -> None:
        self.whole: dict[int, str] = {}
        self._names = 0

    def query(self, node: exp.Query, needed: set[str] | None, env: trees.Environment) -> exp.Query:
        """`node` with PROVENANCE; a superset of it as a whole when it holds what is not known."""
        original, before = node.copy(), dict(self.whole)
        try:
            return self._query(node, needed, env)
        except _Unknown as unknown:
            self.whole = before
            names = [exp.column(name, table="__whole", quoted=True) for name in trees.outputs(original)]
            markers = self._markers(trees.sources_below(original, env), str(unknown))
            shown = [exp.alias_(c, c.name, quoted=True) for c in names]
            select = exp.select(*shown, trees.named(markers))
            return select.from_(original.subquery("__whole"))

    def _query(self, node: exp.Query, needed: set[str] | None, env: trees.Environment) -> exp.Query:
        with_ = node.args.get("with_")
        own: dict[str, trees.Cte] = dict(env)
        seen: list[tuple[exp.CTE, dict[str, trees.Cte]]] = []
        for cte in with_.expressions if with_ is not None else ():
            recursive = trees.calls_itself(cte)
            sources = trees.sources_below(cte.this, own)
            plain = "a recursive CTE by UNION" if recursive and trees.is_distinct(cte.this) else ""
            inside = dict(own)
            own[cte.alias] = trees.Cte(sources, plain=plain)
            if recursive:
                own[cte.alias].needed = None
                inside[cte.alias] = own[cte.alias]
            seen.append((cte, inside))
        if with_ is not None:
            with_.pop()
        made = self._body(node, needed, own)
        for cte, inside in reversed(seen):
            record = own[cte.alias]
            if record.plain:
                continue
            if not trees.calls_itself(cte):
                cte.set("materialized", False)  # else the key's filter would stop before it
            cte.set("this", self.query(cte.this, record.needed, inside))
            trees.extend(cte)
        if with_ is not None:
            made.set("with_", with_)
        return made

    def _body(self, node: exp.Query, needed: set[str] | None, env: trees.Environment) -> exp.Query:
        match node:
            case exp.Select():
                return self._select(node, needed, env)
            case exp.SetOperation():
                return self._set_operation(node, needed, env)
            case exp.Subquery() if isinstance(node.this, exp.Query) and not node.args.get("pivots"):
                node.set("this", self.query(node.this, needed, env))
                inner = node.unnest()
                if any(node.args.get(part) for part in ("order", "limit", "offset")):
                    raise _Unknown("an ordered query in brackets")
                assert isinstance(inner, exp.Query)
                return inner
            case other:
                raise _Unknown(type(other).__name__.upper())

    # SELECT

    def _select(self, select: exp.Select, needed: set[str] | None, env: trees.Environment) -> exp.Query:
        counts = [
            p for p in select.expressions if needed is None or p.alias_or_name in needed or trees.is_distinct(select)
        ]
        clauses = [select.args[name] for name in _CLAUSES if select.args.get(name)]
        if any(trees.queries_in(select.args.get(name)) for name in ("group", "distinct")):
            raise _Unknown("a query nested in ROLLUP, in a list of GROUP BY or in DISTINCT ON")
        joins: list[exp.Join] = select.args.get("joins") or []
        needs = trees.needs_of(
            [*counts, *clauses, *joins, *(select.args.get("windows") or ()), *(select.args.get("laterals") or ())]
        )
        parts: list[exp.Expr] = []
        before = [select.args.get("where"), *(join.args.get("on") for join in joins)]
        for clause in before:
            parts += self._nested(clause, env)
        first = select.args.get("from_")
        if first is not None:
            parts = [*self._source(first, "this", needs, env), *parts]
        for join in list(joins):
            parts += self._joined(select, join, needs, env)
        for lateral in select.args.get("laterals") or ():
            parts += self._lateral(lateral, needs, env)
        rows = trees.concat(parts)
        for node in trees.own_nodes(select.expressions + clauses, exp.Count):
            if isinstance(node.this, exp.Star):
                node.meta["provenance"] = rows.copy()
        if trees.aggregates(select):
            rows = exp.Flatten(this=exp.ArrayAgg(this=rows))
        later = [*counts, *(c for c in (select.args.get("having"), select.args.get("qualify")) if c is not None)]
        extra = [e for part in later for e in self._nested(part, env)]
        windows = {w.this.name.lower(): w for w in select.args.get("windows") or ()}
        extra += [window_rows(w, rows, windows) for w in trees.own_nodes(later, exp.Window)]
        made = trees.concat([rows, *extra])
        if trees.is_distinct(select) and not (select.args["distinct"].args.get("on")):
            return self._distinct(select, made)
        select.append("expressions", trees.named(made))
        return select

    def _distinct(self, select: exp.Select, rows: exp.Expr) -> exp.Query:
        alias, names = self._name(), [p.alias_or_name for p in select.expressions]
        if (tail := outer_tail(select, alias)) is None:
            raise _Unknown("DISTINCT in an order of other columns")
        select.set("distinct", None)
        select.append("expressions", trees.named(rows))
        made = grouped(select, names, alias)
        for part, clause in tail.items():
            made.set(part, clause)
        return made

    def _joined(
        self, select: exp.Select, join: exp.Join, needs: Mapping[str, set[str]], env: trees.Environment
    ) -> list[exp.Expr]:
        if join.method.upper() == "NATURAL" or join.args.get("using"):
            raise _Unknown("a join whose columns are not named")
        kind = join.kind.upper()
        if kind not in ("SEMI", "ANTI"):
            return self._source(join, "this", needs, env)
        if kind == "ANTI" or not isinstance(join.args.get("on"), exp.Expr):
            return [self._markers(trees.sources_below(join.this, env), "rows that are absent decide")]
        copy = join.copy()
        rows = trees.concat(self._source(copy, "this", needs, env))
        query = exp.select(exp.Flatten(this=exp.ArrayAgg(this=rows))).from_(copy.this).where(copy.args["on"])
        return [query.subquery()]

    def _source(
        self, holder: exp.Expr, part: str, needs: Mapping[str, set[str]], env: trees.Environment
    ) -> list[exp.Expr]:
        """The provenance of one source of FROM or JOIN; rewrites it in its place."""
        source: Any = holder.args[part]
        alias = source.alias_or_name
        if source.args.get("pivots"):
            return [self._markers(trees.sources_below(source, env), "PIVOT")]
        match source:
            case exp.Table() if isinstance(source.this, exp.Func):
                return []
            case exp.Table() if source.args.get("joins"):
                raise _Unknown("joins in brackets")
            case exp.Table() if source.db == trees.SOURCES:
                return [trees.provenance(alias)]
            case exp.Table():
                record = env[source.name]
                record.use(needs.get(alias, set()))
                return [self._markers(record.sources, record.plain)] if record.plain else [trees.provenance(alias)]
            case exp.Subquery() if source.meta.get("rewritten"):
                return [trees.provenance(alias)]
            case exp.Subquery() if isinstance(source.this, exp.Query):
                source.set("this", self.query(source.this, needs.get(alias, set()), env))
                trees.extend(source)
                return [trees.provenance(alias)]
            case exp.Lateral():
                return self._lateral(source, needs, env)
            case exp.Unnest() | exp.Values() | exp.TableFromRows():
                return self._nested(source, env)
            case other:
                raise _Unknown(type(other).__name__.upper())

    def _lateral(self, lateral: exp.Lateral, needs: Mapping[str, set[str]], env: trees.Environment) -> list[exp.Expr]:
        if not isinstance(lateral.this, exp.Subquery) or values_of(lateral) is not None:
            return self._nested(lateral.this, env)
        alias = lateral.alias_or_name
        lateral.this.set("this", self.query(lateral.this.this, needs.get(alias, set()), env))
        trees.extend(lateral)
        return [trees.provenance(alias)]

    # queries in expressions

    def _nested(self, node: exp.Expr | None, env: trees.Environment) -> list[exp.Expr]:
        """For each query in an expression the list of its rows that fit, as a nested query of its own."""
        found: list[exp.Expr] = []
        for query in trees.queries_in(node):
            holder = query.parent
            outer = holder.parent if isinstance(holder, exp.Subquery) else holder
            if trees.denied(query, node):
                found.append(self._markers(trees.sources_below(query, env), "rows that are absent decide"))
            elif isinstance(outer, exp.Any | exp.All):
                found.append(self._markers(trees.sources_below(query, env), "ANY and ALL"))
            else:
                sought = outer.this if isinstance(outer, exp.In) else None
                found.append(self._fitting(query, sought, env, exists=isinstance(outer, exp.Exists)))
        return found

    def _fitting(self, query: exp.Query, sought: exp.Expr | None, env: trees.Environment, *, exists: bool) -> exp.Expr:
        alias, names = self._name(), trees.outputs(query)
        if isinstance(sought, exp.Tuple):
            raise _Unknown("IN of several columns")
        made = trees.only(
            self.query(query.copy(), set() if exists else None, env), names[:1] if sought is not None else []
        )
        rows = exp.select(exp.Flatten(this=exp.ArrayAgg(this=trees.provenance(alias)))).from_(made.subquery(alias))
        if sought is not None:
            rows = rows.where(exp.EQ(this=exp.column(names[0], table=alias, quoted=True), expression=sought.copy()))
        return rows.subquery()

    # set operations

    def _set_operation(self, node: exp.SetOperation, needed: set[str] | None, env: trees.Environment) -> exp.Query:
        if node.args.get("by_name") or node.args.get("side") or node.args.get("kind"):
            raise _Unknown("a set operation by name")
        distinct, names = bool(node.args.get("distinct")), trees.outputs(node)
        rights = trees.outputs(node.right)
        if distinct or needed is None:
            needed = None
        asked = None if needed is None else {r for n, r in zip(names, rights, strict=True) if n in needed}
        tail = {part: node.args.get(part) for part in ("order", "limit", "offset") if node.args.get(part)}
        if not isinstance(node, exp.Union) and not distinct:
            raise _Unknown(f"{type(node).__name__.upper()} ALL")
        left = self.query(node.left.copy(), needed, env)
        if isinstance(node, exp.Union):
            node.set("this", left)
            node.set("expression", self.query(node.right.copy(), asked, env))
            if not distinct:
                return node
            node.set("distinct", False)
            for part in tail:
                node.set(part, None)
            made = grouped(node, names, self._name())
        else:
            made = self._both(node, grouped(left, names, self._name()), names, rights, env)
        for part, clause in tail.items():
            made.set(part, clause)
        return made

    def _both(
        self,
        node: exp.SetOperation,
        left: exp.Select,
        names: Sequence[str],
        rights: Sequence[str],
        env: trees.Environment,
    ) -> exp.Select:
        """INTERSECT and EXCEPT."""
        own, other = self._name(), self._name()
        if isinstance(node, exp.Intersect):
            right = grouped(self.query(node.right.copy(), None, env), rights, self._name())
            return present(left, right, (own, other), names, rights)
        absence = self._markers(trees.sources_below(node.right, env), "rows that are absent decide")
        return absent(left, node.right.copy(), (own, other), names, rights, absence)

    def _markers(self, sources: Iterable[int], reason: str) -> exp.Expr:
        numbers = sorted(sources)
        for number in numbers:
            self.whole.setdefault(number, reason)
        entries = [trees.entry(number) for number in numbers]
        return exp.cast(exp.Array(expressions=entries), f"{trees.ENTRY}[]", dialect="duckdb")

    def _name(self) -> str:
        self._names += 1
        return f"__rows{self._names}"
