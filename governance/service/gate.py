"""The gate before every endpoint: who asks, how much they send, and that nothing but a problem of ours leaves.

The login comes before the body is read or looked at. Only `OPEN` paths need none: they say nothing of any home.
"""

from __future__ import annotations

import asyncio
import logging

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from governance.service.login import Login
from governance.service.problems import Problem, Stopped, origin, problem

OPEN = frozenset({"/health", "/v1/openapi.json"})
BODY_SECONDS = 20.0
HEADERS = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
)
_log = logging.getLogger(__name__)


class Gate:
    """ASGI middleware. Who asks (`Caller`) is in the scope's state, under `caller`."""

    def __init__(self, app: ASGIApp, login: Login, max_bytes: int) -> None:
        self._app, self._login, self._max_bytes = app, login, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        started = False

        async def sent(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message = {**message, "headers": [*message.get("headers", ()), *HEADERS]}
            await send(message)

        try:
            if scope["path"] not in OPEN:
                headers = scope["headers"]
                caller = self._login.known(headers) or await run_in_threadpool(self._login.caller, headers)
                scope.setdefault("state", {})["caller"] = caller
            body = await read_body(receive, self._max_bytes)
            await self._app(scope, _again(body, receive), sent)
        except Exception as error:
            told = problem(error)
            if told.status >= 500:
                _log.error("a request failed: %s", origin(error))
            if not started:
                await respond(told, sent)


async def respond(told: Problem, send: Send) -> None:
    """Send a problem as the whole response."""
    body = told.body()
    headers = {"content-type": "application/json", "content-length": str(len(body)), **told.headers}
    pairs = [(name.lower().encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": told.status, "headers": pairs})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def read_body(receive: Receive, max_bytes: int) -> bytes:
    """The request's body. Raises Stopped when it is too long or too slow, or nobody sends it any more."""
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Stopped(Problem("slow_request", "the request ended before its end", "send it whole"))
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > max_bytes:
                    do = f"send at most {max_bytes} bytes"
                    raise Stopped(Problem("too_large", "the request is too long", do, {"Connection": "close"}))
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        raise Stopped(
            Problem("slow_request", "the request took too long", "send it faster", {"Connection": "close"})
        ) from None


def _again(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body that was read, then what comes after it."""
    given = False

    async def next_message() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return next_message
