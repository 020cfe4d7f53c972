"""Entries as the state keeps them, read in the log's order."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, select

from governance.state.tables import ledger_entry

_ROWS = 5_000
_NAMES = ("id", "position", "body", "leaf_hash", "writer", "counter", "kind", "recorded_at")
_COLUMNS = [ledger_entry.c[name] for name in _NAMES]


class Stored(NamedTuple):
    """One entry as it is kept: `where` names it in a message; `position` is None until it is sequenced. What an export
    does not keep beside the bytes is None."""

    where: str
    position: int | None
    body: bytes
    leaf_hash: bytes
    writer: str | None = None
    counter: int | None = None
    kind: str | None = None
    recorded_at: datetime | None = None


def entries(connection: Connection) -> Iterator[Stored]:
    """All entries, a page at a time: by position, then those without one by id."""
    placed = select(*_COLUMNS).where(ledger_entry.c.position.is_not(None))
    yield from _pages(connection, placed.order_by(ledger_entry.c.position), "position")
    waiting = select(*_COLUMNS).where(ledger_entry.c.position.is_(None))
    yield from _pages(connection, waiting.order_by(ledger_entry.c.id), "id")


def _pages(connection: Connection, query: Select[Any], by: str) -> Iterator[Stored]:
    last = None
    while True:
        page = query if last is None else query.where(ledger_entry.c[by] > last)
        rows = connection.execute(page.limit(_ROWS)).all()
        for number, *columns in rows:
            yield Stored(f"entry {number}", *columns)
        if len(rows) < _ROWS:
            return
        last = getattr(rows[-1], by)
