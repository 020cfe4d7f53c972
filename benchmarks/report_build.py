"""`report_build_s`: the whole report of 1,000 datasets × 365 daily runs: 55 departments, a verdict of 20 rules each run, in SQLite.

The state's rows are made in bulk (`BENCH_DATASETS`, `BENCH_RUNS` make fewer): batches, validations with what they say of each dimension, runs,
incidents, observations. GX's result is kept whole for the newest twelve runs of a dataset and small before; the report reads no older one. There
are no data files and no lineage. Seconds are of `write_report` in a process of its own.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.dag_parse import CONTRACT
from benchmarks.measure import BUILD, inside, python, run_inside

DATASETS = int(os.environ.get("BENCH_DATASETS", 1000))
RUNS = int(os.environ.get("BENCH_RUNS", 365))
DEPARTMENTS, SYSTEMS, WHOLE_RESULTS = 55, 150, 12
FIRST = datetime(2025, 1, 1, tzinfo=UTC)
_DIMENSIONS = ("completeness", "validity", "uniqueness", "consistency", "accuracy")


def measure() -> Iterator[dict[str, object]]:
    home = _home()
    state_mb = (home / "var" / "state.sqlite").stat().st_size / 1e6
    took = run_inside(python("benchmarks.report_build", str(home)))
    pages = list((home / "var" / "reports" / "site").rglob("*.html"))
    sizes = sorted(page.stat().st_size for page in pages)
    shutil.rmtree(home)
    yield {
        "ours_s": round(took.wall_s, 1),
        "ours_cpu_s": round(took.cpu_s, 1),
        "peak_mb": round(took.peak_mb),
        "datasets": DATASETS,
        "runs": RUNS,
        "state_mb": round(state_mb),
        "pages": len(pages),
        "report_mb": round(sum(sizes) / 1e6, 1),
        "largest_page_kb": round(sizes[-1] / 1000),
    }


def main(home: Path) -> None:
    from governance.config import load_settings
    from governance.pipeline.context import open_context
    from governance.pipeline.report import write_report

    context = open_context(load_settings(home))
    with inside():
        write_report(context)
    context.database.close()


def _home() -> Path:
    from governance.config import load_settings
    from governance.pipeline.context import open_context

    folder = BUILD / "bench" / "report"
    shutil.rmtree(folder, ignore_errors=True)
    fields = "".join(f"  - {{name: f{i}, logicalType: string, classification: L{1 + i % 4}}}\n" for i in range(10))
    names = []
    for number in range(DATASETS):
        system = number % SYSTEMS
        department, short = f"dept{system % DEPARTMENTS:02}", f"item{number:05}"
        names.append(f"{department}.{short}")
        path = folder / "catalog" / department / f"{short}.odcs.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(CONTRACT.format(department=department, name=short, system=f"sys{system:04}", fields=fields))
    (folder / "catalog" / "access.yaml").write_text("version: 1\nroles: []\npurposes: []\nsubjects: []\nrules: []\n")
    (folder / "expectations").mkdir()
    (folder / "gov.toml").write_text("")
    context = open_context(load_settings(folder))
    started = time.monotonic()
    with context.database.unit_of_work() as tx:
        for name in names:
            _rows(tx, name)
    context.database.close()
    print(f"  {DATASETS * RUNS:,} runs made in {time.monotonic() - started:.0f} s", flush=True)
    return folder


def _rows(tx: Any, name: str) -> None:
    from sqlalchemy import insert

    from governance.state import tables

    rng = random.Random(name)
    worse = rng.random() < 0.1
    batches, validations, runs = [], [], []
    for day in range(RUNS):
        start, end = FIRST + timedelta(days=day), FIRST + timedelta(days=day + 1)
        at = end + timedelta(hours=1 + rng.random() * 5)
        held = int(rng.random() * 20 + (day / 4 if worse else 0))
        counts = {"parsed": 1000, "unparsed": 0, "passed": 1000 - held, "quarantined": held, "rejected": 0}
        counts["duplicates"] = 0
        outcome = "stop" if rng.random() < 0.01 else "go"
        batch = f"{name}@{start:%Y%m%dT%H%M%SZ}.1"
        judged: dict[str, Any] = {"batch": batch, "dataset": name, "outcome": outcome, "reasons": [], "counts": counts}
        judged |= {"snapshot": day}
        stored = {"changes": {}, "filler": "x" * 4000}
        batches.append(
            {
                "id": batch, "dataset": name, "window_start": start, "window_end": end, "revision": 1,
                "status": "stopped" if outcome == "stop" else "judged", "recorded_at": at, "updated_at": at,
                "judged": json.dumps(judged), "landed": "x" * 500, "stored": json.dumps(stored),
            }
        )  # fmt: skip
        whole = day >= RUNS - WHOLE_RESULTS
        told = {d: [4, int(held > 10), 0, held, 4 - held / 1000] for d in _DIMENSIONS}
        validations.append(
            {
                "subject": name, "batch": batch, "run": f"r{day}", "outcome": outcome, "rules_hash": "0" * 64,
                "counts": json.dumps(counts), "recorded_at": at, "looked_at": at, "dimensions": json.dumps(told),
                "result": _result(held) if whole else "{}",
            }
        )  # fmt: skip
        runs.append(
            {
                "run": f"r{day}", "stage": "manage", "subject": "service:manage", "purpose": "pipeline.manage", "batch": batch,
                "output": name, "output_snapshot": day, "outcome": outcome, "counts": "{}", "versions": "{}", "recorded_at": at,
            }
        )  # fmt: skip
    for table, rows in ((tables.batch, batches), (tables.validation, validations), (tables.run, runs)):
        tx.execute(insert(table), rows)
    observed = [
        {
            "kind": "freshness", "subject": name, "run": f"r{day}", "failures": "[]", "facts": "{}",
            "outcome": "met" if rng.random() < 0.95 else "warned", "recorded_at": FIRST + timedelta(days=day + 2),
        }
        for day in range(RUNS)
    ]  # fmt: skip
    tx.execute(insert(tables.observation), observed)
    open_one = {
        "subject": name, "expectation": "codeSet:f1", "severity": "quarantine", "column_name": "f1", "owner": "steward",
        "opened_at": at, "last_at": at, "failures": 3, "unexpected": held, "origin": "validation",
    }  # fmt: skip
    if rng.random() < 0.3:
        last = tx.exec_driver_sql("SELECT max(id) FROM validation").scalar()
        tx.execute(insert(tables.incident), [{**open_one, "opened_by": last, "last_by": last}])


def _result(held: int) -> str:
    """Twenty expectations as GX writes them."""
    one = {
        "success": True,
        "exception_info": {"raised_exception": False, "exception_message": None, "exception_traceback": None},
        "result": {"element_count": 1000, "unexpected_count": 0, "missing_count": 3, "unexpected_percent": 0.0},
        "meta": {},
    }
    results = []
    for number in range(20):
        gov = {"id": f"codeSet:f{number}", "severity": "quarantine", "scope": "batch", "source": "contract"}
        config = {
            "type": "expect_gov_rule_to_hold",
            "kwargs": {"column": f"f{number}", "code_set": "codes"},
            "meta": {"gov": gov},
        }
        found = {**one["result"], "unexpected_count": held} if number == 1 else one["result"]  # type: ignore[dict-item]
        results.append({**one, "result": found, "expectation_config": config})
    return json.dumps({"success": True, "results": results, "meta": {"gov": {}}})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
