"""The scanner of lookups: one table at one snapshot for one subject and purpose, answering batches of keys until its
input ends.

It runs no user's text. Keys become domain tokens under a grant with a budget, tokens become rows of the serving layout;
then row filter on raw values, columns and masks, compiled exactly as `scanner` compiles them. One process serves one
session and is never given to another.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlglot
from sqlglot import exp

from governance.catalog.types import ColumnType
from governance.config import from_request
from governance.errors import Refused
from governance.keys import grants
from governance.keys.names import DigestKeyName, KeyStore
from governance.keys.open import open_keystore
from governance.keys.tokens import sql_hash, tokens
from governance.lake import serving, serving_copy
from governance.lake.lake import Lake
from governance.lake.stream import connect
from governance.lake.writer import FOOTER_ID
from governance.policy.lattice import Outcome
from governance.state.database import Database
from governance.state.values import Actor
from governance.use import consents
from governance.use.scanner import bind_ciphers, is_token, needed, selected, tokenised

REQUEST, KEY = "_request", "_key"
ASKED = pa.schema([(REQUEST, pa.int32()), (KEY, pa.int32()), ("value", pa.string()), ("columns", pa.string())])
"""One group of requests: `_key` counts the keys of a request from 1, `columns` (a JSON list, in the first row alone) are
those that any of the requests reads.
"""
Column = tuple[str, ColumnType, Outcome]
_HASHED = f"SELECT _request AS __request, _key AS __key, {sql_hash('value')} AS hash FROM asked"  # noqa: S608
_QUERIES = 100


def build(
    request: dict[str, Any],
    inputs: Mapping[str, pa.RecordBatchReader],
    emit: Callable[[pa.RecordBatchReader], None],
) -> dict[str, Any]:
    """Makes the serving layout. Request: `settings`, `table`, `by`, `snapshot`, `grant`, `actor`. Result: `rows`."""
    lake, keystore = opened(request)
    made = serving_copy.build(
        lake,
        request["table"],
        request["by"],
        request["snapshot"],
        keystore=keystore,
        grant_id=request["grant"],
        actor=Actor(*request["actor"]),
    )
    return {"rows": made.rows}


def serve(
    request: dict[str, Any],
    inputs: Mapping[str, pa.RecordBatchReader],
    emit: Callable[[pa.RecordBatchReader], None],
) -> dict[str, Any]:
    """Request: `settings`, `table`, `by`, `snapshot`, `columns` ([name, kind, precision, scale, outcome]), `where`,
    `grant`, `keys_grant`, `domain`, `purpose`, `most_rows`. Each batch of the input `asked` (`ASKED`) gives one batch:
    `_request`, `_key`, columns. A request that finds more than `most_rows` gets one row more than that.
    """
    emit(_Serving(request).answers(inputs["asked"]))
    return {}


class _Serving:
    def __init__(self, request: dict[str, Any]) -> None:
        self._lake, self._keystore = opened(request)
        self._columns: tuple[Column, ...] = tuple(
            (name, ColumnType(kind, p, s), Outcome.parse(outcome)) for name, kind, p, s, outcome in request["columns"]
        )
        where = request["where"]
        self._where = sqlglot.parse_one(where, dialect="duckdb") if where else None
        self._request = request
        self._layout = opened_layout(self._lake, request["table"], request["by"], request["snapshot"])
        read = needed(self._columns, self._where)
        require(self._lake, self._layout, read, request["grant"])
        self._queries: dict[tuple[str, ...], str] = {}
        self._points = serving.Points(self._lake, self._layout, keystore=self._keystore, grant_id=request["grant"])
        self._con = connect(from_request(request["settings"]))
        consents.bind(self._con, self._where, self._lake.database)
        key = DigestKeyName("purpose", request["purpose"])
        bind_ciphers(self._con, (outcome for _, _, outcome in self._columns), self._keystore, key, request["grant"])
        self._salted = any(o.mask is not None and o.mask.kind == "sha-256-query-local" for _, _, o in self._columns)

    def answers(self, asked: pa.RecordBatchReader) -> pa.RecordBatchReader:
        """One batch for each batch of `asked`."""
        empty = self._answered(pa.RecordBatch.from_pylist([], schema=ASKED))
        return pa.RecordBatchReader.from_batches(empty.schema, map(self._answered, asked))

    def _answered(self, asked: pa.RecordBatch) -> pa.RecordBatch:
        names = json.loads(asked.column("columns")[0].as_py()) if asked.num_rows else [c[0] for c in self._columns]
        columns = [column for column in self._columns if column[0] in names]
        wanted = self._wanted(asked)
        read = needed(columns, self._where)
        require(self._lake, self._layout, read, self._request["grant"])
        found = self._points.rows(wanted.column("__token").unique(), read)
        parts = _by_request(wanted) if self._salted else [wanted]
        made = [self._restricted(found, part, columns) for part in parts]
        batches = [batch for table in made for batch in table.to_batches()]
        whole = pa.Table.from_batches(batches, schema=made[0].schema).combine_chunks().to_batches()
        return whole[0] if whole else pa.RecordBatch.from_pylist([], schema=made[0].schema)

    def _wanted(self, asked: pa.RecordBatch) -> pa.Table:
        """`__request`, `__key`, `__token` of every key that has a token."""
        self._con.register("asked", pa.Table.from_batches([asked]))
        query = f"SELECT _request AS __request, _key AS __key, {sql_hash('value')} AS hash FROM asked"  # noqa: S608
        hashed = self._con.sql(query).to_arrow_table()
        self._con.unregister("asked")
        key, grant = DigestKeyName("domain", self._request["domain"]), self._request["keys_grant"]
        made = tokens(hashed.column("hash").combine_chunks(), keystore=self._keystore, key=key, grant_id=grant)
        return hashed.drop_columns(["hash"]).append_column("__token", made).filter(made.is_valid()).combine_chunks()

    def _restricted(self, found: pa.Table, wanted: pa.Table, columns: Sequence[Column]) -> pa.Table:
        """Filtered on raw values, joined with the keys, masked; columns that nobody asked for are NULL."""
        self._con.register("found", found)
        self._con.register("wanted", wanted)
        reader = self._con.sql(self._query([name for name, _, _ in columns])).to_arrow_reader(1 << 16)
        at = [number + 2 for number, (_, _, outcome) in enumerate(self._columns) if is_token(outcome)]
        schema = reader.schema
        for number in at:
            schema = schema.set(number, pa.field(schema.field(number).name, pa.string()))
        key = DigestKeyName("purpose", self._request["purpose"])
        batches = tokenised(reader, schema, at, self._keystore, key, self._request["grant"], [0])
        table = pa.Table.from_batches(list(batches), schema=schema)
        self._con.unregister("found")
        self._con.unregister("wanted")
        return table

    def _query(self, asked: Sequence[str]) -> str:
        """The statement over `found` and `wanted`; made once for the same columns, but anew where it has a salt."""
        known = self._queries.get(tuple(asked))
        if known is not None:
            return known
        salt = secrets.token_hex(32)
        shown = [selected(*column, salt=salt) if column[0] in asked else _nothing(column) for column in self._columns]
        token = exp.column(exp.to_identifier(self._layout.token_column, quoted=True), table="source")
        inner = exp.select("*").from_("found")
        inner = inner.where(self._where) if self._where is not None else inner
        most = self._request["most_rows"]
        query = (
            exp.select(exp.alias_("__request", REQUEST), exp.alias_("__key", KEY), *shown)
            .from_(inner.subquery("source"))
            .join(exp.to_table("wanted"), on=exp.EQ(this=token, expression=exp.column("__token", table="wanted")))
            .qualify(f"row_number() OVER (PARTITION BY __request) <= {most + 1}", dialect="duckdb")
            .order_by("__request", "__key")
        )
        made: str = query.sql("duckdb")
        if not self._salted and len(self._queries) < _QUERIES:
            self._queries[tuple(asked)] = made
        return made


def opened_layout(lake: Lake, table: str, by: str, snapshot: int) -> serving.Layout:
    """The registered layout; Refused when it was taken away meanwhile."""
    with lake.database.read() as connection:
        layout = serving.find(connection, table, by, snapshot)
    if layout is None:
        raise Refused("the snapshot is not published any more", where=table, do="ask again")
    return layout


def require(lake: Lake, layout: serving.Layout, columns: Sequence[str], grant: str) -> None:
    """Refused unless the grant opens these columns of the layout now: PyArrow would end the process over it."""
    ids = {field for field, name in layout.names.items() if name in columns}
    keys = {name for field, name in layout.keys.items() if field in ids or field == FOOTER_ID}
    with lake.database.read() as connection:
        grants.require(connection, grant, sorted(keys) if ids & set(layout.keys) else (), at=lake.database.clock())


def opened(request: Mapping[str, Any]) -> tuple[Lake, KeyStore]:
    """Lake and keystore of a request's `settings`."""
    settings = from_request(request["settings"])
    database = Database(settings.database_url)
    keystore = open_keystore(settings, database)
    return Lake(settings, database, keystore), keystore


def _by_request(wanted: pa.Table) -> Iterator[pa.Table]:
    """One table a request, so that each has a salt of its own; an empty one when there is none."""
    requests = wanted.column("__request").unique()
    yield from (wanted.filter(pc.equal(wanted.column("__request"), number)) for number in requests)
    if not len(requests):
        yield wanted


def _nothing(column: Column) -> exp.Expr:
    name, kind, outcome = column
    made = exp.DataType.build("BLOB" if is_token(outcome) else kind.duckdb(), dialect="duckdb")
    return exp.alias_(exp.Cast(this=exp.null(), to=made), name, quoted=True)
