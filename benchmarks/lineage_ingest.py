"""`lineage_ingest`: OpenLineage events taken for good a second, by single posts and by batches, with a kill -9 in the middle.

The endpoint as `gov serve` has it (login by API key, the standard's schema, group commit, SQLite with `synchronous=FULL`) in a process of its
own; events of some 4 kB with 12 columns of lineage, each a run of its own, of 100 jobs; the client on the same cores. Halfway the server is
killed with SIGKILL and started again; what was not answered is sent again. `lost` are events that were answered with 2xx and are not in
the state at the end; `twice` those that are there more than once. `BENCH_INGEST_SECONDS` is the length of each of the two parts (300 is the
full length).
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn
from sqlalchemy import func, select

from benchmarks.measure import BUILD, ROOT
from governance.config import ServiceSettings, Settings
from governance.process import whole
from governance.service import api_keys
from governance.service.app import SERVER
from governance.service.lineage_in import BATCH, ONE, LineageIn
from governance.service.login import Login
from governance.state.database import Database
from governance.state.tables_lineage import lineage_event
from governance.state.values import Actor
from tests.lineage.openlineage import RUN, numbered

SECONDS = float(os.environ.get("BENCH_INGEST_SECONDS", "60"))
SINGLE_CONNECTIONS, BATCH_CONNECTIONS, A_BATCH = 64, 4, 200
_PORT = 18_743
_TEMPLATES = [json.dumps({**numbered(n), "run": {"runId": RUN, "facets": {}}}).encode() for n in range(100)]


def measure() -> Iterator[dict[str, object]]:
    found: dict[str, Any] = {"event_bytes": sum(map(len, _TEMPLATES)) // len(_TEMPLATES), "seconds_each": SECONDS}
    for name, connections, size in (("batch", BATCH_CONNECTIONS, A_BATCH), ("single", SINGLE_CONNECTIONS, 1)):
        folder = BUILD / "bench" / "ingest"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        found |= {f"{name}_{key}": value for key, value in _part(folder, connections, size).items()}
        shutil.rmtree(folder, ignore_errors=True)
    lost = found.pop("batch_lost") + found.pop("single_lost")
    twice = found.pop("batch_twice") + found.pop("single_twice")
    slower = min(found["batch_per_second"], found["single_per_second"])
    yield {"per_second": slower, "lost": lost, "twice": twice, **found}


def _part(folder: Path, connections: int, size: int) -> dict[str, Any]:
    database = Database(f"sqlite:///{folder / 'state.sqlite'}")
    database.create()
    key, _ = api_keys.create("service:etl", days=1, actor=Actor("user:b", "bench", "r"), database=database)
    server = _start(folder)
    client = _python("post", key, str(connections), str(size), str(SECONDS))
    time.sleep(SECONDS / 2)
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    server = _start(folder)
    output, _ = client.communicate()
    if client.returncode:
        raise RuntimeError(output)
    told = json.loads(output.splitlines()[-1])
    server.terminate()
    _, status, usage = os.wait4(server.pid, 0)
    server.returncode = os.waitstatus_to_exitcode(status)
    with database.read() as connection:
        events, runs = connection.execute(select(func.count(), func.count(lineage_event.c.run.distinct()))).one()
    database.close()
    print(f"  {size} a post: {told['answered'] / told['seconds']:.0f}/s, {runs} of {told['answered']} kept", flush=True)
    return {
        "per_second": round(told["answered"] / told["seconds"]),
        "lost": max(0, told["answered"] - runs),
        "twice": events - runs,
        "events": told["answered"],
        "p95_ms": told["p95_ms"],
        "longest_s": told["longest_s"],
        "server_cpu_ms_each": round((usage.ru_utime + usage.ru_stime) * 1000 / max(1, told["answered"] / 2), 3),
        "server_mb": round(usage.ru_maxrss / 1024),
        "state_mb": round(sum(file.stat().st_size for file in folder.glob("state.sqlite*")) / 2**20),
    }


def _start(folder: Path) -> subprocess.Popen[str]:
    return _python("serve", str(folder))


def _python(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.lineage_ingest", *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def serve(folder: Path) -> None:
    database = Database(f"sqlite:///{folder / 'state.sqlite'}")
    settings = Settings(folder, folder, folder, folder, folder, database.url, openlineage={"producers": "service:etl"})

    async def nothing(scope: Any, receive: Any, send: Any) -> None:
        for step in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{step}.complete"})

    app = LineageIn(nothing, settings=settings, database=database, login=Login(ServiceSettings(), database))
    uvicorn.run(app, port=_PORT, **{**SERVER, "log_level": "critical"})


class _Client:
    """Connections that post one after the other, each again until it is answered."""

    def __init__(self, key: str, size: int, seconds: float) -> None:
        self._key, self._size, self._ends = key, size, time.monotonic() + seconds
        self.answered, self.number = 0, 0
        self.waits: list[float] = []

    async def run(self) -> None:
        reader = writer = None
        while time.monotonic() < self._ends:
            request, began = self._request(), time.monotonic()
            while True:
                try:
                    if writer is None:
                        reader, writer = await asyncio.open_connection("127.0.0.1", _PORT)
                    writer.write(request)
                    assert reader is not None
                    status = await _status(reader)
                except (OSError, asyncio.IncompleteReadError):
                    reader = writer = None
                    await asyncio.sleep(0.05)
                    continue
                if 200 <= status < 300:
                    break
                if status != 429:
                    raise RuntimeError(f"status {status}")
                await asyncio.sleep(0.05)
            self.waits.append(time.monotonic() - began)
            self.answered += self._size
        if writer is not None:
            writer.close()

    def _request(self) -> bytes:
        bodies = []
        for _ in range(self._size):
            self.number += 1
            own = str(uuid.UUID(int=self.number, version=4)).encode()
            bodies.append(_TEMPLATES[self.number % 100].replace(RUN.encode(), own, 1))
        body = bodies[0] if self._size == 1 else b"[" + b",".join(bodies) + b"]"
        head = f"POST {ONE if self._size == 1 else BATCH} HTTP/1.1\r\nHost: b\r\nX-API-Key: {self._key}\r\n"
        return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


async def _status(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    await reader.readexactly(length)
    return int(head[9:12])


async def post(key: str, connections: int, size: int, seconds: float) -> None:
    for _ in range(600):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", _PORT)
            writer.close()
            break
        except OSError:
            await asyncio.sleep(0.1)
    client, began = _Client(key, size, seconds), time.monotonic()
    await asyncio.gather(*(client.run() for _ in range(connections)))
    waits = sorted(client.waits)
    told = {"answered": client.answered, "seconds": time.monotonic() - began, "longest_s": round(waits[-1], 2)}
    print(json.dumps({**told, "p95_ms": round(waits[len(waits) * 95 // 100] * 1000, 1)}))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve", folder]:
            whole(lambda: serve(Path(folder)))
        case ["post", key, connections, size, seconds]:
            asyncio.run(post(key, int(connections), int(size), float(seconds)))
