"""`suite_with_split`: the whole store pass of the orders (decrypted, parsed, typed, judged by 24 rules, split, passed and quarantined written, four
columns encrypted, tokens made) ÷ DuckDB's plain typed copy of the same CSV file. Wall and CPU of the pass and of the copy alone, in turn.

`BENCH_ROWS` and `BENCH_PAIRS` make smaller trials.
"""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import orders
from benchmarks.governed_process import access
from benchmarks.measure import BUILD, Run, alternate, compared, inside, python, run_inside

ROWS = int(os.environ.get("BENCH_ROWS", 10_000_000))
PAIRS = int(os.environ.get("BENCH_PAIRS", 5))
LIMIT = 1.5
DATASET = "bench.orders"

COPY = """
COPY (
    SELECT CAST(order_id AS BIGINT) AS order_id, person_no, phone, name, address, status, region, CAST(amount AS DECIMAL(18,2)) AS amount,
        CAST(quantity AS BIGINT) AS quantity, CAST(ordered_on AS DATE) AS ordered_on, CAST(shipped_at AS TIMESTAMP) AS shipped_at,
        CAST(score AS DOUBLE) AS score
    FROM read_csv('{source}', header = true, nullstr = ['', 'n/a'], all_varchar = true)
) TO '{target}' (FORMAT parquet, COMPRESSION zstd)
"""


def measure() -> Iterator[dict[str, object]]:
    home = landed(ROWS)
    copy = BUILD / "bench" / f"copy-{ROWS}.parquet"
    mine, theirs = alternate(lambda: ours(home), lambda: reference(orders.sources(ROWS), copy), PAIRS)
    copy.unlink()
    shutil.rmtree(home)
    yield {**compared(mine, theirs, ROWS), "limit": LIMIT}


def ours(home: Path) -> Run:
    """One store pass of the landed batch."""
    again(home)
    return run_inside(python("benchmarks.suite_with_split", "store", str(home)))


def reference(sources: Path, target: Path) -> Run:
    return run_inside(python("benchmarks.suite_with_split", "copy", str(sources / "orders.csv"), str(target)))


def landed(rows: int) -> Path:
    """A home in which the orders have landed and no more; what it is then can be had again by `again`."""
    from governance.config import load_settings
    from governance.pipeline.context import open_context
    from governance.pipeline.ingest import collect_datasets
    from governance.state.values import Window

    home = orders.home(rows, access())
    context = open_context(load_settings(home))
    window = Window(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))
    (step,) = collect_datasets(context, [DATASET], window, "land")
    assert step.outcome == "done", step
    context.database.close()
    shutil.copy(home / "var" / "state.sqlite", home / "landed.sqlite")
    return home


def again(home: Path) -> None:
    """As if nothing had been stored."""
    var = home / "var"
    for name in ("state.sqlite-wal", "state.sqlite-shm"):
        (var / name).unlink(missing_ok=True)
    shutil.copy(home / "landed.sqlite", var / "state.sqlite")
    for table in (var / "lake" / "bench").glob("orders*"):
        shutil.rmtree(table)


def store(home: Path) -> None:
    from governance.config import load_settings
    from governance.pipeline.context import open_context
    from governance.pipeline.ingest import store_datasets

    for name in ("pyiceberg.catalog.sql", "pyiceberg.io.pyarrow", "pyiceberg.table"):
        importlib.import_module(name)  # a service has it long before its batch comes; an import is no part of the pass
    context = open_context(load_settings(home))
    with inside():
        (step,) = store_datasets(context, [DATASET], "store")
    assert step.outcome == "done", step
    context.database.close()


def copy(source: str, target: str) -> None:
    import duckdb

    Path(target).unlink(missing_ok=True)
    with duckdb.connect(config={"threads": 2, "memory_limit": "2048MB", "temp_directory": ""}) as con:
        con.execute("SET preserve_insertion_order = false")
        with inside():
            con.execute(COPY.format(source=source, target=target))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["store", home]:
            store(Path(home))
        case ["copy", source, target]:
            copy(source, target)
