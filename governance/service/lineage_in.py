"""OpenLineage in: events of any producer, taken for good or refused by name.

    POST /api/v1/lineage         one RunEvent, JobEvent or DatasetEvent: 201 kept, 200 known already, 422 not taken
    POST /api/v1/lineage/batch   a list of them: 200 all are there, 207 some, 422 none; the answer says of each what became of it

An answer of 2xx for an event is given after the commit that holds it. Producers are subjects named in `[openlineage]
producers`, by an API key (X-API-Key, or as a bearer token, as OpenLineage clients send it) or a token of the issuer. What
arrives at once is committed at once: one writer thread, one unit of work for all that waits.
"""

from __future__ import annotations

import asyncio
import json
import time
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from governance.config import Settings
from governance.lineage.ingest_flows import NotTaken, Reader, Told
from governance.service import api_keys
from governance.service.gate import HEADERS, read_body, respond
from governance.service.lineage_writer import Busy, Judged, Writer
from governance.service.login import Login
from governance.service.problems import LOGIN, Problem, Stopped, problem
from governance.state.database import Database

ONE, BATCH = "/api/v1/lineage", "/api/v1/lineage/batch"
MAX_BYTES = 8 * 1024 * 1024
MAX_EVENTS = 10_000
REMEMBERED_SECONDS = 1.0
"""How long a key that was good is not looked up again: what an ended key can still send."""
_TURN = 50
"""Events that are judged before others have a turn."""


class LineageIn:
    """ASGI middleware: answers these two paths and hands on all others."""

    def __init__(self, app: ASGIApp, *, settings: Settings, database: Database, login: Login) -> None:
        self._app, self._login, self._database = app, login, database
        self._reader = Reader(settings.lineage_namespace)
        named = settings.openlineage.get("producers", "").split(",")
        self._producers = frozenset(name.strip() for name in named if name.strip())
        self._writer = Writer(database)
        self._known: dict[bytes, tuple[str, float]] = {}
        self._asked: dict[bytes, asyncio.Future[str]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            try:
                await self._app(scope, receive, send)
            finally:
                self._writer.close()
            return
        if scope["type"] != "http" or scope["path"] not in (ONE, BATCH):
            await self._app(scope, receive, send)
            return

        try:
            status, answer = await self._answer(scope, receive)
        except Exception as error:
            await _refuse(problem(error), send)
            return
        body = json.dumps(answer, separators=(",", ":")).encode("utf-8")
        length = (b"content-length", str(len(body)).encode("ascii"))
        headers = [(b"content-type", b"application/json"), length, *HEADERS]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, Mapping[str, Any]]:
        if scope["method"] != "POST":
            raise Stopped(Problem("method", "no such method here", "POST", {"Allow": "POST"}))
        subject = await self._producer(scope["headers"])
        sent = _parsed(_plain(await read_body(receive, MAX_BYTES), scope["headers"]))
        if scope["path"] == ONE:
            return _one((await self._judge([sent], subject))[0])
        if not isinstance(sent, list):
            raise Stopped(Problem("invalid_request", "the body is not a list of events", "send a JSON list"))
        if len(sent) > MAX_EVENTS:
            raise Stopped(Problem("too_large", "too many events at once", f"send at most {MAX_EVENTS}"))
        return _many(await self._judge(sent, subject))

    async def _producer(self, headers: Sequence[tuple[bytes, bytes]]) -> str:
        """The subject that posts. Raises Stopped: unknown, or no producer."""
        given = [value for name, value in headers if name in (b"authorization", b"x-api-key")]
        known = self._known.get(given[0]) if len(given) == 1 else None
        if known is not None and time.monotonic() < known[1]:
            return known[0]
        if len(given) != 1:
            return await self._looked_up(headers)
        asked = self._asked.get(given[0])
        if asked is None:
            asked = self._asked[given[0]] = asyncio.ensure_future(self._looked_up(headers))
            asked.add_done_callback(lambda done: self._found(given[0], done))
        return await asyncio.shield(asked)

    async def _looked_up(self, headers: Sequence[tuple[bytes, bytes]]) -> str:
        subject = await run_in_threadpool(self._subject, headers)
        if subject not in self._producers:
            do = "name the subject in [openlineage] producers"
            raise Stopped(Problem("no_access", "this subject is no producer of lineage", do))
        return subject

    def _found(self, given: bytes, asked: asyncio.Future[str]) -> None:
        """Whoever came with the same login meanwhile waits for the one look."""
        del self._asked[given]
        if asked.cancelled() or asked.exception() is not None:
            return
        if len(self._known) > 1_000:
            self._known.clear()
        self._known[given] = asked.result(), time.monotonic() + REMEMBERED_SECONDS

    def _subject(self, headers: Sequence[tuple[bytes, bytes]]) -> str:
        given = [(name, value) for name, value in headers if name in (b"authorization", b"x-api-key")]
        if len(given) == 1 and given[0][0] == b"authorization":
            scheme, _, token = given[0][1].decode("latin-1").partition(" ")
            if scheme.lower() == "bearer" and token.startswith("gov_"):
                subject = api_keys.subject_of(token, database=self._database)
                if subject is None:
                    raise Stopped(LOGIN)
                return subject
        return self._login.caller(headers).subject

    async def _judge(self, events: Sequence[Any], subject: str) -> list[Judged]:
        """What became of each event, in their order; committed."""
        judged: list[Told | str] = []
        for number, event in enumerate(events):
            try:
                judged.append(self._reader.read(event))
            except NotTaken as reason:
                judged.append(str(reason))
            if number % _TURN == _TURN - 1:
                await asyncio.sleep(0)
        try:
            return await self._writer.keep(judged, subject)
        except Busy:
            wait = {"Retry-After": "1"}
            raise Stopped(Problem("busy", "more events than can be written are waiting", "send again", wait)) from None


async def _refuse(told: Problem, send: Send) -> None:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *HEADERS]}
        await send(message)

    await respond(told, sent)


def _one(judged: Judged) -> tuple[int, Mapping[str, Any]]:
    match judged.status:
        case "kept":
            return 201, {"status": "kept"}
        case "known":
            return 200, {"status": "known"}
        case _:
            return 422, {"status": "rejected", "code": "invalid_request", "reason": judged.reason}


def _many(judged: Sequence[Judged]) -> tuple[int, Mapping[str, Any]]:
    events = [
        {"status": one.status, "reason": one.reason} if one.status == "rejected" else {"status": one.status}
        for one in judged
    ]
    counts = {name: sum(one.status == name for one in judged) for name in ("kept", "known", "rejected")}
    status = 200 if not counts["rejected"] else 422 if counts["rejected"] == len(judged) else 207
    return status, {"received": len(judged), **counts, "events": events}


def _plain(body: bytes, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The body, unpacked when it is gzip. Raises Stopped for one that grows too large."""
    coding = [value.lower() for name, value in headers if name == b"content-encoding"]
    if coding in ([], [b"identity"]):
        return body
    if coding != [b"gzip"]:
        raise Stopped(Problem("content_type", "no such content encoding", "gzip, or none"))
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        plain = unpacker.decompress(body, MAX_BYTES)
    except zlib.error:
        raise Stopped(Problem("invalid_request", "the body is not gzip", "send it as its header says")) from None
    if unpacker.unconsumed_tail:
        raise Stopped(Problem("too_large", "the request is too long", f"send at most {MAX_BYTES} bytes"))
    if not unpacker.eof:
        raise Stopped(Problem("invalid_request", "the body ends before its end", "send it whole"))
    if unpacker.unused_data:
        raise Stopped(Problem("invalid_request", "the body goes on after its end", "send one gzip member"))
    return plain


def _parsed(body: bytes) -> Any:
    def refuse(_: str) -> NoReturn:
        raise ValueError

    try:
        return json.loads(body, parse_constant=refuse)
    except (ValueError, RecursionError):
        raise Stopped(Problem("invalid_request", "the body is not JSON", "send JSON in UTF-8")) from None
