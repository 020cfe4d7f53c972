"""`suite_peers`: the suite of 20 checks by other tools over the same plain Parquet file, each ÷ the hand-written DuckDB statement of `suite_one_scan`.

Tools live in an environment of their own, `BENCH_PEERS` (the path of its Python; without it one is made beside the measures' data by `uv` or `venv`),
never in the project's lock. Each runs in a process of its own, `benchmarks/suite_peer.py`, which imports nothing of ours; seconds are of the work
without imports. A tool that does not install, or fails, is told so. What each tells: GX on pandas (SUMMARY, and COMPLETE with all positions),
GX on SQL (DuckDB through SQLAlchemy), Pandera and Pointblank on polars, a Soda contract on DuckDB
(counts of failed rows, no positions). `BENCH_ROWS` (default 1 million: GX's frames of 10 million want 20 GB).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from benchmarks import suite_data
from benchmarks.measure import BUILD, ROOT, python, run_inside

ROWS = int(os.environ.get("BENCH_ROWS", 1_000_000))
PACKAGES = (
    "great_expectations==1.24.1",
    "duckdb==2.0.0",
    "duckdb-engine==0.17.0",
    "sqlalchemy==2.0.44",
    "marshmallow<4",
    "pandas",
    "pyarrow",
    "pandera[polars]",
    "polars",
    "pointblank",
    "soda-duckdb==4.28.0",
)
TOOLS = ("gx_pandas", "gx_pandas_positions", "gx_sql", "pandera", "pointblank", "soda")


def measure() -> Iterator[dict[str, object]]:
    plain = suite_data.plain(ROWS)
    folder = BUILD / "bench" / "peers"
    folder.mkdir(parents=True, exist_ok=True)
    codes = folder / "regions.csv"
    codes.write_text("code\n" + "".join(f"R{number:04}\n" for number in range(suite_data.CODES)))
    suite = folder / "suite.json"
    suite.write_text(json.dumps(suite_data.checks()))
    interpreter = _interpreter(folder)
    reference = run_inside(python("benchmarks.suite_one_scan", "plain", str(plain), str(codes)))
    for tool in TOOLS:
        command = [
            str(interpreter),
            str(ROOT / "benchmarks" / "suite_peer.py"),
            tool,
            str(plain),
            str(codes),
            str(suite),
        ]
        try:
            took = run_inside(command)
        except subprocess.CalledProcessError:
            yield {"tool": tool, "rows": ROWS, "failed": True}
            continue
        yield {
            "tool": tool,
            "rows": ROWS,
            "ours_s": round(took.wall_s, 2),
            "reference_s": round(reference.wall_s, 2),
            "ratio": round(took.wall_s / reference.wall_s, 2),
            "cpu_ratio": round(took.cpu_s / reference.cpu_s, 2),
            "peak_mb": round(took.peak_mb),
        }


def _interpreter(folder: Path) -> Path:
    given = os.environ.get("BENCH_PEERS")
    if given:
        return Path(given)
    made = folder / "venv" / "bin" / "python"
    if not made.exists():
        uv = shutil.which("uv")
        if uv:
            subprocess.run([uv, "venv", "-q", str(folder / "venv")], check=True)
            subprocess.run([uv, "pip", "install", "-q", "--python", str(made), *PACKAGES], check=True)
        else:
            subprocess.run(["python3", "-m", "venv", str(folder / "venv")], check=True)
            subprocess.run([str(made), "-m", "pip", "install", "-q", *PACKAGES], check=True)
    return made
