"""The scanner of lookups: one table at one snapshot for one subject and purpose, answering batches of keys until its
input ends.

It runs no user's text. Keys become domain tokens under a grant with a budget, tokens become rows of the serving layout;
then row filter on raw values, columns and masks, compiled exactly as `scanner` compiles them. One process serves one
session and is never given to another.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlglot

from governance.catalog.types import ColumnType
from governance.config import from_request
from governance.errors import Refused
from governance.keys import grants
from governance.keys.names import DigestKeyName, KeyStore
from governance.keys.open import open_keystore
from governance.keys.tokens import tokens
from governance.lake import serving, serving_copy
from governance.lake.lake import Lake
from governance.lake.stream import connect
from governance.lake.writer import FOOTER_ID
from governance.policy.lattice import Outcome
from governance.state.database import Database
from governance.state.values import Actor
from governance.use import consents
from governance.use.lookup_statement import ASKED, WANTED, Column, Standards, Statements
from governance.use.scanner import bind_ciphers, is_token, needed, tokenised

_AHEAD = 1_000
"""Keys that are taken off a grant's budget at a time: its own process alone uses it."""


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
    serving = _Serving(request)
    gc.freeze()  # what a session keeps is not looked through while somebody waits
    emit(serving.answers(inputs["asked"]))
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
        self._points = serving.Points(
            self._lake, self._layout, keystore=self._keystore, grant_id=request["grant"], before_opening=self._require
        )
        self._require(needed(self._columns, self._where))
        self._con = connect(replace(from_request(request["settings"]), threads=1))  # few rows: threads would only wait
        consents.bind(self._con, self._where, self._lake.database)
        self._purpose_key = DigestKeyName("purpose", request["purpose"])
        outcomes = (outcome for _, _, outcome in self._columns)
        bind_ciphers(self._con, outcomes, self._keystore, self._purpose_key, request["grant"])
        self._standards = Standards(self._con)
        self._statements = Statements(
            self._con,
            self._columns,
            self._where,
            token_column=self._layout.token_column,
            most_rows=request["most_rows"],
        )
        self._tokens_at = [at + 2 for at, (_, _, outcome) in enumerate(self._columns) if is_token(outcome)]

    def answers(self, asked: pa.RecordBatchReader) -> pa.RecordBatchReader:
        """One batch for each batch of `asked`."""
        empty = self._answered(pa.RecordBatch.from_pylist([], schema=ASKED))
        return pa.RecordBatchReader.from_batches(empty.schema, map(self._answered, asked))

    def _answered(self, asked: pa.RecordBatch) -> pa.RecordBatch:
        names = json.loads(asked.column("columns")[0].as_py()) if asked.num_rows else [c[0] for c in self._columns]
        columns = [column for column in self._columns if column[0] in names]
        wanted = self._wanted(asked)
        found = self._points.rows(wanted.column("__token").unique(), needed(columns, self._where))
        parts = _by_request(wanted) if self._statements.salted else [wanted]
        made = [self._restricted(found, part, columns) for part in parts]
        whole = pa.concat_tables(made).combine_chunks().to_batches()
        return whole[0] if whole else pa.RecordBatch.from_pylist([], schema=made[0].schema)

    def _wanted(self, asked: pa.RecordBatch) -> pa.Table:
        """`WANTED` of every key that has a token."""
        requests, keys, standard = self._standards.of(asked).combine_chunks().columns
        key, grant = DigestKeyName("domain", self._request["domain"]), self._request["keys_grant"]
        made = tokens(standard.combine_chunks(), keystore=self._keystore, key=key, grant_id=grant)
        return pa.table([requests, keys, made], schema=WANTED).filter(made.is_valid()).combine_chunks()

    def _restricted(self, found: pa.Table, wanted: pa.Table, columns: Sequence[Column]) -> pa.Table:
        """Filtered on raw values, joined with the keys, masked; columns that nobody asked for are NULL."""
        reader = self._statements.run([name for name, _, _ in columns], found, wanted)
        schema = reader.schema
        for at in self._tokens_at:
            schema = schema.set(at, pa.field(schema.field(at).name, pa.string()))
        made = tokenised(
            reader, schema, self._tokens_at, self._keystore, self._purpose_key, self._request["grant"], [0]
        )
        return pa.Table.from_batches(list(made), schema=schema)

    def _require(self, columns: Sequence[str]) -> None:
        require(self._lake, self._layout, columns, self._request["grant"])


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
    keystore = open_keystore(settings, database, ahead=_AHEAD)
    return Lake(settings, database, keystore), keystore


def _by_request(wanted: pa.Table) -> Iterator[pa.Table]:
    """One table a request, so that each has a salt of its own; an empty one when there is none."""
    requests = sorted(wanted.column("__request").unique().to_pylist())
    yield from (wanted.filter(pc.equal(wanted.column("__request"), number)) for number in requests)
    if not requests:
        yield wanted
