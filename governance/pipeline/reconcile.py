"""Reconciliation: the live source, what landed of it, and what the lake holds in force, compared. Nothing is changed.

    live source   -- changed since -->   what landed   -- lost, foreign or altered -->   the dataset's table and its quarantine

The original that landed stands between the two, so that what the source has changed since is told apart from what got lost on our side. Of a
database counts and sums (on PostgreSQL a checksum of the rows too) are asked for in SQL; where that does not settle it, and of files, the source
is read again. Originals open under a grant of `service:store@<department>`, columns under one of `service:manage@<department>`; both have the
purpose `pipeline.reconcile`, the worker is a process of its own, and what it gives are counts, names and positions.
"""

from __future__ import annotations

import json
import os
import secrets
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import select

from governance.catalog.types import DatabaseSource, Dataset
from governance.collect.adapters import adapter_for
from governance.collect.pushdown import Pushed, push_down
from governance.collect.reread import read_again
from governance.config import as_request
from governance.errors import NotReady, Refused
from governance.keys import grants
from governance.keys.names import KeyName
from governance.lake.specs import quarantine_spec
from governance.lineage.record import record_run
from governance.manage.reconcile import Reconciled, weigh
from governance.pipeline.context import Context
from governance.pipeline.events import after_commits
from governance.pipeline.observations import Failure, observe
from governance.pipeline.quarantine import dataset_of
from governance.pipeline.reconcile_scan import DATASET
from governance.state import batches
from governance.state.batches import BatchRow
from governance.state.tables import ledger_entry
from governance.state.values import LANDED, Actor, Landed, Window
from governance.store.landed import key_of
from governance.workers import start
from governance.workers.limits import Limits

PURPOSE = "pipeline.reconcile"
LAKE, SOURCE = "reconcile:lake", "reconcile:source"
_SECONDS = 6 * 3600


def reconcile(
    context: Context,
    name: str,
    window: Window | None = None,
    *,
    quick: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> Reconciled:
    """Compare a dataset's newest live batch, or the one of `window`, with its source and with the lake; the result is recorded.

    `quick` believes a database's counts and sums. Raises NotReady without such a batch, Refused for a window that the source cannot show any
    more, SourceUnavailable and SourceContentError when it cannot be read: then nothing is recorded.
    """
    dataset = dataset_of(context, name)
    adapter = adapter_for(dataset, context.settings, environ)
    row = _batch(context, dataset, window, has_history=adapter.has_history)
    run = uuid.uuid4().hex
    actor = Actor(f"service:manage@{dataset.department}", PURPOSE, run)
    asked = _Asked(context, dataset, row, actor)
    salt = secrets.token_hex(16)
    pushed, how, answer = None, "", dict[str, Any]()
    if isinstance(dataset.source, DatabaseSource):
        pushed = push_down(dataset, row.window, salt, settings=context.settings, environ=environ)
        if pushed.checksum is not None or quick:
            answer = _scan(asked, None, pushed_salt=salt)
            how = _settles(pushed, answer["pushed"], quick=quick)
    if not how:
        with _read(context, dataset, row, environ) as again:
            same = pushed is None and _digests(again) == _digests(asked.landed)
            how = "digest" if same else "rows"
            answer |= _scan(asked, None if same else again, lake=not answer)
    found = _result(asked, answer, how, pushed)
    _record(asked, found)
    after_commits(context)
    return found


@dataclass(frozen=True, slots=True)
class _Asked:
    context: Context
    dataset: Dataset
    row: BatchRow
    actor: Actor

    @property
    def landed(self) -> Landed:
        assert self.row.landed is not None
        return self.row.landed


def _batch(context: Context, dataset: Dataset, window: Window | None, *, has_history: bool) -> BatchRow:
    with context.database.read() as connection:
        live = sorted(batches.live(connection, dataset.name), key=lambda row: row.order)
    chosen = [row for row in live if window is None or row.window.start == window.start]
    if not chosen:
        raise NotReady("no live batch of this window", where=dataset.name, do="gov run lets one in")
    if chosen[-1].id != live[-1].id and not has_history:
        raise Refused(
            f"batch {chosen[-1].id} is not the newest, and the source keeps no history",
            where=dataset.name,
            allowed="the newest batch, or a database source with a watermark",
        )
    return chosen[-1]


@contextmanager
def _read(context: Context, dataset: Dataset, row: BatchRow, environ: Mapping[str, str]) -> Iterator[Landed]:
    parts = {"settings": context.settings, "database": context.database, "keystore": context.keystore}
    with read_again(dataset, row.window, environ=environ, **parts) as again:  # type: ignore[arg-type]
        yield again


def _digests(landed: Landed) -> list[tuple[str, str]]:
    return [(file.name, file.sha256) for file in landed.files]


def _settles(pushed: Pushed, landed: Mapping[str, Any], *, quick: bool) -> str:
    """What of the database's own words settles that nothing changed: `checksum`, `sums`, or nothing (the empty text)."""
    if pushed.rows != landed["rows"]:
        return ""
    if pushed.checksum is not None:
        return "checksum" if pushed.checksum == landed["checksum"] else ""
    present = all(landed["present"][name] == n for name, n in pushed.present.items())
    sums = all(_same_number(total, landed["sums"].get(name)) for name, total in pushed.sums.items())
    return "sums" if quick and present and sums else ""


def _same_number(left: str, right: str | None) -> bool:
    from decimal import Decimal

    return right is not None and Decimal(left) == Decimal(right)


def _scan(asked: _Asked, again: Landed | None, *, lake: bool = True, pushed_salt: str = "") -> dict[str, Any]:
    context, dataset = asked.context, asked.dataset
    tables = _tables(asked) if lake else []
    files = (*asked.landed.files, *(again.files if again else ()))
    originals = sorted({key_of(file, dataset) for file in files})
    columns: set[KeyName] = set()
    for table, snapshot, names in tables:
        columns |= context.lake.keys(table, snapshot, list(names.values()))
    storing = Actor(f"service:store@{dataset.department}", PURPOSE, asked.actor.run)
    request = {
        "settings": as_request(context.settings),
        "dataset": DATASET.dump_python(dataset, mode="json"),
        "landed": LANDED.dump_python(asked.landed, mode="json"),
        "again": LANDED.dump_python(again, mode="json") if again else None,
        "batch": asked.row.id,
        "tables": [[table, snapshot, names] for table, snapshot, names in tables],
        "fields": [f.name for f in dataset.fields if not tables or f.name in tables[0][2]],
        "salt": secrets.token_hex(16),
        "pushed_salt": pushed_salt,
    }
    settings = context.settings
    limits = Limits(
        settings.memory_limit_mb * 2 + 1024, _SECONDS, network=not settings.database_url.startswith("sqlite")
    )
    with _granted(asked, storing, originals) as first, _granted(asked, asked.actor, sorted(columns)) as second:
        request |= {"originals_grant": first, "columns_grant": second}
        with start("governance.pipeline.reconcile_scan:scan", request, limits=limits) as worker:
            found: dict[str, Any] = worker.result()
    return found


def _tables(asked: _Asked) -> list[tuple[str, int, dict[str, str]]]:
    """Table, snapshot in force and columns by field of the dataset and its quarantine, with the fields that the batch's own snapshot had."""
    lake, row = asked.context.lake, asked.row
    assert row.judged is not None
    found = []
    for table, own in (
        (asked.dataset.name, row.judged.snapshot),
        (quarantine_spec(asked.dataset).name, row.judged.quarantine_snapshot),
    ):
        now = lake.snapshot(table)
        if now is None:
            continue
        there = {column.name for column in lake.schema(table, now).columns}
        then = {column.name for column in lake.schema(table, own).columns} if own is not None else there
        found.append((table, now, {f.name: f.name for f in asked.dataset.fields if f.name in there & then}))
    return found


@contextmanager
def _granted(asked: _Asked, actor: Actor, keys: list[KeyName]) -> Iterator[str]:
    database = asked.context.database
    with database.unit_of_work() as tx:
        grant = grants.issue(tx, actor=actor, keys=keys, seconds=_SECONDS, database=database)
    try:
        yield grant.id
    finally:
        with database.unit_of_work() as tx:
            grants.revoke(tx, grant.id, actor=actor, database=database)


def _result(asked: _Asked, answer: Mapping[str, Any], how: str, pushed: Pushed | None) -> Reconciled:
    row = asked.row
    assert row.stored is not None
    positions, unlisted = _corrections(asked)
    compared = _tables(asked)[0][2]
    return weigh(
        asked.dataset,
        row.id,
        row.window,
        answer,
        how=how,
        source_rows=pushed.rows if pushed else None,
        duplicates=row.stored.duplicates,
        corrected=positions,
        corrected_besides=unlisted,
        not_compared=tuple(f.name for f in asked.dataset.fields if f.name not in compared),
    )


def failures_of(found: Reconciled) -> tuple[Failure, ...]:
    """What of it is an incident: the lake does not hold what landed, or a closed window has rows that the lake never got."""
    failures = [Failure(LAKE, "stop", "", found.lake.rows)] if found.lake.rows else []
    return (*failures, *([Failure(SOURCE, "warn", "", found.since.rows)] if found.verdict == "late" else []))


def _corrections(asked: _Asked) -> tuple[frozenset[int], int]:
    """Positions of the batch's rows that a steward has corrected, by the ledger; and how many more there are that it does not list."""
    batch, positions, unlisted = asked.row.id, set[int](), 0
    query = select(ledger_entry.c.body).where(ledger_entry.c.kind == "quarantine_correct")
    with asked.context.database.read() as connection:
        for body in connection.execute(query.order_by(ledger_entry.c.id)).scalars():
            facts = json.loads(body)["facts"]
            moved = facts["batches"].get(batch)
            if moved is None:
                continue
            listed = [text.rpartition(":") for text in facts["rows"]]
            positions |= {int(key) for name, _, key in listed if name == batch and int(key) > 0}
            if not facts["rows"]:
                unlisted += moved["passed"] + moved["still_held"]
    return frozenset(positions), unlisted


def _record(asked: _Asked, found: Reconciled) -> None:
    """Run, observation and ledger entry, in one unit of work."""
    context, dataset = asked.context, asked.dataset
    counts = {
        "source": found.source_rows or 0,
        "landed": found.landed_rows,
        "lake": found.lake_rows,
        "changed_since": found.since.rows,
        "differ": found.lake.rows,
    }
    at = context.database.clock()
    with context.database.unit_of_work() as tx:
        versions = record_run(
            tx,
            actor=asked.actor,
            stage="reconcile",
            batch=found.batch,
            output=f"reconciliation:{dataset.name}",
            output_snapshot=None,
            outcome=found.verdict,
            counts=counts,
            versions={"contract": dataset.text_hash},
            inputs={table: snapshot for table, snapshot, _ in _tables(asked)},
            edges=None,
            at=at,
            namespace=context.settings.lineage_namespace,
        )
        observe(
            tx,
            "reconcile",
            dataset.name,
            failures_of(found),
            as_facts(found),
            actor=asked.actor,
            writer=context.database.writer,
            at=at,
            batch=found.batch,
            window=found.window,
            told={"verdict": found.verdict, "how": found.how, "counts": dict(counts), "versions": versions},
        )


def as_facts(found: Reconciled) -> dict[str, Any]:
    """As JSON values."""
    facts = asdict(found)
    window = {"start": found.window.start.isoformat(), "end": found.window.end.isoformat()}
    return {**facts, "window": window, "sums": {name: list(pair) for name, pair in found.sums.items()}}
