"""The locked worker: runs the user's one SELECT over streams of rows that the subject may see, and holds nothing else.

It has no key, no path, no network and no right to start a program (`Limits(locked=True)`), and once its tables are
filled it cannot open a file either. Whatever DuckDB has to say about an error stays here: what leaves is a code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import duckdb
import pyarrow as pa

from governance.errors import Refused, WorkerFailed
from governance.use.sandbox import LOCKED, is_select
from governance.workers import isolation

BATCH_ROWS = 65_536
CODES: Mapping[str, str] = {
    "BinderException": "names_or_types",
    "CatalogException": "names_or_types",
    "ParserException": "syntax",
    "SyntaxException": "syntax",
    "ConversionException": "conversion",
    "OutOfRangeException": "out_of_range",
    "InvalidInputException": "invalid_value",
    "InvalidTypeException": "names_or_types",
    "TypeMismatchException": "names_or_types",
    "NotImplementedException": "not_supported",
    "NotSupportedException": "not_supported",
    "OutOfMemoryException": "memory",
    "PermissionException": "not_supported",
}
"""DuckDB's exception -> the code that leaves; anything else is `other`."""


def run(
    request: dict[str, Any],
    inputs: Mapping[str, pa.RecordBatchReader],
    emit: Callable[[pa.RecordBatchReader], None],
) -> dict[str, Any]:
    """Request: `sql`, `tables` (input -> `<schema>.<table>`), `threads`, `memory_mb`, `max_rows` or None. Result:
    `rows`.
    """
    config = {**LOCKED, "threads": request["threads"], "memory_limit": f"{request['memory_mb']}MB"}
    with duckdb.connect(config=config) as con:
        try:
            _fill(con, request["tables"], inputs)
        except duckdb.Error as error:
            raise _coded(error) from None
        _warm(con)
        con.execute("SET allowed_configs = []")
        con.execute("SET lock_configuration = true")
        if not isolation.forbid_files():
            raise WorkerFailed("a locked worker could not give up files on this machine")
        try:
            statements = con.extract_statements(request["sql"])
            if len(statements) != 1 or not is_select(statements[0]):
                raise Refused("not one SELECT")
            reader = con.sql(request["sql"]).to_arrow_reader(BATCH_ROWS)
        except duckdb.Error as error:
            raise _coded(error) from None
        counted = [0]
        emit(pa.RecordBatchReader.from_batches(reader.schema, _limited(reader, request["max_rows"], counted)))
        return {"rows": counted[0]}


def _fill(
    con: duckdb.DuckDBPyConnection, tables: Mapping[str, str], inputs: Mapping[str, pa.RecordBatchReader]
) -> None:
    for name, table in tables.items():
        schema, _, short = table.partition(".")
        target = f"{_quoted(schema)}.{_quoted(short)}"
        con.execute(f"CREATE SCHEMA IF NOT EXISTS {_quoted(schema)}")
        con.register(name, inputs[name])
        con.execute(f"CREATE TABLE {target} AS SELECT * FROM {_quoted(name)}")  # noqa: S608  (quoted identifiers only)
        con.unregister(name)


def _warm(con: duckdb.DuckDBPyConnection) -> None:
    """Load whatever Python and DuckDB load on first use: afterwards no file can be opened."""
    for _ in con.sql("SELECT 1 AS one, DATE '2000-01-01' AS day, 1.5 AS number, now() AS at").to_arrow_reader(1):
        pass


def _limited(reader: pa.RecordBatchReader, max_rows: int | None, counted: list[int]) -> Iterator[pa.RecordBatch]:
    while True:
        try:
            batch = reader.read_next_batch()
        except StopIteration:
            return
        except (duckdb.Error, pa.ArrowException, RuntimeError, OSError) as error:
            raise _coded(error) from None
        counted[0] += batch.num_rows
        if max_rows is not None and counted[0] > max_rows:
            raise Refused(f"the answer has more than {max_rows} rows", do="aggregate or narrow the statement")
        yield batch


def _coded(error: BaseException) -> Refused:
    code = CODES.get(type(error).__name__, "other")
    return Refused(f"the statement failed: {code}", do="check names, types and values against `gov explain`")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
