"""What the report shows, read from the state in one transaction: counts, verdicts and rules of every batch and build."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from governance.pipeline.context import Context
from governance.state import tables
from governance.state.batches import BatchRow, batches
from governance.state.values import BUILT, Counts, RuleMetric


@dataclass(frozen=True, slots=True)
class RuleLine:
    """One rule's counts in one batch or build."""

    id: str
    rows: int
    unexpected: int
    error: str

    @property
    def percent(self) -> float:
        """Share of unexpected rows, 0 to 100."""
        return 100.0 * self.unexpected / self.rows if self.rows else 0.0


@dataclass(frozen=True, slots=True)
class RunLine:
    """One batch of a dataset, or one build of a curated table."""

    id: str
    label: str
    at: datetime
    outcome: str
    reasons: tuple[str, ...]
    counts: Counts | None
    rules: tuple[RuleLine, ...]
    error: str = ""

    @property
    def good_percent(self) -> float | None:
        """Share of passed rows, 0 to 100; None before a verdict or of an empty batch."""
        if self.counts is None or not self.counts.parsed + self.counts.unparsed:
            return None
        return 100.0 * self.counts.passed / (self.counts.parsed + self.counts.unparsed)

    @property
    def broken_rules(self) -> tuple[RuleLine, ...]:
        return tuple(sorted((r for r in self.rules if r.unexpected or r.error), key=lambda r: (-r.unexpected, r.id)))


@dataclass(frozen=True, slots=True)
class TableFacts:
    """One dataset or curated table with its runs, newest first."""

    name: str
    department: str
    owner: str
    description: str
    runs: tuple[RunLine, ...]
    fields: tuple[tuple[str, str, str, bool], ...]
    """(name, type, classification, encrypted) of each field."""
    findings: Mapping[str, int]
    """Check name -> findings of the newest pin (curated tables)."""

    @property
    def latest(self) -> RunLine | None:
        return self.runs[0] if self.runs else None


@dataclass(frozen=True, slots=True)
class ReportFacts:
    at: datetime
    datasets: tuple[TableFacts, ...]
    curated: tuple[TableFacts, ...]
    releases: tuple[tuple[str, str, datetime], ...]
    """(release hash, status, recorded at), newest first."""


def read_facts(context: Context) -> ReportFacts:
    """All of it, in one read transaction."""
    with context.database.read() as connection:
        return ReportFacts(
            at=context.database.clock(),
            datasets=tuple(_dataset(context, connection, name) for name in sorted(context.catalogue.datasets)),
            curated=tuple(_curated(context, connection, name) for name in sorted(context.catalogue.models)),
            releases=_releases(connection),
        )


def _dataset(context: Context, connection: Connection, name: str) -> TableFacts:
    rows = sorted(batches(connection, dataset=name), key=lambda row: row.order, reverse=True)
    return _table(context, name, tuple(_batch_line(row) for row in rows), {})


def _curated(context: Context, connection: Connection, name: str) -> TableFacts:
    builds = connection.execute(
        select(tables.build).where(tables.build.c.model == name).order_by(tables.build.c.id.desc())
    ).all()
    runs = []
    for row in builds:
        built = BUILT.validate_json(row.built)
        counts = Counts(built.rows, 0, built.rows, 0)
        rules = _rule_lines(built.metrics)
        runs.append(
            RunLine(str(row.snapshot or "-"), row.run, row.recorded_at, row.outcome, built.reasons, counts, rules)
        )
    findings: dict[str, int] = {}
    if builds:
        query = (
            select(tables.finding.c.check_name, func.count())
            .where(tables.finding.c.model == name, tables.finding.c.pin == builds[0].pin)
            .group_by(tables.finding.c.check_name)
        )
        findings = {row[0]: row[1] for row in connection.execute(query)}
    return _table(context, name, tuple(runs), findings)


def _table(context: Context, name: str, runs: tuple[RunLine, ...], findings: Mapping[str, int]) -> TableFacts:
    contract = context.catalogue.table(name)
    fields = tuple(
        (f.name, f.type.duckdb(), f.classification.value if f.classification else "unclassified", f.encrypted)
        for f in contract.fields
    )
    return TableFacts(name, contract.department, contract.owner, contract.description, runs, fields, findings)


def _batch_line(row: BatchRow) -> RunLine:
    label = f"{row.window.start:%Y-%m-%d %H:%M}" + (f" (revision {row.revision})" if row.revision > 1 else "")
    return RunLine(
        id=row.id,
        label=label,
        at=row.updated_at,
        outcome=row.judged.outcome if row.judged and row.status in ("judged", "stopped") else row.status,
        reasons=row.judged.reasons if row.judged else (),
        counts=row.judged.counts if row.judged else None,
        rules=_rule_lines(row.stored.metrics) if row.stored else (),
        error=f"{row.error_class}: {row.error}" if row.error_class else "",
    )


def _rule_lines(metrics: Mapping[str, RuleMetric]) -> tuple[RuleLine, ...]:
    return tuple(RuleLine(m.rule, m.rows, m.unexpected, m.error) for m in metrics.values())


def _releases(connection: Connection) -> tuple[tuple[str, str, datetime], ...]:
    query = select(tables.release).order_by(tables.release.c.recorded_at.desc())
    return tuple((row.id, row.status, row.recorded_at) for row in connection.execute(query))
