"""`attest`: one question of `catalog/attestations.yaml`, answered with yes, no or unknown in a signed document.

    question and right -> ledger entry, budget and grant, committed -> scanner of its own -> signed answer

Everything that the asker learns is the one word. The question's own declaration is the right to ask it; release and
rules only say whether the table is published and who the asker is, under all rules that hold now.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from governance.catalog.types import TOKEN_SUFFIX, Catalogue
from governance.config import Settings, as_request
from governance.errors import Refused
from governance.keys import grants
from governance.keys.names import DigestKeyName
from governance.lake.lake import Lake
from governance.ledger.entry import Json, append
from governance.state import texts
from governance.state.database import Database
from governance.state.values import Actor
from governance.use import lookup_budget
from governance.use.attestation import open_attester, signed
from governance.use.lookup_copies import ensure_layout
from governance.use.lookup_open import worker_limits
from governance.use.published import Published, read_published
from governance.use.questions import AgeAtLeast, Questions, Relation, question_hash, read_questions
from governance.workers import start

GRANT_SECONDS = 120
NONCE = re.compile(r"(?:[0-9a-f]{2}){16,64}")


@dataclass(frozen=True, slots=True)
class Asked:
    """One question: its id, what is claimed (a relation, an age), and the identifiers of those it is about."""

    question: str
    claim: str
    person: str
    relative: str | None = None


def attest(
    asked: Asked,
    *,
    nonce: str,
    subject: str,
    purpose: str,
    settings: Settings,
    catalogue: Catalogue,
    database: Database,
    lake: Lake,
    keys_per_hour: int = lookup_budget.KEYS_PER_HOUR,
) -> str:
    """The signed answer (JSON text, see `attestation`) for `subject` and `purpose`. Every question is in the ledger.

    `nonce` is the asker's own, 16 to 64 bytes in hex: with it the answer is theirs and no other's. Raises Refused for a
    question that is not there for them, NotReady when nothing is published.
    """
    actor = Actor(subject, purpose, uuid.uuid4().hex)
    try:
        question = _question(asked, nonce, actor, read_questions(settings, catalogue))
        with database.read() as connection:
            published = read_published(connection, catalogue=catalogue, lake=lake, subject=subject)
        _require_open(question, published, actor)
        ensure_layout(
            question.table,
            question.person,
            published.snapshots[question.table],
            settings=settings,
            database=database,
            lake=lake,
        )
    except Refused as refused:
        _record_refusal(refused, actor, database)
        raise
    people = _people(question, asked, catalogue)
    grant, leaf, at = _recorded(question, asked, people, published, actor, database, lake, keys_per_hour)
    request = {
        **_request(question, asked, at.date()),
        "settings": as_request(settings),
        "snapshot": published.snapshots[question.table],
        "grant": grant,
        "purpose": purpose,
        "nonce": nonce,
        "people": [list(person) for person in people],
    }
    try:
        with start("governance.use.attest_worker:answer", request, limits=worker_limits(settings)) as worker:
            told = worker.result()
    finally:
        with database.unit_of_work() as tx:
            grants.revoke(tx, grant, actor=actor, database=database)
    body: dict[str, Json] = {
        "v": 1,
        "question": question.id,
        "claim": asked.claim,
        "answer": told["answer"],
        "about": told["about"],
        "nonce": nonce,
        "purpose": purpose,
        "asked_by": subject,
        "declared": question_hash(question),
        "table": question.table,
        "snapshot": str(published.snapshots[question.table]),
        "release": published.release,
        "ledger": leaf,
        "at": at.isoformat(timespec="seconds"),
        "expires": (at + timedelta(minutes=question.valid_minutes)).isoformat(timespec="seconds"),
    }
    return signed(body, open_attester(settings.keyring))


def born_by(on: date, years: int) -> date:
    """The last birth date of those who are `years` old on the day `on`: who is born on 29 February counts a year on 1
    March when there is no such day.

    >>> born_by(date(2026, 2, 28), 18), born_by(date(2024, 2, 29), 18)
    (datetime.date(2008, 2, 28), datetime.date(2006, 2, 28))
    """
    try:
        return on.replace(year=on.year - years)
    except ValueError:
        return on.replace(year=on.year - years, day=28)


def _question(asked: Asked, nonce: str, actor: Actor, questions: Questions) -> Relation | AgeAtLeast:
    """The declared question, when what is asked has its form."""
    if not NONCE.fullmatch(nonce):
        raise Refused("a nonce that is none", allowed="16 to 64 bytes in lower-case hex", do="make a new one each time")
    question = questions.question(asked.question)
    if question is None:
        raise _absent()
    if asked.claim not in question.claims:
        raise _absent()
    if isinstance(question, Relation) != (asked.relative is not None):
        raise Refused("the question is about other people", allowed="a person; a relation has a relative too")
    if any("\ud800" <= c <= "\udfff" for c in asked.person + (asked.relative or "")):
        raise Refused("an identifier that is no text", allowed="text")
    return question


def _require_open(question: Relation | AgeAtLeast, published: Published, actor: Actor) -> None:
    open_to = all(question.open_to(access, actor.subject, actor.purpose) for access in published.accesses)
    if not open_to or question.table not in published.snapshots:
        raise _absent()


def _absent() -> Refused:
    return Refused("there is no such question for you", do="gov attest questions lists what may be asked")


def _people(question: Relation | AgeAtLeast, asked: Asked, catalogue: Catalogue) -> tuple[tuple[str, str, str], ...]:
    """(role, identifier domain, value), the person first."""
    domains = {field.name: field.domain or "" for field in catalogue.models[question.table].contract.fields}
    people = [("person", domains[question.person], asked.person)]
    if isinstance(question, Relation):
        people.append(("relative", domains[question.relative], asked.relative or ""))
    return tuple(people)


def _columns(question: Relation | AgeAtLeast) -> list[str]:
    """What is read of the table besides the person's token."""
    if isinstance(question, Relation):
        return [question.relation, question.relative + TOKEN_SUFFIX]
    return [question.birth_date]


def _request(question: Relation | AgeAtLeast, asked: Asked, on: date) -> Mapping[str, Any]:
    own = {"kind": question.kind, "table": question.table, "by": question.person}
    if isinstance(question, Relation):
        codes = list(question.relations[asked.claim])
        return {**own, "relation": question.relation, "relative": question.relative, "codes": codes}
    return {**own, "birth_date": question.birth_date, "born_by": born_by(on, int(asked.claim)).isoformat()}


def _recorded(
    question: Relation | AgeAtLeast,
    asked: Asked,
    people: tuple[tuple[str, str, str], ...],
    published: Published,
    actor: Actor,
    database: Database,
    lake: Lake,
    keys_per_hour: int,
) -> tuple[str, str, datetime]:
    """Budget, grant and ledger entry in one unit of work: the grant's id, the entry's leaf hash and the instant."""
    snapshot, at = published.snapshots[question.table], database.clock()
    declared = question_hash(question)
    with database.unit_of_work() as tx:
        allowed = lookup_budget.spend(tx, actor, len(people), budget=keys_per_hour, at=at)
        if allowed:
            texts.keep(tx, declared, "question", question.model_dump_json(), at=at)
            grant = grants.issue(
                tx,
                actor=actor,
                keys=lake.keys(question.table, snapshot, _columns(question)),
                digest_keys={DigestKeyName("domain", domain) for _, domain, _ in people}
                | {DigestKeyName("purpose", actor.purpose)},
                digest_budget=2 * len(people),
                decision_hash=declared,
                seconds=GRANT_SECONDS,
                database=database,
            )
            facts: dict[str, Json] = {
                "question": question.id,
                "claim": asked.claim,
                "declared": declared,
                "release": published.release,
                "grant": grant.id,
                "keys": len(people),
                "tables": {question.table: {"snapshot": str(snapshot)}},
            }
            leaf = append(tx, "attestation", facts, actor=actor, writer=database.writer, at=at)
            return grant.id, leaf.hex(), at
    refused = lookup_budget.spent()
    _record_refusal(refused, actor, database)
    raise refused


def _record_refusal(refused: Refused, actor: Actor, database: Database) -> None:
    facts: dict[str, Json] = {"attestation": True, "reason": refused.found}
    with database.unit_of_work() as tx:
        append(tx, "access_refused", facts, actor=actor, writer=database.writer, at=database.clock())
