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
