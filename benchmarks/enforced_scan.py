"""`enforced_scan`: a full scan and an aggregate through `query`, ÷ the same SQL unprotected in DuckDB over plain Parquet.

Ours: decision, ledger, grant, decryption, row filter (two of ten districts), masks, two processes, Arrow between them. Theirs: the same
filter written by hand, no mask, a process that is warm. `overhead_s` is what an answer of one row costs, in which there is nothing to scan.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import duckdb

from benchmarks import released
from governance.use.query import query
from governance.workers import Limits

ROWS = int(os.environ.get("BENCH_ROWS", 10_000_000))
TIMES = int(os.environ.get("BENCH_PAIRS", 5))
SCAN = "SELECT count(id), count(name), count(phone), count(born), max(income), max(score), count(district) FROM {}{}"
AGGREGATE = "SELECT district, count(*), sum(income), avg(score), min(born) FROM {}{} GROUP BY district ORDER BY 1"
BY_HAND = " WHERE district IN ('110100', '110101')"


def measure() -> Iterator[dict[str, object]]:
    path = released.plain(ROWS)
    home = released.opened("enforced_scan", released.fields())
    released.fill(home, ROWS)
    released.release(home)
    small = statistics.median(_timed(_ours, home, f"SELECT 1 AS a FROM {released.TABLE} LIMIT 1") for _ in range(3))  # noqa: S608
    line: dict[str, object] = {"rows": ROWS, "overhead_s": round(small, 3)}
    ratios = []
    for name, sql in (("scan", SCAN), ("aggregate", AGGREGATE)):
        mine, theirs = [], []
        for _ in range(TIMES):
            mine.append(_timed(_ours, home, sql.format(released.TABLE, "")))
            theirs.append(_timed(_theirs, sql.format(f"read_parquet('{path}')", BY_HAND)))
        ratio = statistics.median(a / b for a, b in zip(mine, theirs, strict=True))
        ratios.append(ratio)
        facts = {"s": statistics.median(mine), "unprotected_s": statistics.median(theirs), "ratio": ratio}
        line |= {f"{name}_{key}": round(value, 3) for key, value in facts.items()}
    home.database.close()
    yield {**line, "ratio": round(max(ratios), 3), "goal": 1.3}


def _ours(home: released.Home, sql: str) -> int:
    given: dict[str, Any] = {
        "catalogue": home.catalogue,
        "database": home.database,
        "lake": home.lake,
        "keystore": home.keystore,
    }
    subject, purpose = released.WHO
    limits = Limits(memory_mb=4096, seconds=600)
    with query(sql, subject=subject, purpose=purpose, settings=home.settings, limits=limits, **given) as answer:
        return int(answer.table().num_rows)


def _theirs(sql: str) -> int:
    with duckdb.connect(config={"threads": 2}) as con:
        return len(con.execute(sql).fetchall())


def _timed(function: Callable[..., int], *arguments: Any) -> float:
    began = time.monotonic()
    function(*arguments)
    return time.monotonic() - began
