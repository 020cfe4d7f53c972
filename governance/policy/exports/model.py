"""What goes into an export and what comes out of it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from governance.errors import Refused
from governance.policy.access import Access, Rule, Subject
from governance.policy.restrictions import Restricted, Restrictions

_KNOWN = frozenset(
    {"v", "subject", "purpose", "table", "snapshot", "policies", "permits", "read-restrictions", "obligations"}
)
_OBLIGATIONS = frozenset({"no-export", "max-rows", "aggregates-a-day"})
"""The last one is about columns that are aggregate-only: they are closed in every export."""
_PLAIN = re.compile(r"[a-z][a-z0-9_]{0,40}")


class Inexpressible(Refused):
    """A target has no exact words for it; `found` says why. Always caught: the field or table is closed and reported."""


@dataclass(frozen=True, slots=True)
class Scope:
    """One table for one subject and purpose, with the instant at which a rule about them begins or ends."""

    restrictions: Restrictions
    changes: datetime | None = None

    @property
    def until(self) -> datetime | None:
        """When this decision ends: at that instant, or with a permit that has a part in it; None: by itself never."""
        ends = [permit.valid_to for permit in self.restrictions.permits]
        return min([*ends, self.changes] if self.changes is not None else ends, default=None)


@dataclass(frozen=True, slots=True, order=True)
class Loss:
    """Something that the target does not have as the policy has it. `field` is empty when it is the whole table."""

    subject: str
    purpose: str
    table: str
    field: str
    outcome: str
    rules: tuple[str, ...]
    reason: str
    closes: bool = True
    """Whether our own answers have it and the target has not; else it is in the export in a form of ours."""


@dataclass(frozen=True, slots=True)
class Export:
    """Files by path relative to the export's folder, losses, and what holds for the target as a whole in words."""

    target: str
    files: Mapping[str, str]
    losses: tuple[Loss, ...]
    limits: tuple[str, ...]
    names: Mapping[str, str]
    """Purposes and subjects that have another name in the target -> that name."""

    def report(self, scopes: Iterable[Scope], *, release: str, at: datetime) -> dict[str, Any]:
        """The whole report as JSON data. It holds names, rules and reasons, never a cell value."""
        every = tuple(scopes)
        opened = sum(len(_opened(scope.restrictions)) for scope in every)
        whole = {(loss.subject, loss.purpose, loss.table) for loss in self.losses if loss.closes and not loss.field}
        lost = sum(len(_opened(scope.restrictions)) for scope in every if _place(scope.restrictions) in whole)
        single = (loss for loss in self.losses if (loss.subject, loss.purpose, loss.table) not in whole)
        lost += sum(loss.closes and bool(loss.field) for loss in single)
        ends = [scope.until for scope in every if scope.until is not None]
        return {
            "target": self.target,
            "release": release,
            "at": at.astimezone(UTC).isoformat(),
            "until": min(ends).astimezone(UTC).isoformat() if ends else None,
            "policies": sorted({policy for scope in every for policy in scope.restrictions.policies}),
            "decisions": {
                f"{r.subject} {r.purpose} {r.table}": r.decision_hash for r in (scope.restrictions for scope in every)
            },
            "counts": {"opened_by_policy": opened, "opened_here": opened - lost, "lost": lost},
            "names": dict(self.names),
            "limits": list(self.limits),
            "losses": [asdict(loss) for loss in sorted(self.losses)],
        }


def next_change(accesses: Iterable[Access], *, subject: str, purpose: str, table: str, at: datetime) -> datetime | None:
    """The first instant after `at` at which a rule that may concern them begins or ends; None when there is none."""
    ends: list[datetime] = []
    for access in accesses:
        known = access.subject(subject)
        for rule in access.rules if known is not None else ():
            assert known is not None
            if _concerns(rule, known, purpose, table):
                ends += [
                    instant for instant in (rule.valid_from, rule.valid_to) if instant is not None and instant > at
                ]
    return min(ends) if ends else None


def purpose_name(purpose: str) -> str:
    """The name of a purpose where the target takes plain names only: two purposes never share one.

    >>> purpose_name("statistics"), purpose_name('a"; --')
    ('p_statistics', 'h_cb5ae658f987718a')
    """
    if _PLAIN.fullmatch(purpose):
        return f"p_{purpose}"
    return f"h_{hashlib.sha256(purpose.encode('utf-8')).hexdigest()[:16]}"


def whole_table(restrictions: Restrictions, reason: str, *, closes: bool = True) -> Loss:
    """The loss of everything that the subject sees of a table."""
    rules = tuple(sorted({rule for column in _opened(restrictions) for rule in column.rules}))
    return Loss(restrictions.subject, restrictions.purpose, restrictions.table, "", "all", rules, reason, closes)


def field_loss(restrictions: Restrictions, column: Restricted, reason: str, *, closes: bool = True) -> Loss:
    """The loss of one column."""
    where = restrictions.subject, restrictions.purpose, restrictions.table
    return Loss(*where, column.name, str(column.outcome), column.rules, reason, closes)


def no_aggregates(restrictions: Restrictions) -> tuple[Loss, ...]:
    """Columns that are open to aggregates over large groups alone: no target has a sound form of that."""
    reason = "the target does not know aggregates alone, with a minimum group"
    only = (column for column in restrictions.columns if column.outcome.kind == "aggregate_only")
    return tuple(field_loss(restrictions, column, reason) for column in only)


def known(restrictions: Restrictions) -> None:
    """Raises Inexpressible for restrictions that hold more than exports know of, and for a break-glass."""
    document = restrictions.document
    if not (document.keys() <= _KNOWN and document["obligations"].keys() <= _OBLIGATIONS):
        raise Inexpressible("the decision holds a condition that exports do not know")
    if any(permit.emergency for permit in restrictions.permits):
        raise Inexpressible("a break-glass has a part in it: it is for the query service alone, which makes it loud")


def _concerns(rule: Rule, subject: Subject, purpose: str, table: str) -> bool:
    meant = subject.name in rule.subjects or bool(set(subject.roles).intersection(rule.roles))
    return meant and purpose in rule.purposes and (not rule.where.tables or table in rule.where.tables)


def _place(restrictions: Restrictions) -> tuple[str, str, str]:
    return restrictions.subject, restrictions.purpose, restrictions.table


def _opened(restrictions: Restrictions) -> tuple[Restricted, ...]:
    return tuple(column for column in restrictions.columns if column.opened)
