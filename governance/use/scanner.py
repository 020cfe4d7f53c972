"""The trusted scanner: one table at one snapshot, under one grant; row filter on raw values first, then columns, then
masks.

It runs in a process of its own and streams only what the subject may see. The user's statement never comes here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import sqlglot
from sqlglot import exp

from governance.catalog.types import TOKEN_SUFFIX, ColumnType
from governance.config import from_request
from governance.errors import Refused
from governance.keys.ciphers import DIGESTS, cipher_key
from governance.keys.names import DigestKeyName, KeyStore
from governance.keys.open import open_keystore
from governance.keys.tokens import TOKEN_BYTES, purpose_tokens
from governance.lake.lake import Lake
from governance.policy import ff1, masks
from governance.policy.lattice import Outcome
from governance.state.database import Database
from governance.use import consents
from governance.use.direct import SEEN
from governance.use.grouped import released_groups

BATCH_ROWS = 65_536
_CONFIG: Mapping[str, Any] = {"temp_directory": "", "enable_external_file_cache": False}
_NARROW = "narrow the statement by comparisons with constants, or ask for plain groups (docs/USE.md)"
_READY: list[duckdb.DuckDBPyConnection] = []
"""A connection, made while the process waited."""


def scan(
    request: dict[str, Any],
    inputs: Mapping[str, pa.RecordBatchReader],
    emit: Callable[[pa.RecordBatchReader], None],
) -> dict[str, Any]:
    """Request: `settings`, `table`, `snapshot`, `columns` ([name, kind, precision, scale, outcome]), `where` (a
    condition or ""), `grant`, `purpose`, `salt`, `memory_mb`; `grouped` (what `grouped.py` asks for) or `direct` (`sql`, `rows`:
    `direct.py`), else the rows are streamed as they are seen, and `narrowed` holds; `max_rows` of them, or all. Result: `rows`.
    """
    settings = from_request(request["settings"])
    database = Database(settings.database_url)
    keystore = open_keystore(settings, database)
    lake = Lake(settings, database, keystore)
    columns = [
        (name, ColumnType(kind, p, s), Outcome.parse(outcome)) for name, kind, p, s, outcome in request["columns"]
    ]
    where = sqlglot.parse_one(request["where"], dialect="duckdb") if request["where"] else None
    grouped, direct = request.get("grouped"), request.get("direct")
    with _connected(settings.threads, request["memory_mb"]) as con:
        read = needed(columns, where, grouped["identifiers"] if grouped else ())
        lake.bind(con, "source", request["table"], request["snapshot"], read, grant_id=request["grant"])
        consents.bind(con, where, database)
        key = DigestKeyName("purpose", request["purpose"])
        bind_ciphers(con, (outcome for _, _, outcome in columns), keystore, key, request["grant"])
        narrowed = request["narrowed"]
        sql = answered(columns, where, salt=request["salt"], grouped=grouped, direct=direct, narrowed=narrowed)
        try:
            reader = con.sql(sql).to_arrow_reader(BATCH_ROWS)
        except duckdb.OutOfMemoryException:
            raise Refused("the statement failed: memory", do="aggregate or narrow the statement") from None
        outcomes = {name: outcome for name, _, outcome in columns}
        left = direct["rows"] if direct else [] if grouped else [name for name, _, _ in columns]
        tokens = [at for at, name in enumerate(left) if is_token(outcomes[name])]
        schema = reader.schema
        for at in tokens:
            schema = schema.set(at, pa.field(schema.field(at).name, pa.string()))
        counted = [0]
        batches = tokenised(reader, schema, tokens, keystore, key, request["grant"], counted)
        if request["max_rows"] is not None:
            batches = _limited(batches, request["max_rows"], counted)
        emit(pa.RecordBatchReader.from_batches(schema, batches))
        return {"rows": counted[0]}


def prepare() -> None:
    """What waits in a pool has everything loaded before it is asked: modules, dialect, and a connection that nobody used."""
    import governance.keys.keyring
    import governance.lake.plain_files  # noqa: F401

    con = duckdb.connect(config=dict(_CONFIG))
    seen = answered([("a", ColumnType("string"), Outcome.parse("mask:phone"))], None, salt="")
    con.execute("CREATE TEMPORARY TABLE source AS SELECT '1' AS a")
    for _ in con.sql(seen).to_arrow_reader(1):
        pass
    con.execute("DROP TABLE source")
    _READY.append(con)


def answered(
    columns: Sequence[tuple[str, ColumnType, Outcome]],
    where: exp.Expr | None,
    *,
    salt: str,
    grouped: Mapping[str, Any] | None = None,
    direct: Mapping[str, Any] | None = None,
    narrowed: str = "",
) -> str:
    """The scanner's one statement, over the relation `source`: the rows as they are seen, those of them of which `narrowed` holds, or
    what is made of them.
    """
    query = exp.select(*(selected(*column, salt=salt) for column in columns)).from_("source")
    query = query.where(where) if where is not None else query
    if grouped:
        return _groups(query, grouped, columns).sql("duckdb")
    if not (direct or narrowed):
        return query.sql("duckdb")
    own = direct["sql"] if direct else f'SELECT * FROM "{SEEN}" WHERE {narrowed}'  # noqa: S608  (a condition of ours: direct.py)
    # inlined, so that columns and conditions go down to the files
    return f'WITH "{SEEN}" AS NOT MATERIALIZED ({query.sql("duckdb")}) {own}'


def needed(
    columns: Sequence[tuple[str, ColumnType, Outcome]], where: exp.Expr | None, identifiers: Sequence[str] = ()
) -> list[str]:
    """The table's columns that a scan reads: the token column instead of the field where a token is given, the
    filter's, and the token columns by which persons are counted.
    """
    read = [name + TOKEN_SUFFIX if is_token(outcome) else name for name, _, outcome in columns]
    filtered = [column.name for column in where.find_all(exp.Column)] if where is not None else []
    return list(dict.fromkeys([*read, *filtered, *identifiers]))


def selected(name: str, kind: ColumnType, outcome: Outcome, *, salt: str) -> exp.Expr:
    """The column as the subject has it, under its own name; of a token the domain's, which `tokenised` replaces."""
    column = exp.column(exp.to_identifier(name, quoted=True))
    if is_token(outcome):
        made: exp.Expr = exp.column(exp.to_identifier(name + TOKEN_SUFFIX, quoted=True))
    elif outcome.mask is not None:
        made = masks.expression(outcome.mask, column, kind, salt=salt)
    else:
        made = exp.cast(column, kind.duckdb(), dialect="duckdb")
    return exp.alias_(made, name, quoted=True)


def _connected(threads: int, memory_mb: int) -> duckdb.DuckDBPyConnection:
    con = _READY.pop() if _READY else duckdb.connect(config=dict(_CONFIG))
    con.execute(f"SET threads = {int(threads)}")
    con.execute(f"SET memory_limit = '{int(memory_mb)}MB'")
    return con


def _limited(batches: Iterator[pa.RecordBatch], max_rows: int, counted: list[int]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        if counted[0] > max_rows:
            raise Refused(f"more than {max_rows} rows", do=_NARROW)
        yield batch


def _groups(
    rows: exp.Select, grouped: Mapping[str, Any], columns: Sequence[tuple[str, ColumnType, Outcome]]
) -> exp.Select:
    """The released groups of `rows`, whose columns are as they are seen but for the aggregate-only ones, which are raw."""
    identifiers = [exp.column(exp.to_identifier(name, quoted=True)) for name in grouped["identifiers"]]
    closed = [name for name, _, outcome in columns if outcome.kind == "aggregate_only"]
    types = {name: kind for name, kind, _ in columns}
    return released_groups(rows.select(*identifiers), grouped, types, closed)


def is_token(outcome: Outcome) -> bool:
    """Whether the subject gets tokens of its purpose."""
    return outcome.mask is not None and outcome.mask.kind == "token"


def is_cipher(outcome: Outcome) -> bool:
    """Whether the subject gets ciphers (ff1) under a key of its purpose."""
    return outcome.mask is not None and outcome.mask.kind == "ff1"


def is_keyed(outcome: Outcome) -> bool:
    """Whether a scan needs the purpose's key for it."""
    return is_token(outcome) or is_cipher(outcome)


def bind_ciphers(
    con: duckdb.DuckDBPyConnection, outcomes: Iterable[Outcome], keystore: KeyStore, key: DigestKeyName, grant: str
) -> None:
    """Let `con` make the ciphers of a purpose, if any of `outcomes` is one; without it, a query with ff1 fails."""
    if any(map(is_cipher, outcomes)):
        ff1.make_function(con, cipher_key(keystore, key, grant))


def digests(outcomes: Iterable[Outcome], rows: int) -> int:
    """How many values a scan of `rows` takes off the budget of its purpose's key."""
    asked = tuple(outcomes)
    return rows * sum(map(is_token, asked)) + (DIGESTS if any(map(is_cipher, asked)) else 0)


def tokenised(
    reader: pa.RecordBatchReader,
    schema: pa.Schema,
    tokens: Sequence[int],
    keystore: KeyStore,
    key: DigestKeyName,
    grant: str,
    counted: list[int],
) -> Iterator[pa.RecordBatch]:
    """Batches with domain tokens replaced by the purpose's, as hex text."""
    for batch in reader:
        arrays = list(batch.columns)
        for at in tokens:
            arrays[at] = _hex(purpose_tokens(arrays[at], keystore=keystore, key=key, grant_id=grant))
        counted[0] += batch.num_rows
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _hex(values: pa.Array) -> pa.Array:
    """Fixed-size binary as lower-case hex text; NULL stays NULL."""
    rows = len(values)
    digits = bytes(values.buffers()[1])[: rows * TOKEN_BYTES].hex().encode("ascii")
    offsets = np.arange(rows + 1, dtype=np.int32) * (2 * TOKEN_BYTES)
    validity = values.buffers()[0]
    return pa.StringArray.from_buffers(rows, pa.py_buffer(offsets), pa.py_buffer(digits), validity)
