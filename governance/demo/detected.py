"""What quality found in a home, as `score.DETECTED`: from the clear columns of quarantine and from findings. Needs no key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sqlalchemy import select
from sqlglot import exp

from governance.demo.faults import ANSWERS
from governance.demo.kinds import INJECTIONS, Kind
from governance.demo.score import DETECTED
from governance.errors import GovernanceError
from governance.state import tables
from governance.state.values import JUDGED

if TYPE_CHECKING:
    from governance.pipeline.context import Context

_CONTRADICTED = frozenset(i.dataset for i in INJECTIONS if i.kind is Kind.CONTRADICTION)
"""A finding names two records; the one that was made faulty is of one of these datasets."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """The revision in force of one window: `snapshot` of the quarantine as its verdict left it."""

    id: str
    dataset: str
    start: datetime
    snapshot: int


def read_answers(folder: Path) -> pa.Table:
    """The answer key of all months in `folder`; GovernanceError when there is none."""
    files = sorted(folder.glob("*.parquet"))
    if not files:
        raise GovernanceError("no answer key", where=str(folder), do="run `gov demo generate` first")
    return pa.concat_tables(pq.read_table(file, schema=ANSWERS) for file in files)


def read_detected(context: Context, months: Sequence[str]) -> pa.Table:
    """What was found in the batches of `months` (YYYY-MM, in the order in which they were generated and run).

    A batch belongs to the month in which its window starts; where that is no month of the demo for some batch of a dataset, its batches
    are taken for the months in order.
    """
    batches = _batches(context)
    month_of = {batch: month for found in batches.values() for batch, month in _months(found, months).items()}
    parts = [
        _quarantined(context, batch, month_of[batch.id])
        for found in batches.values()
        for batch in found
        if batch.id in month_of
    ]
    return pa.concat_tables([DETECTED.empty_table(), *parts, _findings(context, month_of)])


def _batches(context: Context) -> dict[str, list[_Batch]]:
    """dataset -> the last judged revision of each window, by window."""
    b = tables.batch.c
    query = (
        select(b.id, b.dataset, b.window_start, b.judged)
        .where(b.judged.is_not(None))
        .order_by(b.window_start, b.revision)
    )
    with context.database.read() as connection:
        rows = connection.execute(query).all()
    last: dict[tuple[str, datetime], _Batch] = {}
    for row in rows:
        snapshot = JUDGED.validate_json(row.judged).quarantine_snapshot
        if snapshot is not None:
            last[row.dataset, row.window_start] = _Batch(row.id, row.dataset, row.window_start, snapshot)
    found: dict[str, list[_Batch]] = {}
    for batch in last.values():
        found.setdefault(batch.dataset, []).append(batch)
    return found


def _months(batches: Sequence[_Batch], months: Sequence[str]) -> dict[str, str]:
    named = {batch.id: f"{batch.start:%Y-%m}" for batch in batches}
    if set(named.values()) <= set(months):
        return named
    return {batch.id: month for batch, month in zip(batches, months, strict=False)}


def _quarantined(context: Context, batch: _Batch, month: str) -> pa.Table:
    own = exp.column("_batch", quoted=True).eq(exp.Literal.string(batch.id)).sql("duckdb")
    reader = context.lake.scan(f"{batch.dataset}__quarantine", batch.snapshot, ["_row", "_reasons"], where=own)
    table = reader.read_all()
    reasons = table["_reasons"].combine_chunks()
    rows = table["_row"].combine_chunks().take(pc.list_parent_indices(reasons))
    flat = pc.list_flatten(reasons).cast(pa.string())
    return pa.table([pa.repeat(month, len(flat)), pa.repeat(batch.dataset, len(flat)), rows, flat], schema=DETECTED)


def _findings(context: Context, month_of: Mapping[str, str]) -> pa.Table:
    f = tables.finding.c
    query = select(f.model, f.check_name, f.left_batch, f.left_row, f.right_batch, f.right_row).distinct()
    with context.database.read() as connection:
        rows = connection.execute(query).all()
    places = sorted({place for row in rows for place in _sides(tuple(row), month_of)})
    return pa.Table.from_pylist([dict(zip(DETECTED.names, place, strict=True)) for place in places], schema=DETECTED)


def _sides(
    row: tuple[str, str, str, int, str, int], month_of: Mapping[str, str]
) -> Iterator[tuple[str, str, int, str]]:
    model, check, left_batch, left_row, right_batch, right_row = row
    name = check if check.startswith(f"{model}.") else f"{model}.{check}"
    for batch, number in ((left_batch, left_row), (right_batch, right_row)):
        dataset = (batch or "").partition("@")[0]
        if dataset in _CONTRADICTED and batch in month_of:
            yield month_of[batch], dataset, number, f"finding:{name}"
