"""`suite_one_scan`: the suite of 20 checks judged over the stored, encrypted table as a back-test does it, verdict and positions of bad rows out of
one evaluation ÷ one hand-written DuckDB statement over a plain Parquet file that finds the same counts and positions.

Ours is `pipeline.backtest.back_test` in a process of its own: ledger, grant, decryption of three columns, 3,000 codes joined, and GX's result made of
the metrics. Both find the same, or the measure fails. Seconds are of the work without imports. `BENCH_ROWS`, `BENCH_PAIRS`: smaller trials.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks import suite_data
from benchmarks.measure import BUILD, Run, alternate, compared, inside, python, run_inside

ROWS = int(os.environ.get("BENCH_ROWS", 10_000_000))
PAIRS = int(os.environ.get("BENCH_PAIRS", 5))
LIMIT = 1.2

CONDITIONS = (
    *(f"s.{name} IS NULL" for name in ("order_id", "code", "name", "status", "region", "amount", "email")),
    "r.k IS NOT NULL",
    "p.a IS NOT NULL",
    "coalesce(NOT regexp_matches(s.code, '^[0-9]{17}[0-9X]$'), false)",
    f"coalesce(NOT regexp_matches(s.email, '{suite_data.EMAIL}'), false)",
    "coalesce(regexp_matches(s.name, '[0-9]'), false)",
    "coalesce(length(s.code) <> 18, false)",
    "coalesce(length(s.name) NOT BETWEEN 1 AND 20, false)",
    "coalesce(s.status NOT IN ('new', 'paid', 'sent', 'done'), false)",
    "coalesce(s.amount NOT BETWEEN 0 AND 100000, false)",
    "coalesce(s.quantity NOT BETWEEN 1 AND 100, false)",
    "coalesce(s.ordered_on NOT BETWEEN DATE '2020-01-01' AND DATE '2027-01-01', false)",
    "coalesce(s.shipped_on < s.ordered_on, false)",
    "s.region IS NOT NULL AND c.code IS NULL",
)
"""One a check, in the order of `suite_data.checks`; the last is the code set. NULL counts as met."""

STATEMENT = """
WITH source AS (SELECT *, file_row_number + 1 AS row FROM read_parquet('{plain}', file_row_number = true)),
repeated AS (SELECT order_id AS k FROM source WHERE order_id IS NOT NULL GROUP BY order_id HAVING count(*) > 1),
repeated_pair AS (SELECT lot AS a, seq AS b FROM source WHERE lot IS NOT NULL AND seq IS NOT NULL GROUP BY lot, seq HAVING count(*) > 1),
judged AS (
    SELECT s.*, {bits} AS bits
    FROM source s LEFT JOIN repeated r ON r.k = s.order_id LEFT JOIN repeated_pair p ON p.a = s.lot AND p.b = s.seq
    LEFT JOIN read_csv('{codes}', header = true) c ON c.code = s.region
)
SELECT bits, count(*), count(order_id), count(code), count(name), count(status), count(region), count(amount), count(email), count(quantity),
    count(ordered_on), count_if(ordered_on IS NOT NULL AND shipped_on IS NOT NULL), list(row) FILTER (WHERE bits & {holding} <> 0)
FROM judged GROUP BY bits
"""
HOLDING = ((1 << 19) - 1) & ~(1 << 6)
"""All checks but the two of severity warning."""


def measure() -> Iterator[dict[str, object]]:
    home, plain = suite_data.home(ROWS), suite_data.plain(ROWS)
    mine, theirs = alternate(
        lambda: run_inside(python("benchmarks.suite_one_scan", "ours", str(home))),
        lambda: reference(home, plain),
        PAIRS,
    )
    told = {side: json.loads((BUILD / "bench" / f"suite-{side}.json").read_text()) for side in ("ours", "plain")}
    if told["ours"] != told["plain"]:
        raise AssertionError(f"the two find something else: {told}")
    shutil.rmtree(home)
    yield {**compared(mine, theirs, ROWS), "checks": 20, "bad_rows": told["ours"]["bad"], "limit": LIMIT}


def reference(home: Path, plain: Path) -> Run:
    codes = home / "catalog" / "standards" / "regions.csv"
    return run_inside(python("benchmarks.suite_one_scan", "plain", str(plain), str(codes)))


def ours(home: Path) -> None:
    """One back-test with its verdict; imports are done before, as in a scheduler's worker that has judged a batch already."""
    from governance import manage
    from governance.catalog.suites import parse_suite
    from governance.config import load_settings
    from governance.pipeline.backtest import back_test
    from governance.pipeline.context import open_context

    manage.preload(wait=True)
    context = open_context(load_settings(home))
    dataset = context.catalogue.datasets[suite_data.DATASET]
    with inside():
        (test,) = back_test(context, suite_data.DATASET, home / "suite.json").batches
        suite, _ = parse_suite((home / "suite.json").read_text(), file="suite.json", dataset=dataset.name)
        rules = manage.compile_rules(dataset, suite, context.catalogue.code_sets)
        found = test.found
        manage.verdict(dataset, rules, found.metrics, rows=found.rows, quarantined=found.would_hold)
    positions = sorted(row for place in found.places for row in place.rows.to_pylist())
    order = [rule.id for rule in rules.rules if rule.id.startswith("suite:")] + ["codeSet:region"]
    _keep("ours", [found.metrics[rule].unexpected for rule in order], positions)
    context.database.close()


def plain_statement(plain: Path, codes: Path) -> None:
    import duckdb

    bits = " + ".join(f"({condition})::BIGINT * {1 << bit}" for bit, condition in enumerate(CONDITIONS))
    sql = STATEMENT.format(plain=plain, codes=codes, bits=bits, holding=HOLDING)
    with duckdb.connect(config={"threads": 2, "memory_limit": "4096MB", "temp_directory": ""}) as con:
        con.execute("SET preserve_insertion_order = false")
        with inside():
            groups = con.execute(sql).to_arrow_table()
    words, rows = groups.column(0).to_pylist(), groups.column(1).to_pylist()
    counts = [sum(n for w, n in zip(words, rows, strict=True) if w >> check & 1) for check in range(20)]
    positions = sorted(row for found in groups.column(groups.num_columns - 1).to_pylist() for row in found or ())
    _keep("plain", counts, positions)


def _keep(side: str, counts: list[int], positions: list[int]) -> None:
    told = {"counts": counts, "bad": len(positions), "sum": sum(positions)}
    (BUILD / "bench" / f"suite-{side}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["ours", home]:
            ours(Path(home))
        case ["plain", plain, codes]:
            plain_statement(Path(plain), Path(codes))
