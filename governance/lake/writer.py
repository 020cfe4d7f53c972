"""`TableWriter`: Arrow batches in, Parquet files out. Two threads, one file each, a bounded queue between.

A file gets a temporary name, is synced, then renamed; a writer that fails or is left by an exception removes what it
wrote. Sensitive columns are encrypted one by one; the footer says in the clear which field ids are, and under which key
(`gov.encrypted`), so that planning needs no key. Statistics of encrypted columns are not written. Where the table keeps
versions, a file holds either present or past rows (`_current`).
"""

from __future__ import annotations

import json
import os
import queue
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from governance.errors import GovernanceError, StorageError
from governance.keys.names import KeyStore
from governance.lake.encodings import compression, dictionary_columns, encodings, leaf_paths
from governance.lake.kms import Encryptor
from governance.lake.schema import LakeSchema, arrow_schema
from governance.lake.specs import TableSpec
from governance.state.crash import crash_point
from governance.state.values import DataFile

ENCRYPTED = "gov.encrypted"
SCHEMA = "gov.schema"
FOOTER_ID = 0
"""In `gov.encrypted` the footer's key stands under this id; Iceberg's field ids begin at 1."""

ROW_GROUP_ROWS = 500_000
_CHUNK_ROWS = 122_880
_CHUNK_BYTES = 64 << 20


class TableWriter:
    """Writes one batch's rows of one table. Use as a context manager, or call `abort` when something fails."""

    def __init__(
        self, spec: TableSpec, schema: LakeSchema, root: Path, batch: str, *, keystore: KeyStore, threads: int = 2
    ) -> None:
        self._spec, self._schema, self._root = spec, schema, root
        namespace, _, table = spec.name.partition(".")
        self._folder = root / namespace / table / "data"
        self._name = batch.replace("/", "_")
        self._arrow = arrow_schema(schema)
        self._encryptor = _encryptor(spec, schema, keystore)
        self._dictionary: list[str] | None = None
        self._pending: list[pa.RecordBatch] = []
        self._pending_rows = self._pending_bytes = 0
        self._queue: queue.Queue[pa.Table | None] = queue.Queue(maxsize=2)
        self._error: BaseException | None = None
        self._lock = threading.Lock()
        self._files: list[tuple[Path, Path]] = []
        self._closed = False
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(max(1, threads))]
        for thread in self._threads:
            thread.start()

    def write(self, batch: pa.RecordBatch | pa.Table) -> None:
        """Take rows whose columns are the spec's, in any order; types are cast to the table's. Raises what a writing
        thread met.
        """
        self._check()
        for part in _parts(batch):
            conformed = _conform(part, self._spec, self._arrow)
            self._pending.append(conformed)
            self._pending_rows += conformed.num_rows
            self._pending_bytes += conformed.nbytes
            if self._pending_rows >= _CHUNK_ROWS or self._pending_bytes >= _CHUNK_BYTES:
                self._flush()

    def close(self) -> tuple[DataFile, ...]:
        """Finish all files and make them durable; sorted by path, none when no row came. Nobody sees them before a
        swap.
        """
        try:
            self._flush()
            self._join()
            self._check()
            made = self._publish()
        except BaseException:
            self.abort()
            raise
        self._closed = True
        crash_point("lake.after_write")
        return made

    def abort(self) -> None:
        """Remove everything that was written. Does nothing after `close`."""
        if self._closed:
            return
        self._closed = True
        self._error = self._error or StorageError("writing was given up", where=self._spec.name)
        self._join()
        for temporary, final in self._files:
            temporary.unlink(missing_ok=True)
            final.unlink(missing_ok=True)

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    def _check(self) -> None:
        if self._error is None:
            return
        if isinstance(self._error, GovernanceError):
            raise self._error
        if isinstance(self._error, OSError):
            reason = os.strerror(self._error.errno) if self._error.errno else "input/output error"
            raise StorageError(
                f"cannot write: {reason}", where=self._spec.name, do="free space and run again"
            ) from None
        raise self._error

    def _flush(self) -> None:
        if not self._pending_rows:
            self._pending = []
            return
        chunk = pa.Table.from_batches(self._pending, schema=self._arrow)
        self._pending, self._pending_rows, self._pending_bytes = [], 0, 0
        if self._dictionary is None:
            self._dictionary = dictionary_columns(self._spec, chunk)
        self._put(chunk)

    def _put(self, chunk: pa.Table | None) -> None:
        while True:
            if self._error is not None and chunk is not None:
                self._check()
            try:
                self._queue.put(chunk, timeout=0.2)
                return
            except queue.Full:
                continue

    def _join(self) -> None:
        for thread in self._threads:
            if thread.is_alive():
                self._put(None)
        for thread in self._threads:
            thread.join()
        self._threads = []

    def _work(self) -> None:
        """One writing thread: chunks until None, one open file for each value of `_current` that comes."""
        writers: dict[bool | None, pq.ParquetWriter] = {}
        while (chunk := self._queue.get()) is not None:
            if self._error is not None:
                continue
            try:
                for current, rows in _by_current(self._spec, chunk):
                    if current not in writers:
                        writers[current] = self._open(current)
                    writers[current].write_table(rows, row_group_size=ROW_GROUP_ROWS)
            except BaseException as error:
                self._error = self._error or error
        for writer in writers.values():
            try:
                writer.close()
            except BaseException as error:
                self._error = self._error or error

    def _open(self, current: bool | None) -> pq.ParquetWriter:
        folder = self._folder if current is None else self._folder / f"_current={str(current).lower()}"
        folder.mkdir(parents=True, exist_ok=True)
        unique = uuid.uuid4().hex
        temporary, final = folder / f".{unique}.tmp", folder / f"{self._name}-{unique[:16]}.parquet"
        with self._lock:  # one thread at a time in PyArrow's key cache, which calls back into Python
            self._files.append((temporary, final))
            options = {"encryption_properties": self._encryptor.properties()} if self._encryptor else {}
        clear = {column.name for column in self._spec.columns if not column.encrypted}
        writer = pq.ParquetWriter(
            temporary,
            self._arrow,
            compression=compression(self._arrow),
            use_dictionary=self._dictionary or False,
            column_encoding=encodings(self._arrow, self._dictionary or ()) or None,
            write_statistics=[path for name, path in leaf_paths(self._arrow) if name in clear],
            store_decimal_as_integer=True,  # as Iceberg has it, up to 18 digits
            **options,
        )
        writer.add_key_value_metadata(
            {SCHEMA: str(self._schema.id), ENCRYPTED: json.dumps(encrypted_keys(self._spec, self._schema))}
        )
        return writer

    def _publish(self) -> tuple[DataFile, ...]:
        crash_point("lake.before_rename")
        names = tuple(column.name for column in self._spec.columns if column.encrypted)
        made = []
        for temporary, final in self._files:
            sync(temporary)
            rows = pq.read_metadata(temporary).num_rows
            temporary.replace(final)
            path = final.relative_to(self._root).as_posix()
            made.append(DataFile(path, self._spec.name, rows, final.stat().st_size, names))
        for folder in {final.parent for _, final in self._files}:
            sync(folder)
        return tuple(sorted(made, key=lambda file: file.path))


def encrypted_keys(spec: TableSpec, schema: LakeSchema) -> dict[str, str]:
    """Key name by field id (as text) of every encrypted column, and the footer's under 0; empty when nothing is
    encrypted.
    """
    keys = {str(schema.column(c.name).id): str(spec.key(c)) for c in spec.columns if c.encrypted}
    return {str(FOOTER_ID): str(spec.footer_key), **keys} if keys else {}


def _encryptor(spec: TableSpec, schema: LakeSchema, keystore: KeyStore) -> Encryptor | None:
    columns: dict[object, list[str]] = {}
    for column in spec.columns:
        if column.encrypted:
            columns.setdefault(spec.key(column), []).append(column.name)
    if not columns:
        return None
    return Encryptor(keystore, footer=spec.footer_key, columns=columns)  # type: ignore[arg-type]


def _parts(batch: pa.RecordBatch | pa.Table) -> Iterator[pa.RecordBatch]:
    """Batches of at most one chunk, so that both threads have work."""
    for whole in batch.to_batches() if isinstance(batch, pa.Table) else [batch]:
        for start in range(0, whole.num_rows, _CHUNK_ROWS):
            yield whole.slice(start, _CHUNK_ROWS)


def _conform(batch: pa.RecordBatch, spec: TableSpec, schema: pa.Schema) -> pa.RecordBatch:
    """`batch` in the table's columns and types; a column of the table that the spec no longer has is NULL."""
    given, wanted = set(batch.schema.names), {column.name for column in spec.columns}
    if given != wanted:
        found = f"columns missing: {sorted(wanted - given)}, not in the table: {sorted(given - wanted)}"
        raise ValueError(f"{spec.name}: {found}")
    return pa.RecordBatch.from_arrays([_cast(batch, field, spec) for field in schema], schema=schema)


def _cast(batch: pa.RecordBatch, field: pa.Field, spec: TableSpec) -> pa.Array:
    position = batch.schema.get_field_index(field.name)
    if position < 0:
        return pa.nulls(batch.num_rows, field.type)
    column = batch.column(position)
    if column.type == field.type:
        return column
    try:
        return column.cast(field.type)
    except pa.ArrowException:
        found = f"column {field.name}: {column.type} does not convert to {field.type}"
        raise GovernanceError(found, where=spec.name) from None


def _by_current(spec: TableSpec, chunk: pa.Table) -> list[tuple[bool | None, pa.Table]]:
    if not spec.keeps_versions:
        return [(None, chunk)]
    current = pc.fill_null(chunk.column("_current"), False)
    parts = [(True, chunk.filter(current)), (False, chunk.filter(pc.invert(current)))]
    return [(value, rows) for value, rows in parts if rows.num_rows]


def sync(path: Path) -> None:
    """Make a file, or the names in a folder, durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
