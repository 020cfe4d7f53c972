"""The locked worker: runs the user's one SELECT over streams of rows that the subject may see, and holds nothing else.

It has no key, no path, no network and no right to start a program (`Limits(locked=True)`), and before the statement is
looked at it cannot open a file either. Whatever DuckDB has to say about an error stays here: what leaves is a code.

A table that the statement reads once, alone, is never held: its rows are answered as they stream through. Any other
statement finds its tables filled.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import duckdb
import pyarrow as pa

from governance.errors import Refused, WorkerFailed
from governance.use.sandbox import LOCKED, is_select
from governance.workers import isolation
from governance.workers.warm import warm

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
        warm(con)
        con.execute("SET allowed_configs = []")
        con.execute("SET lock_configuration = true")
        if not isolation.forbid_files():
            raise WorkerFailed("a locked worker could not give up files on this machine")
        try:
            if not _stream(con, request, inputs):
                _fill(con, request["tables"], inputs)
        except duckdb.Error as error:
            raise _coded(error) from None
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


def prepare() -> None:
    """What waits in a pool has everything loaded before it is asked."""
    with duckdb.connect(config=dict(LOCKED)) as con:
        warm(con)


def _stream(
    con: duckdb.DuckDBPyConnection, request: Mapping[str, Any], inputs: Mapping[str, pa.RecordBatchReader]
) -> bool:
    """Let the one table be a view of its stream, when the plan of the statement reads it once; else False, and nothing
    is there. A stream is never read twice: DuckDB refuses it.
    """
    if len(request["tables"]) != 1:
        return False
    [(name, table)] = request["tables"].items()
    con.register(name, inputs[name])
    view = _named(con, table)
    con.execute(f"CREATE VIEW {view} AS SELECT * FROM {_quoted(name)}")  # noqa: S608  (quoted identifiers only)
    if _scans(con, request["sql"]) == 1:
        return True
    con.execute(f"DROP VIEW {view}")
    con.unregister(name)
    return False


def _scans(con: duckdb.DuckDBPyConnection, sql: str) -> int:
    """How many times the plan of a SELECT reads a stream; 0 when there is no plan of it: then it fails where it is run."""
    try:
        statements = con.extract_statements(sql)
        if len(statements) != 1 or not is_select(statements[0]):
            return 0
        rows = con.execute(f"EXPLAIN (FORMAT json) {statements[0].query}").fetchall()
        plan = json.loads(rows[0][1])
    except (duckdb.Error, ValueError, RecursionError):
        return 0
    found, left = 0, list(plan)
    while left:
        node = left.pop()
        found += node["name"].strip() == "PYTHON_ARROW_SCAN"
        left += node["children"]
    return found


def _fill(
    con: duckdb.DuckDBPyConnection, tables: Mapping[str, str], inputs: Mapping[str, pa.RecordBatchReader]
) -> None:
    for name, table in tables.items():
        target = _named(con, table)
        con.register(name, inputs[name])
        con.execute(f"CREATE TABLE {target} AS SELECT * FROM {_quoted(name)}")  # noqa: S608  (quoted identifiers only)
        con.unregister(name)


def _named(con: duckdb.DuckDBPyConnection, table: str) -> str:
    schema, _, short = table.partition(".")
    con.execute(f"CREATE SCHEMA IF NOT EXISTS {_quoted(schema)}")
    return f"{_quoted(schema)}.{_quoted(short)}"


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
