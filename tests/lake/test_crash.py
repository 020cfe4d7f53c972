"""Killed between any two steps and run again: the same tables, whole; what was left lying about is removed by lake care."""

import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pyarrow.compute as pc
import pytest

from governance.lake.care import remove_unreferenced
from tests.lake.conftest import open_home
from tests.lake.steps import QUARANTINE, SPEC

ROOT = Path(__file__).parents[2]
BEFORE_COMMIT = (
    "lake.after_ensure",
    "lake.before_rename",
    "lake.after_write",
    "lake.after_stage",
    "lake.after_prepare",
    "lake.in_swap",
)


def _run(folder: Path, crash_at: str = "") -> int:
    environment = {**os.environ, "GOV_CRASH_AT": crash_at, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-m", "tests.lake.steps", str(folder)], env=environment, cwd=ROOT).returncode


@pytest.mark.parametrize("point", [*BEFORE_COMMIT, "test.after_swap"])
def test_a_killed_batch_leaves_nothing_visible_or_all_and_running_again_completes_it(
    tmp_path: Path, point: str
) -> None:
    assert _run(tmp_path, point) == -signal.SIGKILL
    home = open_home(tmp_path)
    after_kill = home.lake.snapshot(SPEC.name), home.lake.snapshot(QUARANTINE.name)
    if point in BEFORE_COMMIT:
        assert after_kill == (None, None)
    else:
        assert None not in after_kill
    assert _run(tmp_path) == 0
    snapshot = home.lake.snapshot(SPEC.name)
    assert snapshot is not None
    assert sum(file.rows for file in home.lake.files(SPEC.name, snapshot)) == 300_000
    ids = home.lake.scan(SPEC.name, snapshot, ["id"]).read_all().column("id")
    assert pc.count_distinct(ids).as_py() == 300_000
    remove_unreferenced(home.lake, older_than=timedelta(seconds=-60))
    left = {path.relative_to(home.settings.lake).as_posix() for path in home.settings.lake.rglob("*.parquet")}
    assert left == {file.path for file in home.lake.files(SPEC.name, snapshot)}
    assert not list(home.settings.lake.rglob("*.tmp"))
    assert len(home.rows(SPEC.name, snapshot, ["id", "name"], where="id < 10")) == 10
    home.database.close()
