"""`verify`: walks the ledger and says what does not fit: changed bytes, wrong hashes, gaps and repeats in writers'
counters.

What can only be seen from outside (a removed tail, a replaced whole) needs a checkpoint that was kept elsewhere:
compare `root` with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select

from governance.ledger import merkle
from governance.ledger.entry import canonical, leaf_hash
from governance.state.tables import ledger_entry

_ROWS = 5_000
_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Report:
    """`root` is the RFC 9162 tree head of all entries in order of id. `problems` are at most 100, `broken` counts
    all."""

    entries: int
    writers: int
    sequenced: int
    root: str
    broken: int
    problems: tuple[str, ...]

    @property
    def sound(self) -> bool:
        return self.broken == 0


def verify(connection: Connection) -> Report:
    """Check every entry: canonical bytes, leaf hash, columns against the body, and each writer's counter from 1
    without a gap."""
    counters: dict[str, int] = {}
    leaves: list[bytes] = []
    problems: list[str] = []
    broken = sequenced = 0
    for row in _entries(connection):
        found = [*_entry_problems(row), *_counter_problems(row, counters)]
        broken += len(found)
        problems += found[: _SHOWN - len(problems)]
        sequenced += row.position is not None
        leaves.append(leaf_hash(row.body))
    root = merkle.root(leaves).hex()
    return Report(len(leaves), len(counters), sequenced, root, broken, tuple(problems))


def _entries(connection: Connection) -> Iterator[Row[Any]]:
    """All entries in order of id, a page at a time."""
    last = 0
    while True:
        page = select(ledger_entry).where(ledger_entry.c.id > last).order_by(ledger_entry.c.id).limit(_ROWS)
        rows = connection.execute(page).all()
        yield from rows
        if len(rows) < _ROWS:
            return
        last = rows[-1].id


def _entry_problems(row: Row[Any]) -> Iterator[str]:
    where = f"entry {row.id}"
    if leaf_hash(row.body) != row.leaf_hash:
        yield f"{where}: its bytes do not give its leaf hash"
    try:
        body = json.loads(row.body)
        if canonical(body) != row.body:
            yield f"{where}: its bytes are not canonical"
    except (ValueError, TypeError):
        yield f"{where}: its bytes are no entry"
        return
    said = (body.get("writer"), body.get("counter"), body.get("kind")) if isinstance(body, dict) else (None, None, None)
    if said != (row.writer, row.counter, row.kind):
        yield f"{where}: writer, counter or kind differ from its bytes"


def _counter_problems(row: Row[Any], counters: dict[str, int]) -> Iterator[str]:
    expected = counters.get(row.writer, 0) + 1
    if row.counter != expected:
        yield f"entry {row.id}: writer {row.writer[:8]} counts {row.counter} where {expected} is due"
    counters[row.writer] = row.counter
