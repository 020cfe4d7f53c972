"""API keys of services: shown once, kept as their SHA-256 with subject and expiry; making and ending one is in the ledger.

A key is 32 random bytes, so its plain hash can be neither guessed nor searched for.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, insert, select, update

from governance.errors import Refused
from governance.ledger.entry import append
from governance.state.database import Database
from governance.state.tables_use import service_key
from governance.state.values import Actor

MAX_DAYS = 366
_SUBJECT = re.compile(r"service:[A-Za-z0-9._-]{1,200}")
_KEY = re.compile(r"gov_[0-9a-f]{12}_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is known of a key; never the key."""

    id: str
    subject: str
    created_by: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None

    def holds(self, at: datetime) -> bool:
        return self.revoked_at is None and at < self.expires_at


def create(subject: str, *, days: int, actor: Actor, database: Database) -> tuple[str, ApiKey]:
    """A new key (to be shown once) and what is kept of it. Raises Refused for a subject that is no service of the access rules' kind."""
    if not _SUBJECT.fullmatch(subject):
        raise Refused(
            "not a service that may have a key", where=subject[:64], allowed="service:NAME, letters, digits and ._-"
        )
    if not 1 <= days <= MAX_DAYS:
        raise Refused(f"a key cannot hold {days} days", where=subject, allowed=f"1 to {MAX_DAYS}")
    at = database.clock()
    made = ApiKey(secrets.token_hex(6), subject, actor.subject, at, at + timedelta(days=days), None)
    key = f"gov_{made.id}_{secrets.token_urlsafe(32)}"
    with database.unit_of_work() as tx:
        tx.execute(
            insert(service_key).values(
                id=made.id,
                sha256=_digest(key),
                subject=subject,
                created_by=actor.subject,
                created_at=at,
                expires_at=made.expires_at,
            )
        )
        facts = {"key": made.id, "subject": subject, "expires_at": made.expires_at.isoformat(timespec="microseconds")}
        append(tx, "service_key_created", facts, actor=actor, writer=database.writer, at=at)
    return key, made


def revoke(key_id: str, *, actor: Actor, database: Database) -> ApiKey:
    """End a key now. Ending it again changes nothing; Refused when there is none."""
    at = database.clock()
    with database.unit_of_work() as tx:
        found = next((key for key in listed(tx) if key.id == key_id), None)
        if found is None:
            raise Refused("no such API key", where=key_id[:64], do="gov serve key list")
        if found.revoked_at is not None:
            return found
        tx.execute(update(service_key).where(service_key.c.id == key_id).values(revoked_at=at))
        facts = {"key": key_id, "subject": found.subject}
        append(tx, "service_key_revoked", facts, actor=actor, writer=database.writer, at=at)
    return ApiKey(found.id, found.subject, found.created_by, found.created_at, found.expires_at, at)


def listed(connection: Connection) -> tuple[ApiKey, ...]:
    """All keys that were ever made, newest first."""
    columns = [column for column in service_key.c if column.name != "sha256"]
    rows = connection.execute(select(*columns).order_by(service_key.c.created_at.desc()))
    return tuple(ApiKey(**row._mapping) for row in rows)


def subject_of(key: str, *, database: Database) -> str | None:
    """Whose key this is, if it holds now."""
    if not _KEY.fullmatch(key):
        return None
    columns = (service_key.c.subject, service_key.c.expires_at, service_key.c.revoked_at)
    with database.read() as connection:
        row = connection.execute(select(*columns).where(service_key.c.sha256 == _digest(key))).first()
    if row is None or row.revoked_at is not None or row.expires_at <= database.clock():
        return None
    return str(row.subject)


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("ascii")).hexdigest()
