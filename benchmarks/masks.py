"""`masks`: rows a second of each mask as the scanner evaluates it, and of the column without one."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import duckdb
from sqlglot import exp

from benchmarks.released import ROWS as PEOPLE
from governance.catalog.types import ColumnType
from governance.policy import ff1, masks
from governance.policy.masks import KINDS, Mask

ROWS = int(os.environ.get("BENCH_ROWS", 10_000_000))
OWN = {
    "chinese-name": "name",
    "phone": "phone",
    "truncate-to-year": "born",
    "truncate-to-month": "born",
    "date-decade": "born",
}
TYPES = {"income": ColumnType("decimal", 12, 2), "born": ColumnType("date")}


def measure() -> Iterator[dict[str, object]]:
    with duckdb.connect(config={"threads": 2}) as con:
        ff1.make_function(con, bytes(ff1.KEY_BYTES))
        con.execute(f"CREATE TABLE people AS {PEOPLE.format(start=0, stop=ROWS)}")
        rates = {"unmasked": _rate(con, exp.column("number", quoted=True))}
        for kind in sorted(KINDS):
            column = "income" if kind == "number-bucket" else OWN.get(kind, "number")
            mask = Mask(kind, 1000 if kind == "number-bucket" else 0)
            try:
                made = masks.expression(
                    mask, exp.column(column, quoted=True), TYPES.get(column, ColumnType("string")), salt="00" * 32
                )
            except ValueError:  # made by the scanner in batches, not by an expression
                continue
            rates[str(mask)] = _rate(con, made)
    a_second = {name: rate for name, (rate, _) in rates.items()}
    yield {"unit": "rows/s", "rows": ROWS, **a_second, "per_cpu_s": {name: rate for name, (_, rate) in rates.items()}}


def _rate(con: duckdb.DuckDBPyConnection, made: exp.Expr) -> tuple[int, int]:
    """Rows a second, and a CPU second, of one pass over the column in memory, the value made and thrown away."""
    counted = exp.select(exp.func("count", made), exp.func("max", exp.func("length", exp.cast(made, "text"))))
    began, used = time.monotonic(), time.process_time()
    con.execute(counted.from_("people").sql("duckdb")).fetchall()
    return round(ROWS / (time.monotonic() - began)), round(ROWS / (time.process_time() - used))
