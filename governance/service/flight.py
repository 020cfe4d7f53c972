"""The query service for programs that speak Arrow Flight SQL (ADBC, JDBC): the same logins, answers and refusals as over HTTP.

A caller sends `authorization: Bearer …` or `x-api-key: …`, and `x-gov-purpose` on every call. A statement runs once, when its ticket is redeemed:
the ticket is the statement itself, so the server keeps nothing, and whoever steals a ticket asks in their own name. Whatever may not be exported
is not answered here, since what leaves is Arrow.
"""

from __future__ import annotations

import fnmatch
import logging
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.flight as flight
from sqlglot import exp

from governance.pipeline.context import Context
from governance.service import flight_sql
from governance.service.answers import pieces
from governance.service.flight_sql import Command
from governance.service.home import Home
from governance.service.login import Caller, Login
from governance.service.problems import BUSY, INTERNAL, Problem, Stopped, problem
from governance.use.query import Answer, query
from governance.workers import Limits

PURPOSE = "x-gov-purpose"
_CALLER = "caller"
_STATEMENT = "TicketStatementQuery"
_TYPE = "TABLE"
_LOOK_SECONDS = 0.2
_log = logging.getLogger(__name__)


class FlightService(flight.FlightServerBase):  # type: ignore[misc]  # PyArrow has no types
    """A server of one home. `wait` of the base serves until `shutdown`."""

    def __init__(self, context: Context, host: str, port: int, certificate: tuple[bytes, bytes] | None = None) -> None:
        settings = context.settings.service
        self._context, self._home = context, Home(context)
        self._limits = Limits(memory_mb=settings.memory_mb, seconds=settings.seconds)
        self._seats = threading.BoundedSemaphore(settings.concurrent)
        super().__init__(
            f"{'grpc+tls' if certificate else 'grpc'}://{host}:{port}",
            middleware={_CALLER: _CallerFactory(Login(settings, context.database))},
            tls_certificates=[certificate] if certificate else None,
        )

    def get_flight_info(self, context: Any, descriptor: Any) -> Any:
        """Where an answer is to be had: here, for a ticket that is the command itself."""
        with _told():
            command = _read(descriptor.command)
            schema, ticket = self._announced(command, descriptor.command)
            endpoint = flight.FlightEndpoint(ticket, [])
            return flight.FlightInfo(schema, descriptor, [endpoint], -1, -1)

    def get_schema(self, context: Any, descriptor: Any) -> Any:
        """The schema of a command that asks for metadata."""
        with _told():
            schema, _ = self._announced(_read(descriptor.command), descriptor.command)
            if schema is None:
                raise Stopped(Problem("not_supported", "a statement's schema comes with its answer", "ask for it"))
            return flight.SchemaResult(schema)

    def do_get(self, context: Any, ticket: Any) -> Any:
        """The answer to a ticket."""
        with _told():
            caller = context.get_middleware(_CALLER)
            command = _read(ticket.ticket)
            if command.name == _STATEMENT:
                return self._answer(context, command.text(1) or "", caller)
            return flight.RecordBatchStream(self._metadata(command, caller.subject, caller.purpose))

    def list_actions(self, context: Any) -> list[Any]:
        return [
            flight.ActionType("CreatePreparedStatement", "Keep a statement's text in a handle of the client's."),
            flight.ActionType("ClosePreparedStatement", "Does nothing: the server keeps no statement."),
        ]

    def do_action(self, context: Any, action: Any) -> Iterator[Any]:
        """A prepared statement is its own text: drivers prepare even what has no parameter."""
        with _told():
            if action.type == "ClosePreparedStatement":
                return iter(())
            if action.type == "CreatePreparedStatement":
                handle = (_read(action.body.to_pybytes()).text(1) or "").encode("utf-8")
                return iter([flight.Result(flight_sql.written("ActionCreatePreparedStatementResult", handle))])
            raise NotImplementedError(
                "there is no such action"
            )  # drivers try what this status tells them to do without

    def _announced(self, command: Command, asked: bytes) -> tuple[pa.Schema | None, Any]:
        if command.name in ("CommandStatementQuery", "CommandPreparedStatementQuery"):
            statement = (command.text(1) or "").encode("utf-8")
            return None, flight.Ticket(flight_sql.written(_STATEMENT, statement))
        return _schema_of(command), flight.Ticket(asked)

    def _answer(self, call: Any, sql: str, caller: _Caller) -> Any:
        if not self._seats.acquire(blocking=False):
            raise Stopped(BUSY)
        answer: Answer | None = None
        over, cancelled = threading.Event(), threading.Event()
        threading.Thread(target=_watch, args=(call, over, cancelled), daemon=True, name="flight-caller").start()
        try:
            answer = query(
                sql,
                subject=caller.subject,
                purpose=caller.purpose,
                settings=replace(self._context.settings, key_token=caller.token),
                catalogue=self._home.catalogue(),
                database=self._context.database,
                lake=self._context.lake,
                keystore=self._context.keystore,
                limits=self._limits,
                cancelled=cancelled,
            )
            if answer.no_export:
                self._home.refuse_export(answer, caller.subject, caller.purpose)
            stream = self._stream(answer, over)
            next(stream)  # from here on its own end frees the seat, even when nobody reads it
            return flight.GeneratorStream(answer.schema, stream)
        except BaseException:
            if answer is not None:
                answer.close()
            over.set()
            self._seats.release()
            raise

    def _stream(self, answer: Answer, over: threading.Event) -> Iterator[pa.RecordBatch | None]:
        """None, then the answer's batches; its workers and its seat end with it, read to its end or not."""
        try:
            yield None
            with answer, _told():
                for batch in answer.stream():
                    yield from pieces(batch)
        finally:
            over.set()
            self._seats.release()

    def _metadata(self, command: Command, subject: str, purpose: str) -> pa.Table:
        """What the caller may know of catalogs, schemas and tables for this purpose; of what is closed nothing."""
        schema = _schema_of(command)
        match command.name:
            case "CommandGetSqlInfo":
                return flight_sql.sql_info(version("governance"))
            case "CommandGetTableTypes":
                return pa.table({"table_type": [_TYPE]}, schema=schema)
            case "CommandGetCatalogs":
                return schema.empty_table()
        found = [tuple(t["table"].split(".", 1)) for t in self._home.tables(subject, purpose)]
        if command.name == "CommandGetDbSchemas":
            names = sorted({name for name, _ in found if _like(name, command.text(2))})
            return pa.table({"catalog_name": [None] * len(names), "db_schema_name": names}, schema=schema)
        found = [(s, t) for s, t in found if _like(s, command.text(2)) and _like(t, command.text(3))]
        rows: dict[str, Any] = {
            "catalog_name": [None] * len(found),
            "db_schema_name": [s for s, _ in found],
            "table_name": [t for _, t in found],
            "table_type": [_TYPE] * len(found),
        }
        if command.truth(5):
            rows["table_schema"] = [self._table_schema(f"{s}.{t}", subject, purpose) for s, t in found]
        return pa.table(rows, schema=schema)

    def _table_schema(self, table: str, subject: str, purpose: str) -> bytes:
        (seen,) = self._home.table(table, subject, purpose)["purposes"]
        with duckdb.connect(":memory:") as con:
            fields = [f for f in seen["fields"] if not f["outcome"].startswith("aggregate_only")]
            nulls = [exp.cast(exp.null(), _shown(f), dialect="duckdb").as_(f["field"], quoted=True) for f in fields]
            schema = con.sql(exp.select(*nulls).sql("duckdb")).to_arrow_table().schema
        return bytes(schema.serialize())


class _Caller(flight.ServerMiddleware):  # type: ignore[misc]
    """Who makes this call, for which purpose, and the token that is carried to a key service."""

    def __init__(self, caller: Caller, purpose: str) -> None:
        super().__init__()
        self.subject, self.token, self.purpose = caller.subject, caller.token, purpose


class _CallerFactory(flight.ServerMiddlewareFactory):  # type: ignore[misc]
    """Refuses a call of nobody before anything of it is looked at."""

    def __init__(self, login: Login) -> None:
        super().__init__()
        self._login = login

    def start_call(self, info: Any, headers: Mapping[str, list[Any]]) -> _Caller:
        with _told():
            given = [(name.lower(), str(value)) for name, values in headers.items() for value in values]
            known = [(n.encode("ascii"), v.encode("utf-8")) for n, v in given if n in ("authorization", "x-api-key")]
            return _Caller(self._login.caller(known), next((v for n, v in given if n == PURPOSE), ""))


def _watch(call: Any, over: threading.Event, cancelled: threading.Event) -> None:
    """Set `cancelled` when the caller has gone; ends with the answer."""
    while not over.wait(_LOOK_SECONDS):
        if call.is_cancelled():
            cancelled.set()
            return


@contextmanager
def _told() -> Iterator[None]:
    """What is raised inside leaves as a code, with the status that gRPC has for it."""
    try:
        yield
    except (flight.FlightError, NotImplementedError):
        raise
    except Exception as error:
        told = problem(error)
        if told is INTERNAL:
            _log.error("a call failed: %s", type(error).__name__)  # its text may quote a value
        raise _raised(told) from None


def _raised(told: Problem) -> Any:
    text = f"{told.code}: {told.message}" + (f"; {told.do}" if told.do else "")
    match told.status:
        case 401:
            return flight.FlightUnauthenticatedError(text)
        case 403 | 404:
            return flight.FlightUnauthorizedError(text)
        case 429 | 503:
            return flight.FlightUnavailableError(text)
        case 504:
            return flight.FlightTimedOutError(text)
        case 500:
            return flight.FlightInternalError(text)
        case _:
            return flight.FlightServerError(text)


def _read(message: bytes | None) -> Command:
    try:
        return flight_sql.read(message or b"")
    except ValueError:
        raise Stopped(Problem("invalid_request", "that is no command of Flight SQL", "use a driver for it")) from None


def _schema_of(command: Command) -> pa.Schema:
    match command.name:
        case "CommandGetCatalogs":
            return flight_sql.CATALOGS
        case "CommandGetDbSchemas":
            return flight_sql.SCHEMAS
        case "CommandGetTables":
            return flight_sql.TABLES_WITH_SCHEMA if command.truth(5) else flight_sql.TABLES
        case "CommandGetTableTypes":
            return flight_sql.TABLE_TYPES
        case "CommandGetSqlInfo":
            return flight_sql.SQL_INFO
    raise Stopped(Problem("not_supported", "this server answers questions only", "ask a SELECT"))


def _shown(field: Mapping[str, str]) -> str:
    """The type under which a field leaves: a token is text."""
    return "VARCHAR" if field["outcome"] == "mask:token" else field["type"]


def _like(name: str, pattern: str | None) -> bool:
    """Whether a name fits a LIKE pattern of a driver; every name fits none.

    >>> _like("person", "per%"), _like("person", "p_rson"), _like("person", None), _like("a*c", "a_c"), _like("abc", "a*c")
    (True, True, True, True, False)
    """
    if pattern is None:
        return True
    literal = re.sub(r"([*?\[])", r"[\1]", pattern)
    return fnmatch.fnmatchcase(name, literal.replace("%", "*").replace("_", "?"))
