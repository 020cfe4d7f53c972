"""The serving layout: a copy of one snapshot of a table for point reads, bucketed and sorted by an identifier's token.

    lake/_serving/<table>/<key column>/<snapshot>-<unique>/bucket-000.parquet ... index.parquet

Row groups are small, the index (first and last token of each) fits in memory, and every column that is encrypted in the
snapshot is encrypted here under the same key name: destroying a key closes both, and a right on one is a right on the
other. Rows without a token cannot be asked for and are left out. A copy is made whole under a temporary name, renamed,
then registered in the state (`serving`); what is not registered, or whose snapshot is not live, `remove_stale` takes
away. Nothing is ever written in the clear: a table that does not fit in memory is first split into buckets that are
encrypted like the copy itself. `serving_copy` makes it, `Points` reads it.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sqlalchemy import Connection, delete, select

from governance.catalog.types import TOKEN_SUFFIX
from governance.keys.names import KeyStore
from governance.keys.tokens import TOKEN_BYTES
from governance.lake.kms import decryptor
from governance.lake.lake import Lake
from governance.lake.writer import FOOTER_ID
from governance.state.tables_use import serving

FOLDER = "_serving"
INDEX = "index.parquet"
_ORPHAN_SECONDS = 86_400
Numbers = npt.NDArray[np.uint64]


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
    """Reads rows by token from a copy, under one grant. Files stay open, their footers decrypted. For one thread.

    `before_opening` is called with the columns before any of them is read of a file for the first time, and must raise
    when the grant does not open one: PyArrow ends the process over it.
    """

    def __init__(
        self,
        lake: Lake,
        layout: Layout,
        *,
        keystore: KeyStore,
        grant_id: str,
        before_opening: Callable[[Sequence[str]], None],
    ) -> None:
        self._folder, self._layout = lake.root / layout.path, layout
        self._properties = decryptor(keystore, grant_id)
        self._encrypted = frozenset(layout.names[field] for field in layout.keys if field != FOOTER_ID)
        index = pq.read_table(self._folder / INDEX)
        self._file, self._group, self._first, self._last = (
            index.column(name).to_numpy() for name in ("file", "group", "first", "last")
        )
        self._before_opening = before_opening
        self._open: dict[tuple[int, bool], pq.ParquetFile] = {}
        self._read: set[tuple[int, frozenset[str]]] = set()
        self._schema = pq.read_schema(self._folder / bucket_name(0))

    def rows(self, tokens: pa.Array, columns: Sequence[str]) -> pa.Table:
        """All rows with one of `tokens` (fixed_size_binary, without NULL): `columns`, the token column among them."""
        token = self._layout.token_column
        names = list(dict.fromkeys([*columns, token]))
        groups = self._candidates(prefixes(tokens))
        parts = []
        for number in np.unique(self._file[groups]):
            inside = [int(group) for group in self._group[groups[self._file[groups] == number]]]
            file = self._parquet(int(number), names)
            read = file.read_row_groups(inside, columns=names, use_threads=False)
            parts.append(read.filter(pc.is_in(read.column(token), value_set=tokens)))
        empty = pa.schema([self._schema.field(name) for name in names]).empty_table()
        return pa.concat_tables(parts).combine_chunks() if parts else empty

    def _candidates(self, prefixes: Numbers) -> npt.NDArray[np.int64]:
        """Positions in the index of every row group that may hold one of the tokens, sorted."""
        begins = np.searchsorted(self._last, prefixes, "left")
        lengths = np.searchsorted(self._first, prefixes, "right") - begins
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return np.unique(np.repeat(begins, lengths) + within)

    def _parquet(self, number: int, names: Sequence[str]) -> pq.ParquetFile:
        """The open file; clear columns are read without a key."""
        encrypted = self._encrypted & frozenset(names)
        if encrypted and (number, encrypted) not in self._read:
            self._before_opening(names)
            self._read.add((number, encrypted))
        decrypting = bool(encrypted)
        if (number, decrypting) not in self._open:
            options = {"decryption_properties": self._properties()} if decrypting else {}
            path = self._folder / bucket_name(number)
            self._open[number, decrypting] = pq.ParquetFile(path, pre_buffer=False, **options)
        return self._open[number, decrypting]


def prefixes(tokens: pa.Array) -> Numbers:
    """The first 8 bytes of each token as a number that sorts like the token; `tokens` has no NULL."""
    data = np.frombuffer(tokens.buffers()[1] or b"", dtype=np.uint8)
    rows = data[tokens.offset * TOKEN_BYTES : (tokens.offset + len(tokens)) * TOKEN_BYTES].reshape(-1, TOKEN_BYTES)
    return np.ascontiguousarray(rows[:, :8]).view(">u8").reshape(-1).astype(np.uint64)


def bucket_name(number: int) -> str:
    """File name of a bucket."""
    return f"bucket-{number:03d}.parquet"
