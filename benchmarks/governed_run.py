"""`governed_run`: the whole governed run ÷ a hand-written DuckDB script that needs none of it, two processes in turn.

Ours lands and encrypts the originals, judges, keeps positions and quarantine, encrypts four columns, makes a token column, keeps lineage and
ledger, builds the curated table and publishes it under a policy. `BENCH_ROWS` and `BENCH_PAIRS` make smaller trials.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import duckdb

from benchmarks import orders
from benchmarks.governed_process import access
from benchmarks.measure import BUILD, Run, alternate, compared, python, run

ROWS = int(os.environ.get("BENCH_ROWS", 10_000_000))
PAIRS = int(os.environ.get("BENCH_PAIRS", 3))
LIMIT = 1.3


def measure() -> Iterator[dict[str, object]]:
    orders.sources(ROWS)
    mine, theirs = alternate(lambda: ours(ROWS), lambda: reference(ROWS), PAIRS)
    same(ROWS)
    yield {**compared(mine, theirs, ROWS), "limit": LIMIT}


def ours(rows: int) -> Run:
    """One governed run in a fresh home."""
    home = orders.home(rows, access())
    return run(python("benchmarks.governed_process", str(home)), shown="STEPS")


def reference(rows: int) -> Run:
    """One run of the hand-written script into an empty folder."""
    out = output(rows)
    shutil.rmtree(out, ignore_errors=True)
    home = orders.home_folder(rows)
    return run(python("benchmarks.reference_run", str(orders.sources(rows)), str(home), str(out)))


def output(rows: int) -> Path:
    return BUILD / "bench" / f"reference-{rows}"


def same(rows: int) -> None:
    """Both give the same curated table and as many passed and quarantined rows, or the comparison is worth nothing."""
    lake, out = orders.home_folder(rows) / "var" / "lake", output(rows)
    counted, sums = (
        "SELECT count(*) FROM read_parquet(?)",
        "SELECT region, grade, orders, amount FROM read_parquet(?) ORDER BY ALL",
    )
    compared_files = (
        (counted, lake / "bench/orders/data/*.parquet", out / "orders.parquet"),
        (counted, lake / "bench/orders__quarantine/data/*.parquet", out / "orders_quarantine.parquet"),
        (counted, lake / "bench/members/data/*.parquet", out / "members.parquet"),
        (sums, lake / "curated/turnover/data/*.parquet", out / "turnover.parquet"),
    )
    with duckdb.connect() as con:
        for query, own, given in compared_files:
            if con.execute(query, [str(own)]).fetchall() != con.execute(query, [str(given)]).fetchall():
                raise AssertionError(f"the two runs differ: {own.relative_to(lake)}")
