"""How every table stood at an instant, from what was recorded until then: what the rules of the scorecard count. Pure, on the report's facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from governance.catalog.dimensions import Tally
from governance.catalog.types import Dataset
from governance.pipeline.report.facts import RunLine, TableFacts


@dataclass(frozen=True, slots=True)
class Files:
    """Data files of one table that readers see: how many, and how many of them have every sensitive field encrypted."""

    all: int
    encrypted: int


@dataclass(frozen=True, slots=True)
class Standing:
    """One dataset or curated table at an instant. `newest` is the newest batch that had landed (or build), `judged` the newest with a verdict."""

    name: str
    curated: bool
    has_source: bool
    steward: bool
    fields: int
    classified: int
    newest: RunLine | None
    judged: RunLine | None
    judged_at: datetime | None
    failed: bool
    files: Files | None = None
    old_incidents: int = 0
    lineage: bool | None = None
    """Whether the lineage of the newest build is complete; None of a dataset, and before a build."""

    on_time: bool | None = None
    """What the newest observation of freshness said; None where no service level is agreed, or nothing was observed yet."""
    reconciled: bool | None = None
    """What the newest comparison with the live source said; None before one."""

    @property
    def tally(self) -> Tally:
        """All rules of the newest verdict together."""
        return sum(self.judged.dimensions.values(), Tally()) if self.judged else Tally()

    @property
    def waits(self) -> bool:
        """Whether a batch has landed and has no verdict yet."""
        return self.newest is not None and self.newest is not self.judged


@dataclass(frozen=True, slots=True)
class Moment:
    """All tables at an instant, and what was published and signed then."""

    at: datetime
    tables: tuple[Standing, ...]
    released: Mapping[str, int] | None = None
    """Table -> snapshot of the live release; None: nothing is published."""
    entries: int = 0
    """Ledger entries an hour old or older."""
    signed: int = 0
    """Entries that the newest checkpoint covers."""
    break_glasses: int = 0
    """That are over."""
    reviewed: int = 0

    @property
    def datasets(self) -> tuple[Standing, ...]:
        return tuple(table for table in self.tables if not table.curated)

    @property
    def curated(self) -> tuple[Standing, ...]:
        return tuple(table for table in self.tables if table.curated)

    def table(self, name: str) -> Standing | None:
        return next((table for table in self.tables if table.name == name), None)


@dataclass(frozen=True, slots=True)
class Around:
    """What is known of a table beside its runs."""

    files: Files | None = None
    incidents: Sequence[tuple[datetime, datetime | None]] = ()
    """(opened, closed) of each."""
    failures: Sequence[datetime] = ()
    lineage: Sequence[tuple[datetime, bool]] = field(default_factory=tuple)
    """(built at, whether its lineage is complete), oldest first."""
    observed: Mapping[str, Sequence[tuple[datetime, bool]]] = field(default_factory=dict)
    """Kind of observation -> (at, whether it was met), oldest first."""

    def newest(self, kind: str, at: datetime) -> bool | None:
        """What the newest observation of a kind said then."""
        found = [met for when, met in self.observed.get(kind, ()) if when <= at]
        return found[-1] if found else None


def standing(table: TableFacts, contract: Dataset, around: Around, at: datetime, old_before: datetime) -> Standing:
    """`table` as it stood at `at`; its incidents count that were opened before `old_before`."""
    landed = [run for run in table.runs if (run.landed_at or run.at) <= at]
    judged = [run for run in landed if run.judged_at is not None and run.judged_at <= at]
    newest = judged[0] if judged else None
    good_at = max((run.judged_at or run.at for run in judged), default=None)
    built = [complete for when, complete in around.lineage if when <= at]
    return Standing(
        name=table.name,
        curated=table.curated,
        has_source=contract.source is not None,
        steward=bool(contract.owner),
        fields=len(contract.fields),
        classified=sum(f.classification is not None for f in contract.fields),
        newest=landed[0] if landed else None,
        judged=newest,
        judged_at=good_at,
        failed=any(when <= at and (good_at is None or when > good_at) for when in around.failures),
        files=around.files if landed else None,
        old_incidents=sum(
            opened <= old_before and (closed is None or closed > at) for opened, closed in around.incidents
        ),
        lineage=built[-1] if built else None,
        on_time=around.newest("freshness", at),
        reconciled=around.newest("reconcile", at),
    )
