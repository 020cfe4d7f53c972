"""The worker of a record trace: finds the rows that the keys are of under the auditor's row filter, and names their
source rows. What leaves it are positions; keys come in, and no value goes out.

`trace` is the entry. It reads the published table for the rows, then the model's text, rewritten, over its pinned inputs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import sqlglot
from sqlglot import exp

from governance.config import from_request
from governance.develop.provenance_trees import PLAIN, PROVENANCE, SOURCES
from governance.errors import GovernanceError, Refused
from governance.keys.names import DigestKeyName, KeyStore
from governance.keys.open import open_keystore
from governance.keys.tokens import purpose_tokens, sql_standard, tokens
from governance.lake.lake import Lake
from governance.lake.stream import connect, reading_error
from governance.state.database import Database
from governance.use import consents

FOUND = pa.schema(
    [("key", pa.int32()), ("target", pa.int32()), ("s", pa.uint16()), ("b", pa.string()), ("r", pa.int64())]
)
"""One source row of one row (`target`, from 1) that one key (from 1) is of; b and r are NULL for a whole table."""


def trace(
    request: dict[str, Any],
    inputs: Mapping[str, pa.RecordBatchReader],
    emit: Callable[[pa.RecordBatchReader], None],
) -> dict[str, Any]:
    """Entry of the worker. Request: see `record_trace`. Input `keys`: one column (string) a part of the key. Emits FOUND.
    Result: that of `run`.
    """
    settings = from_request(request["settings"])
    database = Database(settings.database_url)
    keystore = open_keystore(settings, database)
    try:
        found, result = run(request, inputs["keys"].read_all(), Lake(settings, database, keystore), keystore)
    finally:
        database.close()
    emit(found.combine_chunks().to_reader())
    return result


def run(request: Mapping[str, Any], keys: pa.Table, lake: Lake, keystore: KeyStore) -> tuple[pa.Table, dict[str, Any]]:
    """FOUND, and: `targets` and `again`, the rows that were published and those that the text gave again; `digests` of
    keys that are tokens. In this process when nothing encrypted is read.
    """
    con = connect(from_request(request["settings"]))
    try:
        tracing = _Tracing(request, con, lake, keystore)
        parts = [tracing.of_key(n, key) for n, key in enumerate(keys.to_pylist(), 1)]
    except (duckdb.BinderException, duckdb.InternalException, duckdb.NotImplementedException):
        found, do = (
            "the engine cannot follow the rows of this model's text",
            "trace another column, or read gov lineage",
        )
        raise GovernanceError(found, where=request["table"], do=do) from None
    except duckdb.Error as error:
        raise reading_error(error, request["table"]) from None
    finally:
        con.close()
    found = pa.concat_tables([FOUND.empty_table(), *parts])
    return found, {"targets": tracing.targets, "again": tracing.again, "digests": tracing.digests}


class _Tracing:
    def __init__(
        self, request: Mapping[str, Any], con: duckdb.DuckDBPyConnection, lake: Lake, keystore: KeyStore
    ) -> None:
        self.request, self.con, self.lake, self.keystore = request, con, lake, keystore
        self.targets, self.again = 0, 0
        self.digests: list[str] = []
        self._where = sqlglot.parse_one(request["where"], dialect="duckdb") if request["where"] else None
        grant = request["grant"]
        columns = request["published"]
        self.lake.bind(self.con, "__published", request["table"], request["snapshot"], columns, grant_id=grant)
        consents.bind(self.con, self._where, lake.database)
        for schema in (SOURCES, PLAIN):
            self.con.execute(f"CREATE SCHEMA {schema}")
        for number, source in enumerate(request["sources"]):
            self._bind(number, source, request["source_grant"])

    def _bind(self, number: int, source: Mapping[str, Any], grant: str) -> None:
        """The two views of a source: columns that are read, NULLs for the others; with the row's own entry, and without."""
        there = {c.name.lower(): c.name for c in self.lake.schema(source["table"], source["snapshot"]).columns}
        reads = [there[c] for c in source["reads"] if c in there]
        name = f"__input_{number}"
        table, snapshot, current = source["table"], source["snapshot"], source["current"]
        if reads:
            self.lake.bind(self.con, name, table, snapshot, reads, grant_id=grant, current=current)
        else:
            rows = sum(file.rows for file in self.lake.files(table, snapshot, current=current))
            self.con.execute(f"CREATE VIEW {_quoted(name)} AS SELECT 1 AS one FROM range({rows})")  # noqa: S608 - a number
        parts = [
            f"{_quoted(there[c])} AS {_quoted(c)}" if there.get(c) in reads else f"CAST(NULL AS {kind}) AS {_quoted(c)}"
            for c, kind in source["columns"]
        ]
        place = ("_batch", "_row") if "_batch" in reads else ("NULL::VARCHAR", "NULL::BIGINT")
        entry = f"[{{'s': {number}::USMALLINT, 'b': {place[0]}, 'r': {place[1]}}}] AS {PROVENANCE}"
        for schema, extra in ((SOURCES, [entry]), (PLAIN, [])):
            shown = ", ".join([*parts, *extra])
            self.con.execute(f"CREATE VIEW {schema}.s{number} AS SELECT {shown} FROM {_quoted(name)}")  # noqa: S608

    def of_key(self, number: int, key: Mapping[str, str | None]) -> pa.Table:
        """FOUND of one key."""
        conditions, values = self._conditions(key)
        if conditions is None:
            return FOUND.empty_table()
        filtered = [f"({self._where.sql('duckdb')})"] if self._where is not None else []
        anchors = ", ".join(map(_quoted, self.request["anchors"])) or "1"
        most = self.request["most_rows"]
        sql = f"SELECT {anchors} FROM __published WHERE {' AND '.join([*conditions, *filtered])} LIMIT {most + 1}"  # noqa: S608
        rows = self.con.execute(sql, values).fetchall()
        if len(rows) > most:
            raise Refused(f"a key is of more than {most} rows", do="give a key that is of fewer")
        self.targets += len(rows)
        made = [FOUND.empty_table()]
        for row in dict.fromkeys(rows):
            made.append(self._sources(number, row, conditions, values, filtered))
        return pa.concat_tables(made)

    def _sources(
        self, number: int, row: Sequence[Any], conditions: Sequence[str], values: Sequence[Any], filtered: Sequence[str]
    ) -> pa.Table:
        """FOUND of the rows with these anchors, by the rewritten text."""
        own, given = list(conditions), list(values)
        for name, value in zip(self.request["anchors"], row, strict=False):
            own.append(f"{_quoted(name)} IS NULL" if value is None else f"{_quoted(name)} = ?")
            given += [] if value is None else [value]
        rows = f"SELECT {PROVENANCE} FROM ({self.request['sql']}) WHERE {' AND '.join([*own, *filtered])}"  # noqa: S608
        before = self.again
        numbered = f"SELECT row_number() OVER () + {before} AS target, {PROVENANCE} AS p FROM ({rows})"  # noqa: S608
        each = (
            f"SELECT target, unnest(CASE WHEN len(p) > 0 THEN list_distinct(p) ELSE [NULL] END) AS e FROM ({numbered})"  # noqa: S608
        )
        sql = f"SELECT {number}::INTEGER AS key, target::INTEGER AS target, e.s AS s, e.b AS b, e.r AS r FROM ({each})"  # noqa: S608
        found = self.con.sql(sql, params=given).to_arrow_table().cast(FOUND)
        self.again += len(found.column("target").unique())
        return found.filter(found.column("s").is_valid())

    def _conditions(self, key: Mapping[str, str | None]) -> tuple[list[str] | None, list[Any]]:
        """Conditions with a parameter each over the published columns; None for a key that no row can have."""
        conditions: list[str] = []
        values: list[Any] = []
        for part in self.request["by"]:
            text = key[part["field"]]
            if text is None:
                conditions.append(f"{_quoted(part['column'])} IS NULL")
                continue
            if part["how"] == "value":
                conditions.append(f"{_quoted(part['column'])} = TRY_CAST(? AS {part['type']})")
                values.append(text)
                continue
            token = self._token(part, text)
            if token is None:
                return None, []
            self.digests.append(hashlib.sha256(b"gov.trace\x00" + token).hexdigest())
            conditions.append(f"{_quoted(part['column'])} = ?")
            values.append(token)
        return conditions, values

    def _token(self, part: Mapping[str, Any], text: str) -> bytes | None:
        """The domain token of an identifier's value, or of the token that this purpose has of it."""
        grant = self.request["grant"]
        if part["how"] == "identifier":
            found = self.con.sql(f"SELECT {sql_standard('v')} FROM (SELECT ? AS v)", params=[text]).to_arrow_table()  # noqa: S608
            standard = found.column(0).combine_chunks()
            if standard.null_count:
                return None
            name = DigestKeyName("domain", part["domain"])
            made = tokens(standard, keystore=self.keystore, key=name, grant_id=grant)
            return bytes(made[0].as_py())
        try:
            shown = pa.scalar(bytes.fromhex(text), pa.binary())
        except ValueError:
            return None
        return self._of_purpose(part["column"], shown)

    def _of_purpose(self, column: str, shown: pa.Scalar) -> bytes | None:
        """The token in the table of which the purpose has `shown`: found by making the purpose's of all of them."""
        sql = f"SELECT {_quoted(column)} FROM __published WHERE {_quoted(column)} IS NOT NULL"  # noqa: S608
        name = DigestKeyName("purpose", self.request["purpose"])
        for batch in self.con.sql(sql).to_arrow_reader(65_536):
            made = purpose_tokens(batch.column(0), keystore=self.keystore, key=name, grant_id=self.request["grant"])
            at = pc.index(made.cast(pa.binary()), shown).as_py()
            if at >= 0:
                return bytes(batch.column(0)[at].as_py())
        return None


def _quoted(name: str) -> str:
    return exp.to_identifier(name, quoted=True).sql("duckdb")
