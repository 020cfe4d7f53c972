"""Which stored rows hold what a steward corrected, not what the landed file says: found by the files that a correction added.

A correction is a run of stage `manage` with a snapshot of its own; the rows of the files that this snapshot has and the one before it
had not are those that it let in.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, select

from governance.lake.lake import Lake
from governance.pipeline.context import Context
from governance.state.tables import run as run_table
from governance.state.tables_lake import lake_snapshot

Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Correction:
    """Who gave the values of a row, by which run (`quarantine_correct` in the ledger), when."""

    subject: str
    run: str
    at: str


def corrections(context: Context, rows: Mapping[str, Collection[int]]) -> dict[Place, Correction]:
    """The last correction of each (batch, row) that has one."""
    found: dict[Place, Correction] = {}
    names = sorted(rows)
    for start in range(0, len(names), 500):
        with context.database.read() as connection:
            known = [*_runs(connection, names[start : start + 500])]
        for row, before in known:
            own = Correction(row.subject, row.run, row.recorded_at.isoformat())
            added = _added(context.lake, row.output, row.output_snapshot, before, row.batch)
            found |= {(row.batch, number): own for number in added.intersection(rows[row.batch])}
    return found


def _runs(connection: Connection, batches: list[str]) -> Iterator[tuple[Any, int | None]]:
    """Corrections of these batches, oldest first, each with the snapshot before its own."""
    c = run_table.c
    query = select(c.subject, c.run, c.recorded_at, c.output, c.output_snapshot, c.batch).where(
        c.stage == "manage", c.outcome == "correct", c.output_snapshot.is_not(None), c.batch.in_(batches)
    )
    s = lake_snapshot.c
    for row in connection.execute(query.order_by(c.id)).all():
        own = select(s.sequence).where(s.table_name == row.output, s.snapshot == row.output_snapshot).scalar_subquery()
        earlier = select(s.snapshot).where(s.table_name == row.output, s.sequence < own)
        yield row, connection.execute(earlier.order_by(s.sequence.desc()).limit(1)).scalar()


def _added(lake: Lake, table: str, snapshot: int, before: int | None, batch: str) -> set[int]:
    """Rows of the batch in the files that a snapshot added. Clear columns alone are read."""
    files = {file.path for file in lake.files(table, snapshot)} - {file.path for file in lake.files(table, before)}
    files = {path for path in files if (lake.root / path).is_file()}  # what is removed holds no row that is traced
    if not files:
        return set()
    with lake.scan(table, snapshot, ["_batch", "_row"], only=files) as reader:
        there: pa.Table = reader.read_all()
    own = there.filter(pc.equal(there.column("_batch"), batch))
    return set(own.column("_row").to_pylist())
