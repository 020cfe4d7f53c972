"""Opens a session of lookups: two grants, a scanner process of its own, and a watch over what it stands on."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from governance.config import Settings, as_request
from governance.errors import GovernanceError
from governance.keys import grants
from governance.keys.names import DigestKeyName
from governance.lake.lake import Lake
from governance.policy import filters
from governance.policy.restrictions import Restrictions
from governance.state import texts
from governance.state.database import Database
from governance.state.values import Actor
from governance.use import scanner
from governance.use.lookup_decided import Decided
from governance.use.lookup_session import SESSION_SECONDS, Session
from governance.use.lookup_statement import ASKED
from governance.use.watch import Watch
from governance.workers import Limits, start

_ROWS_A_KEY = 8
"""What the budget of a purpose's tokens allows for the same rows to be asked for again."""


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
