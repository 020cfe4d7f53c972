"""The one statement of a session of lookups, planned once: row filter on raw values, join with the keys, then masks.

Planning costs ten times what a few rows cost. So the statement is prepared over sources whose rows are exchanged between
executions (`Live`). Where a mask has a salt, each execution is planned anew: the salt is part of it.
"""

from __future__ import annotations

import secrets
import warnings
from collections.abc import Sequence

import duckdb
import pyarrow as pa
from sqlglot import exp

from governance.catalog.types import ColumnType
from governance.keys.tokens import TOKEN_BYTES, sql_hash
from governance.policy.lattice import Outcome
from governance.use.scanner import is_token, selected

REQUEST, KEY = "_request", "_key"
ASKED = pa.schema([(REQUEST, pa.int32()), (KEY, pa.int32()), ("value", pa.string()), ("columns", pa.string())])
"""One group of requests: `_key` counts the keys of a request from 1, `columns` (a JSON list, in the first row alone) are
those that any of the requests reads.
"""
WANTED = pa.schema([("__request", pa.int32()), ("__key", pa.int32()), ("__token", pa.binary(TOKEN_BYTES))])
Column = tuple[str, ColumnType, Outcome]
_MOST = 100
"""Statements that are kept; each is for other columns."""


class Live:
    """An Arrow source of one schema that gives the rows it holds at the moment."""

    def __init__(self, schema: pa.Schema) -> None:
        self.rows = schema.empty_table()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self.rows.__arrow_c_stream__(requested_schema)


class Hashes:
    """What makes the hashes of keys, prepared on `con`."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self._con, self._asked = con, Live(ASKED)
        con.register("asked", self._asked)
        columns = f"_request AS __request, _key AS __key, {sql_hash('value')} AS hash"
        con.execute(f"PREPARE hashes AS SELECT {columns} FROM asked")  # noqa: S608

    def of(self, asked: pa.RecordBatch) -> pa.Table:
        """`__request`, `__key` and the hash of each key."""
        self._asked.rows = pa.Table.from_batches([asked])
        made = _rows(self._con, "EXECUTE hashes")
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
        self._known: dict[tuple[str, ...], tuple[str, Live]] = {}
        self._wanted = Live(WANTED)
        con.register("wanted", self._wanted)

    def run(self, asked: Sequence[str], found: pa.Table, wanted: pa.Table) -> pa.RecordBatchReader:
        """`_request`, `_key` and every column of the session, NULL where it was not `asked`; in the order of the keys."""
        query, source = self._statement(tuple(asked), found.schema)
        source.rows, self._wanted.rows = found, wanted
        try:
            rows = _rows(self._con, query)
        finally:
            source.rows, self._wanted.rows = found.schema.empty_table(), WANTED.empty_table()
        return rows.to_reader()

    def _statement(self, asked: tuple[str, ...], found: pa.Schema) -> tuple[str, Live]:
        known = self._known.get(asked)
        if known is not None:
            return (self._query(asked, known[0]), known[1]) if self.salted else (f"EXECUTE {known[0]}_rows", known[1])
        if len(self._known) >= _MOST:
            self._forget()
        name, source = f"found{len(self._known)}", Live(found)
        self._con.register(name, source)
        if not self.salted:
            self._con.execute(f"PREPARE {name}_rows AS {self._query(asked, name)}")
        self._known[asked] = (name, source)
        return self._statement(asked, found)

    def _forget(self) -> None:
        for name, _ in self._known.values():
            if not self.salted:
                self._con.execute(f"DEALLOCATE {name}_rows")
            self._con.unregister(name)
        self._known.clear()

    def _query(self, asked: Sequence[str], source: str) -> str:
        salt = secrets.token_hex(32)
        shown = [selected(*column, salt=salt) if column[0] in asked else _nothing(column) for column in self._columns]
        token = exp.column(exp.to_identifier(self._token_column, quoted=True), table="source")
        inner = exp.select("*").from_(source)
        inner = inner.where(self._where) if self._where is not None else inner
        query = (
            exp.select(exp.alias_("__request", REQUEST), exp.alias_("__key", KEY), *shown)
            .from_(inner.subquery("source"))
            .join(exp.to_table("wanted"), on=exp.EQ(this=token, expression=exp.column("__token", table="wanted")))
            .qualify(f"row_number() OVER (PARTITION BY __request) <= {self._most_rows + 1}", dialect="duckdb")
            .order_by("__request", "__key")
        )
        return query.sql("duckdb")


def _rows(con: duckdb.DuckDBPyConnection, query: str) -> pa.Table:
    """All rows of a statement. `con.sql` would bind it once more before it runs, which costs more than a few rows do."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that the rows are copied once, which a few may be
        return con.execute(query).to_arrow_table()


def _nothing(column: Column) -> exp.Expr:
    name, kind, outcome = column
    made = exp.DataType.build("BLOB" if is_token(outcome) else kind.duckdb(), dialect="duckdb")
    return exp.alias_(exp.Cast(this=exp.null(), to=made), name, quoted=True)
