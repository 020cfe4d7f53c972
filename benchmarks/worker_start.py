"""`worker_start`: what one locked worker costs, from its start to the first and only row of an answer, and its memory."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Iterator

import pyarrow as pa

from governance.workers import Limits, start

TIMES = 15


def measure() -> Iterator[dict[str, object]]:
    walls, before = [], resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(TIMES):
        began = time.monotonic()
        _one()
        walls.append(time.monotonic() - began)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / TIMES
    yield {
        "ms": round(statistics.median(walls) * 1000),
        "best_ms": round(min(walls) * 1000),
        "cpu_ms": round(cpu * 1000),
        "peak_mb": round(after.ru_maxrss / 1024),
    }


def _one() -> None:
    request = {"sql": "SELECT sum(a) AS s FROM curated.t", "tables": {"t": "curated.t"}, "threads": 1}
    limits = Limits(memory_mb=512, seconds=60, locked=True)
    stream = pa.table({"a": [1, 2, 3]}).to_reader()
    request |= {"memory_mb": 256, "max_rows": None}
    with start("governance.use.locked:run", request, limits=limits, inputs={"t": stream}) as worker:
        if worker.stream().read_all().num_rows != 1:
            raise AssertionError("the worker gave no answer")
        worker.result()
