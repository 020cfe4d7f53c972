"""`fault_detection`: recall and precision of quality on the demo city's answer key, one line a kind of fault; false alarms beside.

Two months, eleven kinds injected in 0.3 % of rows each. `BENCH_PEOPLE` sets the city's size.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import BUILD, ROOT

if TYPE_CHECKING:
    from governance.pipeline.context import Context

PEOPLE = int(os.environ.get("BENCH_PEOPLE", 20_000))
MONTHS = (1, 2)


def measure() -> Iterator[dict[str, object]]:
    from governance.demo.detected import read_answers, read_detected
    from governance.demo.score import score, unexplained

    folder = home()
    context = run(folder, MONTHS)
    answers = read_answers(folder / "answers")
    detected = read_detected(context, [f"2026-0{number}" for number in MONTHS])
    alarms = sum(unexplained(answers, detected).values())
    for kind in score(answers, detected):
        yield {
            "kind": str(kind.kind),
            "injected": kind.injected,
            "found": kind.detected,
            "recall": kind.recall,
            "precision": kind.precision,
            "false_alarms_of_all_kinds": alarms,
            "people": PEOPLE,
        }
    context.database.close()
    shutil.rmtree(folder)


def home() -> Path:
    """A fresh home of the demo's declarations."""
    folder = BUILD / "bench" / "city"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in ("catalog", "expectations"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "gov.toml", folder)
    return folder


def run(folder: Path, months: tuple[int, ...], *, models: bool = True, rate: float = 0.003) -> Context:
    """Generate and run these months; the opened home."""
    from governance.config import load_settings
    from governance.demo.city import generate
    from governance.pipeline.context import open_context
    from governance.pipeline.run import run_all
    from governance.state.values import Window

    context = open_context(load_settings(folder))
    for number in months:
        generate(folder / "sources", seed=20260101, people=PEOPLE, month=f"2026-0{number}", rate=rate)
        window = Window(datetime(2026, number, 1, tzinfo=UTC), datetime(2026, number + 1, 1, tzinfo=UTC))
        result = run_all(context, window, models=models)
        assert not result.failed, result.failed
    return context
