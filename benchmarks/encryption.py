"""`encryption`: the same write and the same read of the lake with five encrypted columns and with none; the ratio of the worse side."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator

from benchmarks import released
from governance.keys import grants

ROWS = int(os.environ.get("BENCH_ROWS", 10_000_000))
TIMES = int(os.environ.get("BENCH_PAIRS", 5))
COLUMNS = [field.name for field in released.fields()]


def measure() -> Iterator[dict[str, object]]:
    found: dict[str, list[tuple[float, float]]] = {"encrypted": [], "clear": []}
    _once(True, 1000)  # what is imported on first use belongs to neither
    for _ in range(TIMES):
        for name, encrypted in (("encrypted", True), ("clear", False)):
            found[name].append(_once(encrypted, ROWS))
    ratios = [
        statistics.median(a[side] / b[side] for a, b in zip(found["encrypted"], found["clear"], strict=True))
        for side in (0, 1)
    ]
    line: dict[str, object] = {"rows": ROWS, "encrypted_columns": sum(f.encrypted for f in released.fields())}
    for name, runs in found.items():
        line |= {f"{name}_write_s": round(statistics.median(w for w, _ in runs), 2)}
        line |= {f"{name}_read_s": round(statistics.median(r for _, r in runs), 2)}
    yield {
        **line,
        "write_ratio": round(ratios[0], 3),
        "read_ratio": round(ratios[1], 3),
        "ratio": round(max(ratios), 3),
        "goal": 1.1,
    }


def _once(encrypted: bool, rows: int) -> tuple[float, float]:
    """Seconds to write the table, and to read all of it."""
    home = released.opened("encryption", released.fields(encrypted))
    began = time.monotonic()
    released.fill(home, rows)
    written = time.monotonic() - began
    snapshot = home.lake.snapshot(released.TABLE)
    assert snapshot is not None
    keys = home.lake.keys(released.TABLE, snapshot, COLUMNS)
    with home.database.unit_of_work() as tx:
        names = sorted(keys, key=str)
        grant = grants.issue(tx, actor=released.ACTOR, keys=names, database=home.database).id if keys else None
    began = time.monotonic()
    with home.lake.scan(released.TABLE, snapshot, COLUMNS, grant_id=grant) as reader:
        found = sum(batch.num_rows for batch in reader)
    read = time.monotonic() - began
    home.database.close()
    if found != rows:
        raise AssertionError(f"{found} rows read")
    return written, read
