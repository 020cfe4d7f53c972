"""Where a stored row stands in what was landed: batch and row -> file, its digest, and the record in it.

`_row` counts the parsed records of a batch, its files in the order of their names. In a batch of one file it is the
record's number in that file; of several files the landed originals have to be counted (`lines`), under a grant on their
key, in a worker that gives numbers alone (`landed_lines`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import select
from sqlglot import exp

from governance import workers
from governance.catalog.types import DatabaseSource, Dataset
from governance.config import as_request
from governance.keys import grants
from governance.pipeline.context import Context
from governance.pipeline.trace_repairs import Correction, corrections
from governance.state.tables import batch as batch_table
from governance.state.values import LANDED, STORED, Actor, Landed
from governance.store.landed import key_of
from governance.store.split import UNPARSED_REASON

Place = tuple[str, int]
TEXT = ("csv", "jsonl")


@dataclass(frozen=True, slots=True)
class Position:
    """One record of one landed file. `record` counts parsed records from 1, `line` the file's lines from 1 (with its
    header); None where it is not known. Of a batch of several files all are named until they are counted.
    """

    file: str
    sha256: str
    source: str
    observed_at: str
    record: int | None
    line: int | None = None
    corrected: Correction | None = None
    """Set where a steward gave values of the row that the file does not have."""


@dataclass(frozen=True, slots=True)
class _Batch:
    landed: Landed
    parsed: int | None
    """Records that the store pass parsed; None when it is not known."""
    unparsed: int


def positions(context: Context, places: Iterable[Place], actor: Actor, *, lines: bool) -> Mapping[Place, Position]:
    """The position of each (batch, row); batches that the state does not know have none. With `lines` text files are
    opened and counted. Raises what grants and keystore do.
    """
    rows: dict[str, set[int]] = {}
    for name, row in places:
        rows.setdefault(name, set()).add(row)
    batches = _batches(context, sorted(rows))
    found: dict[Place, Position] = {}
    for name, own in batches.items():
        found |= _of_batch(own.landed, rows[name])
    if lines:
        found |= _counted(context, batches, rows, found, actor)
    given = corrections(context, rows)
    return found | {place: replace(found[place], corrected=own) for place, own in given.items() if place in found}


def _batches(context: Context, names: list[str]) -> dict[str, _Batch]:
    found = {}
    columns = (batch_table.c.id, batch_table.c.landed, batch_table.c.stored)
    query = select(*columns).where(batch_table.c.landed.is_not(None))
    with context.database.read() as connection:
        for start in range(0, len(names), 500):
            for row in connection.execute(query.where(batch_table.c.id.in_(names[start : start + 500]))):
                stored = STORED.validate_json(row.stored) if row.stored else None
                parsed, unparsed = (stored.parsed, stored.unparsed) if stored is not None else (None, 0)
                found[row.id] = _Batch(LANDED.validate_json(row.landed), parsed, unparsed)
    return found


def _of_batch(landed: Landed, rows: Iterable[int]) -> dict[Place, Position]:
    files = sorted(landed.files, key=lambda file: file.name)
    observed = landed.observed_at.isoformat()
    names, digests = "; ".join(f.name for f in files), "; ".join(f.sha256 for f in files)
    one = len(files) == 1
    return {
        (landed.batch, row): Position(names, digests, landed.source, observed, row if one and row > 0 else None)
        for row in rows
    }


def _counted(
    context: Context,
    batches: Mapping[str, _Batch],
    rows: Mapping[str, set[int]],
    known: Mapping[Place, Position],
    actor: Actor,
) -> dict[Place, Position]:
    """Positions with their lines, of batches of text that can be counted."""
    datasets = context.catalogue.datasets
    chosen = {
        name: own
        for name, own in batches.items()
        if own.parsed is not None and own.landed.format in TEXT and own.landed.dataset in datasets
    }
    if not chosen:
        return {}
    keys = {key_of(f, datasets[own.landed.dataset]) for own in chosen.values() for f in own.landed.files}
    with context.database.unit_of_work() as tx:
        grant = grants.issue(tx, actor=actor, keys=sorted(keys), database=context.database)
    try:
        asked = [_request(context, own, datasets[own.landed.dataset], rows[name]) for name, own in chosen.items()]
        told = _worked(context, asked, grant.id)
    finally:
        with context.database.unit_of_work() as tx:
            grants.revoke(tx, grant.id, actor=actor, database=context.database)
    found = {}
    for one in told.to_pylist():
        landed = chosen[one["batch"]].landed
        file = sorted(landed.files, key=lambda f: f.name)[one["file"]]
        place = (one["batch"], one["row"])
        found[place] = replace(known[place], file=file.name, sha256=file.sha256, record=one["record"], line=one["line"])
    return found


def _request(context: Context, own: _Batch, dataset: Dataset, rows: set[int]) -> dict[str, Any]:
    source = dataset.source
    encoding = "utf-8" if source is None or isinstance(source, DatabaseSource) else source.encoding
    return {
        "id": own.landed.batch,
        "format": own.landed.format,
        "encoding": encoding,
        "parsed": own.parsed,
        "unparsed": sorted(_unparsed(context, own)) if own.unparsed else [],
        "rows": sorted(rows),
        "files": [
            {"path": f.path, "wrapped_key": f.wrapped_key, "key": str(key_of(f, dataset))}
            for f in sorted(own.landed.files, key=lambda f: f.name)
        ],
    }


def _unparsed(context: Context, own: _Batch) -> set[int]:
    """Numbers of the lines of a batch that no parser accepted: as its quarantine has them, and as rows that were made of them by correction
    have them (clear columns).
    """
    found: set[int] = set()
    mine = f"_batch = {exp.Literal.string(own.landed.batch).sql('duckdb')}"
    for table, where in ((f"{own.landed.dataset}__quarantine", mine), (own.landed.dataset, f"{mine} AND _row < 0")):
        snapshot = context.lake.snapshot(table)
        if snapshot is None:
            continue
        columns = ["_row", "_reasons"] if where == mine else ["_row"]
        with context.lake.scan(table, snapshot, columns, where=where) as reader:
            rows = reader.read_all()
        if where == mine and rows.num_rows:
            rows = rows.filter(pc.equal(pc.list_element(rows.column("_reasons"), 0), UNPARSED_REASON))
        found.update(abs(row) for row in rows.column("_row").to_pylist())
    return found


def _worked(context: Context, batches: list[dict[str, Any]], grant: str) -> pa.Table:
    settings = context.settings
    request = {"settings": as_request(settings), "root": str(context.lake.root), "grant": grant, "batches": batches}
    limits = workers.Limits(network=not settings.database_url.startswith("sqlite"))
    with workers.start("governance.pipeline.landed_lines:lines", request, limits=limits) as worker:
        told = worker.stream().read_all()
        worker.result()
    return told
