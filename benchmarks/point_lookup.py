"""`point_lookup`: one record by its identifier through the lookup service, encryption on, at a given rate.

`BENCH_ROWS` people (50 million) in curated.person under the demo's policy; requests of one key each come at `BENCH_RATE` a
second (200) whether or not the ones before are answered, and each is timed from when it was due. `p50_ms`, `p99_ms`: in
the process of the sessions, the copy's files in the page cache; `http_`: over HTTP, to a `gov serve` of its own;
`cold_`: one after another, the files thrown out of the page cache before each. `cpu_ms` is what all our processes take
for one key at that rate, the askers included. `first_ms` is the first request of a session, its process included;
`open_ms` four requests of 190 keys, which open nearly all files; `prepare_s` all that comes before, of it `copy_s` the making of the
copy, once a release.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np

from benchmarks.measure import BUILD
from governance.config import Settings
from governance.use.lookup import Lookups
from governance.use.lookup_copies import ensure_layout
from tests.service.conftest import AUDIENCE, ISSUER, key_set, port_that_is_free, token
from tests.use.lookup_home import ROOT, Home, number

ROWS = int(os.environ.get("BENCH_ROWS", "50000000"))
RATE = int(os.environ.get("BENCH_RATE", "200"))
SECONDS = int(os.environ.get("BENCH_SECONDS", "15"))
COLD, THREADS = 100, 48
TABLE, WHO = "curated.person", {"subject": "user:wang", "purpose": "benefits"}
TOML = """[engine]
threads = 2
memory_limit_mb = 2048
[service]
issuer = "{issuer}"
audience = "{audience}"
jwks = "jwks.json"
one_time = false
"""
_TICKS = os.sysconf("SC_CLK_TCK")


def measure() -> Iterator[dict[str, object]]:
    folder = BUILD / "bench" / "point_lookup"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    began = time.monotonic()
    home = _prepared(folder)
    copying = time.monotonic()
    snapshot = home.lake.snapshot(TABLE)
    assert snapshot is not None
    ensure_layout(TABLE, "resident_no", snapshot, settings=home.settings, database=home.database, lake=home.lake)
    copy_s, prepare_s = time.monotonic() - copying, time.monotonic() - began
    print(f"  {ROWS:,} rows prepared in {prepare_s:.1f} s, of it the copy {copy_s:.1f} s", flush=True)
    with home.lookups(keys_per_hour=10_000_000) as service:
        first_ms = _timed(lambda: _found(service, [1]))
        open_ms = _timed(lambda: _opened(service))
        for i in range(50):
            _found(service, [i])
        before = _cpu_s()
        hot = _at_rate(lambda i: _found(service, [i]))
        cpu_ms = (_cpu_s() - before) / len(hot) * 1000
        cold = _cold(service, home.settings)
    with _served(folder) as ask:
        over_http = _at_rate(ask)
    yield {
        "rows": ROWS,
        "rate": RATE,
        "p50_ms": _percentile(hot, 50),
        "p99_ms": _percentile(hot, 99),
        "http_p50_ms": _percentile(over_http, 50),
        "http_p99_ms": _percentile(over_http, 99),
        "cold_p50_ms": _percentile(cold, 50),
        "cold_p99_ms": _percentile(cold, 99),
        "cpu_ms": round(cpu_ms, 2),
        "first_ms": round(first_ms, 1),
        "open_ms": round(open_ms, 1),
        "copy_s": round(copy_s, 1),
        "prepare_s": round(prepare_s, 1),
        "load": round(os.getloadavg()[0], 1),
    }
    home.database.close()
    shutil.rmtree(folder, ignore_errors=True)


def _prepared(folder: Path) -> Home:
    """A home of files with the table published."""
    for name in ("catalog", "expectations"):
        shutil.copytree(ROOT / name, folder / name)
    (folder / "gov.toml").write_text(TOML.format(issuer=ISSUER, audience=AUDIENCE), encoding="utf-8")
    (folder / "jwks.json").write_text(key_set(), encoding="utf-8")
    home = Home(folder, threads=2, memory_limit_mb=2048)
    home.fill(TABLE, ROWS)
    home.release(TABLE)
    return home


def _at_rate(ask: Callable[[int], None]) -> list[float]:
    """Milliseconds from when each request was due to its answer."""
    begin = time.monotonic() + 0.1
    chosen = random.Random(1).choices(range(ROWS), k=RATE * SECONDS)

    def one(place: int) -> float:
        due = begin + place / RATE
        time.sleep(max(0.0, due - time.monotonic()))
        ask(chosen[place])
        return (time.monotonic() - due) * 1000

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(one, range(len(chosen))))


def _cold(service: Lookups, settings: Settings) -> list[float]:
    chosen = random.Random(2).choices(range(ROWS), k=COLD)
    files = list((settings.lake / "_serving").rglob("*.parquet"))
    found = []
    for i in chosen:
        for file in files:
            _forget(file)
        found.append(_timed(lambda i=i: _found(service, [i])))  # type: ignore[misc]
    return found


@contextmanager
def _served(folder: Path) -> Iterator[Callable[[int], None]]:
    """What asks a `gov serve` of its own for one person, over a connection of each thread."""
    port = port_that_is_free()
    words = [sys.executable, "-m", "governance.cli.main", "--home", str(folder), "serve", f"--port={port}"]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as server:
        try:
            _await(f"http://127.0.0.1:{port}/health")
            ask = _asker(port)
            for i in (1, *random.Random(4).choices(range(ROWS), k=min(ROWS, 400))):
                ask(i)
            yield ask
        finally:
            server.terminate()


def _asker(port: int) -> Callable[[int], None]:
    own = threading.local()
    login = token(sub=WHO["subject"].partition(":")[2], exp=int(time.time()) + 3600)
    headers = {"Authorization": f"Bearer {login}", "Content-Type": "application/json"}

    def ask(i: int) -> None:
        if not hasattr(own, "connection"):
            own.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        body = json.dumps({"table": TABLE, "purpose": WHO["purpose"], "keys": [number(i)]})
        own.connection.request("POST", "/v1/lookup", body, headers)
        answer = own.connection.getresponse()
        told = json.loads(answer.read())
        if answer.status != 200 or len(told["rows"]) != bool(i % 7):
            raise AssertionError(f"a lookup gave something else: {answer.status}")

    return ask


def _await(url: str) -> None:
    for _ in range(300):
        try:
            if httpx.get(url).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError("the service did not start")


def _found(service: Lookups, people: Sequence[int]) -> None:
    found = service.lookup(TABLE, [number(i) for i in people], fields=None, **WHO)
    if len(people) == 1 and found.table.num_rows != bool(people[0] % 7):
        raise AssertionError("a lookup gave another record")


def _opened(service: Lookups) -> None:
    """Four requests of 190 keys, which between them open all files."""
    for seed in range(4):
        _found(service, random.Random(seed).choices(range(ROWS), k=190))


def _timed(work: Callable[[], None]) -> float:
    began = time.monotonic()
    work()
    return (time.monotonic() - began) * 1000


def _cpu_s() -> float:
    """Processor time of this process and of its children that run."""
    total = time.process_time()
    children = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    for pid in {pid for file in children for pid in file.read_text(encoding="ascii").split()}:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / _TICKS
    return total


def _forget(file: Path) -> None:
    """Throw a file out of the page cache."""
    handle = os.open(file, os.O_RDONLY)
    try:
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(handle)


def _percentile(values: list[float], share: int) -> float:
    return round(float(np.percentile(values, share)), 1)
