"""`POST /v1/lookup` and `POST /v1/attest`: records by identifiers, and facts without records.

Both are `use.lookup`'s and `use.attest`'s to decide, record and answer. Lookups run in threads of their own, beside the
seats of questions: they are short, and those that wait at once go to the scanner together.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Annotated, Any, TypeVar

import pyarrow as pa
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from governance.client import ARROW
from governance.pipeline.context import Context
from governance.service.answers import JSON, JSON_BYTES, plain
from governance.service.forms import CALLER, PROBLEMS, ColumnOut, Word, rows_or_arrow, wants_arrow
from governance.service.home import Home
from governance.service.jobs import Head, Job, Pool
from governance.service.login import Caller
from governance.service.problems import BUSY, TIME, Problem, Stopped
from governance.service.stream import Streamed
from governance.use.attest import NONCE, Asked, attest
from governance.use.lookup import MAX_KEYS, Found, Lookups

SEATS = 64
"""Lookups at once; three quarters of them for one caller."""
Key = Annotated[str, Field(max_length=255)]
_T = TypeVar("_T")


class LookupIn(BaseModel):
    """Records of `table` whose field `by` (default: its identifier) is one of `keys`; `fields` default to all that you see."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    table: Annotated[Word, Field(examples=["curated.person"])]
    purpose: Annotated[Word, Field(examples=["benefits"])]
    keys: Annotated[list[Key], Field(min_length=1, max_length=MAX_KEYS, examples=[["440106000000001X"]])]
    by: Word | None = None
    fields: Annotated[list[Word], Field(min_length=1, max_length=1_000)] | None = None


class RecordsOut(BaseModel):
    """Rows as lists, in order of `columns`. `_key` is the position (from 1) of the key that found the record; `fields`: field, outcome."""

    columns: list[ColumnOut]
    rows: list[list[Any]]
    release: str
    decision_hash: str
    fields: dict[str, str]
    no_export: bool


class AttestIn(BaseModel):
    """A question that the home declares, what is claimed (a relation, an age), and those it is about. The nonce is your own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    question: Annotated[Word, Field(examples=["kinship"])]
    claim: Annotated[Word, Field(examples=["mother"])]
    purpose: Annotated[Word, Field(examples=["benefits"])]
    person: Annotated[Key, Field(examples=["440106000000001X"])]
    relative: Annotated[Key | None, Field(examples=["440106000000002X"])] = None
    nonce: Annotated[str, Field(pattern=f"^{NONCE.pattern}$", max_length=128, examples=["0123456789abcdef" * 2])]


class AttestationOut(BaseModel):
    """A signed document, as `gov attest verify` takes it: verify it with the attester's public key and your nonce."""

    attestation: dict[str, Any]
    key: str
    signature: str


class Records:
    """The lookup sessions of one service. `opened` is the lifespan in which they live."""

    def __init__(self, context: Context, home: Home) -> None:
        self._lookups = Lookups(
            settings=context.settings, catalogue=home.catalogue, database=context.database, lake=context.lake
        )
        self._seconds = context.settings.service.seconds
        self._threads = ThreadPoolExecutor(SEATS, "gov-lookup")
        self._taken: Counter[str] = Counter()
        self._lock = threading.Lock()

    @asynccontextmanager
    async def opened(self, _app: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            self._lookups.close()
            self._threads.shutdown(wait=False, cancel_futures=True)

    async def lookup(self, asked: LookupIn, caller: Caller, *, arrow: bool) -> Response:
        """The records, as Arrow or JSON. Raises Stopped when all seats are taken or it takes too long."""

        def work() -> Response:
            found = self._lookups.lookup(
                asked.table,
                asked.keys,
                subject=caller.subject,
                purpose=asked.purpose,
                fields=asked.fields,
                by=asked.by,
                key_token=caller.token,
                export=arrow,
            )
            return _arrow(found) if arrow else _json(found)

        return await self._run(work, caller.subject)

    async def _run(self, work: Callable[[], _T], caller: str) -> _T:
        with self._lock:
            if self._taken.total() >= SEATS or self._taken[caller] >= SEATS * 3 // 4:
                raise Stopped(BUSY)
            self._taken[caller] += 1
        running = self._threads.submit(work)
        running.add_done_callback(lambda _: self._free(caller))  # also of one that nobody waits for any more
        try:
            async with asyncio.timeout(self._seconds):
                return await asyncio.wrap_future(running)
        except TimeoutError:
            raise Stopped(TIME) from None

    def _free(self, caller: str) -> None:
        with self._lock:
            self._taken[caller] -= 1
            self._taken = +self._taken  # who has none is forgotten


def router(context: Context, home: Home, pool: Pool, records: Records) -> APIRouter:
    """Both endpoints."""
    routes = APIRouter()

    @routes.post("/v1/lookup", dependencies=CALLER, responses=rows_or_arrow(RecordsOut), response_class=JSONResponse)
    async def lookup(request: Request, asked: LookupIn) -> Response:
        arrow = wants_arrow(request.headers.get("accept", "*/*"))
        return await records.lookup(asked, request.state.caller, arrow=arrow)

    @routes.post("/v1/attest", dependencies=CALLER, responses=PROBLEMS, response_model=AttestationOut)
    async def ask(request: Request, asked: AttestIn) -> Response:
        if wants_arrow(request.headers.get("accept", "*/*")):
            raise Stopped(Problem("not_acceptable", "no such form of answer", f"Accept: {JSON}"))
        caller: Caller = request.state.caller

        def work(job: Job) -> None:
            document = attest(
                Asked(asked.question, asked.claim, asked.person, asked.relative),
                nonce=asked.nonce,
                subject=caller.subject,
                purpose=asked.purpose,
                settings=replace(context.settings, key_token=caller.token),
                catalogue=home.catalogue(),
                database=context.database,
                lake=context.lake,
            )
            job.put(Head(JSON, {}))
            job.put(document.encode("utf-8"))

        return Streamed(pool.start(work, caller.subject))

    return routes


def _json(found: Found) -> Response:
    told = {
        "columns": [{"name": field.name, "type": str(field.type)} for field in found.table.schema],
        "rows": [list(row) for row in zip(*map(plain, found.table.columns), strict=True)],
        "release": found.release,
        "decision_hash": found.decision_hash,
        "fields": dict(found.fields),
        "no_export": found.no_export,
    }
    body = json.dumps(told, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
    if len(body) > JSON_BYTES:
        raise Stopped(Problem("too_many_rows", "the answer is too long for JSON", "ask for fewer keys"))
    return Response(body, media_type=JSON)


def _arrow(found: Found) -> Response:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, found.table.schema) as writer:
        writer.write_table(found.table)
    headers = {"X-Gov-Release": found.release, "X-Gov-Decision": found.decision_hash}
    return Response(sink.getvalue().to_pybytes(), 200, headers, ARROW)
