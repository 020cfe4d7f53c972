"""What the columns of a PIVOT or UNPIVOT were made from. Pure; the columns that go in are asked of the caller."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sqlglot import exp

from governance.develop.deps import NONE, Deps, compose
from governance.develop.uses import Use, uses

OfSource = Callable[[str, exp.Expr], Deps]
"""The deps of one column of what is pivoted."""


def pivot_column(pivot: exp.Expr, name: str, columns: Iterable[str], of_source: OfSource) -> Deps:
    """One output column: a column that passes; of PIVOT else an aggregation that the FOR columns decide; of UNPIVOT
    the values of the columns that it turns, or their names, which come from nowhere.
    """
    inner = _inner(pivot)
    passed = [column for column in columns if column not in inner]
    unpivot = bool(pivot.args.get("unpivot"))
    name = _own_name(pivot, name, passed) if unpivot else name
    if name in passed:
        return of_source(name, pivot)
    if unpivot:
        turned = name in {identifier.name for identifier in pivot.expressions}
        return frozenset().union(*(of_source(c.name, c) for c in _turned(pivot))) if turned else NONE
    found: set[tuple[exp.Expr, Use]] = set()
    for aggregate in _aggregates(pivot, name):
        found |= set(uses(aggregate.unalias(), Use(), {}))
    deps = {compose(use, dep) for leaf, use in found for dep in of_source(leaf.name, leaf)}
    conditional = Use("INDIRECT", "CONDITIONAL")
    return frozenset(deps | {compose(conditional, d) for leaf in _for(pivot) for d in of_source(leaf.name, leaf)})


def pivot_rows(pivot: exp.Expr, columns: Iterable[str], of_source: OfSource) -> Deps:
    """What decides the rows: a PIVOT groups by every column that passes, an UNPIVOT leaves out NULLs unless it is told
    to keep them.
    """
    if pivot.args.get("unpivot"):
        filtered = [] if pivot.args.get("include_nulls") else _turned(pivot)
        return frozenset(compose(Use("INDIRECT", "FILTER"), d) for c in filtered for d in of_source(c.name, c))
    group, inner = Use("INDIRECT", "GROUP_BY"), _inner(pivot)
    passed = [column for column in columns if column not in inner]
    return frozenset(compose(group, dep) for column in passed for dep in of_source(column, pivot))


def _own_name(pivot: exp.Expr, name: str, passed: list[str]) -> str:
    """The column's name before the column aliases of an UNPIVOT: what passes, the names, the values."""
    alias = pivot.args.get("alias")
    given = [c.name for c in alias.args.get("columns") or ()] if alias is not None else []
    own = [*passed, *(f.this.name for f in pivot.args["fields"]), *(e.name for e in pivot.expressions)]
    names: dict[str, str] = dict(zip(given, own, strict=False))
    return names.get(name, name)


def _aggregates(pivot: exp.Expr, name: str) -> list[exp.Expr]:
    """The aggregates that may have made a column: of several the one whose alias it ends with, if that is one."""
    every = list(pivot.expressions)
    named = [a for a in every if len(every) > 1 and a.alias and name.endswith(f"_{a.alias}")]
    return named if len(named) == 1 else every


def _turned(pivot: exp.Expr) -> list[exp.Column]:
    return [c for f in pivot.args.get("fields") or () for e in f.expressions for c in e.find_all(exp.Column)]


def _for(pivot: exp.Expr) -> list[exp.Column]:
    return [c for f in pivot.args.get("fields") or () for c in f.this.find_all(exp.Column)]


def _inner(pivot: exp.Expr) -> set[str]:
    """Columns of the source that do not pass."""
    if pivot.args.get("unpivot"):
        return {c.name for c in _turned(pivot)}
    return {c.name for e in pivot.expressions for c in e.find_all(exp.Column)} | {c.name for c in _for(pivot)}
