"""Reads what the report shows from the state, one table at a time, so that a thousand of them with a year of runs need little memory."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import accumulate
from typing import Any

from sqlalchemy import Connection, Row, Select, func, select

from governance.catalog.dimensions import BY_OBSERVATION, Tallies, Tally, from_json, tallies
from governance.catalog.types import Dataset
from governance.pipeline.context import Context
from governance.pipeline.report.facts import (
    DETAILED_RUNS,
    Failure,
    ReportFacts,
    RunLine,
    TableFacts,
    fields_of,
    provider_of,
)
from governance.pipeline.report.rules import RuleLine, rule_lines
from governance.pipeline.report.seen import read_seen
from governance.state import tables
from governance.state.values import Counts

_FAILURES = 1000


@dataclass(frozen=True, slots=True)
class Observed:
    """What was seen of a dataset beside its batches' verdicts (`pipeline.observations`)."""

    kind: str
    batch: str | None
    met: bool
    at: datetime


_BATCH = (
    tables.batch.c[name]
    for name in (
        "id",
        "window_start",
        "window_end",
        "revision",
        "status",
        "replaced_by",
        "recorded_at",
        "updated_at",
        "judged",
        "error",
    )
)
_LIGHT = select(*_BATCH)
"""What every run needs; what a batch stored is read for detailed runs alone."""


class Reader:
    """One read transaction's view of all tables. `detailed`: how many newest runs of a table are told rule by rule."""

    def __init__(self, context: Context, connection: Connection, *, detailed: int = DETAILED_RUNS) -> None:
        self.connection = connection
        self.at = context.database.clock()
        self._detailed = detailed
        self._datasets = [dataset for _, dataset in sorted(context.catalogue.datasets.items())]
        models = [model for _, model in sorted(context.catalogue.models.items())]
        self._models = [model.contract for model in models]
        self._checks = {model.name: [check.name for check in model.checks] for model in models}
        self._failures = _failures(connection)
        self._incidents = _open_incidents(connection)

    def datasets(self) -> Iterator[TableFacts]:
        """By name, so that those of a department follow one another."""
        return (self._dataset(contract) for contract in self._datasets)

    def curated(self) -> Iterator[TableFacts]:
        return (self._curated(contract) for contract in self._models)

    def contracts(self) -> tuple[Dataset, ...]:
        """In the order in which `datasets` and then `curated` give them."""
        return (*self._datasets, *self._models)

    def _dataset(self, dataset: Dataset) -> TableFacts:
        found = self.connection.execute(_LIGHT.where(tables.batch.c.dataset == dataset.name)).all()
        rows = sorted(found, key=lambda row: (row.window_start, row.revision), reverse=True)
        newest = [row.id for row in rows[: self._detailed]]
        rules = _rules(self.connection, dataset.name, "batch", newest)
        changes = _changes(self.connection, newest)
        told = _verdicts(self.connection, dataset.name, "batch")
        lines = [_batch_line(row, rules.get(row.id, ()), changes.get(row.id, {}), told.get(row.id)) for row in rows]
        lines = with_observations(lines, _observed(self.connection, dataset.name))
        return self._table(dataset, lines, provider_of(dataset))

    def _curated(self, contract: Dataset) -> TableFacts:
        build = tables.build.c
        query: Select[Any] = select(build.run, build.pin, build.outcome, build.recorded_at, build.snapshot, build.built)
        rows = self.connection.execute(query.where(build.model == contract.name).order_by(build.id.desc())).all()
        rules = _rules(self.connection, contract.name, "run", [row.run for row in rows[: self._detailed]])
        told = _verdicts(self.connection, contract.name, "run")
        found = _findings(self.connection, contract.name)
        checks = self._checks[contract.name]
        lines = [
            _build_line(row, rules.get(row.run, ()), found.get(row.pin, {}), told.get(row.run), checks) for row in rows
        ]
        return self._table(contract, lines, "")

    def _table(self, contract: Dataset, lines: Iterable[RunLine], provider: str) -> TableFacts:
        runs = tuple(lines)
        failure = self._failures.get(contract.name)
        if failure and any(run.at > failure.at or run.outcome == "failed" for run in runs[:1]):
            failure = None  # made up for, or told by the batch itself
        return TableFacts(
            name=contract.name,
            department=contract.department,
            owner=contract.owner,
            description=contract.description,
            load_mode=contract.load_mode,
            runs=runs,
            failure=failure,
            fields=fields_of(contract),
            provider=provider,
            incidents=self._incidents.get(contract.name, 0),
            seen=read_seen(self.connection, contract.name),
        )


def read_facts(context: Context) -> ReportFacts:
    """All of it, in one read transaction."""
    with context.database.read() as connection:
        reader = Reader(context, connection)
        return ReportFacts(
            at=reader.at,
            datasets=tuple(reader.datasets()),
            curated=tuple(reader.curated()),
            releases=releases(connection),
        )


def with_observations(runs: Sequence[RunLine], observed: Sequence[Observed]) -> list[RunLine]:
    """Runs, newest first, with what was observed beside their verdicts: the latest of each kind counts as one more rule of its dimension.

    It belongs to the batch that it names, else to the newest run that had a verdict then.
    """
    latest: dict[str, dict[str, Observed]] = {}
    known = {run.id for run in runs if run.judged_at}
    judged = sorted((run.judged_at, place) for place, run in enumerate(runs) if run.judged_at)
    times = [at for at, _ in judged]
    newest = list(accumulate((place for _, place in judged), min))
    for one in observed:
        if one.kind in BY_OBSERVATION:
            then = bisect_right(times, one.at)
            owner = one.batch if one.batch in known else runs[newest[then - 1]].id if then else None
            if owner is not None:
                latest.setdefault(owner, {})[one.kind] = one
    return [replace(run, dimensions=_observed_too(run, latest[run.id])) if run.id in latest else run for run in runs]


def _observed_too(run: RunLine, found: Mapping[str, Observed]) -> Tallies:
    told = dict(run.dimensions)
    for kind, one in found.items():
        dimension = BY_OBSERVATION[kind]
        told[dimension] = told.get(dimension, Tally()) + Tally(1, int(not one.met), 0, 0, float(one.met))
    return told


def _observed(connection: Connection, subject: str) -> list[Observed]:
    columns = tables.observation.c
    query = select(columns.kind, columns.batch, columns.outcome, columns.recorded_at).where(columns.subject == subject)
    rows = connection.execute(query.order_by(columns.id))
    return [Observed(row.kind, row.batch, row.outcome == "met", row.recorded_at) for row in rows]


def releases(connection: Connection) -> tuple[tuple[str, str, Any], ...]:
    """As `ReportFacts.releases`."""
    columns = tables.release.c
    query = select(columns.id, columns.status, columns.recorded_at).order_by(columns.recorded_at.desc())
    return tuple((row.id, row.status, row.recorded_at) for row in connection.execute(query))


def _batch_line(row: Row[Any], rules: tuple[RuleLine, ...], changes: Mapping[str, int], told: _Told | None) -> RunLine:
    judged = json.loads(row.judged) if row.judged else None
    error_class, error = json.loads(row.error) if row.error else ("", "")
    return RunLine(
        id=row.id,
        label=f"{row.window_start:%Y-%m-%d %H:%M}" + (f" (revision {row.revision})" if row.revision > 1 else ""),
        at=row.updated_at,
        outcome=judged["outcome"] if judged else row.status,
        reasons=tuple(judged["reasons"]) if judged else (),
        counts=Counts(**judged["counts"]) if judged else None,
        rules=rules,
        error=f"{error_class}: {error}" if error_class else "",
        replaced=row.status == "replaced",
        changes=changes,
        dimensions=told.dimensions if told else {},
        landed_at=row.recorded_at,
        judged_at=told.at if told else None,
        window_start=row.window_start,
        window_end=row.window_end,
    )


def _build_line(
    row: Row[Any],
    rules: tuple[RuleLine, ...],
    found: Mapping[str, int],
    told: _Told | None,
    checks: Sequence[str],
) -> RunLine:
    built = json.loads(row.built)
    return RunLine(
        id=row.run,
        label=f"{row.recorded_at:%Y-%m-%d %H:%M:%S}",
        at=row.recorded_at,
        outcome=row.outcome,
        reasons=tuple(built["reasons"]),
        counts=Counts(built["rows"], 0, built["rows"], 0),
        rules=rules,
        findings=found,
        dimensions=_with_checks(told.dimensions if told else {}, found, checks, built["rows"]),
        judged_at=row.recorded_at,
        snapshot=row.snapshot,
        inputs=tuple(sorted(built["pin"]["snapshots"])),
    )


def _with_checks(told: Tallies, found: Mapping[str, int], checks: Sequence[str], rows: int) -> Tallies:
    """Each check beside the model is one more rule of consistency: its findings against the rows of the build."""
    if not rows or not (checks or found):
        return told
    tally = told.get("consistency", Tally())
    for name in {*checks, *found}:
        count = found.get(name, 0)
        tally += Tally(1, int(count > 0), 0, count, 1.0 - min(1.0, count / rows))
    return {**told, "consistency": tally}


def _rules(connection: Connection, subject: str, by: str, ids: Sequence[str]) -> dict[str, tuple[RuleLine, ...]]:
    """Rules of the latest verdict on each of these batches or runs."""
    if not ids:
        return {}
    of = tables.validation.c[by]
    query = select(of, tables.validation.c.result).where(tables.validation.c.subject == subject, of.in_(ids))
    latest = {row[0]: row.result for row in connection.execute(query.order_by(tables.validation.c.id))}
    return {key: rule_lines(result, splits=by == "batch") for key, result in latest.items()}


@dataclass(frozen=True, slots=True)
class _Told:
    """What the verdicts on one batch or build say: of each dimension the latest, and when the first was."""

    at: datetime
    dimensions: Tallies


def _verdicts(connection: Connection, subject: str, by: str) -> dict[str, _Told]:
    """By batch or run."""
    columns = tables.validation.c
    query: Select[Any] = select(columns.id, columns[by].label("key"), columns.recorded_at, columns.dimensions)
    first: dict[str, datetime] = {}
    latest: dict[str, Row[Any]] = {}
    for row in connection.execute(query.where(columns.subject == subject).order_by(columns.id)):
        if row.key is not None:
            first.setdefault(row.key, row.recorded_at)
            latest[row.key] = row
    return {
        key: _Told(first[key], from_json(row.dimensions) if row.dimensions else _from_result(connection, row.id))
        for key, row in latest.items()
    }


def _from_result(connection: Connection, validation: int) -> Tallies:
    """For a verdict that was written without them."""
    columns = tables.validation.c
    return tallies(connection.execute(select(columns.result).where(columns.id == validation)).scalar_one())


def _changes(connection: Connection, ids: Sequence[str]) -> dict[str, dict[str, int]]:
    if not ids:
        return {}
    query = select(tables.batch.c.id, tables.batch.c.stored).where(tables.batch.c.id.in_(ids))
    return {row.id: json.loads(row.stored)["changes"] for row in connection.execute(query) if row.stored}


def _findings(connection: Connection, model: str) -> dict[str, dict[str, int]]:
    """Pin -> check name -> findings."""
    columns = tables.finding.c
    query = select(columns.pin, columns.check_name, func.count()).where(columns.model == model)
    found: dict[str, dict[str, int]] = {}
    for pin, check, count in connection.execute(query.group_by(columns.pin, columns.check_name)):
        found.setdefault(pin, {})[check] = count
    return found


def _failures(connection: Connection) -> dict[str, Failure]:
    """Dataset or model -> the newest failure recorded of it."""
    entry = tables.ledger_entry.c
    query = select(entry.body, entry.recorded_at).where(entry.kind == "failure").order_by(entry.id.desc())
    newest: dict[str, Failure] = {}
    for row in connection.execute(query.limit(_FAILURES)):
        told = json.loads(row.body)["facts"]
        newest.setdefault(told["subject"], Failure(row.recorded_at, told["stage"], told["message"]))
    return newest


def _open_incidents(connection: Connection) -> dict[str, int]:
    columns = tables.incident.c
    query = select(columns.subject, func.count()).where(columns.closed_at.is_(None)).group_by(columns.subject)
    return {row[0]: row[1] for row in connection.execute(query)}
