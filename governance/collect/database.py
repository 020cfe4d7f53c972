"""One table or view of a relational database, read in one statement and landed as an Arrow IPC stream of batches.

Column types stay close to the source and exact. PostgreSQL: integers, booleans and doubles as they are, everything else
as the server's own text (so that `infinity`, a year before Christ or 38 digits arrive as they are). Other databases,
whose drivers differ and whose columns may hold anything: everything as text, as the driver gave it. Rows come in the
order of the primary key where there is one.
"""

from __future__ import annotations

import importlib.util
import sqlite3
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InterfaceError,
    NoSuchModuleError,
    NoSuchTableError,
    OperationalError,
)

from governance.catalog.types import DatabaseSource, Dataset
from governance.collect.arrow import Batches, batches_of_rows, ipc_chunks
from governance.collect.locations import expand, shown
from governance.collect.source import Format, Original, stream_of
from governance.collect.statement import Read, plan_read
from governance.errors import DeclarationError, Fault, GovernanceError, SourceContentError, SourceUnavailable
from governance.state.values import Window

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS = 10_000


class DatabaseAdapter:
    """Implements `Adapter` for `DatabaseSource`: `append` is read by window of its watermark, anything else whole."""

    format: Format = "arrow"
    can_compare = False

    def __init__(self, source: DatabaseSource, dataset: Dataset, home: Path, environ: Mapping[str, str]) -> None:
        table = f"{source.schema}.{source.table}" if source.schema else source.table
        self.shown = f"{shown(source.location)}#{table}"
        self._source, self._home, self._environ = source, home, environ
        self.watermark = _watermark(dataset) if dataset.load_mode == "append" else None

    @property
    def has_history(self) -> bool:
        return self.watermark is not None

    @contextmanager
    def connected(self) -> Iterator[sa.Connection]:
        """A connection for a question of one's own; its errors come as the adapter's."""
        engine = self._engine()
        try:
            with self._translated(), engine.connect() as connection:
                yield connection
        finally:
            engine.dispose()

    def originals(self, window: Window) -> Generator[Original]:
        engine = self._engine()
        try:
            with self._translated(), engine.connect() as connection:
                read = plan_read(connection, self._source, self.watermark, window, shown=self.shown)
                counted = {"rows": 0}
                if read.unplaced is not None:
                    counted["without_watermark"] = int(connection.execute(read.unplaced).scalar_one())
                with self._rows(engine, connection, read) as rows:
                    stream = stream_of(self._chunks(rows, read.schema, counted))
                    yield Original(f"{self._source.table}.arrow", stream, None, lambda: dict(counted))
        finally:
            engine.dispose()

    def _chunks(self, rows: Batches, schema: pa.Schema, counted: dict[str, int]) -> Iterator[bytes]:
        with self._translated():
            yield from ipc_chunks(rows, schema, counted)

    @contextmanager
    def _rows(self, engine: sa.Engine, connection: sa.Connection, read: Read) -> Iterator[Batches]:
        if engine.dialect.name == "postgresql" and importlib.util.find_spec("adbc_driver_postgresql"):
            from governance.collect.adbc import adbc_batches

            with adbc_batches(engine, read, self.shown) as found:
                yield found
            return
        if engine.dialect.name == "sqlite":
            with connection.execute(read.statement) as result:
                yield batches_of_rows(_fetched(result), read.schema)
            return
        streaming = connection.execution_options(stream_results=True, yield_per=_ROWS)
        with streaming.execute(read.statement) as result:
            yield batches_of_rows(result.partitions(), read.schema)

    def _engine(self) -> sa.Engine:
        try:
            url = _url(self._source.location, self._environ)
            if url.get_backend_name() == "sqlite":
                return self._sqlite(url)
            engine = sa.create_engine(url, poolclass=sa.NullPool)
        except (ArgumentError, NoSuchModuleError, ImportError, ValueError) as error:
            raise SourceContentError(
                f"no driver for this address: {type(error).__name__}",
                where=self.shown,
                allowed="an SQLAlchemy URL whose driver is installed",
                do="correct the address, or install the driver (PostgreSQL: the extra `postgres`)",
            ) from None
        if engine.dialect.name == "postgresql":
            sa.event.listen(engine, "connect", _in_utc)
        return engine

    def _sqlite(self, url: URL) -> sa.Engine:
        """Opened read-only, so that a wrong path makes no empty database."""
        path = self._home / (url.database or "")
        if not path.is_file():
            raise SourceUnavailable("no such database", where=self.shown, do="deliver it or correct the location")

        def connect() -> sqlite3.Connection:
            return sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=30)

        return sa.create_engine("sqlite://", creator=connect, poolclass=sa.NullPool)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Driver errors as ours; their texts may quote addresses and values, so only classes and SQLSTATEs are said."""
        try:
            yield
        except NoSuchTableError:
            raise SourceContentError(
                "there is no such table or view",
                where=self.shown,
                do="correct `gov.table` or the schema in the contract",
            ) from None
        except (OperationalError, InterfaceError) as error:
            if "Could not decode" in str(error.orig):
                raise SourceContentError("a text is not UTF-8", where=self.shown, do="repair the source") from None
            raise SourceUnavailable(_said(error), where=self.shown, do="try again when the database answers") from None
        except DBAPIError as error:
            raise self._unreadable(error) from None

    def _unreadable(self, error: DBAPIError) -> GovernanceError:
        return SourceContentError(_said(error), where=self.shown, do="check the rights of the account and the table")


def _fetched(result: sa.CursorResult[Any]) -> Iterator[Sequence[tuple[Any, ...]]]:
    """SQLite's own tuples as they come, twice as fast as SQLAlchemy's rows: no column of a read is converted."""
    cursor = result.cursor
    assert cursor is not None
    while rows := cursor.fetchmany(_ROWS):
        yield rows


def _watermark(dataset: Dataset) -> str:
    """The source's name of the watermark column."""
    for field in dataset.fields:
        if field.name == dataset.watermark:
            return field.source_name
    fault = Fault(dataset.file, 1, "gov.watermark", "append from a database needs one of the fields as watermark")
    raise DeclarationError((fault,))


def _url(location: str, environ: Mapping[str, str]) -> URL:
    """The URL with its variables filled in part by part after parsing, so that a password may hold any character."""
    if location.startswith("${"):
        return make_url(expand(location, environ))
    url = make_url(location)
    return url.set(
        username=expand(url.username or "", environ) or None,
        password=expand(str(url.password or ""), environ) or None,
        host=expand(url.host or "", environ) or None,
        database=expand(url.database or "", environ) or None,
        query={
            name: expand(value, environ) if isinstance(value, str) else tuple(expand(v, environ) for v in value)
            for name, value in url.query.items()
        },
    )


def _in_utc(dbapi: Any, _record: Any) -> None:
    """Instants with a zone are written out in UTC."""
    with dbapi.cursor() as cursor:
        cursor.execute("SET TIME ZONE 'UTC'")
    dbapi.commit()


def _said(error: DBAPIError) -> str:
    state = getattr(error.orig, "sqlstate", None)
    return f"the database refused: {type(error.orig).__name__}" + (f", SQLSTATE {state}" if state else "")
