"""The query service: HTTP in, policy's answers out.

    POST /v1/query           one SELECT for a purpose: JSON, or an Arrow IPC stream by Accept
    POST /v1/lookup          records by identifiers, in the same two forms (`records.py`)
    POST /v1/attest          one declared question: a signed yes, no or unknown (`records.py`)
    GET  /v1/tables          tables of which the caller sees something, and for which purposes
    GET  /v1/tables/{name}   field by field: outcome, rules, reason; obligations
    GET  /v1/openapi.json    this, for programs
    GET  /health             whether it is up

`gate.py` stands before all of it. Decisions, ledger entries and enforcement are those of `use`: `query`, `lookup` and `attest`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from governance.pipeline.context import Context
from governance.pipeline.sequencing import sequencing
from governance.service.answers import JSON, send_arrow, send_json
from governance.service.forms import CALLER, PROBLEMS, ColumnOut, Word, rows_or_arrow, wants_arrow
from governance.service.gate import Gate
from governance.service.home import Home
from governance.service.jobs import Job, Pool
from governance.service.lineage_in import LineageIn
from governance.service.login import Caller, Login
from governance.service.problems import NOT_THERE, Problem, Stopped
from governance.service.records import Records, router
from governance.service.stream import Streamed
from governance.use.guard import MAX_CHARACTERS
from governance.use.query import keep_ready, query
from governance.workers import Limits

SERVER: Mapping[str, Any] = {
    "log_level": "error",
    "access_log": False,
    "server_header": False,
    "limit_concurrency": 256,
    "timeout_graceful_shutdown": 5,
}
"""How uvicorn serves it."""
_GRACE_SECONDS = 5.0


class Question(BaseModel):
    """One SELECT over published tables, each written `<schema>.<table>`, and what it is asked for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sql: Annotated[str, Field(max_length=MAX_CHARACTERS, examples=["SELECT count(*) FROM curated.person"])]
    purpose: Annotated[Word, Field(examples=["statistics"])]


class AnswerOut(BaseModel):
    """Rows as lists, in order of `columns`; decimals, dates and instants are text. `fields`: table, field, outcome."""

    columns: list[ColumnOut]
    rows: list[list[Any]]
    release: str
    decision_hash: str
    fields: dict[str, dict[str, str]]
    no_export: bool


class FieldOut(BaseModel):
    field: str
    type: str
    outcome: str
    rules: list[str]
    reason: str


class SightOut(BaseModel):
    """What one purpose opens. `filtered`: only rows that a row filter lets pass; `max_rows` of one answer."""

    purpose: str
    filtered: bool
    max_rows: int | None
    no_export: bool
    fields: list[FieldOut]


class TableOut(BaseModel):
    table: str
    purposes: list[SightOut]


class TableName(BaseModel):
    table: str
    purposes: list[str]


class TablesOut(BaseModel):
    tables: list[TableName]


class Health(BaseModel):
    status: str


_READY = 2
"""Statements for which processes wait; more at once start their own."""


def service(context: Context) -> FastAPI:
    """The application for one home."""
    settings = context.settings.service
    home = Home(context)
    pool = Pool(settings.concurrent, settings.seconds + _GRACE_SECONDS)
    records = Records(context, home)
    limits = Limits(memory_mb=settings.memory_mb, seconds=settings.seconds)
    app = FastAPI(
        title="Query service 数据查询服务",
        description="Published tables, field by field under policy. Every access is in the ledger.",
        version="1",
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan(context, records),
    )
    login = Login(settings, context.database)
    app.add_middleware(Gate, login=login, max_bytes=settings.request_kb * 1024)
    app.add_middleware(LineageIn, settings=context.settings, database=context.database, login=login)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Stopped, _stopped)

    @app.get("/health")
    def health() -> Health:
        return Health(status="well")

    @app.get("/v1/tables", dependencies=CALLER, responses=PROBLEMS)
    def tables(request: Request, purpose: Annotated[Word | None, Query()] = None) -> TablesOut:
        return TablesOut.model_validate({"tables": home.tables(request.state.caller.subject, purpose)})

    @app.get("/v1/tables/{name}", dependencies=CALLER, responses=PROBLEMS)
    def table(request: Request, name: str, purpose: Annotated[Word | None, Query()] = None) -> TableOut:
        return TableOut.model_validate(home.table(name, request.state.caller.subject, purpose))

    @app.post("/v1/query", dependencies=CALLER, responses=rows_or_arrow(AnswerOut), response_class=JSONResponse)
    async def ask(request: Request, question: Question) -> Response:
        send = send_arrow if wants_arrow(request.headers.get("accept", "*/*")) else send_json
        caller: Caller = request.state.caller
        own = replace(context.settings, key_token=caller.token)
        catalogue = await run_in_threadpool(home.catalogue)

        def work(job: Job) -> None:
            answer = query(
                question.sql,
                subject=caller.subject,
                purpose=question.purpose,
                settings=own,
                catalogue=catalogue,
                database=context.database,
                lake=context.lake,
                keystore=context.keystore,
                limits=limits,
                cancelled=job.cancelled,
            )
            with answer:
                if answer.no_export and send is send_arrow:
                    home.refuse_export(answer, caller.subject, question.purpose)
                send(answer, job)

        return Streamed(pool.start(work, caller.subject))

    app.include_router(router(context, home, pool, records))
    return app


def serve(context: Context, host: str, port: int, certificate: str | None, private_key: str | None) -> None:
    """Serve until stopped."""
    import uvicorn

    app = service(context)
    keep_ready(context.settings, _READY)
    uvicorn.run(app, host=host, port=port, ssl_certfile=certificate, ssl_keyfile=private_key, **SERVER)


def _lifespan(context: Context, records: Records) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """While it serves, the ledger's entries get their positions and checkpoints; at the end those of its last sessions too."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with sequencing(context):
            async with records.opened(app):
                yield

    return lifespan


def _told(told: Problem) -> Response:
    return Response(told.body(), told.status, dict(told.headers), JSON)


def _stopped(request: Request, error: Exception) -> Response:
    assert isinstance(error, Stopped)
    return _told(error.problem)


def _invalid(request: Request, error: Exception) -> Response:
    """Where the request is wrong and how; never what was sent."""
    assert isinstance(error, RequestValidationError)
    wrong = {".".join(str(part)[:64] for part in each["loc"]): each["type"] for each in error.errors()}
    message = "; ".join(f"{place}: {kind}" for place, kind in sorted(wrong.items()))
    return _told(Problem("invalid_request", message, "GET /v1/openapi.json says what is allowed"))


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    match error.status_code:
        case 404:
            return _told(NOT_THERE)
        case 405:
            return _told(Problem("method", "no such method here", "", dict(error.headers or {})))
        case 415:
            return _told(Problem("content_type", "the body is not JSON", f"Content-Type: {JSON}"))
        case _:
            return _told(Problem("invalid_request", "the request cannot be read", "send JSON"))
