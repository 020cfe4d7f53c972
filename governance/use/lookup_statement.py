"""The one statement of a session of lookups, planned once: row filter on raw values, join with the keys, then masks.

Planning costs ten times what a few rows cost. So the statement is prepared over sources whose rows are exchanged between
executions (`Live`). Where a mask has a salt, each execution is planned anew: the salt is part of it. Rows that are so few
that no answer can be too long are joined before it (`_joined`): a join, a window and a sort cost as much as filter and masks.
"""

from __future__ import annotations

import secrets
import warnings
from collections.abc import Sequence

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlglot import exp

from governance.catalog.types import ColumnType
from governance.keys.tokens import TOKEN_BYTES, is_standard, sql_standard
from governance.policy.lattice import Outcome
from governance.use.scanner import is_token, selected

REQUEST, KEY = "_request", "_key"
ASKED = pa.schema([(REQUEST, pa.int32()), (KEY, pa.int32()), ("value", pa.string()), ("columns", pa.string())])
"""One group of requests: `_key` counts the keys of a request from 1, `columns` (a JSON list, in the first row alone) are
those that any of the requests reads.
"""
WANTED = pa.schema([("__request", pa.int32()), ("__key", pa.int32()), ("__token", pa.binary(TOKEN_BYTES))])
Column = tuple[str, ColumnType, Outcome]
STANDARD = pa.schema([("__request", pa.int32()), ("__key", pa.int32()), ("standard", pa.string())])
_MOST = 100
"""Statements that are kept; each is for other columns."""
_FEW = 64
"""So many keys are looked at one by one: DuckDB takes longer to begin."""


class Live:
    """An Arrow source of one schema that gives the rows it holds at the moment."""

    def __init__(self, schema: pa.Schema) -> None:
        self.rows = schema.empty_table()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self.rows.__arrow_c_stream__(requested_schema)


class Standards:
    """What standardises keys, prepared on `con`."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self._con, self._asked = con, Live(ASKED)
        con.register("asked", self._asked)
        columns = f"_request AS __request, _key AS __key, {sql_standard('value')} AS standard"
        con.execute(f"PREPARE standards AS SELECT {columns} FROM asked")  # noqa: S608

    def of(self, asked: pa.RecordBatch) -> pa.Table:
        """`STANDARD`: each key's standardised value."""
        if asked.num_rows <= _FEW and all(map(is_standard, asked.column("value").to_pylist())):
            return pa.table([asked.column(name) for name in (REQUEST, KEY, "value")], schema=STANDARD)
        self._asked.rows = pa.Table.from_batches([asked])
        made = _rows(self._con, "EXECUTE standards")
        self._asked.rows = ASKED.empty_table()
        return made


class Statements:
    """The statement for each choice of `columns`, on `con`; `found` is the schema of what is read for it."""

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        columns: Sequence[Column],
        where: exp.Expr | None,
        *,
        token_column: str,
        most_rows: int,
    ) -> None:
        self._con, self._columns, self._where = con, columns, where
        self._token_column, self._most_rows = token_column, most_rows
        self.salted = any(o.mask is not None and o.mask.kind == "sha-256-query-local" for _, _, o in columns)
        self._known: dict[tuple[bool, tuple[str, ...]], tuple[str, Live]] = {}
        self._wanted = Live(WANTED)
        con.register("wanted", self._wanted)

    def run(self, asked: Sequence[str], found: pa.Table, wanted: pa.Table) -> pa.RecordBatchReader:
        """`_request`, `_key` and every column of the session, NULL where it was not `asked`; in the order of the keys."""
        few = None if self.salted else _joined(found, wanted, self._token_column, self._most_rows)
        rows = found if few is None else few
        query, source = self._statement(few is not None, tuple(asked), rows.schema)
        source.rows, self._wanted.rows = rows, wanted
        try:
            made = _rows(self._con, query)
        finally:
            source.rows, self._wanted.rows = rows.schema.empty_table(), WANTED.empty_table()
        return (made if few is None else _in_order(made)).to_reader()

    def _statement(self, joined: bool, asked: tuple[str, ...], rows: pa.Schema) -> tuple[str, Live]:
        known = self._known.get((joined, asked))
        if known is not None:
            name, source = known
            return self._query(joined, asked, name) if self.salted else f"EXECUTE {name}_rows", source
        if len(self._known) >= _MOST:
            self._forget()
        name, source = f"found{len(self._known)}", Live(rows)
        self._con.register(name, source)
        if not self.salted:
            self._con.execute(f"PREPARE {name}_rows AS {self._query(joined, asked, name)}")
        self._known[joined, asked] = (name, source)
        return self._statement(joined, asked, rows)

    def _forget(self) -> None:
        for name, _ in self._known.values():
            if not self.salted:
                self._con.execute(f"DEALLOCATE {name}_rows")
            self._con.unregister(name)
        self._known.clear()

    def _query(self, joined: bool, asked: Sequence[str], source: str) -> str:
        salt = secrets.token_hex(32)
        shown = [selected(*column, salt=salt) if column[0] in asked else _nothing(column) for column in self._columns]
        inner = exp.select("*").from_(source)
        inner = inner.where(self._where) if self._where is not None else inner
        query = exp.select(exp.alias_("__request", REQUEST), exp.alias_("__key", KEY), *shown)
        query = query.from_(inner.subquery("source"))
        if joined:
            return query.sql("duckdb")
        token = exp.column(exp.to_identifier(self._token_column, quoted=True), table="source")
        query = (
            query.join(exp.to_table("wanted"), on=exp.EQ(this=token, expression=exp.column("__token", table="wanted")))
            .qualify(f"row_number() OVER (PARTITION BY __request) <= {self._most_rows + 1}", dialect="duckdb")
            .order_by("__request", "__key")
        )
        return query.sql("duckdb")


def _joined(found: pa.Table, wanted: pa.Table, token: str, most_rows: int) -> pa.Table | None:
    """The rows of each key in turn, with its `__request` and `__key`; None when they are more than one answer holds."""
    tokens = wanted.column("__token").unique()
    own, asked = (
        pc.index_in(column, value_set=tokens).to_numpy() for column in (found.column(token), wanted.column("__token"))
    )
    by_token = np.argsort(own, kind="stable")
    begins = np.searchsorted(own[by_token], asked, "left")
    lengths = np.searchsorted(own[by_token], asked, "right") - begins
    total = int(lengths.sum())
    if total > most_rows:
        return None
    key = np.repeat(np.arange(len(asked)), lengths)
    row = by_token[np.arange(total) - np.repeat(np.cumsum(lengths) - lengths, lengths) + begins[key]]
    rows = found.take(row)
    for name in ("__request", "__key"):
        rows = rows.append_column(WANTED.field(name), wanted.column(name).take(key))
    return rows


def _in_order(rows: pa.Table) -> pa.Table:
    """By request and key, as they nearly always are: what one thread filters stays in its order."""
    request, key = (rows.column(name).to_numpy().astype(np.int64) for name in (REQUEST, KEY))
    return (
        rows
        if (np.diff((request << 32) | key) >= 0).all()
        else rows.sort_by([(REQUEST, "ascending"), (KEY, "ascending")])
    )


def _rows(con: duckdb.DuckDBPyConnection, query: str) -> pa.Table:
    """All rows of a statement. `con.sql` would bind it once more before it runs, which costs more than a few rows do."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that the rows are copied once, which a few may be
        return con.execute(query).to_arrow_table()


def _nothing(column: Column) -> exp.Expr:
    name, kind, outcome = column
    made = exp.DataType.build("BLOB" if is_token(outcome) else kind.duckdb(), dialect="duckdb")
    return exp.alias_(exp.Cast(this=exp.null(), to=made), name, quoted=True)
