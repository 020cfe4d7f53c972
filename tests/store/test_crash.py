from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from governance.catalog.rules import RowRule, UniqueRule
from governance.catalog.types import ColumnType, Field
from governance.state import batches
from tests.store.conftest import FEBRUARY, Home, dataset_of, open_home, rules_of

ID = Field("id", ColumnType("string"), "id", primary_key_position=1, domain="person")
VALUE = Field("v", ColumnType("integer"), "v")
DATASET = dataset_of(ID, VALUE, load_mode="snapshot_diff")
RULES = rules_of(RowRule("range:v", "quarantine", ("v",), '"v" < 0'), UniqueRule("unique:id", "warn", ("id",)))

CANARY = "CANARY-11010119900307"
FIRST = f"id,v\n{CANARY}1,10\n{CANARY}2,20\n{CANARY}3,30\n".encode()
SECOND = f"id,v\n{CANARY}1,11\n{CANARY}3,-1\n{CANARY}4,word\n{CANARY}5\n".encode()

POINTS = ["store.after_base", "lake.after_write", "store.before_commit", "store.in_commit", "store.after_commit"]


def store_and_die(folder: Path, batch: str, point: str) -> None:
    os.environ["GOV_CRASH_AT"] = point
    open_home(folder).store(batch, DATASET, RULES)


@pytest.mark.parametrize("point", POINTS)
def test_a_pass_that_is_killed_and_run_again_gives_the_same_table(home: Home, tmp_path: Path, point: str) -> None:
    home.load(DATASET, RULES, FIRST)
    batch = home.land(DATASET, SECOND, window=FEBRUARY)
    child = multiprocessing.get_context("spawn").Process(target=store_and_die, args=(tmp_path, batch, point))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert len(home.rows(DATASET, ["id"])) == 3
    stored = home.store(batch, DATASET, RULES)
    home.let_in(stored, DATASET)
    assert stored.changes == {"new": 0, "changed": 1, "gone": 0, "held": 2, "same": 0}
    columns = ["id", "v", "_held", "_current", "_row"]
    assert home.rows(DATASET, columns) == [
        (f"{CANARY}1", 10, False, False, 1),
        (f"{CANARY}1", 11, False, True, 1),
        (f"{CANARY}2", 20, True, True, 2),
        (f"{CANARY}3", 30, True, True, 3),
    ]
    with home.database.read() as connection:
        row = batches.find(connection, batch)
    assert row is not None
    assert row.status == "judged"
    assert_no_canary(tmp_path)


def assert_no_canary(folder: Path) -> None:
    """No file, finished or left behind, holds a sensitive value in the clear."""
    for path in folder.rglob("*"):
        if path.is_file():
            assert CANARY.encode() not in path.read_bytes(), path
