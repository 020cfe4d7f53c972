"""Versions of a dataset that keeps them: which keys are new, changed, gone, held or the same, and the rows that follow from it.

A version is the multiset of the rows of one key. It is compared by keyed digests: no old value is decrypted for that. A batch writes every
present row anew into files of the partition `_current=true`, with the instants of a version that stayed the same; what it closes goes to
`_current=false`. So readers of the present open the files of one batch, and history is never rewritten.

    same                -> present row, `_valid_from` and `_recorded_at` of before
    new, changed        -> present row, valid from the end of the batch's window; the old rows of a changed key are closed
    gone                -> old rows closed (`snapshot_diff`; an `upsert` says nothing of absent keys: they are carried along)
    a row set aside     -> the old rows of its key that no passed row repeats stay, marked held
    an unknowable key   -> (unparsed line, NULL or unconverted key) absent keys are held: the batch closes none of them
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from governance.catalog.types import Dataset
from governance.lake.stream import batches
from governance.store.lookups import Lookups
from governance.store.parsers.relation import quoted
from governance.store.plan import DIGEST, LOW_64, halves, key_hash, whole

BATCH_ROWS = 122_880
KEY = "__key"
OLD_FROM, OLD_RECORDED = "__old_from", "__old_recorded"
OLD_COLUMNS = ("_rowdigest", "_row", "_valid_from", "_recorded_at")

_MULTISET = f"count(*) AS n, sum(CAST(md5_number(d) & {LOW_64} AS UBIGINT)) AS s"


@dataclass(slots=True)
class Versions:
    """One batch against the rows before it. `con` holds hashes and digests only; the salt is this pass's."""

    dataset: Dataset
    con: duckdb.DuckDBPyConnection
    salt: str
    valid_from: datetime
    recorded_at: datetime
    unknowable: int = 0
    """Set-aside rows and unparsed lines whose key nobody can tell."""
    _aside: list[pa.RecordBatch] = field(default_factory=list)

    def key_columns(self) -> tuple[str, ...]:
        """Columns of the stored table that identify a row: tokens where there are some."""
        return tuple(f.token_name or f.name for f in self.dataset.key)

    def load_new(self, rows: pa.RecordBatchReader) -> None:
        """All typed rows of the batch: keys and DIGEST. Identical rows count once where the contract declares them duplicates."""
        self.con.register("new_rows", rows)
        distinct = "DISTINCT " if self.dataset.deduplicate == "identical" else ""
        self.con.execute(
            f"CREATE OR REPLACE TEMP TABLE new AS SELECT {distinct}{self._hash()} AS k, {DIGEST} AS d FROM new_rows"  # noqa: S608
        )
        self.con.unregister("new_rows")

    def load_old(self, rows: pa.RecordBatchReader | None) -> None:
        """The present rows before the batch: keys and OLD_COLUMNS; None when there are none."""
        self.con.execute(
            "CREATE OR REPLACE TEMP TABLE old (k UHUGEINT, d BLOB, position BIGINT, valid_from TIMESTAMP, recorded_at TIMESTAMP)"
        )
        if rows is not None:
            self.con.register("old_rows", rows)
            self.con.execute(
                f"INSERT INTO old SELECT {self._hash()}, _rowdigest, _row, _valid_from, _recorded_at FROM old_rows"  # noqa: S608
            )
            self.con.unregister("old_rows")
        self.con.execute(_COMPARE)

    def join(self, lookups: Lookups) -> tuple[str, tuple[str, ...]]:
        """The join that gives a row of the main pass the instants of its unchanged version, and the columns that come of it."""
        same = self.con.sql(
            f"SELECT {halves('k', KEY)}, valid_from, recorded_at FROM compared WHERE status = 'same'"  # noqa: S608
        ).to_arrow_reader(BATCH_ROWS)
        lookups.con.register("same", same)
        lookups.con.execute(
            f"CREATE OR REPLACE TEMP TABLE versions AS SELECT {whole(KEY)} AS __k, valid_from AS __from, recorded_at AS __recorded FROM same"  # noqa: S608
        )
        lookups.con.unregister("same")
        hashed = self._hash("src.")
        columns = (
            f"versions.__from AS {OLD_FROM}",
            f"versions.__recorded AS {OLD_RECORDED}",
            halves(hashed, KEY),
        )
        return f"LEFT JOIN versions ON versions.__k = {hashed}", columns

    def present(self, judged: pa.RecordBatch, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Passed rows with their version columns."""
        columns = dict(zip(rows.schema.names, rows.columns, strict=True))
        columns["_rowdigest"] = judged.column(DIGEST)
        columns["_valid_from"] = pc.coalesce(judged.column(OLD_FROM), _instant(self.valid_from))
        columns["_valid_to"] = pa.nulls(rows.num_rows, pa.timestamp("us"))
        columns["_recorded_at"] = pc.coalesce(judged.column(OLD_RECORDED), _instant(self.recorded_at))
        columns["_current"] = pa.repeat(pa.scalar(True), rows.num_rows)
        columns["_held"] = pa.repeat(pa.scalar(False), rows.num_rows)
        return pa.RecordBatch.from_pydict(columns)

    def set_aside(self, judged: pa.RecordBatch) -> None:
        """Remember the keys of quarantined rows."""
        known = None
        for name in self.key_columns():
            there = judged.column(name).is_valid()
            known = there if known is None else pc.and_(known, there)
        self.unknowable += judged.num_rows - (known.true_count if known is not None else 0)
        self._aside.append(judged.select([f"{KEY}_low", f"{KEY}_high", DIGEST]))

    def settle(self, *, unparsed: int) -> dict[str, int]:
        """Decide the fate of every old row; keys by what became of them: new, changed, gone, held, same."""
        self.unknowable += unparsed
        schema = pa.schema([(f"{KEY}_low", pa.uint64()), (f"{KEY}_high", pa.uint64()), (DIGEST, pa.binary())])
        self.con.register(
            "set_aside", pa.Table.from_batches(self._aside, schema=schema) if self._aside else schema.empty_table()
        )
        self.con.execute(
            f"CREATE OR REPLACE TEMP TABLE aside AS SELECT {whole(KEY)} AS k, {DIGEST} AS d FROM set_aside"  # noqa: S608
        )
        self.con.unregister("set_aside")
        absent = "carry" if self.dataset.load_mode == "upsert" else "hold" if self.unknowable else "close"
        self.con.execute(_FATES, {"absent": absent})
        counted = dict(self.con.execute(_CHANGES).fetchall())
        return {name: int(counted.get(name, 0)) for name in ("new", "changed", "gone", "held", "same")}

    @property
    def touches_old(self) -> bool:
        """Whether rows of before have to be read again, to close, hold or carry them."""
        return bool(self.con.execute("SELECT count(*) FROM fates").fetchall()[0][0])

    def old_rows(self, rows: pa.RecordBatchReader, con: duckdb.DuckDBPyConnection) -> Iterator[pa.RecordBatch]:
        """The rows of before that this batch closes, holds or carries, as the table keeps them. `con` sees values: it must not spill."""
        fates = self.con.sql(f"SELECT {halves('k', KEY)}, d, fate, keep FROM fates").to_arrow_reader(BATCH_ROWS)  # noqa: S608
        con.register("fates_given", fates)
        con.execute(f"CREATE OR REPLACE TEMP TABLE fates AS SELECT {whole(KEY)} AS k, d, fate, keep FROM fates_given")  # noqa: S608
        con.unregister("fates_given")
        con.register("old_rows", rows)
        names = [quoted(name) for name in rows.schema.names if name not in ("_valid_to", "_current", "_held")]
        until = f"TIMESTAMP '{self.valid_from.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}'"
        hashed = self._hash("o.")
        query = f"""
            SELECT {", ".join(f"o.{name}" for name in names)},
                   CASE WHEN f.fate = 'close' THEN {until} END AS _valid_to,
                   f.fate <> 'close' AS _current,
                   f.fate = 'hold' OR (f.fate = 'carry' AND o._held) AS _held
            FROM old_rows AS o JOIN fates AS f ON f.k = {hashed} AND f.d = o._rowdigest
            WHERE f.keep IS NULL OR list_contains(f.keep, o._row)
        """  # noqa: S608
        yield from batches(con.sql(query).to_arrow_reader(BATCH_ROWS))

    def _hash(self, prefix: str = "") -> str:
        return key_hash([prefix + quoted(name) for name in self.key_columns()], self.salt, nulls=True)


def _instant(value: datetime) -> pa.Scalar:
    return pa.scalar(value.astimezone(UTC).replace(tzinfo=None), pa.timestamp("us"))


_COMPARE = f"""
    CREATE OR REPLACE TEMP TABLE compared AS
    WITH n AS (SELECT k, {_MULTISET} FROM new GROUP BY k),
         o AS (SELECT k, {_MULTISET}, max(valid_from) AS valid_from, max(recorded_at) AS recorded_at FROM old GROUP BY k)
    SELECT coalesce(n.k, o.k) AS k,
           CASE WHEN o.k IS NULL THEN 'new' WHEN n.k IS NULL THEN 'absent'
                WHEN n.n = o.n AND n.s = o.s THEN 'same' ELSE 'changed' END AS status,
           o.valid_from, o.recorded_at
    FROM n FULL JOIN o ON n.k = o.k
"""  # noqa: S608

_FATES = """
    CREATE OR REPLACE TEMP TABLE fates AS
    WITH held AS (SELECT DISTINCT k FROM aside),
         passed AS (
             SELECT k, d, sum(n) AS n FROM (
                 SELECT k, d, 1 AS n FROM new WHERE k IN (SELECT k FROM held)
                 UNION ALL SELECT k, d, -1 FROM aside
             ) GROUP BY k, d
         ),
         before AS (SELECT k, d, count(*) AS n, list(position ORDER BY position) AS positions FROM old GROUP BY k, d)
    SELECT b.k, b.d,
           CASE WHEN h.k IS NOT NULL THEN 'hold' WHEN c.status = 'absent' THEN $absent ELSE 'close' END AS fate,
           CASE WHEN h.k IS NOT NULL AND p.n > 0 THEN b.positions[:b.n - p.n] END AS keep
    FROM before AS b JOIN compared AS c ON c.k = b.k
         LEFT JOIN held AS h ON h.k = b.k
         LEFT JOIN passed AS p ON p.k = b.k AND p.d = b.d
    WHERE c.status IN ('absent', 'changed') OR (h.k IS NOT NULL AND b.n > coalesce(p.n, 0))
"""

_CHANGES = """
    WITH held AS (SELECT DISTINCT k FROM aside),
         kept AS (SELECT DISTINCT k FROM fates WHERE fate = 'hold'),
         opened AS (
             SELECT k FROM (SELECT k, 1 AS n FROM new WHERE k IN (SELECT k FROM held) UNION ALL SELECT k, -1 FROM aside)
             GROUP BY k HAVING sum(n) > 0
         )
    SELECT CASE WHEN status = 'new' THEN 'new'
                WHEN k IN (SELECT k FROM kept) OR k IN (SELECT k FROM held) THEN 'held'
                WHEN status = 'absent' THEN (CASE WHEN k IN (SELECT k FROM fates WHERE fate = 'carry') THEN 'same' ELSE 'gone' END)
                ELSE status END AS change, count(*)
    FROM compared
    WHERE status <> 'new' OR k NOT IN (SELECT k FROM held) OR k IN (SELECT k FROM opened)
    GROUP BY change
"""
