"""What a record trace answers: positions, exact or as a superset, and of a superset how much it is.

Where a table as a whole is all that can be told, its rows at the snapshot that was read are counted and the first of them
listed. Both speak of rows that the published ones may not come from, so they are not for whom a row filter holds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from governance.develop.provenance_plan import Source, TracePlan
from governance.lake.lake import Lake
from governance.lake.stream import connect
from governance.pipeline.context import Context
from governance.pipeline.landed_files import Place, Position

LISTED = 100
"""Rows of a table as a whole that are listed when nobody says how many."""
MOST_LISTED = 10_000


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One landed record (or, with `batch` empty, any record of a table: a superset) behind row `target` of key `key`."""

    key: int
    target: int
    table: str
    snapshot: int
    batch: str
    row: int | None
    value: bool
    """Whether values came from it; else it only decided that the row is there."""
    through: tuple[str, ...]
    """Curated tables on the way."""
    position: Position | None


@dataclass(frozen=True, slots=True)
class Record:
    """One stored row of a table that is given as a whole."""

    batch: str
    row: int
    position: Position | None


@dataclass(frozen=True, slots=True)
class WholeTable:
    """A superset: all rows of a stored table as it was read, for the reason given. `rows` counts them, `records` are the first
    by batch and row; None and empty for a subject under a row filter.
    """

    table: str
    snapshot: int
    through: tuple[str, ...]
    value: bool
    reason: str
    rows: int | None
    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class RecordTrace:
    """`whole` are the tables of which all rows are given, with the reason; none: the answer is exact. `hidden` counts sources
    that are not for the subject; `targets` the rows that the keys are of.
    """

    table: str
    column: str | None
    release: str
    snapshot: int
    targets: int
    rows: tuple[SourceRow, ...]
    whole: tuple[WholeTable, ...]
    hidden: int
    grant: str
    decision_hash: str

    @property
    def superset(self) -> tuple[str, ...]:
        """Why the answer is more than the exact rows; empty: it is exact."""
        return tuple(f"{one.table}: {one.reason}" for one in self.whole)

    @property
    def exact(self) -> bool:
        return not self.whole

    @property
    def complete(self) -> bool:
        return not self.hidden and all(one.rows is not None for one in self.whole)


@dataclass(frozen=True, slots=True)
class Listed:
    """Rows of a stored table as a whole: how many, and the places of the first."""

    rows: int
    places: tuple[Place, ...]


def listed(context: Context, sources: Iterable[Source], most: int) -> dict[tuple[str, int, bool | None], Listed]:
    """All rows of each table at its snapshot counted, the first `most` by batch and row. Only clear columns are read."""
    found: dict[tuple[str, int, bool | None], Listed] = {}
    for source in sources:
        asked = (source.table, source.snapshot, source.current)
        if asked not in found:
            found[asked] = _listed(context, context.lake, asked, most)
    return found


def whole_of(
    plan: TracePlan,
    numbers: Collection[int],
    counted: Mapping[tuple[str, int, bool | None], Listed],
    places: Mapping[Place, Position],
) -> tuple[WholeTable, ...]:
    """The sources `numbers` as supersets; of several that are one table on one way the first from which values came."""
    found: dict[tuple[object, ...], WholeTable] = {}
    for number in sorted(numbers, key=lambda n: (n not in plan.values, n)):
        source = plan.sources[number]
        known = counted.get((source.table, source.snapshot, source.current))
        records = tuple(Record(*place, places.get(place)) for place in known.places) if known else ()
        made = WholeTable(
            table=source.table,
            snapshot=source.snapshot,
            through=source.through,
            value=number in plan.values,
            reason=plan.whole[number],
            rows=known.rows if known else None,
            records=records,
        )
        found.setdefault((source.table, source.snapshot, source.through), made)
    return tuple(found.values())


def rows_of(
    plan: TracePlan, entries: Sequence[Mapping[str, Any]], places: Mapping[Place, Position]
) -> tuple[SourceRow, ...]:
    """Each record once for each row, of several sources of one table too: from which values came first."""
    found: dict[tuple[object, ...], SourceRow] = {}
    for entry in sorted(entries, key=lambda e: e["s"] not in plan.values):
        source = plan.sources[entry["s"]]
        row = SourceRow(
            key=entry["key"],
            target=entry["target"],
            table=source.table,
            snapshot=source.snapshot,
            batch=entry["b"] or "",
            row=entry["r"],
            value=entry["s"] in plan.values,
            through=source.through,
            position=places.get((entry["b"], entry["r"])),
        )
        found.setdefault((row.key, row.target, row.table, row.snapshot, row.through, row.batch, row.row), row)
    return tuple(
        sorted(found.values(), key=lambda r: (r.key, r.target, not r.value, r.table, r.batch, r.row or 0, r.through))
    )


def _listed(context: Context, lake: Lake, asked: tuple[str, int, bool | None], most: int) -> Listed:
    table, snapshot, current = asked
    rows = sum(file.rows for file in lake.files(table, snapshot, current=current))
    con = connect(context.settings)
    try:
        lake.bind(con, "rows", table, snapshot, ["_batch", "_row"], current=current)
        first = con.execute("SELECT _batch, _row FROM rows ORDER BY ALL LIMIT ?", [most]).fetchall()
    finally:
        con.close()
    return Listed(rows, tuple((str(batch), int(row)) for batch, row in first))
