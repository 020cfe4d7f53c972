"""The trusted scanner of a quarantine: a process of its own that streams a patch file's rows, as text, and only what the subject may see."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import sqlglot
from sqlglot import exp

from governance.catalog.types import TOKEN_SUFFIX, ColumnType
from governance.config import from_request
from governance.keys.names import DigestKeyName, KeyStore
from governance.keys.open import open_keystore
from governance.keys.tokens import purpose_tokens
from governance.lake.lake import Lake
from governance.lake.reader import quoted
from governance.manage.items import KEY
from governance.manage.patch import MASKED
from governance.manage.patch_cells import written
from governance.policy import masks
from governance.policy.lattice import Outcome
from governance.state.database import Database
from governance.use.scanner import bind_ciphers

BATCH_ROWS = 65_536


def scan(
    request: dict[str, Any],
    inputs: Mapping[str, pa.RecordBatchReader],
    emit: Callable[[pa.RecordBatchReader], None],
) -> dict[str, Any]:
    """Request: as `use.scanner.scan`, and `reads`, the table's columns that the grant opens. Result: nothing."""
    settings = from_request(request["settings"])
    database = Database(settings.database_url)
    keystore = open_keystore(settings, database)
    lake = Lake(settings, database, keystore)
    config = {"threads": settings.threads, "memory_limit": f"{request['memory_mb']}MB", "temp_directory": ""}
    with duckdb.connect(config=config) as con:
        reads = list(dict.fromkeys([*request["reads"], "_batch", "_row", "_reasons", "_state"]))
        lake.bind(con, "source", request["table"], request["snapshot"], reads, grant_id=request["grant"])
        key = DigestKeyName("purpose", request["purpose"])
        outcomes = [Outcome.parse(outcome) for *_, outcome in request["columns"]]
        bind_ciphers(con, outcomes, keystore, key, request["grant"])
        reader = con.sql(_query(request, reads)).to_arrow_reader(BATCH_ROWS)
        tokens = [name for name, *_, outcome in request["columns"] if outcome == "mask:token"]
        schema = pa.schema([(f.name, pa.string()) for f in reader.schema])
        made = _tokenised(reader, schema, [n + MASKED for n in tokens], keystore, key, request["grant"])
        emit(pa.RecordBatchReader.from_batches(schema, made))
    return {}


def _query(request: Mapping[str, Any], reads: list[str]) -> str:
    key = f"CASE WHEN {KEY} < 0 THEN 'L' || _row ELSE CAST(_row AS VARCHAR) END AS _row"
    columns = ["_batch", key, "array_to_string(_reasons, ' ') AS _reasons"]
    for name, kind, precision, scale, outcome in request["columns"]:
        columns.append(_shown(name, ColumnType(kind, precision, scale), Outcome.parse(outcome), request["salt"]))
    if "_line" in reads:
        columns.append(f"{written('_line')} AS _line")
    where = f" AND ({request['where']})" if request["where"] else ""
    return (
        f"SELECT {', '.join(columns)} FROM source AS source WHERE _state = 'quarantined'{where}"  # noqa: S608
        f" ORDER BY source._batch, source._row, {KEY.replace('_row', 'source._row')}"
    )


def _shown(name: str, kind: ColumnType, outcome: Outcome, salt: str) -> str:
    """A column of the file: raw text where the value did not convert, or the masked value under a name that says so."""
    column = exp.column(exp.to_identifier(name, quoted=True))
    if outcome.mask is None:
        path = exp.Literal.string('$."' + name.replace('"', '\\"') + '"').sql("duckdb")
        text = f"coalesce(json_extract_string(_raw, {path}), CAST({quoted(name)} AS VARCHAR))"
        return f"{written(text)} AS {quoted(name)}"
    if outcome.mask.kind == "token":
        return f"{quoted(name + TOKEN_SUFFIX)} AS {quoted(name + MASKED)}"
    made = masks.expression(outcome.mask, column, kind, salt=salt).sql("duckdb")
    parsed = sqlglot.parse_one(made, dialect="duckdb").sql("duckdb")
    return f"{written(f'CAST({parsed} AS VARCHAR)')} AS {quoted(name + MASKED)}"


def _tokenised(
    reader: pa.RecordBatchReader,
    schema: pa.Schema,
    names: list[str],
    keystore: KeyStore,
    key: DigestKeyName,
    grant: str,
) -> Iterator[pa.RecordBatch]:
    """Batches with domain tokens replaced by the purpose's, as hex text."""
    with duckdb.connect(config={"temp_directory": ""}) as con:
        for batch in reader:
            columns = dict(zip(batch.schema.names, batch.columns, strict=True))
            for name in names:
                made = purpose_tokens(columns[name], keystore=keystore, key=key, grant_id=grant)
                con.register("made", pa.table({"t": pc.cast(made, pa.binary())}))
                hexed = con.sql("SELECT lower(hex(t)) AS t FROM made").to_arrow_table().column("t")
                columns[name] = hexed.combine_chunks()
            yield pa.RecordBatch.from_arrays([columns[f.name].cast(pa.string()) for f in schema], schema=schema)
