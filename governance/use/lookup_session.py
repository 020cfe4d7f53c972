"""A session of lookups: one scanner process for one subject, purpose, decision and snapshot, for as long as its grants.

Requests that wait while others are answered go together: one ledger transaction and one message to the scanner for all
of them. The entries are committed before the scanner is asked; one group is committed while the one before is answered.
A session ends with its grants, with the rules that it was decided under, and with the first error of its scanner; what
it was asked afterwards needs a new one.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from sqlalchemy import Connection

from governance.errors import GovernanceError, Refused, WorkerFailed
from governance.keys import grants
from governance.ledger.entry import Json, append_all
from governance.policy.restrictions import Restricted
from governance.state.database import Database
from governance.state.values import Actor
from governance.use import lookup_budget
from governance.use.lookup_decided import Decided
from governance.use.lookup_statement import ASKED, KEY, REQUEST
from governance.use.watch import Watch
from governance.workers.parent import Worker

SESSION_SECONDS = 900
_LAST_SECONDS = 5
"""So long before its grants end a session is not asked any more."""
_GROUP_KEYS = 20_000


@dataclass(slots=True)
class _Asked:
    """One request on its way: `answer` or `error` once `done`."""

    keys: Sequence[str]
    columns: Sequence[Restricted]
    run: str
    done: threading.Event = field(default_factory=threading.Event)
    answer: pa.Table | None = None
    error: BaseException | None = None


_Group: TypeAlias = list[_Asked]


@dataclass(slots=True)
class Session:
    """Open with `lookup_open.opened`. `ask` may be called by many threads."""

    decided: Decided
    grant: str
    keys_grant: str
    database: Database
    budget: int
    _worker: Worker
    _watch: Watch
    _to_worker: queue.SimpleQueue[pa.RecordBatch | None]
    _ended: list[GovernanceError]
    closed: bool = False
    """Whether `close` ended it: then asking again finds another session."""
    _expires: float = field(default_factory=lambda: time.monotonic() + SESSION_SECONDS - _LAST_SECONDS)
    _waiting: list[_Asked] = field(default_factory=list)
    _gate: threading.Condition = field(default_factory=threading.Condition)
    _under_way: queue.Queue[_Group | None] = field(default_factory=lambda: queue.Queue(1))

    def __post_init__(self) -> None:
        for stage in (self._record, self._answer):
            threading.Thread(target=stage, daemon=True, name="gov-lookup-session").start()

    @property
    def over(self) -> bool:
        return bool(self._ended) or time.monotonic() >= self._expires

    def ask(self, keys: Sequence[str], columns: Sequence[Restricted], run: str) -> pa.Table:
        """`_key` and `columns` of the records of `keys`, in the order of the keys. Raises what befell the request or
        the session.
        """
        asked = _Asked(keys, columns, run)
        with self._gate:
            if self._ended:
                raise self._ended[0]
            self._waiting.append(asked)
            self._gate.notify()
        asked.done.wait()
        if asked.error is not None:
            raise asked.error
        assert asked.answer is not None
        return asked.answer

    def close(self) -> None:
        """End the scanner and both grants; whoever is being answered is refused."""
        self.closed = True
        self._end(Refused("the session of lookups ended", do="ask again"))
        self._watch.stop()
        self._to_worker.put(None)
        self._worker.kill(error=self._ended[0])
        self._worker.__exit__(None, None, None)
        actor = Actor(self.decided.restrictions.subject, self.decided.restrictions.purpose, self.grant)
        with self.database.unit_of_work() as tx:
            for grant in (self.grant, self.keys_grant):
                grants.revoke(tx, grant, actor=actor, database=self.database)

    def _end(self, reason: GovernanceError) -> None:
        with self._gate:
            self._ended.append(reason)
            self._gate.notify()

    def _record(self) -> None:
        """The first stage: group after group to the ledger, then to the scanner, while the one before is answered."""
        while group := self._group():
            try:
                if self._ended:
                    raise self._ended[0]
                allowed = self._recorded(group)
                if allowed:
                    self._to_worker.put(_message(allowed))
                    self._under_way.put(allowed)
            except Exception as error:
                self._broken(group, error)
            for asked in group:
                if asked.error is not None:
                    asked.done.set()
        self._under_way.put(None)

    def _answer(self) -> None:
        """The second stage: the scanner's answers, one for each group."""
        while group := self._under_way.get():
            try:
                self._answered(group)
            except Exception as error:
                self._broken(group, error)
            for asked in group:
                asked.done.set()

    def _broken(self, group: _Group, error: Exception) -> None:
        """An error ends the session, and is what each of the group is told."""
        broken = WorkerFailed("the session of lookups broke", do="ask again")
        self._end(error if isinstance(error, GovernanceError) else broken)
        for asked in group:
            if asked.answer is None:
                asked.error = asked.error or self._ended[0]

    def _group(self) -> _Group:
        """What waits, first come first served, up to a number of keys; waits for it. Empty when the session ended."""
        with self._gate:
            while not self._waiting and not self._ended:
                self._gate.wait()
            taken, keys = 0, 0
            for asked in self._waiting:
                keys += len(asked.keys)
                if taken and keys > _GROUP_KEYS:
                    break
                taken += 1
            group, self._waiting = self._waiting[:taken], self._waiting[taken:]
        return group

    def _recorded(self, group: _Group) -> _Group:
        """One transaction: both grants hold, each request's keys off the budget, its entry in the ledger; those that
        the budget allows.
        """
        restrictions, at = self.decided.restrictions, self.database.clock()
        actor = Actor(restrictions.subject, restrictions.purpose, self.grant)
        entries: list[tuple[str, dict[str, Json], Actor]] = []
        with self.database.unit_of_work() as tx:
            _require(tx, (self.grant, self.keys_grant), at=at)
            lasts = lookup_budget.spend(tx, actor, sum(len(a.keys) for a in group), budget=self.budget, at=at)
            for asked in group:
                if not lasts and not (
                    len(group) > 1 and lookup_budget.spend(tx, actor, len(asked.keys), budget=self.budget, at=at)
                ):
                    asked.error = lookup_budget.spent()
                entries.append(self._entry(asked))
            append_all(tx, entries, writer=self.database.writer, at=at)
        return [asked for asked in group if asked.error is None]

    def _entry(self, asked: _Asked) -> tuple[str, dict[str, Json], Actor]:
        actor = Actor(self.decided.restrictions.subject, self.decided.restrictions.purpose, asked.run)
        if isinstance(asked.error, GovernanceError):
            return "access_refused", {"keys": len(asked.keys), "reason": asked.error.found}, actor
        return "access", self._facts(asked), actor

    def _facts(self, asked: _Asked) -> dict[str, Json]:
        restrictions = self.decided.restrictions
        table: dict[str, Json] = {
            "snapshot": str(restrictions.snapshot),
            "decision_hash": self.decided.hash,
            "columns": {column.name: str(column.outcome) for column in asked.columns},
        }
        return {
            "release": self.decided.release,
            "grant": self.grant,
            "by": self.decided.by,
            "keys": len(asked.keys),
            "tables": {restrictions.table: table},
        }

    def _answered(self, group: _Group) -> None:
        try:
            rows = pa.Table.from_batches([self._worker.stream().read_next_batch()])
        except StopIteration:
            raise Refused("the session of lookups ended", do="ask again") from None
        ends = np.searchsorted(rows.column(REQUEST).to_numpy(), np.arange(len(group) + 1))
        for number, asked in enumerate(group):
            own = rows.slice(ends[number], ends[number + 1] - ends[number])
            most = self.decided.most_rows
            if own.num_rows > most:
                asked.error = Refused(f"the answer has more than {most} rows", do="ask for fewer keys")
            else:
                asked.answer = own.select([KEY, *(column.name for column in asked.columns)])


def _require(tx: Connection, held: Sequence[str], *, at: datetime) -> None:
    try:
        for grant in held:
            grants.require(tx, grant, (), at=at)
    except Refused:
        raise Refused("the grant of this answer ended", do="ask again") from None


def _message(group: _Group) -> pa.RecordBatch:
    lengths = [len(asked.keys) for asked in group]
    names = sorted({column.name for asked in group for column in asked.columns})
    requests = pa.array(np.repeat(np.arange(len(group), dtype=np.int32), lengths))
    keys = pa.array(np.concatenate([np.arange(1, length + 1, dtype=np.int32) for length in lengths]))
    values = pa.concat_arrays([pa.array(asked.keys, pa.string()) for asked in group])
    columns = pa.concat_arrays([pa.array([json.dumps(names)]), pa.nulls(sum(lengths) - 1, pa.string())])
    return pa.RecordBatch.from_arrays([requests, keys, values, columns], schema=ASKED)
