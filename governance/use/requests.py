"""Requests of access: a consumer asks, an approver signs or declines, either ends it, time ends it.

    ask -> approval (what is to be signed) -> approve | decline -> withdraw, or its last instant

A request's id is the SHA-256 of its canonical document, which holds the instant of asking: no signature fits a second
request. What an approver signs is a document of its own that names the request and what of it is given. While it
stands it counts as one more rule for that subject, purpose, fields and period (`policy/permits.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from governance.catalog.types import SENSITIVE, Catalogue
from governance.errors import Refused
from governance.ledger.entry import Json, canonical
from governance.policy.access import Access, Subject, parse_access
from governance.policy.lattice import RAW, Outcome, meet
from governance.state.database import Database
from governance.state.values import Actor
from governance.use import history, signatures
from governance.use.openable import chosen, why_not
from governance.use.request_state import Request, add_step, find, instant, keep, read_all

LONGEST_REASON = 500


@dataclass(frozen=True, slots=True)
class Narrowing:
    """What an approver gives less than was asked for; nothing here: all of it. `fields` are those that stay, as
    `<schema>.<table>.<field>`.
    """

    action: Outcome | None = None
    fields: tuple[str, ...] = ()
    valid_to: datetime | None = None


def ask(
    *,
    subject: str,
    purpose: str,
    fields: Sequence[str] = (),
    tables: Sequence[str] = (),
    action: Outcome = RAW,
    valid_from: datetime | None = None,
    valid_to: datetime,
    because: str,
    catalogue: Catalogue,
    database: Database,
    actor: Actor,
) -> str:
    """The id of a new request; that of the open one when the same was asked before. Begins now without `valid_from`.

    `tables` mean all their fields to which `action` can be given, as they are now. Raises Refused for what could never
    be opened: raw above the clearance, a mask that does not fit, a field that nobody classified.
    """
    access = access_of(catalogue)
    asking = known(access, subject, purpose)
    at = database.clock()
    found = Request(
        kind="request",
        subject=subject,
        purpose=purpose,
        fields=chosen(catalogue, fields, tables, action=action, ceiling=asking.clearance),
        action=action,
        valid_from=valid_from or at,
        valid_to=valid_to,
        because=reason(because),
        asked_at=at,
    )
    no_administrator(access, found)
    if valid_to <= max(at, found.valid_from):
        raise Refused("the period is over before it begins", do="give a later --to")
    with database.unit_of_work() as tx:
        for other in read_all(tx, kind="request", subject=subject):
            if other.status(at) == "asked" and _same(other, found, began=valid_from):
                return other.id
        keep(tx, found)
        facts: dict[str, Json] = {**facts_of(found), "step": found.id}
        history.record(tx, "access_asked", facts, actor=actor, database=database, at=at)
    return found.id


def approval(request: Request, narrowing: Narrowing = Narrowing()) -> Mapping[str, Json]:
    """The document that an approver signs. Raises Refused when `narrowing` is wider than what was asked for."""
    action = narrowing.action or request.action
    if action.kind == "none" or meet((request.action, action)) != action:
        raise Refused(f"{action} is not less than {request.action}", do="narrow the action, or ask for another request")
    kept = narrowing.fields or request.names
    if unknown := sorted(set(kept) - set(request.names)):
        raise Refused(f"not asked for: {', '.join(unknown)}", allowed=", ".join(request.names))
    valid_to = narrowing.valid_to or request.valid_to
    if not request.valid_from < valid_to <= request.valid_to:
        raise Refused("not within the period asked for", allowed=f"until {instant(request.valid_to)}")
    fields = {table: [f for f in own if f"{table}.{f}" in kept] for table, own in request.fields.items()}
    return {
        "v": 1,
        "what": "approval",
        "request": request.id,
        "fields": {table: own for table, own in fields.items() if own},
        "action": str(action),
        "from": instant(request.valid_from),
        "to": instant(valid_to),
    }


def document_hash(document: Mapping[str, Json]) -> str:
    """What is signed of a document."""
    return hashlib.sha256(canonical(document)).hexdigest()


def approve(
    request_id: str,
    *,
    subject: str,
    signature: str,
    narrowing: Narrowing = Narrowing(),
    catalogue: Catalogue,
    database: Database,
    actor: Actor,
) -> str:
    """Record the approval of `subject`; returns the hash that was signed. The same again changes nothing.

    Raises Refused unless they are an approver, somebody else than who asks, and their key signed exactly this request
    and narrowing; and when the request is decided, withdrawn or over.
    """
    access = access_of(catalogue)
    at = database.clock()
    with database.unit_of_work() as tx:
        request = _request(tx, request_id)
        document = approval(request, narrowing)
        signed = document_hash(document)
        signatures.require(access, subject, signatures.APPROVES, signed, signature)
        _somebody_else(request, subject)
        decided = request.step("approved", "declined")
        if decided is not None and decided.signature == signature and request.status(at) == "approved":
            return signed
        if request.status(at) != "asked":
            raise Refused(f"the request is {request.status(at)}", where=request.id[:16], do="ask again")
        _fits(request, document, catalogue, access)
        step = add_step(tx, request, "approved", subject=subject, document=document, signature=signature, at=at)
        facts: dict[str, Json] = {**document, "approval": signed, "approver": subject, "signature": signature}
        history.record(tx, "access_approved", {**facts, "step": step}, actor=actor, database=database, at=at)
    return signed


def refusal(request: Request, *, because: str) -> Mapping[str, Json]:
    """The document that whoever declines a request signs."""
    return {"v": 1, "what": "decline", "request": request.id, "because": reason(because)}


def decline(
    request_id: str,
    *,
    subject: str,
    because: str,
    signature: str,
    catalogue: Catalogue,
    database: Database,
    actor: Actor,
) -> None:
    """Refuse a request, with a reason. Raises Refused unless `subject` is an approver whose key signed exactly this, and the
    request is open. The same again changes nothing.
    """
    access, at = access_of(catalogue), database.clock()
    _require_approver(access, subject)
    with database.unit_of_work() as tx:
        request = _request(tx, request_id)
        document = refusal(request, because=because)
        signed = document_hash(document)
        signatures.require(access, subject, signatures.DECLINES, signed, signature)
        decided = request.step("declined")
        if decided is not None and decided.signature == signature:
            return
        if request.status(at) != "asked":
            raise Refused(f"the request is {request.status(at)}", where=request.id[:16])
        step = add_step(tx, request, "declined", subject=subject, document=document, signature=signature, at=at)
        facts: dict[str, Json] = {"request": request.id, "approver": subject, "step": step, "signature": signature}
        history.record(tx, "access_declined", facts, actor=actor, database=database, at=at)


def withdrawal(request: Request, *, subject: str, because: str = "") -> Mapping[str, Json]:
    """The document that whoever ends a request signs."""
    said = because and reason(because)
    return {"v": 1, "what": "withdrawal", "request": request.id, "subject": subject, "because": said}


def withdraw(
    request_id: str,
    *,
    subject: str,
    because: str = "",
    sign: signatures.Sign | None = None,
    catalogue: Catalogue,
    database: Database,
    actor: Actor,
) -> None:
    """End a request or a break-glass now: whoever asked, or an approver. Answers under way that stand on it are cut off
    within a second. Withdrawing it again changes nothing.

    Who has a key in access.yaml signs it, so that nobody withdraws in their name; whoever has none may end their own.
    """
    access, at = access_of(catalogue), database.clock()
    with database.unit_of_work() as tx:
        request = find(tx, request_id)
        if subject != request.subject:
            _require_approver(access, subject)
        if request.step("withdrawn"):
            return
        if request.status(at) not in ("asked", "approved", "open"):
            raise Refused(f"it is {request.status(at)} already", where=request.id[:16])
        document = withdrawal(request, subject=subject, because=because)
        signed = document_hash(document)
        signature = sign(signatures.ENDS, signed) if sign is not None else None
        if signature is not None or signatures.has_key(access, subject):
            signatures.require_own(access, subject, signatures.ENDS, signed, signature or "")
        add_step(tx, request, "withdrawn", subject=subject, document=document, signature=signature, at=at)
        facts: dict[str, Json] = {"request": request.id, "by": subject, "step": signed, "signature": signature}
        history.record(tx, "access_withdrawn", facts, actor=actor, database=database, at=at)


def access_of(catalogue: Catalogue) -> Access:
    """The access rules of this catalogue."""
    return parse_access(catalogue.access_text, catalogue.access_file, catalogue)


def known(access: Access, subject: str, purpose: str) -> Subject:
    """The subject. Raises Refused when access.yaml does not know them or the purpose."""
    found = access.subject(subject)
    if found is None or purpose not in {p.id for p in access.purposes}:
        raise Refused("unknown subject or purpose", do="ask the steward to declare them in access.yaml")
    return found


def no_administrator(access: Access, request: Request) -> None:
    """Raises Refused when one of the three administrators asks for a sensitive field: no decision would open it."""
    office = access.office(request.subject)
    levels = {level for fields in request.fields.values() for level in fields.values()}
    if office is not None and levels & SENSITIVE:
        raise Refused(f"the {office} administrator reads nothing sensitive", allowed="fields of L1 and L2")


def reason(text: str) -> str:
    """The reason that somebody gives, in one line. Raises Refused when it says nothing, or is too long."""
    line = " ".join(text.split())
    if not line or len(line) > LONGEST_REASON or not line.isprintable():
        raise Refused("no reason is given", allowed=f"1 to {LONGEST_REASON} characters", do="say why with --because")
    return line


def facts_of(request: Request) -> dict[str, Json]:
    """What the ledger says of a request: all but the reason, which its hash covers."""
    facts: dict[str, Any] = {**request.document, "request": request.id}
    return {name: value for name, value in facts.items() if name not in ("v", "what", "because", "asked_at")}


def _request(tx: Connection, request_id: str) -> Request:
    found = find(tx, request_id)
    if found.kind != "request":
        raise Refused("a break-glass is not decided, it is reviewed", where=found.id[:16], do="gov access review")
    return found


def _same(other: Request, found: Request, *, began: datetime | None) -> bool:
    start = found.valid_from if began else other.valid_from
    return replace(other, asked_at=found.asked_at, steps=()) == replace(found, valid_from=start)


def _somebody_else(request: Request, subject: str) -> None:
    if subject == request.subject:
        raise Refused("nobody approves their own request", where=request.id[:16], do="another approver signs")


def _require_approver(access: Access, subject: str) -> None:
    if subject not in {approver.subject for approver in access.approvers}:
        raise Refused(f"{subject} is no approver", allowed="the approvers of access.yaml")


def _fits(request: Request, document: Mapping[str, Any], catalogue: Catalogue, access: Access) -> None:
    """The narrowed action must fit every field that stays, or the approval would open nothing."""
    ceiling = known(access, request.subject, request.purpose).clearance
    action = Outcome.parse(document["action"])
    for table, kept in document["fields"].items():
        contract = catalogue.models[table].contract if table in catalogue.models else None
        fields = {field.name: field for field in contract.fields} if contract else {}
        for name in kept:
            why = why_not(fields[name], action, ceiling) if name in fields else "it is not there any more"
            if why:
                raise Refused(f"{table}.{name} cannot be given as {action}: {why}", do="narrow it another way")
