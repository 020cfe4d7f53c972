"""Makes the serving layout of a snapshot (`serving`): rows by ranges of tokens, sorted, in small row groups, encrypted."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from governance.catalog.types import TOKEN_SUFFIX
from governance.errors import NotReady
from governance.keys.names import KeyName, KeyStore
from governance.lake import plan
from governance.lake.kms import Encryptor, decryptor
from governance.lake.lake import Lake
from governance.lake.schema import LakeSchema, arrow_schema
from governance.lake.serving import FOLDER, INDEX, Layout, Numbers, bucket_name, find, prefixes
from governance.lake.writer import FOOTER_ID, sync
from governance.ledger.entry import Json, append
from governance.state.crash import crash_point
from governance.state.tables_use import serving
from governance.state.values import Actor

ROW_GROUP_ROWS = 2_048
BUCKET_ROWS = 1 << 19
_SPLIT_ROWS = 1 << 18
_THREADS = 2
_TURNS = 32


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
        sync((lake.root / final).parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    crash_point("lake.serving_renamed")
    made = Layout(table, key_column, snapshot, final, rows, keys, {c.id: c.name for c in schema.columns})
    return _registered(lake, made, actor)


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
        if bits:
            with ThreadPoolExecutor(_THREADS, "serving-copy") as pool:
                self._split(source, bits, pool)
                index = list(pool.map(self._bucket_of_split, range(1 << bits)))
        else:
            index = [self._bucket(0, pa.Table.from_batches(map(self._keyed, source), schema=self._schema))]
        whole = pa.concat_tables(index)
        pq.write_table(whole, self._folder / INDEX)
        sync(self._folder / INDEX)
        sync(self._folder)
        return int(pc.sum(whole.column("rows")).as_py() or 0)

    def _split(self, source: pa.RecordBatchReader, bits: int, pool: ThreadPoolExecutor) -> None:
        """The rows of each range of tokens, in encrypted files. While some are written the next are read."""
        pending: list[pa.RecordBatch] = []
        beside: Future[None] | None = None
        splits = _Splits(1 << bits, self._split_writer)
        for batch in source:
            pending.append(self._keyed(batch))
            if sum(part.num_rows for part in pending) >= _SPLIT_ROWS:
                if beside is not None:
                    beside.result()
                beside, pending = pool.submit(self._distribute, pending, splits, bits), []
        if beside is not None:
            beside.result()
        self._distribute(pending, splits, bits)
        splits.close()

    def _split_writer(self, generation: int, number: int) -> pq.ParquetWriter:
        return self._writer(self._folder / f"split-{number:03d}-{generation}.parquet")

    def _bucket_of_split(self, number: int) -> pa.Table:
        parts = []
        for path in sorted(self._folder.glob(f"split-{number:03d}-*.parquet")):
            options = {"decryption_properties": self._properties()} if self._properties else {}
            parts.append(pq.ParquetFile(path, **options).read(use_threads=False))
            path.unlink()
        return self._bucket(number, pa.concat_tables(parts))

    def _distribute(self, pending: Sequence[pa.RecordBatch], splits: _Splits, bits: int) -> None:
        rows = pa.Table.from_batches(pending, schema=self._schema).combine_chunks()  # else each take would combine them
        ranges = prefixes(rows.column(self._token).combine_chunks()) >> np.uint64(64 - bits)
        order = np.argsort(ranges, kind="stable")
        ends = np.searchsorted(ranges[order], np.arange((1 << bits) + 1, dtype=np.uint64))
        ordered = rows.take(pa.array(order))
        for number, writer in enumerate(splits.writers()):
            if ends[number + 1] > ends[number]:
                writer.write_table(ordered.slice(ends[number], ends[number + 1] - ends[number]))

    def _bucket(self, number: int, rows: pa.Table) -> pa.Table:
        """Write one bucket, sorted; its part of the index."""
        ordered = rows.combine_chunks().take(pc.sort_indices(rows.column(self._token)))
        with self._writer(self._folder / bucket_name(number)) as writer:
            writer.write_table(ordered, row_group_size=ROW_GROUP_ROWS)
        sync(self._folder / bucket_name(number))
        return _index(number, prefixes(ordered.column(self._token).combine_chunks()))

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


class _Splits:
    """Writers of the ranges. A writer keeps what it says of each row group in memory until its end, so after some turns
    there are new ones.
    """

    def __init__(self, count: int, open_writer: Callable[[int, int], pq.ParquetWriter]) -> None:
        self._count, self._open_writer, self._turns = count, open_writer, 0
        self._writers: list[pq.ParquetWriter] = []

    def writers(self) -> Sequence[pq.ParquetWriter]:
        """One a range, for one more turn."""
        if self._turns % _TURNS == 0:
            self.close()
            self._writers = [self._open_writer(self._turns // _TURNS, number) for number in range(self._count)]
        self._turns += 1
        return self._writers

    def close(self) -> None:
        for writer in self._writers:
            writer.close()
        self._writers = []


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


def _index(number: int, prefixes: Numbers) -> pa.Table:
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
