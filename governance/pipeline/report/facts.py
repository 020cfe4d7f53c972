"""What the report shows of a table: counts, verdicts, rules and dimensions of every batch and build. Values; `read` fills them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from governance.catalog.dimensions import Dimension, Tallies, Tally
from governance.catalog.types import Dataset
from governance.pipeline.report.rules import RuleLine
from governance.pipeline.report.seen import Seen
from governance.state.values import Counts

DETAILED_RUNS = 8
"""Newest runs of a table whose rules are shown one by one."""


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
    dimensions: Tallies = field(default_factory=dict)
    """Of the latest verdict on it; empty before one."""
    landed_at: datetime | None = None
    """When the batch was collected; None of a build."""
    judged_at: datetime | None = None
    """When its verdict was committed first; None before that."""
    snapshot: int | None = None
    """What the build made, None when it was stopped (builds)."""
    inputs: tuple[str, ...] = ()
    """Tables that the build read (builds)."""
    window_start: datetime | None = None
    window_end: datetime | None = None

    @property
    def day(self) -> datetime:
        """What it stands at in a trend: the end of its window, or when it was built."""
        return self.window_end or self.at

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
    provider: str = ""
    """`<department>/<source system>`; empty of a curated table."""
    incidents: int = 0
    """Open ones."""
    seen: tuple[Seen, ...] = ()
    """What was observed beside the verdicts, newest first."""

    @property
    def curated(self) -> bool:
        return not self.provider

    def windows(self) -> tuple[RunLine, ...]:
        """Runs that have a verdict, oldest first: of each window the last revision; of a curated table every build."""
        newest: dict[datetime, RunLine] = {}
        for run in self.runs:
            if run.counts is not None:
                newest.setdefault(run.window_start or run.at, run)
        return tuple(reversed(newest.values()))

    def score(self, dimension: Dimension) -> float | None:
        """Of the newest verdict, 0 to 100."""
        judged = next((run for run in self.runs if run.dimensions), None)
        return judged.dimensions.get(dimension, Tally()).score if judged else None

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


def fields_of(contract: Dataset) -> tuple[tuple[str, str, str, bool], ...]:
    """As `TableFacts.fields`."""
    return tuple(
        (f.name, f.type.duckdb(), f.classification.value if f.classification else "unclassified", f.encrypted)
        for f in contract.fields
    )


def provider_of(contract: Dataset) -> str:
    """Who delivers it: the department and its source system."""
    return f"{contract.department}/{contract.system}"
