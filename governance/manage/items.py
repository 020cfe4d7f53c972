"""Items of a dataset's quarantine: one set-aside row or unparsed line each, by batch and key. Reads clear columns only, so it needs no key.

An item's key is the row's `_row`, negative for an unparsed line: lines are numbered by the records of their batch, parsed rows by the parsed
ones, so the two may share a number. People write a line's key as `L<number>`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from governance.catalog.types import Dataset
from governance.errors import NotReady
from governance.lake.lake import Lake
from governance.lake.specs import quarantine_spec
from governance.state import batches
from governance.state.batches import BatchRow
from governance.state.database import Database

UNPARSED = "unparsed"
"""The reason of a line that no parser accepts; it stays one of the item's reasons while the item is open."""

KEY = f"CASE WHEN list_contains(_reasons, '{UNPARSED}') THEN -_row ELSE _row END"
CLEAR = ("_batch", "_row", "_reasons", "_rules_hash", "_state")

ITEMS = pa.schema(
    [
        ("batch", pa.string()),
        ("key", pa.int64()),
        ("reasons", pa.list_(pa.string())),
        ("rules_hash", pa.string()),
        ("state", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which items: of one batch, or of all live ones; with this rule among their reasons; open ones, or of every state."""

    batch: str | None = None
    rule: str | None = None
    open_only: bool = True


def items(dataset: Dataset, wanted: Wanted, *, lake: Lake, database: Database) -> pa.Table:
    """The items as a table of `ITEMS`, in order of batch and key; empty before the first.

    Those of live batches are in the quarantine table. A batch that was stopped, or replaced since, is looked up in its own files when it is
    asked for by name: its open items are `stopped` or `superseded`. Raises NotReady for a batch that is not stored.
    """
    with duckdb.connect(config={"temp_directory": ""}) as con:
        state = "_state"
        row = _row(database, dataset, wanted.batch) if wanted.batch else None
        if row is not None and row.status in ("stopped", "replaced"):
            closed = "stopped" if row.status == "stopped" else "superseded"
            state = f"CASE _state WHEN 'quarantined' THEN '{closed}' ELSE _state END"
            if not _bind_files(con, row, lake):
                return ITEMS.empty_table()
        else:
            name = quarantine_spec(dataset).name
            snapshot = lake.snapshot(name)
            if snapshot is None:
                return ITEMS.empty_table()
            lake.bind(con, "quarantine", name, snapshot, CLEAR)
        query = f"""
            SELECT _batch AS batch, {KEY} AS key, _reasons AS reasons, _rules_hash AS rules_hash, {state} AS state
            FROM quarantine
            WHERE ($batch IS NULL OR _batch = $batch) AND ($rule IS NULL OR list_contains(_reasons, $rule))
              AND (NOT $open OR _state = 'quarantined')
            ORDER BY _batch, abs(key), key"""  # noqa: S608
        given = {"batch": wanted.batch, "rule": wanted.rule, "open": wanted.open_only}
        return con.sql(query, params=given).to_arrow_table().cast(ITEMS)


def key_text(key: int) -> str:
    """An item's key as people write it.

    >>> key_text(7), key_text(-7)
    ('7', 'L7')
    """
    return str(key) if key >= 0 else f"L{-key}"


def parse_key(text: str) -> int | None:
    """The key again; None when it is none.

    >>> parse_key("7"), parse_key("L7"), parse_key("x"), parse_key("0")
    (7, -7, None, None)
    """
    digits = text.removeprefix("L")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 19 and int(digits) > 0):
        return None
    return -int(digits) if text.startswith("L") else int(digits)


def _row(database: Database, dataset: Dataset, batch: str) -> BatchRow:
    with database.read() as connection:
        row = batches.find(connection, batch)
    if row is None or row.dataset != dataset.name or row.stored is None:
        raise NotReady(f"batch {batch} is not a stored one", where=dataset.name, do="gov quarantine list names batches")
    return row


def _bind_files(con: duckdb.DuckDBPyConnection, row: BatchRow, lake: Lake) -> bool:
    """Make the batch's own files the view; False when it has none, or lake care has removed them."""
    assert row.stored is not None
    files = [str(lake.root / f.path) for f in row.stored.quarantine_files if (lake.root / f.path).is_file()]
    if not files:
        return False
    columns: Sequence[str] = CLEAR
    con.read_parquet(files, hive_partitioning=False).project(", ".join(columns)).create_view("quarantine")
    return True
