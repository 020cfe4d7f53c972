"""Asks a `gov serve` for one key at a time, at a given rate: the load of `point_lookup`, in a process of its own.

Standard input: JSON with `port`, `path`, `headers`, `rate` (a second), `bodies`, and `rows` that each must find. Each request is
sent when it is due, over a connection that is free, and timed from then; what came back is looked at when all is over.
Standard output: JSON with `ms`, one number a request, and `cpu_s`, the processor time that asking took.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

CONNECTIONS = 48
_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


class _Connection(asyncio.Protocol):
    """One connection with at most one request under way."""

    def __init__(self, load: _Load) -> None:
        self._load, self._came, self._place = load, b"", -1
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def send(self, place: int, request: bytes) -> None:
        self._place = place
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._came += data
        head, found, body = self._came.partition(_END)
        if not found:
            return
        length = head.lower().partition(_LENGTH)[2].partition(b"\r\n")[0]
        if len(body) >= int(length):
            self._came = b""
            self._load.came(self, self._place, head, body)

    def connection_lost(self, error: Exception | None) -> None:
        self._load.lost()

    def close(self) -> None:
        self._transport.close()


class _Load:
    def __init__(self, asked: dict[str, Any]) -> None:
        self._asked = asked
        head = "".join(f"{name}: {value}\r\n" for name, value in asked["headers"].items())
        first = f"POST {asked['path']} HTTP/1.1\r\nHost: 127.0.0.1\r\n{head}Content-Length: "
        texts: Sequence[str] = asked["bodies"]
        self._requests = [f"{first}{len(text.encode())}\r\n\r\n{text}".encode() for text in texts]
        self._free: deque[_Connection] = (
            deque()
        )  # the one that rested longest first: a server closes what rests too long
        self._waiting: deque[int] = deque()
        self._ms = [-1.0] * len(texts)
        self._answers: list[tuple[bytes, bytes]] = [(b"", b"")] * len(texts)
        self._left = len(texts)
        self._begin = 0.0

    async def run(self) -> tuple[list[float], float]:
        loop = asyncio.get_running_loop()
        self._over: asyncio.Future[None] = loop.create_future()
        for _ in range(CONNECTIONS):
            _, made = await loop.create_connection(lambda: _Connection(self), "127.0.0.1", self._asked["port"])
            self._free.append(made)
        gc.disable()
        before = time.process_time()
        self._begin = loop.time() + 0.1
        for place in range(len(self._requests)):
            loop.call_at(self._due(place), self._ask, place)
        await self._over
        cpu_s = time.process_time() - before
        for each in self._free:
            each.close()
        return self._ms, cpu_s

    def check(self) -> None:
        """Raises AssertionError when an answer was another than it had to be."""
        for rows, (head, body) in zip(self._asked["rows"], self._answers, strict=True):
            status = head.partition(b" ")[2][:3]
            if status != b"200" or len(json.loads(body)["rows"]) != rows:
                raise AssertionError(f"a lookup gave something else: {status.decode()}")

    def came(self, connection: _Connection, place: int, head: bytes, body: bytes) -> None:
        self._ms[place] = (asyncio.get_running_loop().time() - self._due(place)) * 1000
        self._answers[place] = head, body
        self._left -= 1
        if self._waiting:
            connection.send((waited := self._waiting.popleft()), self._requests[waited])
        else:
            self._free.append(connection)
        if not self._left:
            self._over.set_result(None)

    def lost(self) -> None:
        if not self._over.done():
            self._over.set_exception(AssertionError("the service closed a connection"))

    def _ask(self, place: int) -> None:
        if self._free:
            self._free.popleft().send(place, self._requests[place])
        else:
            self._waiting.append(place)

    def _due(self, place: int) -> float:
        return self._begin + place / float(self._asked["rate"])


def main() -> None:
    load = _Load(json.load(sys.stdin))
    ms, cpu_s = asyncio.run(load.run())
    load.check()
    print(json.dumps({"ms": [round(each, 3) for each in ms], "cpu_s": round(cpu_s, 3)}))


if __name__ == "__main__":
    main()
