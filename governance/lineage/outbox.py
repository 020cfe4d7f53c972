"""The outbox: OpenLineage events leave in order, at least once, after the transaction that made them.

A delivery that fails leaves its events where they are; the pipeline never waits for it. A receiver knows a repeated
event by its run id, job and time, which are the same every time.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from sqlalchemy import select, update

from governance.errors import StorageError
from governance.state.crash import crash_point
from governance.state.database import Database
from governance.state.tables import outbox

FILE = "openlineage.jsonl"
_EVENTS = 500


class Transport(Protocol):
    """Where events go. `send` returns when they are there for good, or raises SourceUnavailable or StorageError."""

    def send(self, events: Sequence[str]) -> None:
        """Deliver events, each a JSON text, in this order."""
        ...


class FileTransport:
    """Appends to a JSON-lines file, one event a line, synced."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / FILE

    def send(self, events: Sequence[str]) -> None:
        """Append whole lines; a line that a crash left half-written is closed first, so that no event is glued to
        it."""
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with self.file.open("ab+") as target:
                end = target.seek(0, os.SEEK_END)
                broken = end > 0 and os.pread(target.fileno(), 1, end - 1) != b"\n"
                target.write(b"\n" * broken + "".join(f"{event}\n" for event in events).encode("utf-8"))
                target.flush()
                os.fsync(target.fileno())
        except OSError as error:
            raise _unwritten(error) from None


def mirror(database: Database, folder: Path) -> int:
    """Append all events that are not delivered yet to `folder`'s JSON-lines file; how many there were.

    One process at a time: of two that mirror at once, the second finds what the first has left.
    """
    with _alone(folder):
        return deliver(database, FileTransport(folder))


def deliver(database: Database, transport: Transport) -> int:
    """Send every event that is not delivered yet, oldest first, and mark it; how many there were.

    After a crash between sending and marking, the same events are sent again.
    """
    sent = 0
    while True:
        with database.read() as connection:
            waiting = select(outbox.c.id, outbox.c.event).where(outbox.c.delivered_at.is_(None))
            rows = connection.execute(waiting.order_by(outbox.c.id).limit(_EVENTS)).all()
        if not rows:
            return sent
        transport.send([row.event for row in rows])
        crash_point("lineage.after_send")
        with database.unit_of_work() as tx:
            marked = update(outbox).where(outbox.c.id.in_([row.id for row in rows]))
            tx.execute(marked.values(delivered_at=database.clock()))
        sent += len(rows)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Holds the folder's lock file; the operating system gives it back when the process ends in any way."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / f".{FILE}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise _unwritten(error) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _unwritten(error: OSError) -> StorageError:
    reason = os.strerror(error.errno) if error.errno else "input/output error"
    return StorageError(f"lineage events cannot be written: {reason}", where=FILE)
