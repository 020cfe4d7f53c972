"""Column lineage of a qualified SELECT, scope by scope: what each output column, and the set of rows itself, was made
from. Pure.

`SELECT DISTINCT`, `UNION`, `EXCEPT` and `INTERSECT` compare whole rows, so all their columns decide which rows there
are: INDIRECT GROUP_BY of the whole output. `COUNT(*)` and literals have no source. In `a EXCEPT b` and `a INTERSECT
b` values come from `a` only, `b` is a FILTER.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlglot import exp
from sqlglot.optimizer.scope import Scope

from governance.develop.deps import NONE, Dep, Deps, Trace, compose, merge, whole_rows
from governance.develop.forms import ordinality, values_of
from governance.develop.trace_pivot import pivot_column, pivot_rows
from governance.develop.uses import Use, group_keys, uses

_PER_ROW = Use("INDIRECT", "JOIN")
"""How that is used of which each value makes a row: lists that are unnested, the bounds of a range."""
_MADE = Use("DIRECT", "TRANSFORMATION")


class Unknown(Exception):
    """Something whose sources cannot be determined; the message names it, `node` says where."""

    def __init__(self, found: str, node: exp.Expr | None) -> None:
        super().__init__(found)
        self.found, self.node = found, node


class Tracer:
    """Traces scopes of one statement. `tables` maps (db, table) in lower case to the input's name; `unknown` collects
    what is not known."""

    def __init__(self, tables: Mapping[tuple[str, str], str], columns: Mapping[str, Mapping[str, str]]) -> None:
        self.tables, self.columns = tables, columns
        self.unknown: list[Unknown] = []
        self.followed: set[int] = set()
        self._known: dict[int, Trace] = {}
        self._recursive: dict[int, Trace] = {}

    def trace(self, scope: Scope) -> Trace:
        """The trace of one scope; equal scopes are traced once."""
        key = id(scope.expression)
        if key in self._recursive:
            return self._recursive[key]
        if key not in self._known:
            self._known[key] = self._trace(scope)
        return self._known[key]

    def _trace(self, scope: Scope) -> Trace:
        match scope.expression:
            case exp.SetOperation() as operation:
                return self._set_operation(scope, operation)
            case exp.Select() as select:
                return self._select(scope, select)
            case exp.Subquery() as subquery if scope.subquery_scopes:
                return self._subquery_root(scope, subquery)
            case exp.Unnest() | exp.Values() | exp.Lateral() | exp.TableFromRows():
                return self._udtf(scope)
            case other:
                self.unknown.append(Unknown(f"{type(other).__name__} has no column lineage", other))
                return Trace()

    def _select(self, scope: Scope, select: exp.Select) -> Trace:
        columns: dict[str, Deps] = {}
        rows: set[Dep] = set()
        for projection in select.expressions:
            if any(not isinstance(star.parent, exp.Count) for star in projection.find_all(exp.Star, exp.Columns)):
                self.unknown.append(Unknown("the columns of * cannot be told", projection))
            columns[projection.alias_or_name] = self.deps(scope, projection, Use())
        for name in ("where", "having", "qualify", "limit", "offset"):
            rows |= self._clause(scope, select.args.get(name), Use("INDIRECT", "FILTER"))
        rows |= self._sort(scope, select, columns)
        rows |= self._group(scope, select)
        for join in select.args.get("joins") or ():
            rows |= self._clause(scope, join.args.get("on"), Use("INDIRECT", "JOIN"))
            for identifier in join.args.get("using") or ():
                self.unknown.append(Unknown(f"USING ({identifier.name}) could not be resolved", join))
        rows |= self._distinct(scope, select, columns)
        rows |= self._unnested(scope, select)
        for node, source in scope.selected_sources.values():
            rows |= self._source_rows(scope, source) | self._pivot_rows(scope, node)
        return Trace(columns, frozenset(rows))

    def deps(self, scope: Scope, node: Any, use: Use) -> Deps:
        """The base columns below an expression of `scope`, used as `use`; of nested queries the rows as well."""
        if not isinstance(node, exp.Expr):
            return NONE
        windows = {w.this.name.lower(): w for w in scope.expression.args.get("windows") or ()}
        found: set[Dep] = set()
        for leaf, leaf_use in uses(node, use, windows):
            if isinstance(leaf, exp.Column):
                found |= {compose(leaf_use, dep) for dep in self.column(scope, leaf)}
            else:
                found |= self._nested(scope, leaf, leaf_use)
        return frozenset(found)

    def column(self, scope: Scope, column: exp.Column) -> Deps:
        """What one column reference stands for."""
        self.followed.add(id(column))
        try:
            return self._column(scope, column)
        except Unknown as unknown:
            self.unknown.append(unknown)
            return NONE

    def _column(self, scope: Scope, column: exp.Column) -> Deps:
        name, table = column.name, column.table
        if not table:
            return self._unqualified(scope, column)
        at: Scope | None = scope
        while at is not None:
            for node, _ in at.selected_sources.values():
                if any(pivot.alias == table for pivot in node.args.get("pivots") or ()):
                    return self._pivot_column(at, node, name)
            source = at.sources.get(table)
            if isinstance(source, exp.Table) and isinstance(source.this, exp.Func):
                return self.deps(at, source.this, Use("DIRECT", "TRANSFORMATION"))
            if source is not None:
                return self._of_source(source, name, column)
            at = at.parent
        raise Unknown(f"no source called {table!r}", column)

    def _unqualified(self, scope: Scope, column: exp.Column) -> Deps:
        """A name without a table, as DISTINCT ON and ORDER BY have it: an output column, else the one source that has
        it."""
        for projection in scope.expression.args.get("expressions") or ():
            if projection.alias_or_name == column.name and projection is not column:
                return self.deps(scope, projection, Use())
        for source in scope.sources.values():
            if column.name in self._source_columns(source):
                return self._of_source(source, column.name, column)
        raise Unknown(f"no column called {column.name!r}", column)

    def _of_source(self, source: Any, name: str, node: exp.Expr) -> Deps:
        if isinstance(source, Scope):
            trace = self.trace(source)
            if name not in trace.columns:
                raise Unknown(f"no column called {name!r} in what it is read from", node)
            return trace.columns[name]
        table = self.input_of(source)
        if table is None:
            return NONE
        actual = self.columns[table].get(name.lower())
        if actual is None:
            raise Unknown(f"no column called {name!r} in {table}", node)
        return frozenset({Dep(table, actual, Use())})

    def input_of(self, table: exp.Expr) -> str | None:
        """The input that a table node names; None for a table function without columns, such as range(10)."""
        if isinstance(table.this, exp.Func):
            return None
        name = self.tables.get((table.text("db").lower(), table.name.lower()))
        if name is None:
            raise Unknown(f"no table called {table.name!r}", table)
        return name

    def _source_columns(self, source: Any) -> Iterable[str]:
        if isinstance(source, Scope):
            return self.trace(source).columns
        table = self.input_of(source)
        return self.columns[table] if table is not None else ()

    def _nested(self, scope: Scope, query: exp.Expr, use: Use) -> Deps:
        """A query inside an expression: its values are used as `use`, its set of rows decides them."""
        for nested in scope.subquery_scopes:
            if nested.expression is query:
                trace = self.trace(nested)
                values = NONE if isinstance(query.parent, exp.Exists) else frozenset().union(*trace.columns.values())
                rows = {compose(use, dep) if use.kind == "INDIRECT" else dep for dep in trace.rows}
                return frozenset({compose(use, dep) for dep in values} | rows)
        self.unknown.append(Unknown("a nested query could not be resolved", query))
        return NONE

    def _clause(self, scope: Scope, clause: Any, use: Use) -> Deps:
        if not isinstance(clause, exp.Expr):
            return NONE
        parts = (
            [clause.this, *clause.expressions]
            if isinstance(clause, exp.Where | exp.Having | exp.Qualify | exp.Order)
            else [clause]
        )
        return frozenset().union(*(self.deps(scope, part, use) for part in parts if isinstance(part, exp.Expr)))

    def _sort(self, scope: Scope, select: exp.Select, columns: Mapping[str, Deps]) -> Deps:
        order = select.args.get("order")
        if order is not None and any(isinstance(o.this, exp.Var) for o in order.expressions):  # ORDER BY ALL
            return frozenset(compose(Use("INDIRECT", "SORT"), dep) for deps in columns.values() for dep in deps)
        return self._clause(scope, order, Use("INDIRECT", "SORT"))

    def _group(self, scope: Scope, select: exp.Select) -> Deps:
        parts = group_keys(select)
        return frozenset().union(*(self.deps(scope, part, Use("INDIRECT", "GROUP_BY")) for part in parts))

    def _distinct(self, scope: Scope, select: exp.Select, columns: Mapping[str, Deps]) -> Deps:
        distinct = select.args.get("distinct")
        if distinct is None:
            return NONE
        on = distinct.args.get("on")
        if on is not None:
            parts = on.expressions if isinstance(on, exp.Tuple) else [on]
            return frozenset().union(*(self.deps(scope, part, Use("INDIRECT", "GROUP_BY")) for part in parts))
        return whole_rows(columns)

    def _source_rows(self, scope: Scope, source: Any) -> Deps:
        """What decides the rows of one thing that is read from; of a table function its arguments."""
        if isinstance(source, Scope):
            return self.trace(source).rows
        return self.deps(scope, source.this, _PER_ROW) if isinstance(source.this, exp.Func) else NONE

    def _unnested(self, scope: Scope, select: exp.Select) -> Deps:
        """Lists of the SELECT itself that make a row of each of their values."""
        nodes = [node for part in select.expressions for node in part.find_all(exp.Unnest, exp.Explode, exp.Posexplode)]
        own = [node for node in nodes if node.find_ancestor(exp.Query) is select]
        return frozenset().union(*(self.deps(scope, node, _PER_ROW) for node in own))

    def _set_operation(self, scope: Scope, operation: exp.SetOperation) -> Trace:
        """Both sides together; a recursive CTE until nothing new is found (what it names as itself is its left side
        here)."""
        left_scope, right_scope = scope.set_operation_scopes
        left = self.trace(left_scope)
        merged = merge(operation, left, self.trace(right_scope))
        if _is_recursive(scope):
            merged = self._fixpoint(operation, left, merged, left_scope, right_scope)
        order = operation.args.get("order")
        by = [c for c in order.find_all(exp.Column) if c.name in merged.columns] if order else []
        self.followed |= set(map(id, by))
        sort = {compose(Use("INDIRECT", "SORT"), d) for c in by for d in merged.columns[c.name]}
        return Trace(merged.columns, merged.rows | sort)

    def _fixpoint(
        self, operation: exp.SetOperation, left: Trace, merged: Trace, left_scope: Scope, right_scope: Scope
    ) -> Trace:
        key, known = id(left_scope.expression), dict(self._known)
        while True:
            self._known, self._recursive[key] = dict(known), merged
            for nested in right_scope.traverse():
                self._known.pop(id(nested.expression), None)
            again = merge(operation, left, self._trace(right_scope))
            if again == merged:
                del self._recursive[key]
                return merged
            merged = again

    def _subquery_root(self, scope: Scope, subquery: exp.Subquery) -> Trace:
        return self.trace(scope.subquery_scopes[0])

    def _udtf(self, scope: Scope) -> Trace:
        """UNNEST, VALUES and LATERAL: a column of VALUES comes from what stands in its place in each row, every column of the others from all
        that stands in them, the number of WITH ORDINALITY too.
        """
        expression = scope.expression
        if isinstance(expression, exp.Lateral) and scope.subquery_scopes:
            inner = self.trace(scope.subquery_scopes[0])
            names = expression.alias_column_names or list(inner.columns)
            return Trace(dict(zip(names, inner.columns.values(), strict=False)), inner.rows)
        if (values := values_of(expression)) is not None:
            rows = [row.expressions if isinstance(row, exp.Tuple) else [row] for row in values.expressions]
            columns = [
                frozenset[Dep]().union(*(self.deps(scope, v, _MADE) for v in each)) for each in zip(*rows, strict=True)
            ]
            names = expression.alias_column_names or [f"col{number}" for number in range(len(columns))]
            return Trace(dict(zip(names, columns, strict=False)), NONE)
        deps: set[Dep] = set()
        for part in expression.args.get("expressions") or [expression.this]:
            deps |= self.deps(scope, part, _MADE)
        names = [*expression.alias_column_names, *ordinality(expression)]
        per_row = frozenset(compose(_PER_ROW, dep) for dep in deps)
        return Trace(dict.fromkeys(names or [expression.alias or "unnest"], frozenset(deps)), per_row)

    def _pivot_column(self, scope: Scope, node: exp.Expr, name: str) -> Deps:
        """A column of a PIVOT or UNPIVOT."""
        source = scope.sources[node.alias_or_name]
        columns = list(self._source_columns(source))
        return pivot_column(node.args["pivots"][0], name, columns, lambda c, at: self._of_source(source, c, at))

    def _pivot_rows(self, scope: Scope, node: exp.Expr) -> Deps:
        """What a PIVOT or UNPIVOT decides of the rows."""
        pivots = node.args.get("pivots") or ()
        if not pivots:
            return NONE
        try:
            source = scope.sources[node.alias_or_name]
            columns = list(self._source_columns(source))
            return pivot_rows(pivots[0], columns, lambda c, at: self._of_source(source, c, at))
        except Unknown as unknown:
            self.unknown.append(unknown)
            return NONE


def _is_recursive(scope: Scope) -> bool:
    with_ = scope.expression.find_ancestor(exp.With)
    return bool(with_ is not None and with_.args.get("recursive") and isinstance(scope.expression.parent, exp.CTE))
