"""A build that is killed at any commit point and run again gives the table of an undisturbed run, once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import func, select

from governance.errors import WorkerFailed
from governance.state.tables import build, finding, ledger_entry, outbox
from tests.develop.city import catalogue, check, model
from tests.develop.home import home
from tests.develop.test_analyse import PERSON, PERSON_SQL
from tests.develop.test_build import CHECK_SQL, NO_RULES

POINTS = (
    "develop.after_pin",
    "develop.after_run",
    "lake.after_prepare",
    "lake.in_swap",
    "develop.in_commit",
    "develop.after_commit",
)
PERSON_MODEL = model(PERSON_SQL, PERSON, checks=(check(CHECK_SQL),))
SCRIPT = """
import sys
from pathlib import Path
from tests.develop.test_crash import build_person
build_person(Path(sys.argv[1]))
"""


def build_person(folder: Path) -> None:
    """What the child process does, and what is done again after it died."""
    with home(folder, filled=False) as place:
        place.build(PERSON_MODEL, NO_RULES, catalogue(PERSON_MODEL))


def child(folder: Path, point: str) -> int:
    environment = {**os.environ, "GOV_CRASH_AT": point, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run([sys.executable, "-c", SCRIPT, str(folder)], env=environment, check=False).returncode


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_build_that_is_run_again_gives_the_same_table(tmp_path: Path, point: str) -> None:
    with home(tmp_path) as place:
        assert child(tmp_path, point) == -signal.SIGKILL
        with place.database.read() as connection:
            done = connection.execute(select(func.count()).select_from(build)).scalar_one()
        assert done == (1 if point == "develop.after_commit" else 0)
        assert (place.lake.snapshot("curated.m") is not None) == bool(done)
        build_person(tmp_path)
        assert len(place.read(PERSON_MODEL)) == 20
        with place.database.read() as connection:
            counts = [
                connection.execute(select(func.count()).select_from(t)).scalar_one() for t in (build, finding, outbox)
            ]
            kinds = connection.execute(select(ledger_entry.c.kind).where(ledger_entry.c.kind == "build")).all()
        assert counts == [1, 1, 1]
        assert len(kinds) == 1


@pytest.mark.parametrize("point", ["lake.after_write", "develop.after_write"])
def test_a_worker_that_dies_fails_the_build_and_the_next_try_succeeds(
    tmp_path: Path, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with home(tmp_path) as place:
        monkeypatch.setenv("GOV_CRASH_AT", point)
        with pytest.raises(WorkerFailed):
            build_person(tmp_path)
        monkeypatch.delenv("GOV_CRASH_AT")
        assert place.lake.snapshot("curated.m") is None
        build_person(tmp_path)
        assert len(place.read(PERSON_MODEL)) == 20
