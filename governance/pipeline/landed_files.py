"""Where a stored row stands in what was landed: batch and row -> file, its digest, and the record in it.

`_row` counts the parsed records of a batch, its files in the order of their names. In a batch of one file it is the
record's number in that file; of several files the landed originals have to be counted (`lines`), under a grant on their
key, in a worker that gives numbers alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import select

from governance.pipeline.context import Context
from governance.state.tables import batch as batch_table
from governance.state.values import LANDED, Actor, Landed

Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Position:
    """One record of one landed file. `record` counts parsed records from 1, `line` the file's lines from 1 (with its
    header); None where it is not known.
    """

    file: str
    sha256: str
    source: str
    observed_at: str
    record: int | None
    line: int | None = None


def positions(context: Context, places: Iterable[Place], actor: Actor, *, lines: bool) -> Mapping[Place, Position]:
    """The position of each (batch, row); batches that the state does not know have none."""
    rows: dict[str, set[int]] = {}
    for name, row in places:
        rows.setdefault(name, set()).add(row)
    found: dict[Place, Position] = {}
    with context.database.read() as connection:
        query = select(batch_table.c.id, batch_table.c.landed).where(batch_table.c.landed.is_not(None))
        manifests: dict[str, Landed] = {}
        names = sorted(rows)
        for start in range(0, len(names), 500):
            for own in connection.execute(query.where(batch_table.c.id.in_(names[start : start + 500]))):
                manifests[own.id] = LANDED.validate_json(own.landed)
    for name, landed in manifests.items():
        found |= _of_batch(landed, rows[name])
    return found


def _of_batch(landed: Landed, rows: Iterable[int]) -> dict[Place, Position]:
    files = sorted(landed.files, key=lambda file: file.name)
    observed = landed.observed_at.isoformat()
    if len(files) != 1:
        names, digests = "; ".join(f.name for f in files), "; ".join(f.sha256 for f in files)
        return {(landed.batch, row): Position(names, digests, landed.source, observed, None) for row in rows}
    file = files[0]
    return {(landed.batch, row): Position(file.name, file.sha256, landed.source, observed, row) for row in rows}
