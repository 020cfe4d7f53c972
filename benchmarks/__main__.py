"""`make bench`: run all measures, or those named; append one JSON line each to `build/bench.jsonl`."""

from __future__ import annotations

import importlib
import json
import os
import sys
from datetime import UTC, datetime

from benchmarks.measure import BUILD

MEASURES = {
    "governed_run": "benchmarks.governed_run",
    "governed_run_memory": "benchmarks.governed_run_memory",
    "suite_one_scan": "benchmarks.suite_one_scan",
    "suite_with_split": "benchmarks.suite_with_split",
    "suite_memory": "benchmarks.suite_memory",
    "suite_peers": "benchmarks.suite_peers",
    "fault_detection": "benchmarks.fault_detection",
    "suggest": "benchmarks.suggested",
    "report_build_s": "benchmarks.report_build",
    "dag_parse_s": "benchmarks.dag_parse",
    "ledger": "benchmarks.ledger",
    "enforced_scan": "benchmarks.enforced_scan",
    "postgres_rls": "benchmarks.postgres_rls",
    "policy_compile": "benchmarks.policy_compile",
    "masks": "benchmarks.masks",
    "worker_start": "benchmarks.worker_start",
    "leak_score": "benchmarks.leak_score",
    "encryption": "benchmarks.encryption",
    "point_lookup": "benchmarks.point_lookup",
    "record_trace": "benchmarks.record_trace",
    "lineage_impact": "benchmarks.lineage_impact",
    "lineage_ingest": "benchmarks.lineage_ingest",
    "column_lineage_tpcds": "benchmarks.column_lineage_tpcds",
}


def main(names: list[str]) -> None:
    unknown = sorted(set(names) - set(MEASURES))
    if unknown:
        sys.exit(f"no such measure: {', '.join(unknown)}; there are: {', '.join(MEASURES)}")
    BUILD.mkdir(parents=True, exist_ok=True)
    for name in names or MEASURES:
        print(f"== {name}", flush=True)
        for line in importlib.import_module(MEASURES[name]).measure():
            line = {
                "name": name,
                **line,
                "cores": os.cpu_count(),
                "at": datetime.now(UTC).isoformat(timespec="seconds"),
            }
            print(json.dumps(line), flush=True)
            with (BUILD / "bench.jsonl").open("a", encoding="utf-8") as out:
                out.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
