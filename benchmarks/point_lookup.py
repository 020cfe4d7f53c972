"""`point_lookup`: one record by its identifier through the lookup service, encryption on, at a given rate.

`BENCH_ROWS` people (2 million) in curated.person under the demo's policy; requests of one key each come at `BENCH_RATE` a
second (200) whether or not the ones before are answered, and each is timed from when it was due. `hot`: the copy's files
are in the page cache; `cold`: they are thrown out of it before every request. `first_ms` is the first request of a session,
its process included; `copy_s` is the making of the copy, once a release.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks.measure import BUILD
from governance.config import Settings
from governance.use.lookup import Lookups
from governance.use.lookup_copies import ensure_layout
from tests.use.lookup_home import Home, number

ROWS = int(os.environ.get("BENCH_ROWS", "2000000"))
RATE = int(os.environ.get("BENCH_RATE", "200"))
SECONDS = int(os.environ.get("BENCH_SECONDS", "10"))
COLD, THREADS = 100, 32
TABLE, WHO = "curated.person", {"subject": "user:wang", "purpose": "benefits"}


def measure() -> Iterator[dict[str, object]]:
    folder = BUILD / "bench" / "point_lookup"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    home = Home(folder, threads=2, memory_limit_mb=2048)
    home.fill(TABLE, ROWS)
    home.release(TABLE)
    began = time.monotonic()
    snapshot = home.lake.snapshot(TABLE)
    assert snapshot is not None
    ensure_layout(TABLE, "resident_no", snapshot, settings=home.settings, database=home.database, lake=home.lake)
    copy_s = time.monotonic() - began
    print(f"  {ROWS:,} rows copied in {copy_s:.1f} s", flush=True)
    with home.lookups(keys_per_hour=10_000_000) as service:
        first_ms = _timed(service, 1)
        for i in range(20):
            _timed(service, i + 2)
        hot = _at_rate(service)
        cold = _cold(service, home.settings)
    yield {
        "rows": ROWS,
        "rate": RATE,
        "p50_ms": _percentile(hot, 50),
        "p99_ms": _percentile(hot, 99),
        "cold_p99_ms": _percentile(cold, 99),
        "cold_p50_ms": _percentile(cold, 50),
        "first_ms": round(first_ms, 1),
        "copy_s": round(copy_s, 1),
        "load": round(os.getloadavg()[0], 1),
    }
    home.database.close()
    shutil.rmtree(folder, ignore_errors=True)


def _at_rate(service: Lookups) -> list[float]:
    """Milliseconds from when each request was due to its answer."""
    begin = time.monotonic() + 0.1
    chosen = random.Random(1).choices(range(ROWS), k=RATE * SECONDS)

    def one(place: int) -> float:
        due = begin + place / RATE
        time.sleep(max(0.0, due - time.monotonic()))
        _timed(service, chosen[place])
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
        found.append(_timed(service, i))
    return found


def _timed(service: Lookups, i: int) -> float:
    began = time.monotonic()
    found = service.lookup(TABLE, [number(i)], **WHO)
    if found.table.num_rows != bool(i % 7):
        raise AssertionError("a lookup gave another record")
    return (time.monotonic() - began) * 1000


def _forget(file: Path) -> None:
    """Throw a file out of the page cache."""
    handle = os.open(file, os.O_RDONLY)
    try:
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(handle)


def _percentile(values: list[float], share: int) -> float:
    return round(float(np.percentile(values, share)), 1)
