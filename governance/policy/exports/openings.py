"""What a target can express of each scope: the same first step for every target that speaks SQL."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sqlglot import exp

from governance.errors import Refused
from governance.policy.exports.dialect import Dialect, before, condition
from governance.policy.exports.expressions import masked
from governance.policy.exports.model import Inexpressible, Loss, Scope, field_loss, known, no_aggregates, whole_table
from governance.policy.restrictions import Restricted, Restrictions

Check = Callable[[Restrictions], None]


@dataclass(frozen=True, slots=True)
class Opening:
    """One table that is open to a subject and purpose: its columns there, and the condition on rows."""

    restrictions: Restrictions
    columns: tuple[Restricted, ...]
    where: exp.Expr | None

    @property
    def place(self) -> tuple[str, str]:
        """Schema and name of the table."""
        schema, _, name = self.restrictions.table.partition(".")
        return schema, name

    @property
    def closed(self) -> tuple[Restricted, ...]:
        """Columns of the table that are not there for the subject."""
        names = {column.name for column in self.columns}
        return tuple(column for column in self.restrictions.columns if column.name not in names)


def openings(
    scopes: Iterable[Scope], dialect: Dialect, check: Check, check_column: Callable[[Restricted], None]
) -> tuple[tuple[Opening, ...], tuple[Loss, ...]]:
    """Every scope that opens something, and everything that the target loses; `check` and `check_column` raise
    Inexpressible for what this target in particular cannot say.
    """
    opened: list[Opening] = []
    lost: list[Loss] = []
    for scope in scopes:
        restrictions = scope.restrictions
        lost += no_aggregates(restrictions)
        if not restrictions.visible:
            continue
        try:
            known(restrictions)
            obligations(restrictions)
            dialect.sayable(restrictions.subject, restrictions.purpose, restrictions.table)
            check(restrictions)
            where = _where(scope, dialect)
        except Refused as refused:
            lost.append(whole_table(restrictions, refused.found))
            continue
        columns, losses = _columns(restrictions, dialect, check_column)
        lost += losses
        if columns:
            opened.append(Opening(restrictions, columns, where))
    return tuple(opened), tuple(lost)


def value(column: Restricted, source: exp.Expr, dialect: Dialect) -> exp.Expr:
    """What the subject gets of a column: itself, or masked."""
    if column.outcome.mask is None:
        return source
    return masked(column.outcome.mask, source, column.type, dialect)


def obligations(restrictions: Restrictions) -> None:
    """Raises Inexpressible: no engine keeps a client from keeping an answer, or refuses one for its number of rows."""
    if restrictions.no_export:
        raise Inexpressible("the obligation no_export cannot be laid upon the target's clients")
    if restrictions.max_rows is not None:
        raise Inexpressible("the obligation max_rows cannot be laid upon an answer of the target")


def _where(scope: Scope, dialect: Dialect) -> exp.Expr | None:
    restrictions = scope.restrictions
    parts: list[exp.Expr] = []
    if restrictions.row_filter is not None:
        types = {column.name: column.type for column in restrictions.columns}
        parts.append(condition(restrictions.row_filter, types, dialect))
    if scope.until is not None:
        parts.append(before(scope.until, dialect))
    return exp.and_(*parts) if parts else None


def _columns(
    restrictions: Restrictions, dialect: Dialect, check: Callable[[Restricted], None]
) -> tuple[tuple[Restricted, ...], list[Loss]]:
    columns: list[Restricted] = []
    lost: list[Loss] = []
    for column in restrictions.visible:
        try:
            dialect.sayable(column.name)
            check(column)
            value(column, dialect.column(column.name), dialect)
        except Refused as refused:
            lost.append(field_loss(restrictions, column, refused.found))
        else:
            columns.append(column)
    return tuple(columns), lost
