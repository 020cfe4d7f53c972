"""`suite_memory`: peak memory of the store pass of the orders (typed, judged, split, written encrypted) by rows; flat is the aim.

The peak is the process's resident memory, mapped files included. `BENCH_SIZES` (comma-separated row counts) makes other trials: 100000000 needs
45 GB of disk for source, landed copy and tables, and about fifteen minutes.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

from benchmarks import orders
from benchmarks.suite_with_split import landed, ours

SIZES = tuple(int(size) for size in os.environ.get("BENCH_SIZES", "1000000,10000000").split(","))


def measure() -> Iterator[dict[str, object]]:
    smallest: float | None = None
    for rows in SIZES:
        home = landed(rows)
        took = ours(home)
        shutil.rmtree(home)
        if rows > max(10_000_000, SIZES[0]):
            shutil.rmtree(orders.sources(rows))
        smallest = smallest or took.peak_mb
        yield {
            "ours_s": round(took.wall_s, 1),
            "ours_cpu_s": round(took.cpu_s, 1),
            "rows": rows,
            "peak_mb": round(took.peak_mb),
            "ratio": round(took.peak_mb / smallest, 3),
        }
