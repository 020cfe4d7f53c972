"""What the report shows, read from the state in one transaction: counts, verdicts and rules of every batch and build."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, func, select

from governance.catalog.types import Dataset
from governance.pipeline.context import Context
from governance.pipeline.report.rules import RuleLine, rule_lines
from governance.state import tables
from governance.state.batches import BatchRow, batches
from governance.state.values import BUILT, Counts

DETAILED_RUNS = 12
"""Newest runs of a table whose rules are shown one by one."""
_FAILURES = 1000


@dataclass(frozen=True, slots=True)
class RunLine:
    """One batch of a dataset, or one build of a curated table. `outcome` is the verdict, or how far it got without one."""

    id: str
    label: str
    at: datetime
    outcome: str
    reasons: tuple[str, ...]
    counts: Counts | None
    rules: tuple[RuleLine, ...]
    """Worst first; empty before a verdict and in runs older than the newest `DETAILED_RUNS`."""
    error: str = ""
    replaced: bool = False
    changes: Mapping[str, int] = field(default_factory=dict)
    findings: Mapping[str, int] = field(default_factory=dict)
    """Check name -> findings (builds)."""

    @property
    def received(self) -> int:
        """Records that came in, those that no parser accepted among them."""
        return self.counts.parsed + self.counts.unparsed if self.counts else 0

    @property
    def good_percent(self) -> float | None:
        """Share of passed rows, 0 to 100; None before a verdict or of an empty batch."""
        return 100.0 * self.counts.passed / self.received if self.counts and self.received else None

    @property
    def broken_rules(self) -> tuple[RuleLine, ...]:
        """What kept rows or the batch out, the most frequent first."""
        kept = (rule for rule in self.rules if rule.state in ("errored", "stopped", "held back"))
        return tuple(sorted(kept, key=lambda rule: (-rule.unexpected, rule.id)))

    @property
    def warnings(self) -> tuple[RuleLine, ...]:
        return tuple(rule for rule in self.rules if rule.state == "warned")

    @property
    def in_trouble(self) -> bool:
        """Whether it did not get in."""
        return self.outcome in ("stop", "stopped", "failed", "landed", "stored")


@dataclass(frozen=True, slots=True)
class Failure:
    """A step that ended in an error, as the ledger has it."""

    at: datetime
    stage: str
    message: str


@dataclass(frozen=True, slots=True)
class TableFacts:
    """One dataset or curated table with its runs, newest first."""

    name: str
    department: str
    owner: str
    description: str
    load_mode: str
    runs: tuple[RunLine, ...]
    fields: tuple[tuple[str, str, str, bool], ...]
    """(name, type, classification, encrypted) of each field."""
    failure: Failure | None = None
    """The newest failure that no later batch or build makes up for."""

    @property
    def latest(self) -> RunLine | None:
        return self.runs[0] if self.runs else None

    @property
    def findings(self) -> Mapping[str, int]:
        """Check name -> findings of the newest build (curated tables)."""
        return self.runs[0].findings if self.runs else {}

    @property
    def open_runs(self) -> tuple[RunLine, ...]:
        """Runs that did not get in and that nothing newer makes up for: the newest, and of an appended dataset one a window."""
        newest: dict[str, RunLine] = {}
        for run in self.runs:
            newest.setdefault(run.label.partition(" (")[0] if self.load_mode == "append" else "", run)
        return tuple(run for run in newest.values() if run.in_trouble)


@dataclass(frozen=True, slots=True)
class ReportFacts:
    at: datetime
    datasets: tuple[TableFacts, ...]
    curated: tuple[TableFacts, ...]
    releases: tuple[tuple[str, str, datetime], ...]
    """(release hash, status, recorded at), newest first."""

    @property
    def tables(self) -> tuple[TableFacts, ...]:
        return (*self.datasets, *self.curated)


def read_facts(context: Context) -> ReportFacts:
    """All of it, in one read transaction."""
    datasets = [dataset for _, dataset in sorted(context.catalogue.datasets.items())]
    models = [model.contract for _, model in sorted(context.catalogue.models.items())]
    with context.database.read() as connection:
        failures = _failures(connection)
        return ReportFacts(
            at=context.database.clock(),
            datasets=tuple(_dataset(connection, dataset, failures) for dataset in datasets),
            curated=tuple(_curated(connection, contract, failures) for contract in models),
            releases=_releases(connection),
        )


def _dataset(connection: Connection, dataset: Dataset, failures: Mapping[str, Failure]) -> TableFacts:
    rows = sorted(batches(connection, dataset=dataset.name), key=lambda row: row.order, reverse=True)
    detailed = _rules(connection, dataset.name, "batch", [row.id for row in rows[:DETAILED_RUNS]])
    return _table(dataset, [_batch_line(row, detailed.get(row.id, ())) for row in rows], failures)


def _batch_line(row: BatchRow, rules: tuple[RuleLine, ...]) -> RunLine:
    judged = row.judged
    return RunLine(
        id=row.id,
        label=f"{row.window.start:%Y-%m-%d %H:%M}" + (f" (revision {row.revision})" if row.revision > 1 else ""),
        at=row.updated_at,
        outcome=judged.outcome if judged else row.status,
        reasons=judged.reasons if judged else (),
        counts=judged.counts if judged else None,
        rules=rules,
        error=f"{row.error_class}: {row.error}" if row.error_class else "",
        replaced=row.status == "replaced",
        changes=row.stored.changes if row.stored else {},
    )


def _curated(connection: Connection, contract: Dataset, failures: Mapping[str, Failure]) -> TableFacts:
    query = select(tables.build).where(tables.build.c.model == contract.name).order_by(tables.build.c.id.desc())
    rows = connection.execute(query).all()
    detailed = _rules(connection, contract.name, "run", [row.run for row in rows[:DETAILED_RUNS]])
    found = _findings(connection, contract.name)
    lines = []
    for row in rows:
        built = BUILT.validate_json(row.built)
        line = RunLine(
            id=row.run,
            label=f"{row.recorded_at:%Y-%m-%d %H:%M:%S}",
            at=row.recorded_at,
            outcome=row.outcome,
            reasons=built.reasons,
            counts=Counts(built.rows, 0, built.rows, 0),
            rules=detailed.get(row.run, ()),
            findings=found.get(row.pin, {}),
        )
        lines.append(line)
    return _table(contract, lines, failures)


def _rules(connection: Connection, subject: str, by: str, ids: list[str]) -> dict[str, tuple[RuleLine, ...]]:
    """Rules of the latest verdict on each of these batches or runs."""
    of = tables.validation.c[by]
    query = select(of, tables.validation.c.result).where(tables.validation.c.subject == subject, of.in_(ids))
    return {
        row[0]: rule_lines(row.result, splits=by == "batch")
        for row in connection.execute(query.order_by(tables.validation.c.id))
    }


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


def _table(contract: Dataset, lines: Iterable[RunLine], failures: Mapping[str, Failure]) -> TableFacts:
    runs = tuple(lines)
    failure = failures.get(contract.name)
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
        fields=tuple(
            (f.name, f.type.duckdb(), f.classification.value if f.classification else "unclassified", f.encrypted)
            for f in contract.fields
        ),
    )


def _releases(connection: Connection) -> tuple[tuple[str, str, datetime], ...]:
    query = select(tables.release).order_by(tables.release.c.recorded_at.desc())
    return tuple((row.id, row.status, row.recorded_at) for row in connection.execute(query))
