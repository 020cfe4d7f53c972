"""Break-glass: raw at once, for hours, without asking; said loudly, and reviewed by an approver's signature afterwards.

    break_glass (signed by who breaks it) -> (its last instant, or `requests.withdraw`) -> review (what is to be signed) -> record_review

Who may, for which purposes, up to which level and how long is `break_glass` of access.yaml (`policy/permits.py`). One
that is over and not reviewed keeps its subject from another; left so for `review_days` it is a fault.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import Connection

from governance.catalog.types import Catalogue
from governance.errors import Refused
from governance.ledger.entry import Json
from governance.policy.access import Access
from governance.policy.lattice import RAW
from governance.policy.permits import BreakGlass
from governance.state.database import Database
from governance.state.values import Actor
from governance.use import history, signatures
from governance.use.openable import chosen
from governance.use.request_state import Request, add_step, find, keep, read_all
from governance.use.requests import access_of, document_hash, facts_of, known, no_administrator, reason

DEFAULT_HOURS = 1
_DEFAULT_REVIEW_DAYS = BreakGlass.model_fields["review_days"].default

Verdict = Literal["justified", "misused"]


def break_glass(
    *,
    subject: str,
    purpose: str | None = None,
    fields: Sequence[str] = (),
    tables: Sequence[str] = (),
    hours: int = DEFAULT_HOURS,
    because: str,
    sign: signatures.Sign,
    catalogue: Catalogue,
    database: Database,
    actor: Actor,
) -> Request:
    """Open fields raw from now on for `hours`; without `purpose` for the only one that allows it.

    The subject signs the statement, and every access checks the signature. All that a subject has open at once ends together with
    the longest that the first of them may last. Raises Refused when access.yaml does not allow it or has no key of
    the subject, and while an earlier one waits for its review.
    """
    access = access_of(catalogue)
    section = access.break_glass
    if section is None:
        raise Refused("nobody may break the glass", do="a break_glass section in access.yaml, and a release")
    purpose = purpose or (section.purposes[0] if len(section.purposes) == 1 else "")
    asking = known(access, subject, purpose) if purpose else None
    if asking is None or purpose not in section.purposes or not set(asking.roles).intersection(section.roles):
        allowed = f"roles {', '.join(section.roles)}, purposes {', '.join(section.purposes)}"
        raise Refused(f"{subject} may not break the glass for {purpose or 'no purpose'}", allowed=allowed)
    if not 1 <= hours <= section.max_hours:
        raise Refused(f"{hours} hours", allowed=f"1 to {section.max_hours}", do="give fewer --hours")
    opened = chosen(catalogue, fields, tables, action=RAW, ceiling=section.max_level)
    at = database.clock()
    with database.unit_of_work() as tx:
        made = Request(
            kind="break_glass",
            subject=subject,
            purpose=purpose,
            fields=opened,
            action=RAW,
            valid_from=at,
            valid_to=min(at + timedelta(hours=hours), _latest(tx, subject, section, at)),
            because=reason(because),
            asked_at=at,
        )
        no_administrator(access, made)
        document = statement(made)
        signed = document_hash(document)
        signature = sign(signatures.BREAKS, signed)
        signatures.require_own(access, subject, signatures.BREAKS, signed, signature)
        keep(tx, made)
        step = add_step(tx, made, "stated", subject=subject, document=document, signature=signature, at=at)
        facts: dict[str, Json] = {**facts_of(made), "step": step, "signature": signature}
        history.record(tx, "break_glass", facts, actor=actor, database=database, at=at)
    return made


def statement(request: Request) -> Mapping[str, Json]:
    """The document that whoever breaks the glass signs; the request's hash covers who, what, why and until when."""
    return {"v": 1, "what": "statement", "request": request.id}


def review(request: Request, *, verdict: Verdict, because: str) -> Mapping[str, Json]:
    """The document that a reviewer signs."""
    return {"v": 1, "what": "review", "request": request.id, "verdict": verdict, "because": reason(because)}


def record_review(
    request_id: str,
    *,
    subject: str,
    verdict: Verdict,
    because: str,
    signature: str,
    catalogue: Catalogue,
    database: Database,
    actor: Actor,
) -> None:
    """Record what an approver found. Raises Refused unless somebody else's valid signature is over exactly this, and while it is open.

    Reviewing it again with the same signature changes nothing.
    """
    at = database.clock()
    with database.unit_of_work() as tx:
        request = find(tx, request_id)
        if request.kind != "break_glass":
            raise Refused("not a break-glass", where=request.id[:16])
        document = review(request, verdict=verdict, because=because)
        signed = document_hash(document)
        signatures.require(access_of(catalogue), subject, signatures.REVIEWS, signed, signature)
        if subject == request.subject:
            raise Refused("nobody reviews their own break-glass", where=request.id[:16], do="another approver signs")
        reviewed = request.step("reviewed")
        if reviewed is not None and reviewed.signature == signature:
            return
        if request.status(at) != "unreviewed":
            raise Refused(f"it is {request.status(at)}", where=request.id[:16], do="gov access withdraw ends one")
        step = add_step(tx, request, "reviewed", subject=subject, document=document, signature=signature, at=at)
        facts: dict[str, Json] = {"request": request.id, "verdict": verdict, "review": signed}
        facts |= {"approver": subject, "signature": signature, "step": step}
        history.record(tx, "break_glass_reviewed", facts, actor=actor, database=database, at=at)


def overdue(connection: Connection, access: Access, *, at: datetime) -> tuple[Request, ...]:
    """Break-glasses that are over for `review_days` and were not reviewed, oldest first."""
    days = access.break_glass.review_days if access.break_glass else _DEFAULT_REVIEW_DAYS
    return tuple(
        request
        for request in read_all(connection, kind="break_glass")
        if request.status(at) == "unreviewed" and at >= request.ends_at + timedelta(days=days)
    )


def _latest(tx: Connection, subject: str, section: BreakGlass, at: datetime) -> datetime:
    """The last instant that a new one of `subject` may have."""
    before = [r for r in read_all(tx, kind="break_glass", subject=subject) if r.status(at) != "reviewed"]
    waiting = [request for request in before if request.status(at) == "unreviewed"]
    if waiting:
        raise Refused(
            f"{subject} broke the glass before and it was not reviewed",
            where=waiting[0].id[:16],
            do="an approver reviews it: gov access review",
        )
    return min((r.valid_from for r in before), default=at) + timedelta(hours=section.max_hours)
