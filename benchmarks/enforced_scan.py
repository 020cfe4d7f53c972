"""`enforced_scan`: a full scan and an aggregate through `query`, ÷ the same SQL unprotected in DuckDB over plain Parquet.

Ours: decision, ledger, grant, decryption, row filter (two of ten districts), masks, two processes, Arrow between them. They wait in a pool,
as in `gov serve`; the pool is full again before each statement. Theirs: a process that is warm, no mask, and

    ratio           the same filter written by hand: the same rows leave
    text_ratio      the statement as it stands, all rows: what the subject would ask if nothing were protected

The scan gives every column of every row as Arrow: `count(column)`, which this measure asked before, DuckDB answers from statistics, unread.
`overhead_s` is what an answer of one row costs, in which there is nothing to scan.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import duckdb

from benchmarks import released
from governance.use.query import keep_ready, query
from governance.workers import Limits, pool

ROWS = int(os.environ.get("BENCH_ROWS", 10_000_000))
TIMES = int(os.environ.get("BENCH_PAIRS", 5))
SCAN = "SELECT * FROM {}{}"
AGGREGATE = "SELECT district, count(*), sum(income), avg(score), min(born) FROM {}{} GROUP BY district ORDER BY 1"
BY_HAND = " WHERE district IN ('110100', '110101')"

LIMITS = Limits(memory_mb=4096, seconds=600)


def measure() -> Iterator[dict[str, object]]:
    path = released.plain(ROWS)
    home = released.opened("enforced_scan", released.fields())
    released.fill(home, ROWS)
    released.release(home)
    keep_ready(home.settings, 1, LIMITS)
    try:
        yield _measured(home, f"read_parquet('{path}')")
    finally:
        pool.close()
        home.database.close()


def _measured(home: released.Home, plain: str) -> dict[str, object]:
    small = statistics.median(_timed(_ours, home, f"SELECT 1 AS a FROM {released.TABLE} LIMIT 1") for _ in range(5))  # noqa: S608
    line: dict[str, object] = {"rows": ROWS, "overhead_s": round(small, 3)}
    worst: dict[str, list[float]] = {"ratio": [], "text_ratio": []}
    for name, sql in (("scan", SCAN), ("aggregate", AGGREGATE)):
        mine, by_hand, as_it_stands = [], [], []
        for _ in range(TIMES):
            mine.append(_timed(_ours, home, sql.format(released.TABLE, "")))
            by_hand.append(_timed(_theirs, sql.format(plain, BY_HAND)))
            as_it_stands.append(_timed(_theirs, sql.format(plain, "")))
        line |= {f"{name}_s": round(statistics.median(mine), 3)}
        for key, theirs, said in (("ratio", by_hand, "by_hand_s"), ("text_ratio", as_it_stands, "unprotected_s")):
            ratio = statistics.median(a / b for a, b in zip(mine, theirs, strict=True))
            worst[key].append(ratio)
            line |= {f"{name}_{said}": round(statistics.median(theirs), 3), f"{name}_{key}": round(ratio, 3)}
    return {**line, **{key: round(max(ratios), 3) for key, ratios in worst.items()}, "goal": 1.3}


def _ours(home: released.Home, sql: str) -> int:
    given: dict[str, Any] = {
        "catalogue": home.catalogue,
        "database": home.database,
        "lake": home.lake,
        "keystore": home.keystore,
    }
    subject, purpose = released.WHO
    with query(sql, subject=subject, purpose=purpose, settings=home.settings, limits=LIMITS, **given) as answer:
        return sum(batch.num_rows for batch in answer.stream())


def _theirs(sql: str) -> int:
    with duckdb.connect(config={"threads": 2}) as con:
        return sum(batch.num_rows for batch in con.sql(sql).to_arrow_reader(65_536))


def _timed(function: Callable[..., int], *arguments: Any) -> float:
    _until_ready()
    began = time.monotonic()
    function(*arguments)
    return time.monotonic() - began


def _until_ready() -> None:
    """Wait until as many processes are ready as the pool holds, so that starting them disturbs neither side."""
    while not pool.full():
        time.sleep(0.02)
