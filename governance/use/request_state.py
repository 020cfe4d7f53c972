"""Requests of access as they are kept: a canonical document under its hash, and the steps that followed, none of which
is ever changed or taken away.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row, insert, select

from governance.errors import Damaged, Refused
from governance.ledger.entry import Json, canonical
from governance.policy.lattice import Outcome
from governance.state.tables_use import access_request, access_step

Kind = Literal["request", "break_glass"]
StepName = Literal["stated", "approved", "declined", "withdrawn", "reviewed"]
_SHORTEST = 8


@dataclass(frozen=True, slots=True)
class Step:
    """What somebody did about a request. `document` is canonical text; `signature` (hex) is over its SHA-256."""

    name: str
    subject: str
    document: str
    signature: str | None
    at: datetime

    @property
    def hash(self) -> str:
        return hashlib.sha256(self.document.encode("utf-8")).hexdigest()

    @property
    def facts(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = json.loads(self.document)
        return found


@dataclass(frozen=True, slots=True)
class Request:
    """A request of access, or a break-glass. `fields`: table -> field -> its level when it was asked for."""

    kind: Kind
    subject: str
    purpose: str
    fields: Mapping[str, Mapping[str, str]]
    action: Outcome
    valid_from: datetime
    valid_to: datetime
    because: str
    asked_at: datetime
    steps: tuple[Step, ...] = ()

    @property
    def document(self) -> Mapping[str, Json]:
        return {
            "v": 1,
            "what": self.kind,
            "subject": self.subject,
            "purpose": self.purpose,
            "fields": {table: dict(fields) for table, fields in self.fields.items()},
            "action": str(self.action),
            "from": instant(self.valid_from),
            "to": instant(self.valid_to),
            "because": self.because,
            "asked_at": instant(self.asked_at),
        }

    @property
    def id(self) -> str:
        """SHA-256 of the canonical document."""
        return hashlib.sha256(canonical(self.document)).hexdigest()

    @property
    def names(self) -> tuple[str, ...]:
        """Its fields as `<schema>.<table>.<field>`."""
        return tuple(f"{table}.{field}" for table, fields in self.fields.items() for field in fields)

    def step(self, *names: StepName) -> Step | None:
        """The first step of one of these names."""
        return next((step for step in self.steps if step.name in names), None)

    @property
    def approval(self) -> Step | None:
        """The approval that counts, unless time is over: the first decision, if it is one and nothing was withdrawn."""
        decided = self.step("approved", "declined")
        standing = decided is not None and decided.name == "approved" and self.step("withdrawn") is None
        return decided if standing else None

    @property
    def ends_at(self) -> datetime:
        """When it stops to open anything, as far as is known: its end, the approved end, or when it was withdrawn."""
        withdrawn, approval = self.step("withdrawn"), self.step("approved")
        ends = [self.valid_to, *([withdrawn.at] if withdrawn else [])]
        return min([*ends, *([datetime.fromisoformat(approval.facts["to"])] if approval else [])])

    def status(self, at: datetime) -> str:
        """asked, approved, declined, withdrawn or expired; a break-glass is open, unreviewed or reviewed."""
        if self.kind == "break_glass":
            if self.step("reviewed"):
                return "reviewed"
            return "open" if at < self.ends_at else "unreviewed"
        if self.step("withdrawn"):
            return "withdrawn"
        decided = self.step("approved", "declined")
        if decided is not None and decided.name == "declined":
            return "declined"
        return "expired" if at >= self.ends_at else "approved" if decided else "asked"


def instant(at: datetime) -> str:
    """The one text of an instant in documents that are hashed."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def keep(tx: Connection, request: Request) -> None:
    """Keep a new request."""
    tx.execute(
        insert(access_request).values(
            id=request.id,
            kind=request.kind,
            subject=request.subject,
            purpose=request.purpose,
            document=canonical(request.document).decode("utf-8"),
            recorded_at=request.asked_at,
        )
    )


def add_step(
    tx: Connection,
    request: Request,
    name: StepName,
    *,
    subject: str,
    document: Mapping[str, Json],
    signature: str | None = None,
    at: datetime,
) -> str:
    """Keep what `subject` did about a request; the SHA-256 of its document."""
    body = canonical(document).decode("utf-8")
    values = {"request": request.id, "step": name, "subject": subject, "document": body, "signature": signature}
    tx.execute(insert(access_step).values(**values, recorded_at=at))
    return hashlib.sha256(body.encode("utf-8")).hexdigest()


def find(connection: Connection, name: str) -> Request:
    """The request with this id: 64 hex digits, or the first 8 or more of them, as explanations show them. Raises
    Refused.
    """
    digits = name.rpartition(":")[2]
    if not _SHORTEST <= len(digits) <= 64 or set(digits) - set("0123456789abcdef"):
        raise Refused("not the id of a request", allowed=f"{_SHORTEST} to 64 hex digits", do="gov access list")
    rows = connection.execute(select(access_request).where(access_request.c.id.startswith(digits))).all()
    if len(rows) != 1:
        found = "several requests begin so" if rows else "no such request"
        raise Refused(found, where=digits, do="gov access list --json has whole ids")
    return _with_steps(connection, rows)[0]


def read_all(connection: Connection, *, kind: Kind | None = None, subject: str | None = None) -> tuple[Request, ...]:
    """All requests, oldest first. Raises Damaged when a document is not what its id says."""
    wanted = select(access_request).order_by(access_request.c.recorded_at, access_request.c.id)
    if kind is not None:
        wanted = wanted.where(access_request.c.kind == kind)
    if subject is not None:
        wanted = wanted.where(access_request.c.subject == subject)
    return _with_steps(connection, connection.execute(wanted).all())


def _with_steps(connection: Connection, rows: Sequence[Row[Any]]) -> tuple[Request, ...]:
    wanted = select(access_step).order_by(access_step.c.id)
    if len(rows) == 1:
        wanted = wanted.where(access_step.c.request == rows[0].id)
    steps: dict[str, list[Step]] = {}
    for row in connection.execute(wanted):
        step = Step(row.step, row.subject, row.document, row.signature, row.recorded_at)
        steps.setdefault(row.request, []).append(step)
    return tuple(_parsed(row.id, row.document, steps.get(row.id, ())) for row in rows)


def _parsed(request_id: str, document: str, steps: Iterable[Step]) -> Request:
    facts = json.loads(document)
    request = Request(
        kind=facts["what"],
        subject=facts["subject"],
        purpose=facts["purpose"],
        fields=facts["fields"],
        action=Outcome.parse(facts["action"]),
        valid_from=datetime.fromisoformat(facts["from"]),
        valid_to=datetime.fromisoformat(facts["to"]),
        because=facts["because"],
        asked_at=datetime.fromisoformat(facts["asked_at"]),
    )
    if request.id != request_id:
        raise Damaged("a request of access is not what its id says", where=request_id)
    return replace(request, steps=tuple(steps))
