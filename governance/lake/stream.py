"""The stream of a scan: a DuckDB connection of its own that never spills, ended when the grant ends, with errors of
ours.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import duckdb
import pyarrow as pa

from governance.config import Settings
from governance.errors import GovernanceError, Refused, StorageError

BATCH_ROWS = 122_880
GRANT_SECONDS = 1.0
"""A running scan asks this often whether its grant still holds."""


def connect(settings: Settings) -> duckdb.DuckDBPyConnection:
    """A connection that never spills: what it reads may be sensitive."""
    return duckdb.connect(
        config={
            "threads": settings.threads,
            "memory_limit": f"{settings.memory_limit_mb}MB",
            "temp_directory": "",
            "preserve_insertion_order": False,
            "enable_external_file_cache": False,
        }
    )


def stream(
    connection: duckdb.DuckDBPyConnection, query: str, *, table: str, still_granted: Callable[[], None]
) -> pa.RecordBatchReader:
    """Batches of `query`; closes `connection` at the end. `still_granted` is asked every second and raises when it is
    over.
    """
    try:
        source = connection.sql(query).to_arrow_reader(BATCH_ROWS)
    except duckdb.Error as error:
        raise reading_error(error, table) from None
    return pa.RecordBatchReader.from_batches(source.schema, _batches(source, connection, table, still_granted))


def batches(source: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """The batches of an engine's answer. Its error after the first ones, which Arrow passes on as text alone, is raised as the
    duckdb.Error that it was, without its text: that may quote a value.
    """
    try:
        yield from source
    except (OSError, pa.ArrowException) as error:
        kind = engine_error(error)
        if kind is None:
            raise
        raise kind("after the first rows") from None


def engine_error(error: Exception) -> type[duckdb.Error] | None:
    """The class of the engine's error in an error of Arrow's; None when it is none.

    >>> engine_error(OSError("Conversion Error: Could not convert string 'x' to INT64")), engine_error(OSError(28, "full"))
    (<class '_duckdb.ConversionException'>, None)
    """
    found = getattr(duckdb, f"{str(error).partition(' Error:')[0].replace(' ', '')}Exception", None)
    return found if isinstance(found, type) and issubclass(found, duckdb.Error) else None


def reading_error(error: Exception, table: str) -> GovernanceError:
    """What went wrong while reading, without the engine's text: that may hold a value."""
    if Refused.__name__ in str(error):
        return Refused("the keystore refused a key while the table was read", where=table)
    return StorageError(f"the table cannot be read: {type(error).__name__}", where=table)


def _batches(
    source: pa.RecordBatchReader,
    connection: duckdb.DuckDBPyConnection,
    table: str,
    still_granted: Callable[[], None],
) -> Iterator[pa.RecordBatch]:
    asked = time.monotonic()
    try:
        for batch in source:
            if time.monotonic() - asked >= GRANT_SECONDS:
                still_granted()
                asked = time.monotonic()
            yield batch
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        raise reading_error(error, table) from None
    finally:
        connection.close()
