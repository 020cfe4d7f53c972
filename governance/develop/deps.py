"""What a column, or a set of rows, was made from: values and how they combine. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlglot import exp

from governance.develop.uses import Use


class Dep(NamedTuple):
    """One base column and how it is used."""

    input: str
    column: str
    use: Use


Deps = frozenset[Dep]
NONE: Deps = frozenset()


@dataclass(frozen=True, slots=True)
class Trace:
    """Deps by output column, in the order of the SELECT, and the deps of the set of rows."""

    columns: Mapping[str, Deps] = field(default_factory=dict)
    rows: Deps = NONE


def compose(outer: Use, dep: Dep) -> Dep:
    """`dep` seen through one more expression."""
    inner = dep.use
    if outer.kind == "INDIRECT":
        return dep._replace(use=Use("INDIRECT", outer.subtype, outer.masking or inner.masking))
    if inner.kind == "INDIRECT":
        return dep
    return dep._replace(use=Use("DIRECT", inner.then("DIRECT", outer.subtype).subtype, outer.masking or inner.masking))


def merge(operation: exp.SetOperation, left: Trace, right: Trace) -> Trace:
    """Columns by position, named by the left side; by their names where the operation says so."""
    if isinstance(operation, exp.Union):
        if operation.args.get("by_name"):
            names = dict.fromkeys([*left.columns, *right.columns])
            columns = {name: left.columns.get(name, NONE) | right.columns.get(name, NONE) for name in names}
        else:
            pairs = zip(left.columns.items(), right.columns.values(), strict=False)
            columns = {name: deps | more for (name, deps), more in pairs}
        rows = left.rows | right.rows
        return Trace(columns, rows | whole_rows(columns) if operation.args.get("distinct") else rows)
    filters = {compose(Use("INDIRECT", "FILTER"), d) for deps in right.columns.values() for d in deps}
    return Trace(left.columns, left.rows | right.rows | filters | whole_rows(left.columns))


def whole_rows(columns: Mapping[str, Deps]) -> Deps:
    return frozenset(compose(Use("INDIRECT", "GROUP_BY"), dep) for deps in columns.values() for dep in deps)
