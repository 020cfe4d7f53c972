"""A ledger entry: canonical bytes, leaf hash, per-writer counter. Appended in the transaction of the commit that it
speaks of.

Canonical bytes are JSON in the manner of RFC 8785: UTF-8, keys sorted, no white space, strings, integers, booleans,
null, lists and objects only (no floats: their text differs between implementations). The leaf hash is RFC 9162
section 2.1.1: SHA-256(0x00 || bytes).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select

from governance.errors import Conflict
from governance.state.tables import ledger_entry
from governance.state.values import Actor

_LANES = 64

Json = None | bool | int | str | Sequence["Json"] | Mapping[str, "Json"]


def canonical(value: Json) -> bytes:
    """The one byte form of a value.

    >>> canonical({"b": [1, None], "a": "省"})
    b'{"a":"\\xe7\\x9c\\x81","b":[1,null]}'
    """
    _refuse_floats(value)
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("utf-8")


def leaf_hash(body: bytes) -> bytes:
    """SHA-256(0x00 || body), RFC 9162 section 2.1.1."""
    return hashlib.sha256(b"\x00" + body).digest()


def append(
    connection: Connection, kind: str, facts: Mapping[str, Json], *, actor: Actor, writer: str, at: datetime
) -> bytes:
    """Add one entry inside the caller's unit of work; returns its leaf hash. `facts` hold ids, hashes and counts,
    never cell values.

    A writer's counter goes up by one with each committed entry and has no gap. `writer` names a process; where several
    of its transactions append at once, each counts for itself in a lane: `writer`, `writer.1`, `writer.2`, ...
    """
    return append_all(connection, [(kind, facts, actor)], writer=writer, at=at)[0]


def append_all(
    connection: Connection, entries: Sequence[tuple[str, Mapping[str, Json], Actor]], *, writer: str, at: datetime
) -> tuple[bytes, ...]:
    """Add entries (kind, facts, actor), in their order and at once, as `append` adds each."""
    lane = _lane(connection, writer)
    latest = select(ledger_entry.c.counter).where(ledger_entry.c.writer == lane)
    counter = connection.execute(latest.order_by(ledger_entry.c.counter.desc()).limit(1)).scalar_one_or_none() or 0
    common: dict[str, Json] = {"v": 1, "at": at.astimezone(UTC).isoformat(timespec="microseconds"), "writer": lane}
    rows: list[dict[str, Any]] = []
    for number, (kind, facts, actor) in enumerate(entries, start=counter + 1):
        who: dict[str, Json] = {"subject": actor.subject, "purpose": actor.purpose, "run": actor.run}
        body = canonical({**common, "kind": kind, "counter": number, "actor": who, "facts": facts})
        own = {"writer": lane, "counter": number, "kind": kind, "body": body, "recorded_at": at}
        rows.append({**own, "leaf_hash": leaf_hash(body)})
    if rows:
        connection.execute(insert(ledger_entry), rows)
    return tuple(row["leaf_hash"] for row in rows)


def _lane(connection: Connection, writer: str) -> str:
    """The first lane of the writer in which no other open transaction counts; ours until this transaction ends.

    SQLite has one write transaction at a time. On PostgreSQL an advisory lock of the transaction is tried, never waited
    for, so that no two transactions can wait for one another over the ledger. A transaction that appends again may take
    a lower lane that has become free.
    """
    if connection.dialect.name != "postgresql":
        return writer
    for number in range(_LANES):
        lane = f"{writer}.{number}" if number else writer
        key = int.from_bytes(hashlib.sha256(b"gov.ledger\x00" + lane.encode()).digest()[:8], "big", signed=True)
        if connection.execute(select(func.pg_try_advisory_xact_lock(key))).scalar_one():
            return lane
    raise Conflict(f"{_LANES} transactions of this process append to the ledger at once", do="try again")


def _refuse_floats(value: Json) -> None:
    if isinstance(value, float):
        raise TypeError("a ledger entry holds no floats")
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError("keys of a ledger entry are strings")
            _refuse_floats(item)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for item in value:
            _refuse_floats(item)
