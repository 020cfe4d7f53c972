"""`point_lookup`: one record by its identifier through the lookup service, encryption on, at a given rate.

`BENCH_ROWS` people (50 million) in curated.person under the demo's policy; requests of one key each come at `BENCH_RATE` a
second (200) whether or not the ones before are answered, and each is timed from when it was due. `p50_ms`, `p99_ms`: in
the process of the sessions, the copy's files in the page cache; `http_`: over HTTP, to a `gov serve` of its own, asked by
`point_asker` in a process of its own; `cold_`: one after another, the files thrown out of the page cache before each. `cpu_ms` is
what all our processes take for one key at that rate, the askers included; `http_cpu_ms` what `gov serve` and its scanner take, and
`asker_cpu_ms` what asking takes beside them. `first_ms` is the first request of a session, its process included;
`open_ms` four requests of 190 keys, which open nearly all files; `prepare_s` all that comes before, of it `copy_s` the making of the
copy, once a release.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.measure import BUILD, python
from benchmarks.measure import ROOT as MAIN
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
        before = _cpu_s(os.getpid())
        hot = _at_rate(lambda i: _found(service, [i]))
        cpu_ms = (_cpu_s(os.getpid()) - before) / len(hot) * 1000
        cold = _cold(service, home.settings)
    over_http, http_cpu_ms, asker_cpu_ms = _over_http(folder)
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
        "http_cpu_ms": round(http_cpu_ms, 2),
        "asker_cpu_ms": round(asker_cpu_ms, 2),
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


def _over_http(folder: Path) -> tuple[list[float], float, float]:
    """Milliseconds of each request to a `gov serve` of its own, and what it and the asker take of a processor for one."""
    port = port_that_is_free()
    words = [sys.executable, "-m", "governance.cli.main", "--home", str(folder), "serve", f"--port={port}"]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as server:
        try:
            _await(f"http://127.0.0.1:{port}/health")
            _asked(port, random.Random(3).choices(range(ROWS), k=1), 1)  # opens the session
            _asked(port, random.Random(4).choices(range(ROWS), k=min(ROWS, 600)), RATE / 2)
            before = _cpu_s(server.pid)
            told = _asked(port, random.Random(1).choices(range(ROWS), k=RATE * SECONDS), RATE)
            took = _cpu_s(server.pid) - before
        finally:
            server.terminate()
    return told["ms"], took / len(told["ms"]) * 1000, told["cpu_s"] / len(told["ms"]) * 1000


def _asked(port: int, people: Sequence[int], rate: float) -> dict[str, Any]:
    """What `point_asker` told of asking for each of them."""
    login = token(sub=WHO["subject"].partition(":")[2], exp=int(time.time()) + 3600)
    asked = {
        "port": port,
        "path": "/v1/lookup",
        "headers": {"Authorization": f"Bearer {login}", "Content-Type": "application/json"},
        "rate": rate,
        "bodies": [json.dumps({"table": TABLE, "purpose": WHO["purpose"], "keys": [number(i)]}) for i in people],
        "rows": [int(bool(i % 7)) for i in people],
    }
    words = python("benchmarks.point_asker")
    told = subprocess.run(words, input=json.dumps(asked), cwd=MAIN, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(told.stdout)
    return found


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


def _cpu_s(pid: int) -> float:
    """Processor time of a process and of its children that run."""
    children = Path(f"/proc/{pid}/task").glob("*/children")
    own = {str(pid), *(child for file in children for child in file.read_text(encoding="ascii").split())}
    fields = [Path(f"/proc/{each}/stat").read_text(encoding="ascii").rpartition(")")[2].split() for each in own]
    return sum(int(each[11]) + int(each[12]) for each in fields) / _TICKS


def _forget(file: Path) -> None:
    """Throw a file out of the page cache."""
    handle = os.open(file, os.O_RDONLY)
    try:
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(handle)


def _percentile(values: list[float], share: int) -> float:
    return round(float(np.percentile(values, share)), 1)
