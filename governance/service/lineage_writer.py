"""Group commit of received events: whoever waits is written in one unit of work, by one thread."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import queue
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection

from governance.ledger.entry import Json, append
from governance.lineage.ingest import count_rejected, keep
from governance.lineage.ingest_flows import Told
from governance.service.problems import origin
from governance.state.crash import crash_point
from governance.state.database import Database
from governance.state.values import Actor

PURPOSE = "lineage.receive"
EVENTS_AT_ONCE = 4_000
SWITCH_SECONDS = 0.0005
"""How long the writer waits for Python's lock after each call of the database, while events are being judged: a tenth of the usual."""
EVENTS_WAITING = 40_000
_log = logging.getLogger(__name__)


class Busy(Exception):
    """As many events as may wait are waiting."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of one event."""

    status: Literal["kept", "known", "rejected"]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Sent:
    events: Sequence[Told | str]
    subject: str
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[list[Judged]]


class Writer:
    """One thread, started by the first event and ended by `close`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sent: queue.SimpleQueue[_Sent | None] = queue.SimpleQueue()
        self._waiting = 0
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    async def keep(self, events: Sequence[Told | str], subject: str) -> list[Judged]:
        """What became of each, after the commit; texts are reasons of events that are not taken. Raises Busy, or what the database
        raised: then nothing of them is kept.
        """
        if not events:
            return []
        if self._waiting + len(events) > EVENTS_WAITING:
            raise Busy
        loop = asyncio.get_running_loop()
        sent = _Sent(events, subject, loop, loop.create_future())
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="lineage-writer", daemon=True)
                self._thread.start()
        self._waiting += len(events)
        try:
            self._sent.put(sent)
            return await sent.done
        finally:
            self._waiting -= len(events)

    def close(self) -> None:
        """Write what waits, then end."""
        with self._starting:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._sent.put(None)
            thread.join()

    def _run(self) -> None:
        sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_SECONDS))
        while (first := self._sent.get()) is not None:
            group, number, last = [first], len(first.events), False
            while number < EVENTS_AT_ONCE and not last:
                try:
                    following = self._sent.get_nowait()
                except queue.Empty:
                    break
                if following is None:
                    last = True
                else:
                    group.append(following)
                    number += len(following.events)
            self._write(group)
            if last:
                return

    def _write(self, group: Sequence[_Sent]) -> None:
        """All in one unit of work; where that fails, each by itself, so that none fails for another."""
        try:
            with self._database.unit_of_work() as tx:
                told = [(sent, judged) for sent, judged in zip(group, self._kept(tx, group), strict=True)]
                crash_point("lineage.in_receive")
        except Exception as error:
            if len(group) > 1:
                for sent in group:
                    self._write([sent])
                return
            _log.error("received events could not be kept: %s", origin(error))
            if not group[0].loop.is_closed():
                group[0].loop.call_soon_threadsafe(_fail, group[0].done, error)
            return
        crash_point("lineage.after_receive")
        for loop in {sent.loop for sent in group if not sent.loop.is_closed()}:
            loop.call_soon_threadsafe(_tell, [(sent.done, judged) for sent, judged in told if sent.loop is loop])

    def _kept(self, tx: Connection, group: Sequence[_Sent]) -> list[list[Judged]]:
        new: set[bytes] = set()
        for subject in sorted({sent.subject for sent in group}):
            all_events = [event for sent in group if sent.subject == subject for event in sent.events]
            taken = [event for event in all_events if not isinstance(event, str)]
            kept = keep(tx, taken, subject=subject, at=self._database.clock())
            self._record(tx, kept, subject)
            new.update(kept)
            reasons = Counter(event for event in all_events if isinstance(event, str))
            if reasons:
                count_rejected(tx, reasons, subject=subject, at=self._database.clock())
        found = []
        for sent in group:
            judged = []
            for event in sent.events:
                if isinstance(event, str):
                    judged.append(Judged("rejected", event))
                else:
                    judged.append(Judged("kept" if event.digest in new else "known"))
                    new.discard(event.digest)
            found.append(judged)
        return found

    def _record(self, tx: Connection, kept: Sequence[bytes], subject: str) -> None:
        """One ledger entry for all that is kept of one producer: their number, and the hash over their digests in order of id."""
        if kept:
            facts: dict[str, Json] = {"events": len(kept), "digests": hashlib.sha256(b"".join(kept)).hexdigest()}
            actor, at = Actor(subject, PURPOSE, uuid.uuid4().hex), self._database.clock()
            append(tx, "lineage_received", facts, actor=actor, writer=self._database.writer, at=at)


def _tell(told: Sequence[tuple[asyncio.Future[list[Judged]], list[Judged]]]) -> None:
    for done, judged in told:
        if not done.done():
            done.set_result(judged)


def _fail(done: asyncio.Future[list[Judged]], error: Exception) -> None:
    if not done.done():
        done.set_exception(error)
