"""`dag_parse_s`: the time in which Airflow parses all DAG files of a province's catalogue, and the time to build its index beside it.

55 departments, 1,068 systems, 14,350 generated contracts (a province in 2019). Limit: 30 s.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import BUILD, ROOT, run

DEPARTMENTS, SYSTEMS, DATASETS = 55, 1068, 14_350
LIMIT_S = 30.0

CONTRACT = """apiVersion: v3.1.0
kind: DataContract
id: {department}-{name}
name: {name}
version: 1.0.0
status: active
domain: {department}
team: {{name: t, members: [{{username: steward-{department}, role: steward}}]}}
servers:
- {{server: files, type: local, path: {name}.csv, format: csv}}
slaProperties:
- {{property: frequency, value: 1, unit: d}}
customProperties:
- {{property: gov.system, value: {system}}}
schema:
- name: {name}
  properties:
{fields}
"""

PARSE = """
import os, time
from pathlib import Path
started = time.monotonic()
from airflow.dag_processing.dagbag import DagBag
imported = time.monotonic()
bag = DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
assert not bag.import_errors, bag.import_errors
print("PARSED", len(bag.dags), time.monotonic() - imported, imported - started)
"""


def measure() -> Iterator[dict[str, object]]:
    folder = _home()
    shutil.rmtree(folder / "var", ignore_errors=True)
    command = [str(Path(sys.executable).with_name("gov")), "--home", str(folder), "check"]
    cold = run(command)
    again = run(command)
    environment = {
        **os.environ,
        "GOV_HOME": str(folder),
        "AIRFLOW_HOME": str(folder / "var" / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "120",
    }
    output = subprocess.run(
        [sys.executable, "-c", PARSE], env=environment, capture_output=True, text=True, check=True
    ).stdout
    match = re.search(r"PARSED (\d+) ([\d.]+) ([\d.]+)", output)
    assert match is not None
    yield {
        "ours_s": round(float(match[2]), 2),
        "limit_s": LIMIT_S,
        "ratio": round(float(match[2]) / LIMIT_S, 3),
        "dags": int(match[1]),
        "contracts": DATASETS,
        "index_cold_s": round(cold.wall_s, 1),
        "index_again_s": round(again.wall_s, 1),
        "peak_mb": round(cold.peak_mb),
    }


def _home() -> Path:
    folder = BUILD / "bench" / "province"
    if not (folder / "catalog" / "access.yaml").exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run(
            [str(Path(sys.executable).with_name("gov")), "init", str(folder)], check=True, capture_output=True
        )
        shutil.copytree(
            ROOT / "dags", folder / "dags", dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
        )
        _contracts(folder)
    return folder


def _contracts(folder: Path) -> None:
    started = time.monotonic()
    for number in range(DATASETS):
        system = number % SYSTEMS
        department = f"dept{system % DEPARTMENTS:02}"
        name = f"item{number:05}"
        fields = "".join(
            f"  - {{name: field{i}, logicalType: {('string', 'integer', 'date')[i % 3]}, required: {str(i < 3).lower()}, "
            f"classification: L{1 + i % 4}, description: field {i}}}\n"
            for i in range(12)
        )
        path = folder / "catalog" / department / f"{name}.odcs.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(CONTRACT.format(department=department, name=name, system=f"sys{system:04}", fields=fields))
    print(f"  {DATASETS:,} contracts generated in {time.monotonic() - started:.0f} s", flush=True)
