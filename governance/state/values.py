"""The values that stages hand on. Each is frozen, JSON-serialisable and committed to its row in `state`; tasks pass batch ids only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from pydantic import TypeAdapter

Status = Literal["landed", "stored", "judged", "stopped", "replaced", "failed"]
Outcome = Literal["go", "go_with_warnings", "stop"]


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, for what, in which run: what the ledger, the key service and lineage record."""

    subject: str
    """`service:<collect|store|manage|build|scan>@<department>` in the pipeline, `user:<name>` for people."""
    purpose: str
    """`pipeline.<stage>` in the pipeline."""
    run: str
    """Run id (uuid text)."""


@dataclass(frozen=True, slots=True)
class Window:
    """Half-open UTC interval [start, end); of a source read whole both are the instant of observation."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ValueError("window needs aware UTC instants")


def batch_id(dataset: str, window: Window, revision: int) -> str:
    """The id of a batch, fit for file names.

    >>> batch_id("tax.invoices", Window(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)), 2)
    'tax.invoices@20260101T000000Z.2'
    """
    return f"{dataset}@{window.start.astimezone(UTC):%Y%m%dT%H%M%SZ}.{revision}"


@dataclass(frozen=True, slots=True)
class LandedFile:
    """One landed original: `path` relative to the lake, `sha256` and `size_bytes` of the original bytes (before encryption).

    Files of one digest set; `rows` is known only for database reads (Arrow IPC stream), else None.
    """

    path: str
    name: str
    sha256: str
    size_bytes: int
    wrapped_key: str
    rows: int | None = None
    key: str = ""
    """The whole name of the key that `wrapped_key` is wrapped under; empty: the dataset's landed key of epoch 1."""


@dataclass(frozen=True, slots=True)
class Landed:
    batch: str
    dataset: str
    files: tuple[LandedFile, ...]
    format: Literal["csv", "jsonl", "excel", "parquet", "arrow"]
    observed_at: datetime
    source: str
    """Where it came from, without credentials."""


@dataclass(frozen=True, slots=True)
class DataFile:
    """One Parquet file of the lake: `path` relative to the lake; `encrypted` the field names that are encrypted in it."""

    path: str
    table: str
    rows: int
    size_bytes: int
    encrypted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RuleMetric:
    """What one rule counted over all typed rows of the batch, before the split. `value` only for table rules (JSON scalar or list)."""

    rule: str
    rows: int
    """Rows judged: all typed rows."""
    skipped: int
    """Rows that the rule does not speak of (NULL, `row_condition`)."""
    unexpected: int
    value: object = None
    error: str = ""
    """Error class when the rule could not be evaluated; then the counts mean nothing."""


@dataclass(frozen=True, slots=True)
class Base:
    """What a batch is judged against: snapshot id by dataset (None: no snapshot yet), text hash by code set."""

    snapshots: Mapping[str, int | None] = field(default_factory=dict)
    code_sets: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Counts:
    """The conservation law's terms: parsed + unparsed = passed + quarantined + rejected + duplicates (unparsed lines are quarantined)."""

    parsed: int
    unparsed: int
    passed: int
    quarantined: int
    rejected: int = 0
    duplicates: int = 0

    @property
    def balanced(self) -> bool:
        return self.parsed + self.unparsed == self.passed + self.quarantined + self.rejected + self.duplicates


@dataclass(frozen=True, slots=True)
class Stored:
    """`parsed` and `unparsed` are the parser's own counts; rows of files come from the footers of what was written."""

    batch: str
    dataset: str
    base: Base
    rules_hash: str
    passed_files: tuple[DataFile, ...]
    quarantine_files: tuple[DataFile, ...]
    removed_files: tuple[str, ...]
    """Paths of files of the dataset's table that this batch's swap takes out (full load, a revision, changed versions)."""
    removed_quarantine_files: tuple[str, ...]
    parsed: int
    unparsed: int
    duplicates: int
    metrics: Mapping[str, RuleMetric]
    changes: Mapping[str, int] = field(default_factory=dict)
    """snapshot_diff: keys `new`, `changed`, `gone`, `held`, `same`."""


@dataclass(frozen=True, slots=True)
class Judged:
    batch: str
    dataset: str
    outcome: Outcome
    reasons: tuple[str, ...]
    """Ids of the rules or limits that stopped or warned."""
    counts: Counts
    snapshot: int | None
    """Snapshot of the dataset's table after the swap; None when stopped."""
    quarantine_snapshot: int | None


@dataclass(frozen=True, slots=True)
class Pin:
    """The input snapshots that one build reads, resolved in one transaction; retries of the run use it again."""

    id: str
    model: str
    run: str
    snapshots: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Built:
    model: str
    outcome: Outcome
    reasons: tuple[str, ...]
    snapshot: int | None
    pin: Pin
    files: tuple[DataFile, ...]
    rows: int
    edge_set: str
    metrics: Mapping[str, RuleMetric]
    findings: int = 0


@dataclass(frozen=True, slots=True)
class Published:
    release: str
    """Release hash: sha256 of the canonical release document (tables, snapshots, policy_set_hash, classifications)."""
    snapshots: Mapping[str, int]
    policy_set_hash: str


LANDED: TypeAdapter[Landed] = TypeAdapter(Landed)
STORED: TypeAdapter[Stored] = TypeAdapter(Stored)
JUDGED: TypeAdapter[Judged] = TypeAdapter(Judged)
BUILT: TypeAdapter[Built] = TypeAdapter(Built)
PIN: TypeAdapter[Pin] = TypeAdapter(Pin)
PUBLISHED: TypeAdapter[Published] = TypeAdapter(Published)
