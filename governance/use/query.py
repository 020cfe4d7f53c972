"""`query`: a user's SELECT, answered under policy across the process boundary.

    guard -> restrictions now -> ledger entry and grant, committed -> scanner per table -> locked worker -> Answer
                                                                      (or the scanner alone: direct.py)

Nothing of an answer exists before its ledger entry is durable. Every refusal is in the ledger too. What is forbidden
and what does not exist read alike.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import Any

import pyarrow as pa

from governance.catalog.types import Catalogue
from governance.config import Settings
from governance.errors import GovernanceError, Refused
from governance.keys import grants
from governance.keys.names import DigestKeyName, KeyStore
from governance.lake.lake import Lake
from governance.ledger.entry import Json, append
from governance.state import texts
from governance.state.database import Database
from governance.state.values import Actor
from governance.use import aggregate_budget, scanner
from governance.use.guard import Statement, examine
from governance.use.published import Published, read_published
from governance.use.scans import Scan, decision_hash, plan_scans, scan_request
from governance.use.watch import Watch
from governance.workers import Limits, pool, start

DEFAULT_LIMITS = Limits(memory_mb=1024, seconds=300)
_SCANNER, _LOCKED = "governance.use.scanner:scan", "governance.use.locked:run"


class Answer:
    """A stream of rows and the decision that it stands under. Use as a context manager; `stream` can be read once."""

    def __init__(
        self, reader: pa.RecordBatchReader, scans: Sequence[Scan], release: str, grant: str, stack: ExitStack
    ) -> None:
        self._reader, self._stack = reader, stack
        self.schema = reader.schema
        self.release, self.grant = release, grant
        self.decision_hash = decision_hash(scans)
        self.restrictions = tuple(scan.restrictions for scan in scans)

    def __enter__(self) -> Answer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def no_export(self) -> bool:
        """Whether an obligation forbids to keep the answer in a file."""
        return any(restrictions.no_export for restrictions in self.restrictions)

    @property
    def fields(self) -> dict[str, dict[str, str]]:
        """table -> field -> outcome, for the fields that the subject has."""
        return {r.table: {column.name: str(column.outcome) for column in r.visible} for r in self.restrictions}

    def stream(self) -> pa.RecordBatchReader:
        """Rows as they come; raises what the workers raise."""
        return self._reader

    def table(self) -> pa.Table:
        """All rows, and the workers ended."""
        try:
            return self._reader.read_all()
        finally:
            self.close()

    def close(self) -> None:
        self._stack.close()


def query(
    sql: str,
    *,
    subject: str,
    purpose: str,
    settings: Settings,
    catalogue: Catalogue,
    database: Database,
    lake: Lake,
    keystore: KeyStore,
    limits: Limits = DEFAULT_LIMITS,
    cancelled: threading.Event | None = None,
    as_of: datetime | None = None,
) -> Answer:
    """The answer to `sql` for `subject` and `purpose`. Raises Refused with a code, NotReady when nothing is published.
    With `as_of` it is of the tables as they were published then, under what holds now.

    `keystore` is the home's; the workers open their own. `limits` are those of the worker that runs `sql`. Setting
    `cancelled` ends the workers within half a second, before there is an answer too.
    """
    actor = Actor(subject, purpose, uuid.uuid4().hex)
    digest = hashlib.sha256(sql.encode("utf-8", "replace")).hexdigest()
    try:
        statement = examine(sql)
        with database.read() as connection:
            published = read_published(connection, catalogue=catalogue, lake=lake, subject=subject, as_of=as_of)
        scans = plan_scans(statement, published, actor, database)
        grant = record_access(scans, digest, published.release, actor, limits, database, lake)
    except Refused as refused:
        with database.unit_of_work() as tx:
            facts = {"sql_sha256": digest, "reason": refused.found}
            append(tx, "access_refused", facts, actor=actor, writer=database.writer, at=database.clock())
        raise
    return _run(statement, scans, published, grant, actor, settings, database, limits, cancelled)


def keep_ready(settings: Settings, count: int, limits: Limits = DEFAULT_LIMITS) -> None:
    """From now on hold processes for `count` statements ready: never used, one request each."""
    pool.keep(_SCANNER, _scan_limits(settings, limits), count)
    pool.keep(_LOCKED, _locked_limits(limits), count)


def record_access(
    scans: Sequence[Scan], digest: str, release: str, actor: Actor, limits: Limits, database: Database, lake: Lake
) -> str:
    """Grant and ledger entry in one unit of work, committed before anything is opened; returns the grant's id. Raises
    Refused when the day's budget of statements that aggregate what is aggregate-only is spent.
    """
    keys = frozenset(
        key for scan in scans for key in lake.keys(scan.restrictions.table, scan.restrictions.snapshot, scan.reads)
    )
    budget = sum(
        scanner.digests(
            (column.outcome for column in scan.columns),
            sum(file.rows for file in lake.files(scan.restrictions.table, scan.restrictions.snapshot)),
        )
        for scan in scans
    )
    digest_keys = (DigestKeyName("purpose", actor.purpose),) if budget else ()
    tables: dict[str, Json] = {
        scan.restrictions.table: {
            "snapshot": str(scan.restrictions.snapshot),
            "decision_hash": scan.restrictions.decision_hash,
            "columns": {column.name: str(column.outcome) for column in scan.columns},
            **({"permits": [permit.id for permit in scan.restrictions.permits]} if scan.restrictions.permits else {}),
        }
        for scan in scans
    }
    at = database.clock()
    with database.unit_of_work() as tx:
        for scan in scans:
            if scan.grouped:
                budget_a_day = scan.restrictions.aggregates_a_day
                aggregate_budget.spend(tx, actor, scan.restrictions.table, budget=budget_a_day, at=at)
            texts.keep(
                tx, scan.restrictions.decision_hash, "decision", scan.restrictions.canonical.decode("utf-8"), at=at
            )
        grant = grants.issue(
            tx,
            actor=actor,
            keys=keys,
            digest_keys=digest_keys,
            digest_budget=budget,
            decision_hash=decision_hash(scans),
            seconds=int(limits.seconds) + 60,
            database=database,
        )
        facts: dict[str, Json] = {"release": release, "grant": grant.id, "sql_sha256": digest, "tables": tables}
        append(tx, "access", facts, actor=actor, writer=database.writer, at=at)
    return grant.id


def _run(
    statement: Statement,
    scans: Sequence[Scan],
    published: Published,
    grant: str,
    actor: Actor,
    settings: Settings,
    database: Database,
    limits: Limits,
    cancelled: threading.Event | None,
) -> Answer:
    stack = ExitStack()
    try:
        salt = secrets.token_hex(32)
        scanners = [
            stack.enter_context(
                start(
                    _SCANNER,
                    scan_request(scan, grant, actor.purpose, salt, settings, limits),
                    limits=_scan_limits(settings, limits),
                )
            )
            for scan in scans
        ]
        workers = scanners
        if not any(scan.direct for scan in scans):
            inputs = {f"input_{at}": each.stream for at, each in enumerate(scanners)}
            request = _locked_request(statement, scans, settings, limits)
            locked = start(_LOCKED, request, limits=_locked_limits(limits), inputs=inputs)
            workers = [*scanners, stack.enter_context(locked)]

        def cut(reason: GovernanceError) -> None:
            for each in workers:
                each.kill(error=reason)

        permits = tuple(permit for scan in scans for permit in scan.restrictions.permits)
        consents = tuple(asked for scan in scans for asked in scan.restrictions.consents)
        watch = Watch(grant, published.rules, database, cut, cancelled, permits, consents)
        stack.callback(watch.stop)
        return Answer(workers[-1].stream(), scans, published.release, grant, stack)
    except BaseException:
        stack.close()
        raise


def _locked_request(
    statement: Statement, scans: Sequence[Scan], settings: Settings, limits: Limits
) -> Mapping[str, Any]:
    rows = [scan.restrictions.max_rows for scan in scans if scan.restrictions.max_rows is not None]
    return {
        "sql": scans[0].grouped.sql if scans and scans[0].grouped else statement.sql,
        "tables": {f"input_{at}": scan.restrictions.table for at, scan in enumerate(scans)},
        "threads": settings.threads,
        "memory_mb": max(limits.memory_mb * 3 // 4, 64),
        "max_rows": min(rows) if rows else None,
    }


def _locked_limits(limits: Limits) -> Limits:
    return replace(limits, network=False, locked=True)


def _scan_limits(settings: Settings, limits: Limits) -> Limits:
    return Limits(
        memory_mb=settings.memory_limit_mb + 1024,
        seconds=limits.seconds,
        network=not settings.database_url.startswith("sqlite"),
    )
