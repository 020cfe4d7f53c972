"""The serving layout: a copy of one snapshot of a table for point reads, bucketed and sorted by an identifier's token.

    lake/_serving/<table>/<key column>/<snapshot>-<unique>/bucket-000.parquet ... index.parquet

Row groups are small, the index (first and last token of each) fits in memory, and every column that is encrypted in the
snapshot is encrypted here under the same key name: destroying a key closes both, and a right on one is a right on the
other. Rows without a token cannot be asked for and are left out. A copy is made whole under a temporary name, renamed,
then registered in the state (`serving`); what is not registered, or whose snapshot is not live, `remove_stale` takes
away. Nothing is ever written in the clear: a table that does not fit in memory is first split into buckets that are
encrypted like the copy itself.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sqlalchemy import Connection, delete, insert, select
from sqlalchemy.exc import IntegrityError

from governance.catalog.types import TOKEN_SUFFIX
from governance.errors import NotReady
from governance.keys.names import KeyName, KeyStore
from governance.keys.tokens import TOKEN_BYTES
from governance.lake import plan
from governance.lake.kms import Encryptor, decryptor
from governance.lake.lake import Lake
from governance.lake.schema import LakeSchema, arrow_schema
from governance.lake.writer import FOOTER_ID
from governance.ledger.entry import Json, append
from governance.state.crash import crash_point
from governance.state.tables import serving
from governance.state.values import Actor

FOLDER = "_serving"
ROW_GROUP_ROWS = 4_096
BUCKET_ROWS = 1 << 19
_INDEX = "index.parquet"
_SPLIT_ROWS = 1 << 18
_ORPHAN_SECONDS = 86_400
_Numbers = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Layout:
    """One registered copy. `path` is its folder, relative to the lake; `keys` by field id (the footer's under 0)."""

    table: str
    key_column: str
    snapshot: int
    path: str
    rows: int
    keys: Mapping[int, str]
    names: Mapping[int, str]

    @property
    def token_column(self) -> str:
        return self.key_column + TOKEN_SUFFIX


def find(connection: Connection, table: str, key_column: str, snapshot: int) -> Layout | None:
    """The registered copy of a snapshot; None when there is none yet."""
    columns = serving.c
    row = connection.execute(
        select(serving).where(
            columns.table_name == table, columns.key_column == key_column, columns.snapshot == snapshot
        )
    ).one_or_none()
    if row is None:
        return None
    keys, names = ({int(k): v for k, v in json.loads(text).items()} for text in (row.encrypted, row.names))
    return Layout(table, key_column, snapshot, row.path, row.rows, keys, names)


def build(
    lake: Lake,
    table: str,
    key_column: str,
    snapshot: int,
    *,
    keystore: KeyStore,
    grant_id: str,
    actor: Actor,
    bucket_rows: int = BUCKET_ROWS,
) -> Layout:
    """Make and register the copy; the one that is there when somebody was quicker. The grant must open every column.

    Raises NotReady when the snapshot's files have a column under several keys, or are planned by somebody else.
    """
    with lake.database.read() as connection:
        files = plan.files_of(connection, table, snapshot)
    if files is None:
        raise NotReady("its snapshot was made by somebody else", where=table, do="build the table once more")
    schema, keys = lake.schema(table, snapshot), _keys(table, files)
    unique = uuid.uuid4().hex[:16]
    final = f"{FOLDER}/{table}/{key_column}/{snapshot}-{unique}"
    temporary = lake.root / FOLDER / f".{unique}.tmp"
    temporary.mkdir(parents=True)
    copy = _Copy(temporary, schema, keys, key_column + TOKEN_SUFFIX, keystore, grant_id)
    try:
        source = lake.scan(table, snapshot, [column.name for column in schema.columns], grant_id=grant_id)
        rows = copy.write(source, sum(file.file.rows for file in files), bucket_rows)
        crash_point("lake.serving_written")
        (lake.root / final).parent.mkdir(parents=True, exist_ok=True)
        temporary.rename(lake.root / final)
        _sync((lake.root / final).parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    crash_point("lake.serving_renamed")
    made = Layout(table, key_column, snapshot, final, rows, keys, {c.id: c.name for c in schema.columns})
    return _registered(lake, made, actor)


def remove_stale(lake: Lake, live: Mapping[str, int]) -> tuple[str, ...]:
    """Take away copies whose snapshot is not `live` (table -> snapshot) any more, and day-old ones that nobody
    registered; their paths.

    A reader that has one open goes on with it.
    """
    with lake.database.unit_of_work() as tx:
        rows = tx.execute(select(serving.c.id, serving.c.table_name, serving.c.snapshot, serving.c.path)).all()
        gone = [row for row in rows if live.get(row.table_name) != row.snapshot]
        for row in gone:
            tx.execute(delete(serving).where(serving.c.id == row.id))
    kept = {row.path for row in rows} - {row.path for row in gone}
    before = time.time() - _ORPHAN_SECONDS
    orphans = [
        path.relative_to(lake.root).as_posix()
        for path in (*(lake.root / FOLDER).glob("*/*/*"), *(lake.root / FOLDER).glob(".*.tmp"))
        if path.relative_to(lake.root).as_posix() not in kept and path.stat().st_mtime < before
    ]
    removed = sorted({*(row.path for row in gone), *orphans})
    for path in removed:
        shutil.rmtree(lake.root / path, ignore_errors=True)
    return tuple(removed)


class Points:
    """Reads rows by token from a copy, under one grant, which the caller has asked for `columns`. For one thread."""

    def __init__(self, lake: Lake, layout: Layout, *, keystore: KeyStore, grant_id: str) -> None:
        self._folder, self._layout = lake.root / layout.path, layout
        self._properties = decryptor(keystore, grant_id)
        self._encrypted = frozenset(layout.names[field] for field in layout.keys if field != FOOTER_ID)
        index = pq.read_table(self._folder / _INDEX)
        self._file, self._group, self._first, self._last = (
            index.column(name).to_numpy() for name in ("file", "group", "first", "last")
        )
        self._open: dict[tuple[int, bool], pq.ParquetFile] = {}
        self._schema = pq.read_schema(self._folder / _name(0))

    def rows(self, tokens: pa.Array, columns: Sequence[str]) -> pa.Table:
        """All rows with one of `tokens` (fixed_size_binary, without NULL): `columns`, the token column among them."""
        token = self._layout.token_column
        names = list(dict.fromkeys([*columns, token]))
        groups = self._candidates(_prefixes(tokens))
        parts = []
        for number in np.unique(self._file[groups]):
            inside = [int(group) for group in self._group[groups[self._file[groups] == number]]]
            file = self._parquet(int(number), decrypting=not self._encrypted.isdisjoint(names))
            read = file.read_row_groups(inside, columns=names, use_threads=False)
            parts.append(read.filter(pc.is_in(read.column(token), value_set=tokens)))
        return pa.concat_tables(parts) if parts else pa.schema([self._schema.field(n) for n in names]).empty_table()

    def _candidates(self, prefixes: _Numbers) -> npt.NDArray[np.int64]:
        """Positions in the index of every row group that may hold one of the tokens, sorted."""
        begins = np.searchsorted(self._last, prefixes, "left")
        lengths = np.searchsorted(self._first, prefixes, "right") - begins
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return np.unique(np.repeat(begins, lengths) + within)

    def _parquet(self, number: int, *, decrypting: bool) -> pq.ParquetFile:
        """The open file; clear columns are read without a key."""
        if (number, decrypting) not in self._open:
            options = {"decryption_properties": self._properties()} if decrypting else {}
            self._open[number, decrypting] = pq.ParquetFile(self._folder / _name(number), pre_buffer=False, **options)
        return self._open[number, decrypting]


class _Copy:
    """Writes one copy into a folder."""

    def __init__(
        self,
        folder: Path,
        schema: LakeSchema,
        keys: Mapping[int, str],
        token: str,
        keystore: KeyStore,
        grant_id: str,
    ) -> None:
        self._folder, self._token = folder, token
        self._schema = arrow_schema(schema)
        self._encryptor = self._properties = None
        if keys:
            columns: dict[KeyName, list[str]] = {}
            for column in schema.columns:
                if column.id in keys:
                    columns.setdefault(KeyName.parse(keys[column.id]), []).append(column.name)
            self._encryptor = Encryptor(keystore, footer=KeyName.parse(keys[FOOTER_ID]), columns=columns)
            self._properties = decryptor(keystore, grant_id)

    def write(self, source: pa.RecordBatchReader, rows: int, bucket_rows: int) -> int:
        """All buckets and the index; the number of rows that have a token."""
        bits = max(0, (max(rows, 1) - 1) // bucket_rows).bit_length()
        index: list[pa.Table] = []
        buckets = self._split(source, bits) if bits else iter([self._whole(source)])
        for bucket in buckets:
            ordered = bucket.take(pc.sort_indices(bucket.column(self._token)))
            self._bucket(len(index), ordered)
            index.append(_index(len(index), _prefixes(ordered.column(self._token).combine_chunks())))
        whole = pa.concat_tables(index)
        pq.write_table(whole, self._folder / _INDEX)
        _sync(self._folder / _INDEX)
        _sync(self._folder)
        return int(pc.sum(whole.column("rows")).as_py() or 0)

    def _whole(self, source: pa.RecordBatchReader) -> pa.Table:
        return pa.Table.from_batches([self._keyed(batch) for batch in source], schema=self._schema)

    def _split(self, source: pa.RecordBatchReader, bits: int) -> Iterator[pa.Table]:
        """The rows of each range of tokens, in their order; in between they lie in encrypted files."""
        paths = [self._folder / f"split-{number:03d}.parquet" for number in range(1 << bits)]
        writers = [self._writer(path) for path in paths]
        pending: list[pa.RecordBatch] = []
        for batch in source:
            pending.append(self._keyed(batch))
            if sum(part.num_rows for part in pending) >= _SPLIT_ROWS:
                self._distribute(pending, writers, bits)
                pending = []
        self._distribute(pending, writers, bits)
        for writer in writers:
            writer.close()
        for path in paths:
            options = {"decryption_properties": self._properties()} if self._properties else {}
            yield pq.ParquetFile(path, **options).read(use_threads=False)
            path.unlink()

    def _distribute(self, pending: Sequence[pa.RecordBatch], writers: Sequence[pq.ParquetWriter], bits: int) -> None:
        rows = pa.Table.from_batches(pending, schema=self._schema)
        ranges = _prefixes(rows.column(self._token).combine_chunks()) >> np.uint64(64 - bits)
        order = np.argsort(ranges, kind="stable")
        ends = np.searchsorted(ranges[order], np.arange(len(writers) + 1, dtype=np.uint64))
        for number, writer in enumerate(writers):
            if ends[number + 1] > ends[number]:
                writer.write_table(rows.take(pa.array(order[ends[number] : ends[number + 1]])))

    def _bucket(self, number: int, ordered: pa.Table) -> None:
        with self._writer(self._folder / _name(number)) as writer:
            writer.write_table(ordered, row_group_size=ROW_GROUP_ROWS)
        _sync(self._folder / _name(number))

    def _writer(self, path: Path) -> pq.ParquetWriter:
        options = {"encryption_properties": self._encryptor.properties()} if self._encryptor else {}
        return pq.ParquetWriter(
            path, self._schema, compression="lz4", use_dictionary=False, write_statistics=False, **options
        )

    def _keyed(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The rows that have a token, in the table's types."""
        arrays = [batch.column(field.name).cast(field.type) for field in self._schema]
        rows = pa.RecordBatch.from_arrays(arrays, schema=self._schema)
        return rows.filter(rows.column(self._token).is_valid())


def _keys(table: str, files: Sequence[plan.PlannedFile]) -> dict[int, str]:
    """Key name by encrypted field id over all files."""
    keys: dict[int, str] = {}
    for file in files:
        for field, name in file.keys.items():
            if keys.setdefault(field, name) != name:
                raise NotReady("a column lies under several keys", where=table, do="build the table once more")
    return keys


def _registered(lake: Lake, made: Layout, actor: Actor) -> Layout:
    folder, at = lake.root / made.path, lake.database.clock()
    size = sum(file.stat().st_size for file in folder.iterdir())
    try:
        with lake.database.unit_of_work() as tx:
            tx.execute(
                insert(serving).values(
                    table_name=made.table,
                    key_column=made.key_column,
                    snapshot=made.snapshot,
                    path=made.path,
                    rows=made.rows,
                    size_bytes=size,
                    encrypted=json.dumps({str(key): name for key, name in made.keys.items()}),
                    names=json.dumps({str(key): name for key, name in made.names.items()}),
                    recorded_at=at,
                )
            )
            facts: dict[str, Json] = {"table": made.table, "by": made.key_column, "rows": made.rows}
            facts["snapshot"] = str(made.snapshot)
            append(tx, "serving", facts, actor=actor, writer=lake.database.writer, at=at)
    except IntegrityError:
        with lake.database.read() as connection:
            there = find(connection, made.table, made.key_column, made.snapshot)
        shutil.rmtree(folder, ignore_errors=True)
        if there is None:
            raise
        return there
    return made


def _index(number: int, prefixes: _Numbers) -> pa.Table:
    """One row a row group: its file, position, first and last token (8 bytes of each, as numbers) and rows."""
    starts = np.arange(0, len(prefixes), ROW_GROUP_ROWS)
    ends = np.minimum(starts + ROW_GROUP_ROWS, len(prefixes))
    return pa.table(
        {
            "file": pa.array(np.full(len(starts), number, dtype=np.int32)),
            "group": pa.array(np.arange(len(starts), dtype=np.int32)),
            "first": pa.array(prefixes[starts]),
            "last": pa.array(prefixes[ends - 1] if len(starts) else prefixes),
            "rows": pa.array((ends - starts).astype(np.int64)),
        }
    )


def _prefixes(tokens: pa.Array) -> _Numbers:
    """The first 8 bytes of each token as a number that sorts like the token; `tokens` has no NULL."""
    data = np.frombuffer(tokens.buffers()[1] or b"", dtype=np.uint8)
    rows = data[tokens.offset * TOKEN_BYTES : (tokens.offset + len(tokens)) * TOKEN_BYTES].reshape(-1, TOKEN_BYTES)
    return np.ascontiguousarray(rows[:, :8]).view(">u8").reshape(-1).astype(np.uint64)


def _name(number: int) -> str:
    return f"bucket-{number:03d}.parquet"


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
