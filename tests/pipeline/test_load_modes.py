"""`full`, `append` and `snapshot_diff` through the whole pipeline: a retry, a revision, a backfill; and models on their pins."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from governance.pipeline.curate import build_models
from tests.pipeline.dying import die
from tests.pipeline.home import FIRST, METERS, Home, month, outcomes, utility_home

MODES = ("full", "append", "snapshot_diff")
LATER = ["1,11010119900307001X,张三甲,11", "4,110101199003070044,赵六丁,40"]
COLUMNS = ["meter", "reading"]
DATED = {**METERS, "read_on": {"logicalType": "date", "classification": "L1"}}


@pytest.fixture(params=MODES)
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    return utility_home(tmp_path / "home", mode=request.param)


@pytest.fixture
def versions(tmp_path: Path) -> Home:
    """Meters in `snapshot_diff`, with the first month let in."""
    home = utility_home(tmp_path / "home", mode="snapshot_diff")
    assert home.run(month(1)).failed == ()
    return home


def test_a_retry_changes_nothing_and_reads_no_source(home: Home) -> None:
    home.run(month(1), run="one")
    before = home.entries(), home.runs(), home.snapshot("curated.supply")
    tables = home.hashes()
    reading = home.entries()["grant"] - before[0]["grant"]
    for name in ("water.meters", "power.accounts"):
        (home.folder / "sources" / f"{name}.csv").unlink()
    assert home.run(month(1), run="one").failed == ()
    after = home.entries()
    after["grant"] -= reading
    assert (after, home.runs(), home.snapshot("curated.supply")) == before
    assert home.hashes() == tables


def test_another_run_of_the_same_window_changes_no_table(home: Home) -> None:
    home.run(month(1))
    before = home.hashes()
    result = home.run(month(1))
    assert {stage for stage, _ in outcomes(result)} == {"collect", "develop"}
    assert home.hashes() == before
    assert [row.revision for row in home.batches("water.meters")] == [1]


def test_a_revision_takes_the_place_of_the_one_before_down_to_the_curated_table(home: Home) -> None:
    home.run(month(1))
    home.deliver("water.meters", [*LATER, "5,110101199003070060,钱七,-1"])
    assert home.run(month(1), again=True).failed == ()
    first, second = home.batches("water.meters")
    assert (first.status, first.replaced_by, second.status, second.revision) == ("replaced", second.id, "judged", 2)
    assert home.rows("water.meters", COLUMNS) == [(1, 11), (4, 40)]
    assert home.rows("curated.supply", [*COLUMNS, "kwh"]) == [(1, 11, 100), (4, 40, None)]
    _assert_visible_rows_are_the_passed_of_live_batches(home)


def test_a_second_month_replaces_adds_or_keeps_versions(home: Home) -> None:
    home.run(month(1))
    home.deliver("water.meters", LATER)
    assert home.run(month(2)).failed == ()
    mode = _mode(home)
    first = [(1, 10), (2, 20), (3, 30)]
    second = [(1, 11), (4, 40)]
    expected = {"full": second, "append": [*first, *second], "snapshot_diff": [*first, *second]}[mode]
    assert home.rows("water.meters", COLUMNS) == sorted(expected, key=str)
    present = [*first, *second] if mode == "append" else second
    assert home.rows("curated.supply", COLUMNS) == sorted(present, key=str)
    if mode != "snapshot_diff":
        _assert_visible_rows_are_the_passed_of_live_batches(home)


def test_a_window_that_never_landed_is_refused_once_a_later_one_has(home: Home) -> None:
    home.run(month(2), models=False)
    before = home.hashes()
    result = home.run(month(1), models=False)
    assert outcomes(result)["collect", "water.meters"] == "stopped"
    assert "keeps no history" in result.failed[0].message
    assert home.hashes() == before


def test_an_older_window_that_has_landed_is_not_read_again(home: Home) -> None:
    home.run(month(1), models=False)
    home.run(month(2), models=False)
    before = home.hashes()
    home.deliver("water.meters", LATER)
    assert home.run(month(1), models=False).failed == ()
    assert home.hashes() == before
    refused = home.run(month(1), again=True, models=False)
    assert {step.subject for step in refused.failed} == {"water.meters", "power.accounts"}
    assert home.hashes() == before


def test_yesterdays_table_can_be_read_today(home: Home) -> None:
    home.run(month(1))
    old = {table: home.snapshot(table) for table in ("water.meters", "curated.supply")}
    home.deliver("water.meters", LATER)
    home.run(month(2))
    for table, snapshot in old.items():
        assert home.rows(table, COLUMNS, snapshot=snapshot) == [(1, 10), (2, 20), (3, 30)]
        assert home.rows(table, COLUMNS) != [(1, 10), (2, 20), (3, 30)]


def test_a_database_with_a_watermark_is_backfilled_and_an_old_window_revised(tmp_path: Path) -> None:
    home = utility_home(tmp_path / "home")
    home.declare(
        "water.meters",
        DATED,
        mode="append",
        format="custom",
        watermark="read_on",
        server={"url": "sqlite:///sources/meters.sqlite", "table": "meters"},
    )
    with sqlite3.connect(home.folder / "sources" / "meters.sqlite") as source:
        source.execute(
            "CREATE TABLE meters (meter INTEGER, person_no TEXT, holder TEXT, reading INTEGER, read_on DATE)"
        )
        source.execute("INSERT INTO meters VALUES (1, NULL, 'a', 1, '2026-01-05'), (2, NULL, 'b', 2, '2026-02-05')")
    only = {"datasets": ["water.meters"], "models": False}
    assert home.run(month(2), **only).failed == ()
    assert home.run(month(1), **only).failed == ()
    assert home.rows("water.meters", COLUMNS) == [(1, 1), (2, 2)]
    with sqlite3.connect(home.folder / "sources" / "meters.sqlite") as source:
        source.execute("UPDATE meters SET reading = reading + 10")
    source.close()
    assert home.run(month(1), again=True, **only).failed == ()
    assert home.rows("water.meters", COLUMNS) == [(1, 11), (2, 2)]
    _assert_visible_rows_are_the_passed_of_live_batches(home)


def test_a_quarantined_row_keeps_its_last_good_version_in_the_curated_table(versions: Home) -> None:
    versions.deliver("water.meters", [FIRST[0], "2,110101199003070028,李四乙,-1"])
    assert versions.run(month(2)).failed == ()
    assert versions.rows("water.meters", ["meter", "reading", "_held", "_current"]) == [
        (1, 10, False, True),
        (2, 20, True, True),
        (3, 30, False, False),
    ]
    assert versions.rows("curated.supply", COLUMNS) == [(1, 10), (2, 20)]
    assert versions.rows("water.meters__quarantine", COLUMNS) == [(2, -1)]
    versions.deliver("water.meters", [FIRST[0], "2,110101199003070028,李四乙,21"])
    assert versions.run(month(2), again=True).failed == ()
    assert versions.rows("curated.supply", COLUMNS) == [(1, 10), (2, 21)]
    assert versions.rows("water.meters__quarantine", COLUMNS) == []


def test_nobody_is_closed_while_a_line_cannot_be_read(versions: Home) -> None:
    versions.deliver("water.meters", [FIRST[0], "2,110101199003070028"])
    assert versions.run(month(2)).failed == ()
    judged = versions.batches("water.meters")[-1].judged
    assert judged is not None
    assert (judged.counts.parsed, judged.counts.unparsed, judged.counts.quarantined) == (1, 1, 1)
    assert versions.rows("curated.supply", COLUMNS) == [(1, 10), (2, 20), (3, 30)]
    assert versions.rows("water.meters__quarantine", ["_line"]) == [("2,110101199003070028",)]


def test_a_model_that_is_tried_again_reads_its_pin_and_not_what_came_since(versions: Home) -> None:
    assert die(versions, month(1), "interrupted", "develop.after_pin", 2) == -9
    versions.deliver("water.meters", LATER)
    assert versions.run(month(2), models=False).failed == ()
    with versions.opened() as context:
        (step,) = build_models(context, "interrupted")
    assert step.outcome == "done"
    assert versions.rows("curated.supply", COLUMNS) == [(1, 10), (2, 20), (3, 30)]


def _assert_visible_rows_are_the_passed_of_live_batches(home: Home) -> None:
    live = [row for row in home.batches("water.meters") if row.status == "judged"]
    passed = [row.judged.counts.passed for row in live if row.judged is not None]
    batches = {row.id for row in live}
    rows = home.rows("water.meters", ["_batch"])
    assert len(rows) == sum(passed)
    assert {batch for (batch,) in rows} == batches
    assert all(row.judged.counts.balanced for row in home.batches("water.meters") if row.judged is not None)


def _mode(home: Home) -> str:
    with home.opened() as context:
        return context.catalogue.datasets["water.meters"].load_mode
