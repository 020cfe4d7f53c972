"""Iceberg commits with pyiceberg: create and evolve tables at once, prepare snapshots without publishing them.

The only module that imports pyiceberg (2.3 s): import it inside functions. `StagingCatalog` is pyiceberg's `SqlCatalog`
on the state database's own engine; while it is staging, `commit_table` writes the new metadata file and stops, and the
caller's swap moves the pointer. Nothing here belongs inside a unit of work.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from pyiceberg.catalog import MetastoreCatalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NoSuchTableError,
    TableAlreadyExistsError,
    ValidationException,
)
from pyiceberg.manifest import DataFile as IcebergFile
from pyiceberg.manifest import DataFileContent, FileFormat
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.table import CommitTableResponse, Table
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.table.update import TableRequirement, TableUpdate
from pyiceberg.typedef import Record
from sqlalchemy.exc import IntegrityError

from governance.errors import Conflict, Damaged
from governance.lake import evolution, footers
from governance.lake.plan import CATALOG, Adopted, PlannedFile, StagedTable, is_known, split
from governance.lake.schema import LakeSchema, read_metadata
from governance.lake.specs import TableSpec
from governance.state.database import Database
from governance.state.values import DataFile


class StagingCatalog(SqlCatalog):  # type: ignore[misc]
    """A catalog on `database`. `staged` is None: commits at once; else commits are noted there and not published."""

    def __init__(self, database: Database, root: Path) -> None:
        MetastoreCatalog.__init__(self, CATALOG, uri=database.url, warehouse=str(root))
        self.engine = database.engine
        self._schema_version = "v1"
        self.staged: CommitTableResponse | None = None
        self.staging = False

    def commit_table(
        self, table: Table, requirements: tuple[TableRequirement, ...], updates: tuple[TableUpdate, ...]
    ) -> CommitTableResponse:
        """What SqlCatalog does, up to the new metadata file, while staging."""
        if not self.staging:
            return super().commit_table(table, requirements, updates)
        update = self._update_and_stage_table(table, table.name(), requirements, updates)
        self._write_metadata(metadata=update.metadata, io=update.io, metadata_path=update.metadata_location)
        self.staged = CommitTableResponse(metadata=update.metadata, metadata_location=update.metadata_location)
        return self.staged

    def close(self) -> None:
        """The engine is the database's own: nothing to close."""


def ensure(database: Database, root: Path, spec: TableSpec) -> None:
    """Create the table of `spec`, or bring its schema to it: added, renamed (by the contract's own id), widened and
    dropped columns.

    Two processes may do it at once. Raises DeclarationError for a change of type that would lose values.
    """
    catalog = StagingCatalog(database, root)
    namespace, name = split(spec.name)
    try:
        table = catalog.load_table((namespace, name))
    except NoSuchTableError:
        with suppress(NamespaceAlreadyExistsError, IntegrityError):
            catalog.create_namespace(namespace)
        with suppress(TableAlreadyExistsError):
            evolution.create(catalog, root, spec)
        table = catalog.load_table((namespace, name))
    try:
        evolution.evolve(table, spec, read_metadata(table.metadata_location).schema)
    except CommitFailedException:
        raise Conflict("somebody else changed the table's schema", where=spec.name, do="try again") from None


def stage(database: Database, root: Path, table: str, add: Sequence[DataFile], remove: Sequence[str]) -> StagedTable:
    """Write manifests and metadata of one table's next snapshot; nothing is visible. No change on a table with a
    snapshot makes none.

    Raises Conflict when a file to remove is not in the current snapshot, Damaged when a file is not what its value
    says.
    """
    catalog = StagingCatalog(database, root)
    loaded = catalog.load_table(split(table))
    old, metadata = loaded.metadata_location, loaded.metadata
    current = metadata.current_snapshot()
    if not add and not remove and current is not None:
        return StagedTable(table, old, old, current.snapshot_id, current.sequence_number, metadata.current_schema_id)
    adopted = _adopted(database, root, table, current, metadata.current_schema_id)
    schema = read_metadata(old).schema
    added = tuple(footers.planned(root, file, read_metadata(old).schemas) for file in add)
    statistics = footers.statistics(root, added)
    live = {file.file_path: file for file in _live(loaded)} if remove else {}
    catalog.staging = True
    try:
        with loaded.transaction() as transaction:
            update = transaction.update_snapshot()
            producer = update.overwrite() if remove else update.merge_append()
            for path in remove:
                if (full := str(root / path)) not in live:
                    raise Conflict("a file to take out is not in the table any more", where=table, do="run again")
                producer.delete_data_file(live[full])
            for item in added:
                producer.append_data_file(_iceberg_file(root, item, schema, statistics, metadata.spec()))
            producer.commit()
    except (CommitFailedException, ValidationException):
        raise Conflict("somebody else committed first", where=table, do="prepare again") from None
    return replace(_staged(catalog, table, old, added, tuple(remove)), adopted=adopted)


def planned(database: Database, root: Path, table: str, snapshot: int) -> tuple[PlannedFile, ...]:
    """The files of a snapshot that is not in our plan (somebody else committed it), from Iceberg's manifests, sorted by
    path.
    """
    loaded = StagingCatalog(database, root).load_table(split(table))
    if loaded.snapshot_by_id(snapshot) is None:
        raise Damaged(f"snapshot {snapshot} is not in the table", where=table)
    schemas = read_metadata(loaded.metadata_location).schemas
    found = []
    for task in loaded.scan(snapshot_id=snapshot).plan_files():
        path = Path(task.file.file_path.removeprefix("file://"))
        if not path.is_relative_to(root):
            raise Damaged("a data file lies outside of the lake", where=table)
        file = DataFile(path.relative_to(root).as_posix(), table, task.file.record_count, task.file.file_size_in_bytes)
        found.append(footers.planned(root, file, schemas))
    return tuple(sorted(found, key=lambda item: item.file.path))


def referenced(database: Database, root: Path, table: str) -> frozenset[Path]:
    """Every file that the table's metadata names: metadata, manifest lists, manifests and data files of all its
    snapshots.
    """
    loaded = StagingCatalog(database, root).load_table(split(table))
    names = {loaded.metadata_location, *(entry.metadata_file for entry in loaded.metadata.metadata_log)}
    for snapshot in loaded.metadata.snapshots:
        names.add(snapshot.manifest_list)
        for manifest in snapshot.manifests(loaded.io):
            names.add(manifest.manifest_path)
            names.update(e.data_file.file_path for e in manifest.fetch_manifest_entry(loaded.io, discard_deleted=False))
    return frozenset(Path(name.removeprefix("file://")) for name in names)


def _live(table: Table) -> list[IcebergFile]:
    return [task.file for task in table.scan().plan_files()]


def _iceberg_file(
    root: Path, item: PlannedFile, schema: LakeSchema, statistics: footers.Statistics, partition: PartitionSpec
) -> IcebergFile:
    found = statistics.get(item.file.path, footers.FileStatistics())
    bounds = footers.bounds(found, schema)
    made = IcebergFile.from_args(
        content=DataFileContent.DATA,
        file_path=str(root / item.file.path),
        file_format=FileFormat.PARQUET,
        partition=Record(*([_current(item.file.path)] if partition.fields else [])),
        record_count=item.file.rows,
        file_size_in_bytes=item.file.size_bytes,
        column_sizes=dict(found.sizes),
        value_counts=dict(found.values),
        null_value_counts=dict(found.nulls),
        nan_value_counts={},
        lower_bounds={key: low for key, (low, _) in bounds.items()},
        upper_bounds={key: high for key, (_, high) in bounds.items()},
        key_metadata=None,
        split_offsets=None,
        equality_ids=None,
        sort_order_id=None,
    )
    made.spec_id = partition.spec_id
    return made


def _adopted(database: Database, root: Path, table: str, current: Snapshot | None, schema_id: int) -> Adopted | None:
    """The current snapshot when it is somebody else's, else None."""
    if current is None:
        return None
    with database.read() as connection:
        if is_known(connection, table, current.snapshot_id):
            return None
    files = planned(database, root, table, current.snapshot_id)
    return Adopted(current.snapshot_id, current.sequence_number, current.schema_id or schema_id, files)


def _current(path: str) -> bool | None:
    """The partition that a file's path names."""
    return {"_current=true": True, "_current=false": False}.get(Path(path).parent.name)


def _staged(
    catalog: StagingCatalog, table: str, old: str, added: tuple[PlannedFile, ...], removed: tuple[str, ...]
) -> StagedTable:
    response = catalog.staged
    snapshot = response.metadata.current_snapshot() if response else None
    if response is None or snapshot is None:
        raise Damaged("nothing was prepared", where=table)
    io = catalog._load_file_io(response.metadata.properties, response.metadata_location)
    written = [response.metadata_location, snapshot.manifest_list]
    written += [m.manifest_path for m in snapshot.manifests(io) if m.added_snapshot_id == snapshot.snapshot_id]
    folders = {str(Path(name).parent) for name in written}
    for name in (*written, *sorted(folders)):
        handle = os.open(name.removeprefix("file://"), os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    return StagedTable(
        table=table,
        old=old,
        new=response.metadata_location,
        snapshot=snapshot.snapshot_id,
        sequence=snapshot.sequence_number,
        schema_id=snapshot.schema_id,
        added=added,
        removed=removed,
    )
