"""`Lake`: the tables of one home. Write files, prepare snapshots, swap them in the caller's unit of work, read what a
snapshot holds.

    spec -> ensure -> writer -> DataFile ... prepare -> Prepared -> swap(tx) -> snapshot -> files / scan / bind

Nothing is visible before the swap's transaction commits. `ensure`, `writer` and `prepare` do file and catalog work:
never call them inside a unit of work.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import duckdb
import pyarrow as pa
import sqlglot
from sqlalchemy import Connection
from sqlglot import exp

from governance.config import Settings
from governance.errors import Conflict, Damaged, NotReady, Refused, StorageError
from governance.keys import grants
from governance.keys.epochs import current_epochs
from governance.keys.names import KeyName, KeyStore
from governance.lake import plan
from governance.lake.plan import PlannedFile, StagedTable
from governance.lake.reader import Reading, attach, quoted, reading
from governance.lake.schema import LakeSchema, Metadata, read_metadata
from governance.lake.specs import TableSpec
from governance.lake.stream import BATCH_ROWS as BATCH_ROWS
from governance.lake.stream import connect, reading_error, stream
from governance.lake.writer import TableWriter
from governance.state.crash import crash_point
from governance.state.database import Database
from governance.state.values import DataFile


@dataclass(frozen=True, slots=True)
class TableChange:
    """Files to add to a table and paths to take out. `base`, when given, is the snapshot that it must still be at
    (None: no snapshot).
    """

    table: str
    add: tuple[DataFile, ...] = ()
    remove: tuple[str, ...] = ()
    base: int | Literal["any"] | None = "any"


@dataclass(frozen=True, slots=True)
class Prepared:
    """Snapshots that are written but not visible."""

    tables: tuple[StagedTable, ...]

    @property
    def snapshots(self) -> dict[str, int]:
        """The snapshot that each table will be at after the swap."""
        return {table.table: table.snapshot for table in self.tables}


class Lake:
    """Tables under `settings.lake`, their pointer in `database`, their keys in `keystore`."""

    def __init__(self, settings: Settings, database: Database, keystore: KeyStore) -> None:
        self._settings, self.database, self._keystore = settings, database, keystore
        self.root = settings.lake

    def ensure(self, spec: TableSpec) -> None:
        """Create the table, or evolve it: add, rename (by the contract's own id), widen, drop. Committed at once, safe
        to repeat.

        Raises DeclarationError for a change of type that would lose values, Conflict when two evolve it at once.
        """
        with self.database.read() as connection:
            location = plan.location(connection, spec.name)
        if location is not None and _matches(spec, read_metadata(location).schema):
            return
        with _file_errors(spec.name):
            from governance.lake import iceberg

            self.root.mkdir(parents=True, exist_ok=True)
            iceberg.ensure(self.database, self.root, spec)
        crash_point("lake.after_ensure")

    def writer(self, spec: TableSpec, batch: str) -> TableWriter:
        """A writer of `batch`'s rows under the newest epoch of each key; the table must have been ensured for this spec."""
        schema = self._metadata(spec.name).schema
        if not _matches(spec, schema):
            raise Conflict("the table's schema is another's", where=spec.name, do="ensure it again")
        with self.database.read() as connection:
            epochs = current_epochs(connection, spec.owner, spec.key_table)
        spec = replace(spec, epochs=tuple(sorted(epochs.items())))
        return TableWriter(
            spec, schema, self.root, batch, keystore=self._keystore, threads=min(2, self._settings.threads)
        )

    def prepare(self, changes: Sequence[TableChange]) -> Prepared:
        """Write the next snapshot of every table concerned; nothing is visible yet. A crash or a refusal leaves
        unreferenced files.

        Raises Conflict when a table is not at its `base`, or a file to take out is not in it any more.
        """
        for change in changes:
            if change.base != "any" and self.snapshot(change.table) != change.base:
                raise Conflict("another run changed the table meanwhile", where=change.table, do="run again")
        with _file_errors(", ".join(change.table for change in changes)):
            staged = tuple(self._stage(change) for change in changes)
        crash_point("lake.after_prepare")
        return Prepared(staged)

    def _stage(self, change: TableChange) -> StagedTable:
        from governance.lake import iceberg

        staged = iceberg.stage(self.database, self.root, change.table, change.add, change.remove)
        crash_point("lake.after_stage")
        return staged

    def swap(self, tx: Connection, prepared: Prepared) -> dict[str, int]:
        """Make the prepared snapshots current inside `tx`; snapshot id by table. Raises Conflict when somebody came
        first.
        """
        swapped = plan.swap(tx, prepared.tables, at=self.database.clock())
        crash_point("lake.in_swap")
        return swapped

    def snapshot(self, table: str, connection: Connection | None = None) -> int | None:
        """What readers of `table` see now (in `connection`'s transaction, if given); None before its first swap."""
        if connection is None:
            with self.database.read() as own:
                return self.snapshot(table, own)
        location = plan.location(connection, table)
        if location is None:
            return None
        known = plan.snapshot_at(connection, table, location)
        return known if known is not None else read_metadata(location).snapshot

    def files(self, table: str, snapshot: int | None, *, current: bool | None = None) -> tuple[DataFile, ...]:
        """The data files of a snapshot, sorted by path; of a table with versions only those that are (not) `current`,
        when asked.
        """
        return tuple(item.file for item in self._planned(table, snapshot, current))

    def schema(self, table: str, snapshot: int) -> LakeSchema:
        """The schema that `snapshot` was made with."""
        return _schema_at(self._metadata(table), table, snapshot)

    def keys(self, table: str, snapshot: int, columns: Sequence[str]) -> frozenset[KeyName]:
        """Exactly the keys that reading `columns` of `snapshot` takes, footers included; empty when all of it is clear."""
        read = self._reading(table, snapshot, columns, None)
        return frozenset(map(KeyName.parse, read.keys))

    def scan(
        self,
        table: str,
        snapshot: int | None,
        columns: Sequence[str],
        *,
        grant_id: str | None = None,
        where: str | None = None,
        current: bool | None = None,
        only: Collection[str] | None = None,
    ) -> pa.RecordBatchReader:
        """Rows of a snapshot in no order, `columns` as asked. `where` is a DuckDB condition over the table's columns;
        `only` names the data files whose rows are wanted, and no other is opened.

        Raises Refused before any file is opened when the grant does not name every key that it takes, and between
        two batches when the grant has ended.
        """
        condition = sqlglot.parse_one(where, dialect="duckdb") if where else None
        extra = {column.name for column in condition.find_all(exp.Column)} - set(columns) if condition else set()
        connection = connect(self._settings)
        try:
            wanted = [*columns, *sorted(extra)]
            source = self._source(connection, table, snapshot, wanted, grant_id, current, only)
            connection.execute(f"CREATE TEMPORARY VIEW source AS {source}")
            query = exp.select(*(exp.column(name, quoted=True) for name in columns)).from_("source")
            query = query.where(condition) if condition else query
            still = partial(self._require, frozenset(), grant_id)
            return stream(connection, query.sql("duckdb"), table=table, still_granted=still)
        except BaseException as error:
            connection.close()
            if isinstance(error, duckdb.Error):
                raise reading_error(error, table) from None
            raise

    def bind(
        self,
        con: duckdb.DuckDBPyConnection,
        name: str,
        table: str,
        snapshot: int | None,
        columns: Sequence[str],
        *,
        grant_id: str | None = None,
        current: bool | None = None,
    ) -> None:
        """Make `columns` of a snapshot the view `name` (`<schema>.<name>` or `<name>`) of `con`; it may be read many
        times.
        """
        source = self._source(con, table, snapshot, columns, grant_id, current)
        schema, _, short = name.rpartition(".")
        if schema:
            con.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}")
        target = f"{quoted(schema)}.{quoted(short)}" if schema else quoted(short)
        con.execute(f"CREATE OR REPLACE VIEW {target} AS {source}")

    def _source(
        self,
        con: duckdb.DuckDBPyConnection,
        table: str,
        snapshot: int | None,
        columns: Sequence[str],
        grant_id: str | None,
        current: bool | None,
        only: Collection[str] | None = None,
    ) -> str:
        read = self._reading(table, snapshot, columns, current, only)
        if read.keys:
            self._require(read.keys, grant_id)
        return attach(con, read, root=self.root, keystore=self._keystore, grant_id=grant_id)

    def _require(self, keys: frozenset[str], grant_id: str | None) -> None:
        """Refused unless the grant holds now and names every one of `keys`; without a grant, when there are keys."""
        if grant_id is None:
            if keys:
                raise Refused("encrypted columns are read under a grant only", where="lake")
            return
        if keys:
            self._keystore.require([KeyName.parse(key) for key in keys], grant_id)
            return
        with self.database.read() as connection:
            grants.require(connection, grant_id, (), at=self.database.clock())

    def _reading(
        self,
        table: str,
        snapshot: int | None,
        columns: Sequence[str],
        current: bool | None,
        only: Collection[str] | None = None,
    ) -> Reading:
        metadata = self._metadata(table)
        schema = metadata.schema if snapshot is None else _schema_at(metadata, table, snapshot)
        planned = self._planned(table, snapshot, current)
        if only is not None:
            planned = tuple(item for item in planned if item.file.path in only)
        return reading(schema, planned, columns)

    def _planned(self, table: str, snapshot: int | None, current: bool | None) -> tuple[PlannedFile, ...]:
        if snapshot is None:
            return ()
        with self.database.read() as connection:
            found = plan.files_of(connection, table, snapshot)
        if found is None:
            from governance.lake import iceberg

            found = iceberg.planned(self.database, self.root, table, snapshot)
        if current is None:
            return found
        others = f"/_current={str(not current).lower()}/"
        return tuple(item for item in found if others not in item.file.path)

    def _metadata(self, table: str) -> Metadata:
        with self.database.read() as connection:
            location = plan.location(connection, table)
        if location is None:
            raise NotReady("no such table yet", where=table)
        return read_metadata(location)


def _matches(spec: TableSpec, schema: LakeSchema) -> bool:
    """Whether the table has exactly the spec's columns; our own of former times (`_current`) may be there besides."""
    wanted = {(column.name, column.type, column.id) for column in spec.columns}
    there = {(column.name, column.type, column.own_id) for column in schema.columns}
    return wanted <= there and all(name.startswith("_") for name, _, _ in there - wanted)


def _schema_at(metadata: Metadata, table: str, snapshot: int) -> LakeSchema:
    if snapshot not in metadata.schema_of:
        raise Damaged(f"snapshot {snapshot} is not in the table", where=table)
    return metadata.schemas[metadata.schema_of[snapshot]]


@contextmanager
def _file_errors(where: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "input/output error"
        raise StorageError(f"the lake cannot be written or read: {reason}", where=where) from None
