"""What was in force, and when: declarations kept as content-addressed text, superseded and never overwritten."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from governance.state.tables import in_force, text


def record(connection: Connection, declared: Mapping[tuple[str, str], tuple[str, str]], *, at: datetime) -> int:
    """Make `declared` what is in force from `at`; returns how many declarations changed.

    Keys are (kind, name), values (sha256, text). What is no longer declared ends at `at`; what is unchanged is left alone, so calling
    this again changes nothing. Runs in the caller's unit of work.
    """
    current = _current(connection)
    changed = 0
    for key, (row_id, sha256) in current.items():
        if key not in declared or declared[key][0] != sha256:
            connection.execute(update(in_force).where(in_force.c.id == row_id).values(valid_to=at))
            changed += 1
    known = set(connection.execute(select(text.c.sha256)).scalars())
    for (kind, name), (sha256, body) in declared.items():
        if sha256 not in known:
            connection.execute(insert(text).values(sha256=sha256, kind=kind, text=body, recorded_at=at))
            known.add(sha256)
        if current.get((kind, name), (0, ""))[1] != sha256:
            connection.execute(
                insert(in_force).values(kind=kind, name=name, sha256=sha256, valid_from=at, recorded_at=at)
            )
            changed += (kind, name) not in current
    return changed


def keep(connection: Connection, sha256: str, kind: str, body: str, *, at: datetime) -> None:
    """Keep a text by its hash, once (also when several processes come with it at one moment), without saying that it is in force.
    Runs in the caller's unit of work.
    """
    if connection.execute(select(text.c.sha256).where(text.c.sha256 == sha256)).first() is None:
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        new = dialect.insert(text).values(sha256=sha256, kind=kind, text=body, recorded_at=at)
        connection.execute(new.on_conflict_do_nothing(index_elements=["sha256"]))


def kept(connection: Connection, sha256: str) -> str | None:
    """The text that is kept under a hash; None when there is none, or one that the hash is not of."""
    body = connection.execute(select(text.c.text).where(text.c.sha256 == sha256)).scalar_one_or_none()
    return body if body is not None and hashlib.sha256(body.encode("utf-8")).hexdigest() == sha256 else None


def differs(connection: Connection, declared: Mapping[tuple[str, str], tuple[str, str]]) -> bool:
    """Whether `record` would change anything: a cheap look before taking the write lock."""
    return {key: sha256 for key, (_, sha256) in _current(connection).items()} != {
        key: sha256 for key, (sha256, _) in declared.items()
    }


def as_of(connection: Connection, kind: str, name: str, at: datetime) -> str | None:
    """The text that was in force for (kind, name) at instant `at`; None when there was none."""
    row = connection.execute(
        select(text.c.text)
        .join(in_force, in_force.c.sha256 == text.c.sha256)
        .where(in_force.c.kind == kind, in_force.c.name == name, in_force.c.valid_from <= at)
        .where(in_force.c.valid_to.is_(None) | (in_force.c.valid_to > at))
    ).first()
    return None if row is None else str(row[0])


def _current(connection: Connection) -> dict[tuple[str, str], tuple[int, str]]:
    """(kind, name) -> (row id, sha256) of what is in force now."""
    rows = connection.execute(select(in_force).where(in_force.c.valid_to.is_(None)))
    return {(row.kind, row.name): (row.id, row.sha256) for row in rows}
