"""The query service: HTTP in, policy's answers out.

    POST /v1/query           one SELECT for a purpose: JSON, or an Arrow IPC stream by Accept
    GET  /v1/tables          tables of which the caller sees something, and for which purposes
    GET  /v1/tables/{name}   field by field: outcome, rules, reason; obligations
    GET  /v1/openapi.json    this, for programs
    GET  /health             whether it is up

`gate.py` stands before all of it. Decisions, ledger entries and enforcement are `use.query.query`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.security import APIKeyHeader, HTTPBearer
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from governance.client import ARROW
from governance.pipeline.context import Context
from governance.service.answers import JSON, send_arrow, send_json
from governance.service.gate import Gate
from governance.service.home import Home
from governance.service.jobs import Job, Pool
from governance.service.login import Caller, Login
from governance.service.problems import CODES, NOT_THERE, Problem, Stopped
from governance.service.stream import Streamed
from governance.use.guard import MAX_CHARACTERS
from governance.use.query import query
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
_CALLER = (
    Security(HTTPBearer(auto_error=False, description="A JWT of the configured issuer")),
    Security(APIKeyHeader(name="X-API-Key", auto_error=False, description="A key made by `gov serve key new`")),
)


def _word(value: str) -> str:
    if not value.isprintable():
        raise ValueError("is no word")
    return value


Word = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_word)]


class Question(BaseModel):
    """One SELECT over published tables, each written `<schema>.<table>`, and what it is asked for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sql: Annotated[str, Field(max_length=MAX_CHARACTERS, examples=["SELECT count(*) FROM curated.person"])]
    purpose: Annotated[Word, Field(examples=["statistics"])]


class Told(BaseModel):
    """Why there is no answer: `code` for programs, the rest for people."""

    code: Annotated[str, Field(json_schema_extra={"enum": sorted(CODES)})]
    message: str
    do: str


class ColumnOut(BaseModel):
    name: str
    type: str


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


_PROBLEMS: dict[int | str, dict[str, Any]] = {status: {"model": Told} for status in sorted(set(CODES.values()))}
_QUERY: dict[int | str, dict[str, Any]] = {
    200: {"model": AnswerOut, "content": {ARROW: {"schema": {"type": "string", "format": "binary"}}}},
    **_PROBLEMS,
}


def service(context: Context) -> FastAPI:
    """The application for one home."""
    settings = context.settings.service
    home = Home(context)
    pool = Pool(settings.concurrent, settings.seconds + _GRACE_SECONDS)
    limits = Limits(memory_mb=settings.memory_mb, seconds=settings.seconds)
    app = FastAPI(
        title="Query service 数据查询服务",
        description="Published tables, field by field under policy. Every access is in the ledger.",
        version="1",
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.add_middleware(Gate, login=Login(settings, context.database), max_bytes=settings.request_kb * 1024)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Stopped, _stopped)

    @app.get("/health")
    def health() -> Health:
        return Health(status="well")

    @app.get("/v1/tables", dependencies=_CALLER, responses=_PROBLEMS)
    def tables(request: Request, purpose: Annotated[Word | None, Query()] = None) -> TablesOut:
        return TablesOut.model_validate({"tables": home.tables(request.state.caller.subject, purpose)})

    @app.get("/v1/tables/{name}", dependencies=_CALLER, responses=_PROBLEMS)
    def table(request: Request, name: str, purpose: Annotated[Word | None, Query()] = None) -> TableOut:
        return TableOut.model_validate(home.table(name, request.state.caller.subject, purpose))

    @app.post("/v1/query", dependencies=_CALLER, responses=_QUERY, response_class=JSONResponse)
    async def ask(request: Request, question: Question) -> Response:
        send = send_arrow if _wants_arrow(request.headers.get("accept", "*/*")) else send_json
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

    return app


def serve(context: Context, host: str, port: int, certificate: str | None, private_key: str | None) -> None:
    """Serve until stopped."""
    import uvicorn

    app = service(context)
    uvicorn.run(app, host=host, port=port, ssl_certfile=certificate, ssl_keyfile=private_key, **SERVER)


def _wants_arrow(accept: str) -> bool:
    """Whether the Accept header asks for Arrow. Raises Stopped when it asks for neither form.

    >>> _wants_arrow("application/vnd.apache.arrow.stream"), _wants_arrow("*/*"), _wants_arrow("text/html, */*;q=0.8")
    (True, False, False)
    """
    asked = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    for kind in asked:
        if kind in (ARROW, JSON, "*/*", "application/*"):
            return kind == ARROW
    raise Stopped(Problem("not_acceptable", "no such form of answer", f"Accept: {JSON} or {ARROW}"))


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
