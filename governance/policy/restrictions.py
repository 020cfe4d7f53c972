"""Restrictions: everything that holds for one subject, purpose, table and snapshot, as one canonical value with its
hash.

The document is Apache Iceberg's REST read-restrictions (`required-row-filter` on raw values, then
`required-column-projections` by field id) with three additions: `deny` for columns that are not there for the
subject, our own masks as `gov:<mask>`, and obligations. A reader that does not know an action must fail, so each
addition closes and none opens.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from governance.catalog.types import ColumnType
from governance.errors import Refused
from governance.policy import filters, masks
from governance.policy.decide import Column, Decider, Decision
from governance.policy.filters import And, Consented, RowFilter
from governance.policy.lattice import Outcome, meet
from governance.policy.permits import Permit


@dataclass(frozen=True, slots=True)
class Restricted:
    """One column of the table for the subject."""

    name: str
    field_id: int
    type: ColumnType
    outcome: Outcome
    rules: tuple[str, ...]
    reason: str

    @property
    def visible(self) -> bool:
        """Whether the subject sees its values, masked or raw."""
        return self.outcome.kind in ("mask", "raw")

    @property
    def opened(self) -> bool:
        """Visible, or usable in aggregates over groups (`use/aggregate.py`)."""
        return self.visible or self.outcome.kind == "aggregate_only"


@dataclass(frozen=True, slots=True)
class Restrictions:
    """What the scanner enforces. `row_filter` is bound: it holds no session attribute. `max_rows` limits an answer,
    None does not.
    """

    subject: str
    purpose: str
    table: str
    snapshot: int
    columns: tuple[Restricted, ...]
    row_filter: RowFilter | None
    no_export: bool
    max_rows: int | None
    policies: tuple[str, ...]
    """Hashes of the policies that were met: the release's and the current one."""
    permits: tuple[Permit, ...] = ()
    """Approved requests and break-glasses that had a part in it: what follows from them ends with them."""
    aggregates_a_day: int | None = None
    """How many statements a day may aggregate what is aggregate-only; None: as many as the service allows."""

    @property
    def visible(self) -> tuple[Restricted, ...]:
        return tuple(column for column in self.columns if column.visible)

    @property
    def consents(self) -> tuple[Consented, ...]:
        """The consents that rows depend on."""
        parts: tuple[RowFilter, ...] = self.row_filter.parts if isinstance(self.row_filter, And) else ()
        return tuple(part for part in parts if isinstance(part, Consented))

    @property
    def document(self) -> dict[str, Any]:
        """The canonical document; read-restrictions in it are in Iceberg's own form."""
        ids = {column.name: column.field_id for column in self.columns}
        projections = [
            {"field-id": column.field_id, "action": _action(column)}
            for column in sorted(self.columns, key=lambda column: column.field_id)
            if column.outcome.kind != "raw"
        ]
        restrictions: dict[str, Any] = {"required-column-projections": projections}
        if self.row_filter is not None:
            restrictions["required-row-filter"] = filters.iceberg(self.row_filter, ids)
        obligations: dict[str, Any] = {"no-export": self.no_export, "max-rows": self.max_rows}
        if self.aggregates_a_day is not None:
            obligations["aggregates-a-day"] = self.aggregates_a_day
        return {
            "v": 1,
            "subject": self.subject,
            "purpose": self.purpose,
            "table": self.table,
            "snapshot": str(self.snapshot),
            "policies": list(self.policies),
            "permits": [permit.hash for permit in self.permits],
            "read-restrictions": restrictions,
            "obligations": obligations,
        }

    @property
    def canonical(self) -> bytes:
        text = json.dumps(self.document, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return text.encode("utf-8")

    @property
    def decision_hash(self) -> str:
        return hashlib.sha256(self.canonical).hexdigest()


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy to be met with others: its rules, the table's columns as classified under it, and the hash of its
    text.
    """

    decider: Decider
    columns: tuple[Column, ...]
    hash: str


def compile_restrictions(
    policies: Sequence[Policy],
    *,
    subject: str,
    purpose: str,
    table: str,
    snapshot: int,
    field_ids: Mapping[str, int],
    at: datetime,
    consents: Mapping[tuple[str, str], str] | None = None,
) -> Restrictions:
    """The meet of all `policies` (the release's and the current one) over the columns of `field_ids`.

    Give every column of the table: a reader takes a column that the document does not name for an open one.

    A column that one of the policies does not know is closed. The row filters of all rules that open a column, be it to
    aggregates only, hold together, and so do the consents that they ask for: in the version that `consents` has of a
    scope and domain; without one nobody consented. Raises Refused when the table has no tokens to know persons by.
    """
    decided = [policy.decider.decide(subject, purpose, table, policy.columns, at=at) for policy in policies]
    types = {column.name: column.type for column in policies[-1].columns}
    columns = tuple(
        _met(name, field_id, types[name], [decisions.get(name) for decisions in decided])
        for name, field_id in field_ids.items()
    )
    opened = {column.name for column in columns if column.opened}
    row_filters: dict[Any, None] = dict.fromkeys(
        row_filter
        for decisions in decided
        for name, decision in decisions.items()
        if name in opened
        for row_filter in _versioned(decision.row_filters, consents or {}, table, field_ids)
    )
    obligations = [
        policy.decider.obligations(rule)
        for policy, decisions in zip(policies, decided, strict=True)
        for name in opened
        for rule in decisions[name].rules
    ]
    limits = [own.max_rows for own in obligations if own.max_rows is not None]
    budgets = [own.aggregates_a_day for own in obligations if own.aggregates_a_day is not None]
    permits = {
        permit.hash: permit
        for policy, decisions in zip(policies, decided, strict=True)
        for decision in decisions.values()
        for permit in map(policy.decider.permit, decision.rules)
        if permit is not None
    }
    return Restrictions(
        subject=subject,
        purpose=purpose,
        table=table,
        snapshot=snapshot,
        columns=columns,
        row_filter=And.model_construct(parts=tuple(row_filters)) if row_filters else None,
        no_export=any(own.no_export for own in obligations),
        max_rows=min(limits) if limits else None,
        policies=tuple(policy.hash for policy in policies),
        permits=tuple(permits[own] for own in sorted(permits)),
        aggregates_a_day=min(budgets) if budgets else None,
    )


def _versioned(
    row_filters: Sequence[RowFilter],
    consents: Mapping[tuple[str, str], str],
    table: str,
    field_ids: Mapping[str, int],
) -> Iterator[RowFilter]:
    for each in row_filters:
        if not isinstance(each, Consented):
            yield each
            continue
        if each.column not in field_ids:
            raise Refused(f"{table} has no column {each.column}: consent cannot be asked", do="build the table again")
        yield each.model_copy(update={"version": consents.get((each.scope, each.domain), "")})


def _met(name: str, field_id: int, kind: ColumnType, decisions: Sequence[Decision | None]) -> Restricted:
    known = [decision for decision in decisions if decision is not None]
    if len(known) < len(decisions):
        return Restricted(name, field_id, kind, meet([]), (), "not part of the release")
    outcome = meet(decision.outcome for decision in known)
    rules = tuple(sorted({rule for decision in known for rule in decision.rules}))
    deciding = next((d for d in known if d.outcome == outcome), None)
    reason = deciding.reason if deciding else "release and current policy cannot be compared"
    return Restricted(name, field_id, kind, outcome, rules, reason)


def _action(column: Restricted) -> str:
    mask = column.outcome.mask
    if mask is None:
        return "deny"
    return str(mask) if mask.kind in masks.ICEBERG else f"gov:{mask}"
