"""How an expression uses the columns below it: DIRECT (identity, transformation, aggregation) or INDIRECT. Pure, on
sqlglot trees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from sqlglot import exp

from governance.lineage.edges import Kind, Subtype

_STRENGTH: dict[Subtype, int] = {"IDENTITY": 0, "TRANSFORMATION": 1, "AGGREGATION": 2}
_MASKING_NODES = (exp.MD5, exp.MD5Digest, exp.SHA, exp.SHA2)
_MASKING_NAMES = frozenset({"md5", "md5_number", "sha1", "sha256", "hash"})
_AGGREGATES = frozenset({"fsum", "kahan_sum", "sumkahan", "favg", "product", "arbitrary", "geomean", "entropy"})
"""Aggregates of DuckDB that sqlglot parses as unknown functions."""


@dataclass(frozen=True, slots=True, order=True)
class Use:
    """One way in which a column is used."""

    kind: Kind = "DIRECT"
    subtype: Subtype = "IDENTITY"
    masking: bool = False

    def then(self, kind: Kind, subtype: Subtype) -> Use:
        """This use, one level further down the expression.

        >>> Use().then("DIRECT", "AGGREGATION").then("DIRECT", "TRANSFORMATION").subtype
        'AGGREGATION'
        >>> Use("INDIRECT", "JOIN").then("DIRECT", "TRANSFORMATION").subtype
        'JOIN'
        """
        if self.kind == "INDIRECT":
            return self
        if kind == "DIRECT" and _STRENGTH[subtype] <= _STRENGTH[self.subtype]:
            return self
        return Use(kind, subtype, self.masking)


def uses(node: exp.Expr, use: Use, windows: dict[str, exp.Expr]) -> Iterator[tuple[exp.Expr, Use]]:
    """Every column and every nested query below `node`, with the way it is used. `windows` has the named windows."""
    match node:
        case exp.Column():
            yield node, use
        case exp.Query() if not isinstance(node, exp.Subquery):
            yield node, use.then("DIRECT", "TRANSFORMATION")
        case exp.Alias() | exp.Paren() | exp.Subquery() | exp.Ordered() | exp.IgnoreNulls() | exp.RespectNulls():
            yield from _below(node, "this", use, windows)
        case exp.Case():
            yield from _case(node, use, windows)
        case exp.If():
            yield from _below(node, "this", use.then("INDIRECT", "CONDITIONAL"), windows)
            for part in ("true", "false"):
                yield from _below(node, part, use.then("DIRECT", "TRANSFORMATION"), windows)
        case exp.Nullif():
            yield from _below(node, "this", use.then("DIRECT", "TRANSFORMATION"), windows)
            yield from _below(node, "expression", use.then("INDIRECT", "CONDITIONAL"), windows)
        case exp.Exists():
            yield from _below(node, "this", use.then("INDIRECT", "CONDITIONAL"), windows)
        case exp.Filter():
            yield from _below(node, "this", use, windows)
            yield from _below(node, "expression", use.then("INDIRECT", "CONDITIONAL"), windows)
        case exp.Window():
            yield from _window(node, use, windows)
        case exp.WithinGroup():
            yield from _below(node, "this", use.then("DIRECT", "AGGREGATION"), windows)
            for ordered in node.expression.expressions:
                yield from uses(ordered, use.then("DIRECT", "AGGREGATION"), windows)
        case exp.Order():
            yield from _below(node, "this", use, windows)
            yield from _below(node, "expressions", use.then("INDIRECT", "SORT"), windows)
        case _:
            inner = use.then("DIRECT", "AGGREGATION" if is_aggregate(node) else "TRANSFORMATION")
            if is_masking(node) and inner.kind == "DIRECT":
                inner = replace(inner, masking=True)
            for child in node.iter_expressions():
                yield from uses(child, inner, windows)


def is_aggregate(node: exp.Expr) -> bool:
    """True for aggregate functions, also for those that sqlglot does not know."""
    if isinstance(node, exp.Anonymous):
        return node.name.lower() in _AGGREGATES
    return isinstance(node, exp.AggFunc)


def group_keys(select: exp.Expr) -> list[exp.Expr]:
    """The expressions that a SELECT groups by, of GROUPING SETS, ROLLUP and CUBE too; with GROUP BY ALL its columns without aggregates."""
    group = select.args.get("group")
    if group is None:
        return []
    if group.args.get("all"):
        return [part for part in select.expressions if not _aggregated(part)]
    return [child for child in group.iter_expressions() if isinstance(child, exp.Expr)]


def _aggregated(node: exp.Expr) -> bool:
    """Whether an aggregate of this query is below `node`; those of nested queries are theirs."""
    return any(is_aggregate(below) for below in node.walk(prune=lambda n: isinstance(n, exp.Query) and n is not node))


def is_masking(node: exp.Expr) -> bool:
    """True for functions from whose result the argument is not read back: hashes."""
    if isinstance(node, exp.Anonymous):
        return node.name.lower() in _MASKING_NAMES
    return isinstance(node, _MASKING_NODES)


def _below(node: exp.Expr, part: str, use: Use, windows: dict[str, exp.Expr]) -> Iterator[tuple[exp.Expr, Use]]:
    value: Any = node.args.get(part)
    for child in value if isinstance(value, list) else [value]:
        if isinstance(child, exp.Expr):
            yield from uses(child, use, windows)


def _case(node: exp.Case, use: Use, windows: dict[str, exp.Expr]) -> Iterator[tuple[exp.Expr, Use]]:
    condition, value = use.then("INDIRECT", "CONDITIONAL"), use.then("DIRECT", "TRANSFORMATION")
    yield from _below(node, "this", condition, windows)
    for branch in node.args["ifs"]:
        yield from _below(branch, "this", condition, windows)
        yield from _below(branch, "true", value, windows)
    yield from _below(node, "default", value, windows)


def _window(node: exp.Window, use: Use, windows: dict[str, exp.Expr]) -> Iterator[tuple[exp.Expr, Use]]:
    function = node.this
    yield from uses(function, use.then("DIRECT", "TRANSFORMATION"), windows)
    for spec in (node, *named_window(node, windows)):
        for part in ("partition_by", "order", "spec", "expression"):
            yield from _below(spec, part, use.then("INDIRECT", "WINDOW"), windows)


def named_window(node: exp.Expr, windows: dict[str, exp.Expr]) -> tuple[exp.Expr, ...]:
    """The definition that `OVER w` or `OVER (w ...)` names, and what that one names in its turn."""
    alias = node.args.get("alias")
    found = windows.get(alias.name.lower()) if isinstance(alias, exp.Identifier) else None
    return (found, *named_window(found, windows)) if found is not None else ()
