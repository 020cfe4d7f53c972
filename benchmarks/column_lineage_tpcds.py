"""`column_lineage_tpcds`: column lineage of TPC-DS's 99 queries: what each takes, and how many of thirty answers made by
hand (`tpcds_answers`) it gives edge for edge.

Timed is what `gov check` does for one model's lineage, from text to edges: parsing, qualifying under the schema, tracing.
The texts come from `BENCH_TPCDS` (default `build/bench/tpcds.json`); `tpcds_texts.py` makes that file.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import sqlglot
from sqlglot import exp

from benchmarks.measure import BUILD
from benchmarks.tpcds_answers import ANSWERS, edges
from governance.catalog.types import Catalogue, ColumnType, Dataset, Field
from governance.develop.parse import parse_select
from governance.develop.trace import Tracer

TEXTS = Path(os.environ.get("BENCH_TPCDS", BUILD / "bench" / "tpcds.json"))
SCHEMA = "tpcds"
TIMES = 3


def measure() -> Iterator[dict[str, object]]:
    if not TEXTS.is_file():
        sys.exit(f"{TEXTS}: not there; benchmarks/tpcds_texts.py says how it is made")
    given = json.loads(TEXTS.read_text(encoding="utf-8"))
    catalogue = _catalogue(given["tables"])
    times: dict[int, float] = {}
    unknown, wrong = [], []
    for number, text in ((int(n), _qualified(t, given["tables"])) for n, t in given["queries"].items()):
        taken = []
        for _ in range(TIMES):
            began = time.perf_counter()
            found = _edges(text, catalogue)
            taken.append((time.perf_counter() - began) * 1000)
        times[number] = statistics.median(taken)
        if found is None:
            unknown.append(number)
        elif number in ANSWERS and found != edges(ANSWERS[number]):
            wrong.append(number)
            _show(number, found, edges(ANSWERS[number]))
    ordered = sorted(times.values())
    yield {
        "queries": len(times),
        "complete": len(times) - len(unknown),
        "unknown": unknown,
        "answers": len(ANSWERS),
        "equal": len(ANSWERS) - len(wrong),
        "median_ms": round(statistics.median(ordered), 1),
        "p95_ms": round(ordered[int(len(ordered) * 0.95)], 1),
        "worst_ms": round(ordered[-1], 1),
        "slowest": max(times, key=lambda n: times[n]),
        "each_ms": {str(number): round(took, 1) for number, took in times.items()},
        "load": round(os.getloadavg()[0], 1),
    }


def _edges(text: str, catalogue: Catalogue) -> set[tuple[str, str, str]] | None:
    """(output, subtype, column) of every edge; None when the lineage is not complete."""
    parsed = parse_select(text, "query.sql", catalogue)
    if parsed.scope is None:
        return None
    tracer = Tracer(parsed.schema.tables, parsed.schema.columns)
    trace = tracer.trace(parsed.scope)
    if tracer.unknown:
        return None
    found = {
        (name.lower().replace(" ", "_"), d.use.subtype, d.column) for name, ds in trace.columns.items() for d in ds
    }
    return found | {("*", d.use.subtype, d.column) for d in trace.rows}


def _show(number: int, found: set[tuple[str, str, str]], expected: set[tuple[str, str, str]]) -> None:
    print(f"  {number}: too much {sorted(found - expected)}, missing {sorted(expected - found)}", flush=True)


def _qualified(text: str, tables: Mapping[str, object]) -> str:
    """The query with its tables under a department, as models name them."""
    tree = sqlglot.parse_one(text.strip().rstrip(";"), dialect="duckdb")
    for table in tree.find_all(exp.Table):
        if table.name.lower() in tables and not table.db:
            alias = table.alias or table.name
            table.set("db", exp.to_identifier(SCHEMA))
            table.set("alias", exp.TableAlias(this=exp.to_identifier(alias)))
    return tree.sql("duckdb", pretty=True)


def _catalogue(tables: Mapping[str, Mapping[str, str]]) -> Catalogue:
    datasets = {}
    for table, columns in tables.items():
        fields = tuple(Field(name, _type(kind), name) for name, kind in columns.items())
        name = f"{SCHEMA}.{table}"
        datasets[name] = Dataset(name, SCHEMA, SCHEMA, "1.0.0", fields, None, f"catalog/{SCHEMA}/{table}.odcs.yaml", "")
    return Catalogue(datasets, {}, {}, {}, "catalog/access.yaml", "", {})


def _type(kind: str) -> ColumnType:
    if kind.startswith("DECIMAL"):
        precision, scale = kind.removeprefix("DECIMAL(").removesuffix(")").split(",")
        return ColumnType("decimal", int(precision), int(scale))
    return ColumnType({"INTEGER": "integer", "BIGINT": "integer", "DATE": "date"}.get(kind, "string"))  # type: ignore[arg-type]


if __name__ == "__main__":
    for line in measure():
        print(json.dumps(line))
