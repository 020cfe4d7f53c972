"""A stored batch against those let in before it, before its verdict: what is unlike warns, or stops it where the contract says so.

Its metrics, what is unlike and the incident's cause are committed at once, once a batch; a task that runs again finds them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timedelta

from sqlalchemy import Connection, insert, select

from governance.catalog.types import Dataset
from governance.errors import NotReady
from governance.manage.drift import ROWS, Unlike, metrics_of, unlike
from governance.manage.history import MOST
from governance.pipeline.context import Context
from governance.pipeline.observations import Failure, observe
from governance.state import batches, tables
from governance.state.batches import BatchRow
from governance.state.tables import batch_profile
from governance.state.values import Actor

PURPOSE = "pipeline.drift"


def examine(context: Context, dataset: Dataset, batch: str, run: str) -> tuple[str, ...]:
    """What of a stored batch stops it for being unlike those before it; empty for a dataset whose contract does not ask (`gov.drift`)."""
    if dataset.drift is None:
        return ()
    with context.database.read() as connection:
        row = batches.find(connection, batch)
        known = connection.execute(select(batch_profile.c.unlike).where(batch_profile.c.batch == batch)).scalar()
        before = history(connection, row) if row is not None else {}
    if row is None or row.stored is None:
        raise NotReady(f"batch {batch} is not stored", where=dataset.name, do="store it first")
    if known is None:
        metrics = metrics_of(row.stored, dataset, context.lake.root, context.settings)
        known = _record(context, dataset, row, metrics, _unlike(row, metrics, before), run, len(before))
    return tuple(json.loads(known)) if dataset.drift == "stop" else ()


def history(connection: Connection, row: BatchRow) -> Mapping[datetime, Mapping[str, float]]:
    """Metrics of the newest batches of earlier windows that were let in by the window's start, oldest first; of a window its last revision."""
    c, b = batch_profile.c, tables.batch.c
    query = (
        select(c.window_start, c.metrics)
        .join(tables.batch, b.id == c.batch)
        .where(c.dataset == row.dataset, c.window_start < row.window.start, b.status.in_(("judged", "replaced")))
        .order_by(c.window_start.desc(), b.revision.desc())
    )
    found: dict[datetime, Mapping[str, float]] = {}
    for start, text in connection.execute(query):
        if start not in found and len(found) == MOST:
            break
        if start not in found:
            found[start] = json.loads(text)
    return dict(reversed(found.items()))


def _unlike(
    row: BatchRow, metrics: Mapping[str, float], before: Mapping[datetime, Mapping[str, float]]
) -> tuple[Unlike, ...]:
    """Windows of a day or less are held against their own weekdays where the week has a rhythm."""
    daily = row.window.end - row.window.start <= timedelta(days=1)
    weekday = row.window.start.weekday() if daily else None
    return unlike(metrics, tuple(before.values()), weekday=weekday, weekdays=[start.weekday() for start in before])


def _record(
    context: Context,
    dataset: Dataset,
    row: BatchRow,
    metrics: Mapping[str, float],
    found: tuple[Unlike, ...],
    run: str,
    compared: int,
) -> str:
    """Profile and observation in one unit of work; the names of what is unlike, as JSON."""
    severity = dataset.drift or "warn"
    failures = tuple(
        Failure(
            one.expectation, severity, one.column, int(one.place.value) if one.expectation == f"drift:{ROWS}" else None
        )
        for one in found
    )
    names = json.dumps([one.expectation for one in found])
    facts = {
        "batches": compared,
        "metrics": len(metrics),
        "unlike": {one.expectation: asdict(one.place) for one in found},
    }
    at = context.database.clock()
    with context.database.unit_of_work() as tx:
        told = tx.execute(select(batch_profile.c.unlike).where(batch_profile.c.batch == row.id)).scalar()
        if told is not None:
            return str(told)
        tx.execute(
            insert(batch_profile).values(
                batch=row.id,
                dataset=dataset.name,
                window_start=row.window.start,
                recorded_at=at,
                unlike=names,
                metrics=json.dumps(dict(metrics), sort_keys=True),
            )
        )
        observe(
            tx,
            "drift",
            dataset.name,
            failures,
            facts,
            actor=Actor(f"service:manage@{dataset.department}", PURPOSE, run),
            writer=context.database.writer,
            at=at,
            batch=row.id,
            window=row.window,
        )
    return names
