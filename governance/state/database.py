"""The state database: `Database.unit_of_work` is the only write transaction of the system, `Database.read` the only read.

SQLite: WAL, `synchronous=FULL`, `BEGIN IMMEDIATE` for writes, which take turns (`turns`), and a 30 s timeout. PostgreSQL: its
defaults. No file and no Iceberg work belongs inside a unit of work.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event
from sqlalchemy.engine import make_url

from governance.errors import StorageError
from governance.state.migrate import upgrade
from governance.state.turns import Turns

Clock = Callable[[], datetime]

_FILE = {
    "FULL": ("its disk is full", "free space and run again"),
    "IOERR": ("its disk cannot be read or written", "see whether it is full or failing, and run again"),
    "READONLY": ("it may only be read", "let this user write the file and its folder"),
    "CANTOPEN": ("it cannot be opened", "see that its folder is there, and that this user may read and write it"),
    "BUSY": ("another process has held it for 30 seconds", "see what is running, and run again"),
}
"""What SQLite's result codes (sqlite.org/rescode.html) begin with, what that is and what helps."""


def utc_now() -> datetime:
    return datetime.now(UTC)


class Database:
    """One process's handle on the state. `writer` names it in the ledger; `clock` gives aware UTC instants."""

    def __init__(self, url: str, *, clock: Clock = utc_now) -> None:
        self.url = url
        self.clock = clock
        self.writer = uuid.uuid4().hex
        self.engine = _engine(url)
        self._turns = Turns(file) if (file := _file(url)) is not None else None

    def create(self) -> None:
        """Create or migrate every table; does nothing on an up-to-date database."""
        upgrade(self.engine)

    @contextmanager
    def unit_of_work(self) -> Iterator[Connection]:
        """A write transaction: everything in it becomes visible together, or nothing does."""
        with self._turns.turn() if self._turns else nullcontext(), self.engine.connect() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            elif not connection.in_transaction():
                connection.begin()
            with _joined(connection):
                yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A read transaction: all statements in it see one state."""
        with self.engine.connect() as connection:
            if connection.dialect.name == "postgresql":
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            else:
                connection.exec_driver_sql("BEGIN")
            yield connection
            connection.rollback()

    def close(self) -> None:
        self.engine.dispose()


@contextmanager
def _joined(connection: Connection) -> Iterator[None]:
    """Commit the transaction that is open, or roll it back on any exception (an exit by signal included).

    A commit that fails (no space, busy) leaves SQLite's transaction and its lock open, and the pool would hand it on:
    that connection is thrown away, which rolls it back.
    """
    try:
        yield
    except BaseException:
        connection.rollback()
        raise
    try:
        connection.commit()
    except BaseException:
        connection.invalidate()
        raise


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed, pool_pre_ping=True)
    if parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(parsed, connect_args={"timeout": 30, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def configure(dbapi: Any, _record: Any) -> None:
        dbapi.isolation_level = None
        cursor = dbapi.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    event.listen(engine, "handle_error", _told)
    return engine


def _file(url: str) -> Path | None:
    """The file of a SQLite database that is one."""
    parsed = make_url(url)
    of_file = parsed.get_backend_name() == "sqlite" and parsed.database and parsed.database != ":memory:"
    return Path(parsed.database) if of_file and parsed.database else None


def _told(context: ExceptionContext) -> None:
    """What SQLite says of its file, in words that say what to do; any other error stays what it is."""
    code = getattr(context.original_exception, "sqlite_errorname", "").removeprefix("SQLITE_")
    for beginning, (found, do) in _FILE.items():
        if code.startswith(beginning):
            raise StorageError(found, where="the state database", do=do) from context.original_exception
