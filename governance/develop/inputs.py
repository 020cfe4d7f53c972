"""A DuckDB connection that sees exactly the pinned inputs, under the names that models use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import duckdb
import pyarrow as pa
from sqlglot import exp

from governance.config import Settings
from governance.develop.request import Input
from governance.errors import GovernanceError, WorkerFailed
from governance.lake.lake import Lake
from governance.lake.stream import engine_error


@contextmanager
def connection(
    inputs: Sequence[Input], *, lake: Lake, settings: Settings, grant_id: str | None, sensitive: bool
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Inputs as views `<department>.<dataset>`. A sensitive run never spills (DuckDB's temporary files are in the
    clear); any other one spills to the home's scratch folder. An engine's error is told by its class alone, since its
    text may quote a value."""
    con = duckdb.connect(config=_config(settings, sensitive))
    try:
        for number, source in enumerate(inputs):
            _bind(con, f"__input_{number}", source, lake, grant_id)
        yield con
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        kind = _kind(error)
        if kind == duckdb.OutOfMemoryException.__name__:
            do = "raise engine.memory_limit_mb, or let the model group and sort on tokens and clear columns only"
            raise WorkerFailed("the model does not fit into memory", do=do) from None
        raise GovernanceError(f"the engine failed: {kind}", do="try the model on made-up rows") from None
    finally:
        con.close()


def quoted(name: str) -> str:
    """A DuckDB identifier."""
    return exp.to_identifier(name, quoted=True).sql("duckdb")


def _kind(error: Exception) -> str:
    """The class of an engine's error. Of one that comes after the first rows Arrow has the text alone, in an OSError.

    >>> _kind(OSError("Conversion Error: Could not convert string 'x' to INT64")), _kind(duckdb.BinderException("x"))
    ('ConversionException', 'BinderException')
    """
    return (engine_error(error) or type(error)).__name__


def _config(settings: Settings, sensitive: bool) -> dict[str, str | int | bool]:
    scratch = ""
    if not sensitive:
        settings.scratch.mkdir(parents=True, exist_ok=True)
        scratch = str(settings.scratch)
    return {
        "threads": settings.threads,
        "memory_limit": f"{settings.memory_limit_mb}MB",
        "temp_directory": scratch,
        "preserve_insertion_order": False,
    }


def _bind(con: duckdb.DuckDBPyConnection, name: str, source: Input, lake: Lake, grant_id: str | None) -> None:
    """The view of one input: columns that are read, NULLs of the right type for those that are not, or came after the
    snapshot.

    When nothing is read (`count(*)`), the number of rows comes from the plan and no file is opened.
    """
    there = {column.name for column in lake.schema(source.table, source.snapshot).columns}
    reads = [c for c in source.reads if c in there]
    if reads:
        lake.bind(con, name, source.table, source.snapshot, reads, grant_id=grant_id, current=source.current)
    else:
        rows = sum(f.rows for f in lake.files(source.table, source.snapshot, current=source.current))
        con.execute(f"CREATE VIEW {quoted(name)} AS SELECT 1 AS one FROM range({int(rows)})")  # noqa: S608 - a number
    parts = [quoted(c) if c in reads else f"CAST(NULL AS {kind}) AS {quoted(c)}" for c, kind in source.columns]
    schema, _, table = source.table.partition(".")
    con.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}")
    select = f"SELECT {', '.join(parts)} FROM {quoted(name)}"  # noqa: S608 - quoted names, types of the contract
    con.execute(f"CREATE VIEW {quoted(schema)}.{quoted(table)} AS {select}")
