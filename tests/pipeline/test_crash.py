"""A run that is killed at any commit point and run again with the same run id is the run that nobody disturbed."""

from __future__ import annotations

import re
import signal
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.pipeline.dying import die
from tests.pipeline.home import FIRST, ROOT, Home, month, utility_home

RUNS = {True: "0d9c37d0-0000-4000-8000-000000000001", False: "0d9c37d0-0000-4000-8000-000000000002"}
POINT = re.compile(r'^\s*crash_point\("([a-z._]+)"\)', re.MULTILINE)
ELSEWHERE = (
    "keys.",
    "lake.serving_",
    "ledger.",
    "lineage.after_post",
    "lineage.after_receive",
    "lineage.in_receive",
    "quarantine.",
)
CANARY = "110101199003070028"

# (point, whether it is the home's first batch ever, after how many steps the point is armed: 6 is after manage, 7 after develop)
CASES: tuple[tuple[str, bool, int], ...] = (
    ("collect.before_rename", True, 0),
    ("collect.before_commit", False, 0),
    ("collect.before_commit", False, 1),
    ("collect.in_commit", True, 0),
    ("collect.after_commit", False, 0),
    ("store.after_base", False, 2),
    ("lake.after_ensure", True, 2),
    ("lake.after_ensure", True, 6),
    ("lake.before_rename", False, 2),
    ("lake.after_write", False, 3),
    ("store.before_commit", True, 2),
    ("store.in_commit", False, 3),
    ("store.after_commit", False, 3),
    ("manage.after_verdict", False, 4),
    ("lake.after_stage", True, 4),
    ("lake.after_prepare", False, 5),
    ("manage.after_prepare", False, 5),
    ("lake.in_swap", True, 4),
    ("lake.in_swap", False, 5),
    ("manage.in_commit", False, 5),
    ("manage.after_commit", True, 5),
    ("develop.after_pin", False, 6),
    ("develop.after_run", False, 6),
    ("lake.after_prepare", True, 6),
    ("lake.in_swap", False, 6),
    ("develop.in_commit", False, 6),
    ("develop.after_commit", True, 6),
    ("lineage.after_send", False, 7),
)
IN_A_WORKER: tuple[tuple[str, bool, int], ...] = (("lake.after_write", False, 6), ("develop.after_write", True, 6))
"""Points that a worker process reaches: it dies, the run lives and its step fails."""


@dataclass(frozen=True)
class Undisturbed:
    """What the first month and the second leave when nothing happens, and the homes before either."""

    home: Home
    before: Mapping[bool, Path]
    hashes: Mapping[bool, Mapping[str, str]]
    entries: Mapping[bool, Mapping[str, int]]
    runs: Mapping[bool, Mapping[tuple[str, str, str | None], int]]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    folder = tmp_path_factory.mktemp("crash")
    home = utility_home(folder / "home", mode="snapshot_diff")
    hashes, entries, runs, before = {}, {}, {}, {}
    home.run(month(1), run="first")
    keys = {path: path.read_bytes() for path in (home.folder / "var" / "keys").iterdir()}
    second = [
        "1,11010119900307001X,张三甲,11",
        f"3,{CANARY},王五丙,-1",
        "4,110101199003070044,赵六丁,word",
        '5,"a"b,c,d',
    ]
    for first in (True, False):
        if first:
            for path in sorted((home.folder / "var").rglob("*"), reverse=True):
                if path not in keys and path != home.folder / "var" / "keys":
                    path.rmdir() if path.is_dir() else path.unlink()
            home.deliver("water.meters", [*FIRST, "7,110101199003070052,周七戊,-5"])
        else:
            home.deliver("water.meters", second)
        before[first] = home.keep()
        before[first] = before[first].rename(folder / f"kept-{first}")
        assert home.run(month(1 if first else 2), run=RUNS[first]).failed == ()
        hashes[first] = home.hashes(volatile=False)
        entries[first], runs[first] = home.entries(), home.runs()
    return Undisturbed(home, before, hashes, entries, runs)


def test_the_cases_name_every_crash_point_of_a_run() -> None:
    """The ledger's sequencer, a rotation of keys, a copy for lookups and a steward's repair of a quarantine are processes of
    their own, with crash tests of their own.
    """
    sources = (path.read_text(encoding="utf-8") for path in (ROOT / "governance").rglob("*.py"))
    there = {name for text in sources for name in POINT.findall(text) if not name.startswith(ELSEWHERE)}
    assert there == {point for point, _, _ in (*CASES, *IN_A_WORKER)}


@pytest.mark.parametrize(("point", "first", "after"), CASES)
def test_a_killed_run_that_is_run_again_is_the_undisturbed_run(
    undisturbed: Undisturbed, point: str, first: bool, after: int
) -> None:
    home = undisturbed.home
    home.restore(undisturbed.before[first])
    assert die(home, month(1 if first else 2), RUNS[first], point, after) == -signal.SIGKILL
    _assert_no_half_state(home)
    _assert_nothing_in_the_clear(home)
    assert home.run(month(1 if first else 2), run=RUNS[first]).failed == ()
    _assert_as_undisturbed(undisturbed, first)
    lines = Counter(home.events())
    assert len(lines) == sum(home.runs().values())
    assert set(lines.values()) == {1} or point == "lineage.after_send"


@pytest.mark.parametrize(("point", "first", "after"), IN_A_WORKER)
def test_a_worker_that_is_killed_fails_its_model_and_the_next_run_completes(
    undisturbed: Undisturbed, point: str, first: bool, after: int
) -> None:
    home = undisturbed.home
    home.restore(undisturbed.before[first])
    snapshot = home.snapshot("curated.supply")
    assert die(home, month(1 if first else 2), RUNS[first], point, after) == 1
    assert home.snapshot("curated.supply") == snapshot
    assert home.run(month(1 if first else 2), run=RUNS[first]).failed == ()
    _assert_as_undisturbed(undisturbed, first)


def _assert_as_undisturbed(undisturbed: Undisturbed, first: bool) -> None:
    """The same rows in every table, and for every commit one run and one ledger entry."""
    home = undisturbed.home
    assert home.hashes(volatile=False) == undisturbed.hashes[first]
    assert home.runs() == undisturbed.runs[first]
    commits = ("landed", "stored", "judged", "build")
    assert {k: home.entries()[k] for k in commits} == {k: undisturbed.entries[first][k] for k in commits}
    assert home.leases() == []


def _assert_no_half_state(home: Home) -> None:
    """Every commit that is recorded has its run and its entry; a batch that is not judged has moved nothing."""
    with home.opened() as context:
        snapshots = {name: context.lake.snapshot(name) for name in context.catalogue.datasets}
    runs, entries = home.runs(), home.entries()
    for stage, kind in (("collect", "landed"), ("store", "stored"), ("manage", "judged"), ("develop", "build")):
        assert sum(n for (s, _, _), n in runs.items() if s == stage) == entries.get(kind, 0)
    for dataset, snapshot in snapshots.items():
        judged = [row.judged.snapshot for row in home.batches(dataset) if row.judged is not None]
        assert snapshot == (judged[-1] if judged else None)


def _assert_nothing_in_the_clear(home: Home) -> None:
    for path in (home.folder / "var").rglob("*"):
        if path.is_file():
            assert CANARY.encode() not in path.read_bytes(), path
