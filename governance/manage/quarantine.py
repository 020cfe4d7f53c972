"""What lies in quarantine, by reason: for stewards and reports. Reads clear columns only, so it needs no key."""

from __future__ import annotations

from dataclasses import dataclass

from governance.catalog.types import Dataset
from governance.lake.lake import Lake
from governance.lake.specs import quarantine_spec
from governance.state.values import Stored

_CLEAR = ("_batch", "_reasons", "_state")
_BY_REASON = """
    SELECT _batch, reason, _state, count(*) FROM (SELECT _batch, _state, unnest(_reasons) AS reason FROM quarantine)
    GROUP BY ALL ORDER BY _batch, count(*) DESC, reason, _state"""


@dataclass(frozen=True, slots=True)
class ReasonCount:
    """Rows of one batch that one rule set aside; a row with two reasons is in two counts."""

    batch: str
    reason: str
    state: str
    rows: int


def reasons(dataset: Dataset, *, lake: Lake, snapshot: int | None = None) -> tuple[ReasonCount, ...]:
    """Counts of the quarantine table at `snapshot` (default: now), most frequent reasons of a batch first; empty before its first rows."""
    import duckdb

    name = quarantine_spec(dataset).name
    at = snapshot if snapshot is not None else lake.snapshot(name)
    if at is None:
        return ()
    with duckdb.connect(config={"temp_directory": ""}) as connection:
        lake.bind(connection, "quarantine", name, at, _CLEAR)
        rows = connection.execute(_BY_REASON).fetchall()
    return tuple(ReasonCount(*row) for row in rows)


def reasons_of_batch(stored: Stored, *, lake: Lake) -> tuple[ReasonCount, ...]:
    """Counts of a batch's own quarantine files, let in or not: what a stopped batch holds is in no table."""
    import duckdb

    if not stored.quarantine_files:
        return ()
    files = [str(lake.root / file.path) for file in stored.quarantine_files]
    with duckdb.connect(config={"temp_directory": ""}) as connection:
        connection.read_parquet(files, hive_partitioning=False).project(", ".join(_CLEAR)).create_view("quarantine")
        rows = connection.execute(_BY_REASON).fetchall()
    return tuple(ReasonCount(*row) for row in rows)
