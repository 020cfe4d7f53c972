"""Two months of the demo city through the stages: quality finds every injected fault, names its kind, and holds no good row."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from governance.config import load_settings
from governance.demo.city import generate
from governance.demo.detected import read_answers, read_detected
from governance.demo.score import score, unexplained
from governance.pipeline.context import open_context
from governance.pipeline.run import run_all
from governance.state.values import Window

ROOT = Path(__file__).parents[2]


@pytest.mark.pipeline
def test_quality_finds_every_fault_of_two_months_and_nothing_else(tmp_path: Path) -> None:
    for name in ("catalog", "expectations"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "gov.toml", tmp_path)
    context = open_context(load_settings(tmp_path))
    for number in (1, 2):
        generate(tmp_path / "sources", seed=5, people=1500, month=f"2026-0{number}")
        window = Window(datetime(2026, number, 1, tzinfo=UTC), datetime(2026, number + 1, 1, tzinfo=UTC))
        assert run_all(context, window).failed == ()
    answers = read_answers(tmp_path / "answers")
    detected = read_detected(context, ["2026-01", "2026-02"])
    for found in score(answers, detected):
        assert (found.kind, found.recall, found.precision) == (found.kind, 1.0, 1.0)
    assert unexplained(answers, detected) == {}
