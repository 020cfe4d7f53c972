"""A session of lookups: one scanner process for one subject, purpose, decision and snapshot, for as long as its grants.

Requests that wait while others are answered go together: one ledger transaction and one message to the scanner for all
of them. The entries are committed before the scanner is asked. A session ends with its grants, with the rules that it
was decided under, and with the first error of its scanner; what it was asked afterwards needs a new one.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from sqlalchemy import Connection

from governance.config import Settings, as_request
from governance.errors import GovernanceError, Refused, WorkerFailed
from governance.keys import grants
from governance.keys.names import DigestKeyName
from governance.lake.lake import Lake
from governance.ledger.entry import Json, append_all
from governance.policy import filters
from governance.policy.restrictions import Restricted, Restrictions
from governance.state import texts
from governance.state.database import Database
from governance.state.values import Actor
from governance.use import lookup_budget, scanner
from governance.use.lookup_decided import Decided
from governance.use.lookup_statement import ASKED, KEY, REQUEST
from governance.use.watch import Watch
from governance.workers import Limits, start
from governance.workers.parent import Worker

SESSION_SECONDS = 900
_LAST_SECONDS = 5
"""So long before its grants end a session is not asked any more."""
_GROUP_KEYS = 20_000
_ROWS_A_KEY = 8
"""What the budget of a purpose's tokens allows for the same rows to be asked for again."""


@dataclass(slots=True)
class _Asked:
    """One request on its way: `answer` or `error` once `done`."""

    keys: Sequence[str]
    columns: Sequence[Restricted]
    run: str
    done: bool = False
    answer: pa.Table | None = None
    error: BaseException | None = None


@dataclass(slots=True)
class Session:
    """Open with `opened`. `ask` may be called by many threads."""

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
    _answers: pa.RecordBatchReader | None = None
    _expires: float = field(default_factory=lambda: time.monotonic() + SESSION_SECONDS - _LAST_SECONDS)
    _waiting: list[_Asked] = field(default_factory=list)
    _gate: threading.Lock = field(default_factory=threading.Lock)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    @property
    def over(self) -> bool:
        return bool(self._ended) or time.monotonic() >= self._expires

    def ask(self, keys: Sequence[str], columns: Sequence[Restricted], run: str) -> pa.Table:
        """`_key` and `columns` of the records of `keys`, in the order of the keys. Raises what befell the request or
        the session.
        """
        asked = _Asked(keys, columns, run)
        with self._gate:
            self._waiting.append(asked)
        while not asked.done:
            with self._turn:
                if not asked.done:
                    self._serve(self._group())
        if asked.error is not None:
            raise asked.error
        assert asked.answer is not None
        return asked.answer

    def close(self) -> None:
        """End the scanner and both grants; whoever is being answered is refused."""
        self.closed = True
        self._ended.append(Refused("the session of lookups ended", do="ask again"))
        self._watch.stop()
        self._to_worker.put(None)
        self._worker.kill(error=self._ended[0])
        self._worker.__exit__(None, None, None)
        actor = Actor(self.decided.restrictions.subject, self.decided.restrictions.purpose, self.grant)
        with self.database.unit_of_work() as tx:
            for grant in (self.grant, self.keys_grant):
                grants.revoke(tx, grant, actor=actor, database=self.database)

    def _group(self) -> list[_Asked]:
        """What waits, first come first served, up to a number of keys."""
        with self._gate:
            taken, keys = 0, 0
            for asked in self._waiting:
                keys += len(asked.keys)
                if taken and keys > _GROUP_KEYS:
                    break
                taken += 1
            group, self._waiting = self._waiting[:taken], self._waiting[taken:]
        return group

    def _serve(self, group: Sequence[_Asked]) -> None:
        try:
            if self._ended:
                raise self._ended[0]
            allowed = self._recorded(group)
            if allowed:
                self._answered(allowed)
        except BaseException as error:
            broken = WorkerFailed("the session of lookups broke", do="ask again")
            self._ended.append(error if isinstance(error, GovernanceError) else broken)
            for asked in group:
                asked.error = asked.error or (self._ended[0] if asked.answer is None else None)
            if not isinstance(error, Exception):
                raise
        finally:
            for asked in group:
                asked.done = True

    def _recorded(self, group: Sequence[_Asked]) -> list[_Asked]:
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

    def _answered(self, group: Sequence[_Asked]) -> None:
        self._to_worker.put(_message(group))
        if self._answers is None:
            self._answers = self._worker.stream()
        try:
            rows = pa.Table.from_batches([self._answers.read_next_batch()])
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


def opened(decided: Decided, *, budget: int, left: int, settings: Settings, database: Database, lake: Lake) -> Session:
    """A session with its own grants and scanner; `left` of the `budget` of keys is what the keystore will count down.

    Call it from a thread that lives as long as the session: the kernel ends a worker with the thread that started it.
    """
    restrictions = decided.restrictions
    columns = [(column.name, column.type, column.outcome) for column in restrictions.visible]
    where = _where(restrictions)
    read = scanner.needed(columns, where)
    rows = sum(file.rows for file in lake.files(restrictions.table, restrictions.snapshot))
    answered = rows + left * _ROWS_A_KEY
    digests = scanner.digests((outcome for _, _, outcome in columns), answered)
    actor = Actor(restrictions.subject, restrictions.purpose, f"lookup-{decided.hash[:16]}")
    at = database.clock()
    with database.unit_of_work() as tx:
        body = restrictions.canonical.decode("utf-8")
        texts.keep(tx, decided.hash, "decision", body, at=at)
        common: dict[str, Any] = {
            "decision_hash": decided.hash,
            "seconds": SESSION_SECONDS,
            "database": database,
        }
        grant = grants.issue(
            tx,
            actor=actor,
            keys=lake.keys(restrictions.table, restrictions.snapshot, read),
            digest_keys=(DigestKeyName("purpose", restrictions.purpose),) if digests else (),
            digest_budget=digests,
            **common,
        )
        own = DigestKeyName("domain", decided.domain)
        keys_grant = grants.issue(tx, actor=actor, keys=(), digest_keys=(own,), digest_budget=left, **common)
    to_worker: queue.SimpleQueue[pa.RecordBatch | None] = queue.SimpleQueue()
    request = {
        "settings": as_request(settings),
        "table": restrictions.table,
        "by": decided.by,
        "snapshot": restrictions.snapshot,
        "columns": [[name, kind.kind, kind.precision, kind.scale, str(outcome)] for name, kind, outcome in columns],
        "where": where.sql("duckdb") if where is not None else "",
        "grant": grant.id,
        "keys_grant": keys_grant.id,
        "domain": decided.domain,
        "purpose": restrictions.purpose,
        "most_rows": decided.most_rows,
    }
    worker = start(
        "governance.use.lookup_worker:serve",
        request,
        limits=worker_limits(settings),
        inputs={"asked": pa.RecordBatchReader.from_batches(ASKED, _sent(to_worker))},
    )
    ended: list[GovernanceError] = []

    def cut(reason: GovernanceError) -> None:
        ended.append(reason)
        worker.kill(error=reason)

    watch = Watch(grant.id, decided.rules, database, cut, permits=restrictions.permits, consents=restrictions.consents)
    return Session(decided, grant.id, keys_grant.id, database, budget, worker, watch, to_worker, ended)


def _require(tx: Connection, held: Sequence[str], *, at: datetime) -> None:
    try:
        for grant in held:
            grants.require(tx, grant, (), at=at)
    except Refused:
        raise Refused("the grant of this answer ended", do="ask again") from None


def worker_limits(settings: Settings) -> Limits:
    return Limits(
        memory_mb=settings.memory_limit_mb + 1024,
        seconds=SESSION_SECONDS + 60,
        network=not settings.database_url.startswith("sqlite"),
    )


def _where(restrictions: Restrictions) -> Any:
    if restrictions.row_filter is None:
        return None
    return filters.condition(restrictions.row_filter, {c.name: c.type for c in restrictions.columns})


def _sent(source: queue.SimpleQueue[pa.RecordBatch | None]) -> Iterator[pa.RecordBatch]:
    while (batch := source.get()) is not None:
        yield batch


def _message(group: Sequence[_Asked]) -> pa.RecordBatch:
    lengths = [len(asked.keys) for asked in group]
    names = sorted({column.name for asked in group for column in asked.columns})
    requests = pa.array(np.repeat(np.arange(len(group), dtype=np.int32), lengths))
    keys = pa.array(np.concatenate([np.arange(1, length + 1, dtype=np.int32) for length in lengths]))
    values = pa.concat_arrays([pa.array(asked.keys, pa.string()) for asked in group])
    columns = pa.concat_arrays([pa.array([json.dumps(names)]), pa.nulls(sum(lengths) - 1, pa.string())])
    return pa.RecordBatch.from_arrays([requests, keys, values, columns], schema=ASKED)
