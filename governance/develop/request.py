"""What a build hands to the process that runs it: plain values, as JSON. A worker imports nothing of its parent's
state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import TypeAdapter

from governance.catalog.rules import RowRules
from governance.catalog.types import CodeSet, Model
from governance.config import Settings
from governance.state.values import DataFile, RuleMetric


@dataclass(frozen=True, slots=True)
class Input:
    """One table at its pinned snapshot. `columns` are all that a statement may name, with their DuckDB types; only
    `reads` are read, the others are NULL. `current` True: of a table that keeps versions only the present ones."""

    table: str
    snapshot: int
    reads: tuple[str, ...]
    columns: tuple[tuple[str, str], ...]
    current: bool | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """Where the values of a reference rule must be found: a clear column of a pinned table; `own` is the column that
    is compared."""

    table: str
    snapshot: int
    column: str
    own: str
    current: bool | None = None


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """One check: its statement and what it reads. `own`: it reads its model's table too, as the build is about to
    make it."""

    name: str
    sql: str
    inputs: tuple[Input, ...]
    own: bool = False


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """One build with its checks; without `write` the checks alone. `sensitive`: nothing of it may spill in the
    clear."""

    settings: Settings
    run: str
    grant_id: str | None
    sensitive: bool
    write: bool
    model: Model
    rules: RowRules
    inputs: tuple[Input, ...] = ()
    code_sets: Mapping[str, CodeSet] = field(default_factory=dict)
    targets: Mapping[str, Target] = field(default_factory=dict)
    """By rule id; a reference rule without a target cannot be evaluated."""
    checks: tuple[CheckRequest, ...] = ()


@dataclass(frozen=True, slots=True)
class BuildAnswer:
    """What was written, and what the rules counted over it."""

    files: tuple[DataFile, ...]
    rows: int
    metrics: Mapping[str, RuleMetric]


REQUEST: TypeAdapter[BuildRequest] = TypeAdapter(BuildRequest)
ANSWER: TypeAdapter[BuildAnswer] = TypeAdapter(BuildAnswer)
