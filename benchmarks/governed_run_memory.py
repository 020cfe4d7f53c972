"""`governed_run_memory`: peak memory of the governed run at 1, 10 and 50 million rows; flat within 2×.

Two peaks: the largest process, and all processes of the run together (resident memory that is not shared with files, sampled ten times a second).
`BENCH_SIZES` (comma-separated row counts) makes smaller trials.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import orders
from benchmarks.governed_process import access
from benchmarks.measure import ROOT, python

SIZES = tuple(int(size) for size in os.environ.get("BENCH_SIZES", "1000000,10000000,50000000").split(","))
LIMIT = 2.0
_SECONDS = 0.1


def measure() -> Iterator[dict[str, object]]:
    smallest: float | None = None
    for rows in SIZES:
        home = orders.home(rows, access())
        wall_s, together_mb, largest_mb = peaks(python("benchmarks.governed_process", str(home)))
        smallest = smallest or together_mb
        yield {
            "ours_s": round(wall_s, 2),
            "rows": rows,
            "peak_mb": round(largest_mb),
            "peak_together_mb": round(together_mb),
            "ratio": round(together_mb / smallest, 3),
            "limit": LIMIT,
        }
        shutil.rmtree(home)
        if rows > max(10_000_000, SIZES[0]):
            shutil.rmtree(orders.sources(rows))


def peaks(command: list[str]) -> tuple[float, float, float]:
    """Wall seconds; peak of the process tree's own memory together and of its largest process (resident, with mapped files), in MiB."""
    started, together = time.monotonic(), 0
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            break
        together = max(together, sum(map(_own_kb, _tree(process.pid))))
        time.sleep(_SECONDS)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return time.monotonic() - started, together / 1024, usage.ru_maxrss / 1024


def _tree(pid: int) -> list[int]:
    """The process and all that descend from it."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        for thread in Path(f"/proc/{pid}/task").iterdir():
            if thread.name != str(pid):
                children += (thread / "children").read_text(encoding="ascii").split()
    except OSError:
        return [pid]
    return [pid, *(one for child in children for one in _tree(int(child)))]


def _own_kb(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return 0
    return sum(map(int, re.findall(r"^Rss(?:Anon|Shmem):\s+(\d+) kB", status, re.MULTILINE)))
