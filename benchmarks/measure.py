"""Times whole processes, two commands in turn, and takes medians."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build"


@dataclass(frozen=True, slots=True)
class Run:
    """One process from start to exit: wall and CPU seconds (children included), peak memory of its largest process in MiB."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def run(command: Sequence[str], *, shown: str = "") -> Run:
    """Run one command to its end; lines of its output that begin with `shown` are printed. Raises CalledProcessError when it fails."""
    started = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        print(output[-4000:], file=sys.stderr)
        raise subprocess.CalledProcessError(process.returncode, list(command))
    wall_s = time.monotonic() - started
    for line in output.splitlines():
        if shown and line.startswith(shown):
            print(f"  {line}", flush=True)
    return Run(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def run_inside(command: Sequence[str]) -> Run:
    """Run one command to its end: wall and CPU seconds are those of its work alone, as its last line `INSIDE {"wall_s": …, "cpu_s": …}` says;
    peak memory is the process's.
    """
    started = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    output, error = started.communicate()
    if started.returncode:
        print(error[-4000:], file=sys.stderr)
        raise subprocess.CalledProcessError(started.returncode, list(command))
    told = json.loads([line for line in output.splitlines() if line.startswith("INSIDE ")][-1].removeprefix("INSIDE "))
    return Run(told["wall_s"], told["cpu_s"], told["peak_mb"])


@contextmanager
def inside() -> Iterator[None]:
    """Print what the block took, for `run_inside`."""
    wall, cpu = time.monotonic(), time.process_time()
    yield
    took = {"wall_s": time.monotonic() - wall, "cpu_s": time.process_time() - cpu}
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print("INSIDE", json.dumps({**took, "peak_mb": peak_mb}), flush=True)


def alternate(ours: Callable[[], Run], reference: Callable[[], Run], times: int) -> tuple[list[Run], list[Run]]:
    """Both in turn, `times` times."""
    mine, theirs = [], []
    for number in range(times):
        mine.append(ours())
        theirs.append(reference())
        print(f"  run {number + 1}: ours {mine[-1].wall_s:.1f} s, reference {theirs[-1].wall_s:.1f} s", flush=True)
    return mine, theirs


def median(runs: Sequence[Run], of: Callable[[Run], float]) -> float:
    return statistics.median(of(run) for run in runs)


def compared(mine: Sequence[Run], theirs: Sequence[Run], rows: int) -> dict[str, float | int]:
    """One bench line: medians of wall time, the median of the ratios run by run, CPU beside it."""
    ratios = [a.wall_s / b.wall_s for a, b in zip(mine, theirs, strict=True)]
    cpu = [a.cpu_s / b.cpu_s for a, b in zip(mine, theirs, strict=True)]
    return {
        "ours_s": round(median(mine, lambda r: r.wall_s), 2),
        "reference_s": round(median(theirs, lambda r: r.wall_s), 2),
        "ratio": round(statistics.median(ratios), 3),
        "ours_cpu_s": round(median(mine, lambda r: r.cpu_s), 2),
        "reference_cpu_s": round(median(theirs, lambda r: r.cpu_s), 2),
        "cpu_ratio": round(statistics.median(cpu), 3),
        "rows": rows,
        "peak_mb": round(median(mine, lambda r: r.peak_mb)),
    }
