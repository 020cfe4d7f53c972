"""A job's items as an HTTP response; a reader who goes away ends the job."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from governance.service.gate import respond
from governance.service.jobs import Head, Job
from governance.service.problems import TIME


class Streamed(Response):
    """The answer of one job. When it fails before its first byte the response is the problem; after that the connection is cut."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self._job = job

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answering = asyncio.create_task(self._answer(send))
        leaving = asyncio.create_task(_left(receive))
        left = max(self._job.deadline - time.monotonic(), 0.0)
        try:
            await asyncio.wait({answering, leaving}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                answering.result()
            elif not leaving.done() and not self._begun:
                answering.cancel()
                await respond(TIME, send)
        finally:
            self._job.cancelled.set()
            for task in (answering, leaving):
                task.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)

    _begun = False

    async def _answer(self, send: Send) -> None:
        while True:
            item: Any = await self._job.get()
            if isinstance(item, Head):
                self._begun = True
                pairs = [("content-type", item.media_type), *item.headers.items()]
                headers = [(name.lower().encode("ascii"), value.encode("ascii")) for name, value in pairs]
                await send({"type": "http.response.start", "status": 200, "headers": headers})
            elif isinstance(item, bytes):
                await send({"type": "http.response.body", "body": item, "more_body": True})
            elif item.problem is None:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                return
            else:
                if not self._begun:
                    await respond(item.problem, send)
                return  # else without the last piece: the server cuts the connection


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
