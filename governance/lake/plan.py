"""The plan of a table in the state database: what is current, and which files a snapshot holds. No file of the lake is
opened for it.

`iceberg_tables.metadata_location` is the only pointer to what is current. `lake_file` and `lake_snapshot` are written
in the same swap as that pointer; a snapshot that somebody else committed is not in them, and then Iceberg's own
manifests are asked (`iceberg.planned`). Sequence numbers are Iceberg's: a file is in a snapshot when it was added at or
before it and not removed at or before it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, bindparam, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from governance.errors import Conflict
from governance.state.tables_lake import iceberg_tables, lake_file, lake_snapshot
from governance.state.values import DataFile

CATALOG = "gov"


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """A data file as the plan knows it: the schema that it was written with, key name by encrypted field id, name by
    field id.
    """

    file: DataFile
    schema_id: int
    keys: Mapping[int, str] = field(default_factory=dict)
    names: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Adopted:
    """A snapshot that somebody else made current before ours: it enters the plan together with ours."""

    snapshot: int
    sequence: int
    schema_id: int
    files: tuple[PlannedFile, ...]


@dataclass(frozen=True, slots=True)
class StagedTable:
    """One table's prepared snapshot: nothing of it is visible before `swap`. `old` equals `new` when nothing changes."""

    table: str
    old: str
    new: str
    snapshot: int
    sequence: int
    schema_id: int
    added: tuple[PlannedFile, ...] = ()
    removed: tuple[str, ...] = ()
    adopted: Adopted | None = None


def split(table: str) -> tuple[str, str]:
    """Namespace and name.

    >>> split("tax.invoices__quarantine")
    ('tax', 'invoices__quarantine')
    """
    namespace, _, name = table.partition(".")
    return namespace, name


def location(connection: Connection, table: str) -> str | None:
    """Where the current metadata of `table` is; None when there is no such table."""
    return connection.execute(select(iceberg_tables.c.metadata_location).where(*_is(table))).scalar()


def snapshot_at(connection: Connection, table: str, metadata_location: str) -> int | None:
    """The snapshot that a swap of ours made current with `metadata_location`; None when it was no swap."""
    return connection.execute(
        select(lake_snapshot.c.snapshot).where(
            lake_snapshot.c.table_name == table, lake_snapshot.c.metadata_location == metadata_location
        )
    ).scalar()


def files_of(connection: Connection, table: str, snapshot: int) -> tuple[PlannedFile, ...] | None:
    """The files of a snapshot, sorted by path; None when the snapshot is not one of our swaps."""
    sequence = _sequence(connection, table, snapshot)
    if sequence is None:
        return None
    rows = connection.execute(
        select(lake_file)
        .where(
            lake_file.c.table_name == table,
            lake_file.c.added <= sequence,
            or_(lake_file.c.removed.is_(None), lake_file.c.removed > sequence),
        )
        .order_by(lake_file.c.path)
    )
    return tuple(
        planned_file(
            DataFile(row.path, table, row.rows, row.size_bytes),
            row.schema_id,
            json.loads(row.encrypted),
            json.loads(row.names),
        )
        for row in rows
    )


def is_known(connection: Connection, table: str, snapshot: int) -> bool:
    """Whether the plan has this snapshot."""
    return _sequence(connection, table, snapshot) is not None


def planned_file(file: DataFile, schema_id: int, keys: Mapping[str, str], names: Mapping[str, str]) -> PlannedFile:
    """A planned file from the JSON forms of its maps (ids as text)."""
    by_id = {int(key): name for key, name in names.items()}
    encrypted = {int(key): name for key, name in keys.items()}
    named = tuple(by_id[key] for key in encrypted if key in by_id)
    return PlannedFile(DataFile(file.path, file.table, file.rows, file.size_bytes, named), schema_id, encrypted, by_id)


def swap(tx: Connection, staged: Iterable[StagedTable], *, at: datetime) -> dict[str, int]:
    """Make prepared snapshots current in `tx`; snapshot id by table. Raises Conflict when somebody came first."""
    swapped = {}
    for table in staged:
        moved = tx.execute(
            update(iceberg_tables)
            .where(*_is(table.table), iceberg_tables.c.metadata_location == table.old)
            .values(metadata_location=table.new, previous_metadata_location=table.old)
        )
        if moved.rowcount != 1:
            raise Conflict("somebody else committed first", where=table.table, do="prepare again")
        if table.new != table.old:
            _record(tx, table, at)
        swapped[table.table] = table.snapshot
    return swapped


def _record(tx: Connection, table: StagedTable, at: datetime) -> None:
    if table.adopted is not None:
        _adopt(tx, table.table, table.old, table.adopted, at)
    _insert_snapshot(tx, table.table, table.snapshot, table.sequence, table.schema_id, table.new, at)
    _remove(tx, table.table, table.removed, table.sequence)
    try:
        _add(tx, table.added, table.sequence)
    except IntegrityError:
        raise Conflict("a file is in a table already", where=table.table, do="run again") from None


def _adopt(tx: Connection, table: str, metadata_location: str, adopted: Adopted, at: datetime) -> None:
    """Bring the plan to a snapshot of somebody else: what it does not hold is taken out, what it has besides is added."""
    rows = tx.execute(select(lake_file.c.path, lake_file.c.removed).where(lake_file.c.table_name == table)).all()
    there = {file.file.path for file in adopted.files}
    _insert_snapshot(tx, table, adopted.snapshot, adopted.sequence, adopted.schema_id, metadata_location, at)
    _remove(tx, table, [row.path for row in rows if row.removed is None and row.path not in there], adopted.sequence)
    known = {row.path for row in rows}
    _add(tx, [file for file in adopted.files if file.file.path not in known], adopted.sequence)


def _insert_snapshot(
    tx: Connection, table: str, snapshot: int, sequence: int, schema_id: int, metadata_location: str, at: datetime
) -> None:
    tx.execute(
        insert(lake_snapshot).values(
            table_name=table,
            snapshot=snapshot,
            sequence=sequence,
            schema_id=schema_id,
            metadata_location=metadata_location,
            recorded_at=at,
        )
    )


def _remove(tx: Connection, table: str, paths: Sequence[str], sequence: int) -> None:
    present = (lake_file.c.table_name == table, lake_file.c.path == bindparam("gone"), lake_file.c.removed.is_(None))
    if paths:
        tx.execute(update(lake_file).where(*present).values(removed=sequence), [{"gone": path} for path in paths])


def _add(tx: Connection, files: Sequence[PlannedFile], sequence: int) -> None:
    if files:
        tx.execute(insert(lake_file), [_row(planned, sequence) for planned in files])


def _sequence(connection: Connection, table: str, snapshot: int) -> int | None:
    return connection.execute(
        select(lake_snapshot.c.sequence).where(
            lake_snapshot.c.table_name == table, lake_snapshot.c.snapshot == snapshot
        )
    ).scalar()


def _row(planned: PlannedFile, sequence: int) -> dict[str, object]:
    return {
        "table_name": planned.file.table,
        "path": planned.file.path,
        "rows": planned.file.rows,
        "size_bytes": planned.file.size_bytes,
        "schema_id": planned.schema_id,
        "encrypted": json.dumps({str(key): name for key, name in planned.keys.items()}),
        "names": json.dumps({str(key): name for key, name in planned.names.items()}),
        "added": sequence,
    }


def _is(table: str) -> tuple[ColumnElement[bool], ...]:
    namespace, name = split(table)
    columns = iceberg_tables.c
    return columns.catalog_name == CATALOG, columns.table_namespace == namespace, columns.table_name == name
