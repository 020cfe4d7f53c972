"""Service levels, judged after every stage's commits and by `gov freshness`, also when no batch came: late is a fact without a batch.

What is seen is recorded once: a new row only when the window, the batch or what fails is another than in the last one of its kind.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select

from governance.catalog.types import Dataset
from governance.manage import levels
from governance.manage.levels import Arrival, Freshness
from governance.pipeline.context import Context
from governance.pipeline.observations import Failure, failures_from, observe
from governance.state.tables import batch, in_force, observation, validation
from governance.state.values import JUDGED, Actor, Window

PURPOSE = "pipeline.levels"


@dataclass(frozen=True, slots=True)
class Seen:
    """One dataset's freshness now: `arrived` is None before the first batch."""

    dataset: str
    arrived: Arrival | None
    freshness: Freshness


@dataclass(frozen=True, slots=True)
class _Batch:
    arrival: Arrival
    records: int


def judge_levels(context: Context) -> tuple[Seen, ...]:
    """Judge every dataset whose contract names a level; what is new is recorded in one unit of work. Datasets in the catalogue's order."""
    agreed = [d for d in context.catalogue.datasets.values() if _has_levels(d)]
    if not agreed:
        return ()
    now = context.database.clock()
    with context.database.read() as connection:
        newest = _newest(connection, agreed)
        since = _in_force(connection, [d.name for d in agreed if d.name not in newest])
        told = _told(connection)
    seen = []
    fresh: list[tuple[Dataset, str, tuple[Failure, ...], Window, str | None, Mapping[str, Any]]] = []
    for dataset in agreed:
        last = newest.get(dataset.name)
        found = levels.freshness(dataset, last.arrival if last else None, since.get(dataset.name, now), now)
        if found is not None:
            seen.append(Seen(dataset.name, last.arrival if last else None, found))
            failures = tuple(Failure(name, "warn", "", None) for name in found.failing)
            facts = _facts(dataset, last, found)
            fresh.append((dataset, "freshness", failures, found.window, found.batch, facts))
        if last is not None and (dataset.min_rows is not None or dataset.max_rows is not None):
            bad = levels.too_few_or_many(dataset, last.records)
            failures = (Failure(levels.BOUNDS, "warn", "", last.records),) if bad else ()
            facts = {"records": last.records, "min_rows": dataset.min_rows, "max_rows": dataset.max_rows}
            fresh.append((dataset, "volume", failures, last.arrival.window, last.arrival.batch, facts))
    new = [one for one in fresh if _mark(one[0].name, *one[1:5]) != told.get((one[0].name, one[1]))]
    if new:
        _record(context, new, now)
    return tuple(seen)


def _record(context: Context, new: Iterable[Any], now: datetime) -> None:
    run = uuid.uuid4().hex
    with context.database.unit_of_work() as tx:
        told = _told(tx)
        for dataset, kind, failures, window, batch_id, facts in new:
            if _mark(dataset.name, kind, failures, window, batch_id) == told.get((dataset.name, kind)):
                continue  # another process was here first
            actor = Actor(f"service:manage@{dataset.department}", PURPOSE, run)
            observe(
                tx,
                kind,
                dataset.name,
                failures,
                facts,
                actor=actor,
                writer=context.database.writer,
                at=now,
                batch=batch_id,
                window=window,
            )


def _has_levels(dataset: Dataset) -> bool:
    agreed = (dataset.frequency, dataset.latency, dataset.min_rows, dataset.max_rows)
    return dataset.source is not None and any(level is not None for level in agreed)


def _newest(connection: Connection, agreed: Iterable[Dataset]) -> dict[str, _Batch]:
    """Newest live batch by dataset."""
    by_name = {d.name: d for d in agreed}
    c = batch.c
    latest = (
        select(c.dataset, func.max(c.window_start).label("start")).where(c.status == "judged").group_by(c.dataset)
    ).subquery()
    query = (
        select(c.id, c.dataset, c.window_start, c.window_end, c.updated_at, c.judged)
        .join(latest, (latest.c.dataset == c.dataset) & (latest.c.start == c.window_start))
        .where(c.status == "judged")
    )
    rows = [row for row in connection.execute(query) if row.dataset in by_name]
    return {row.dataset: _batch(connection, row, by_name[row.dataset]) for row in rows}


def _batch(connection: Connection, row: Any, dataset: Dataset) -> _Batch:
    """A repair changes when the batch was last touched, so what looks late is looked up in its first validation."""
    counts = JUDGED.validate_json(row.judged).counts
    window, at = Window(row.window_start, row.window_end), row.updated_at
    if dataset.latency is not None and at > dataset.latency.after(window.end):
        first = select(func.min(validation.c.recorded_at))
        first = first.where(validation.c.subject == dataset.name, validation.c.batch == row.id)
        at = connection.execute(first).scalar() or at
    return _Batch(Arrival(row.id, window, at), counts.parsed + counts.unparsed)


def _in_force(connection: Connection, names: list[str]) -> dict[str, datetime]:
    """When each of these contracts came into force first."""
    if not names:
        return {}
    c = in_force.c
    query = select(c.name, func.min(c.valid_from)).where(c.kind == "contract").group_by(c.name)
    return {name: at for name, at in connection.execute(query) if name in set(names)}


def _told(connection: Connection) -> dict[tuple[str, str], object]:
    """What the last observation of each kind and dataset said."""
    c = observation.c
    last = select(func.max(c.id)).where(c.kind.in_(("freshness", "volume"))).group_by(c.subject, c.kind)
    rows = connection.execute(select(observation).where(c.id.in_(last)))
    return {(row.subject, row.kind): _mark_of(row) for row in rows}


def _mark_of(row: Row[Any]) -> object:
    window = Window(row.window_start, row.window_end)
    return _mark(row.subject, row.kind, failures_from(row.failures), window, row.batch)


def _mark(name: str, kind: str, failures: tuple[Failure, ...], window: Window, batch_id: str | None) -> object:
    return name, kind, tuple(sorted((f.expectation, f.unexpected) for f in failures)), window, batch_id


def _facts(dataset: Dataset, last: _Batch | None, found: Freshness) -> Mapping[str, Any]:
    hours = (last.arrival.at - last.arrival.window.end).total_seconds() / 3600 if last else None
    return {
        "frequency": str(dataset.frequency) if dataset.frequency else None,
        "latency": str(dataset.latency) if dataset.latency else None,
        "due": found.due.isoformat() if found.due else None,
        "newest": last.arrival.batch if last else None,
        "arrived_at": last.arrival.at.isoformat() if last else None,
        "hours_after_window": hours,
    }
