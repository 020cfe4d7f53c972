"""Late is a fact without a batch: it is recorded once, opens an incident, and the next batch closes it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from governance.cli.main import group
from governance.config import load_settings
from governance.errors import DeclarationError
from governance.pipeline.context import Context, open_context
from governance.pipeline.events import after_commits
from governance.pipeline.incidents import incidents
from governance.pipeline.observations import Observation, observations
from governance.pipeline.run import run_all
from governance.state.values import Window
from tests.pipeline.home import FIRST, METERS, Home, empty_home

pytestmark = pytest.mark.pipeline

DAY = datetime(2026, 3, 2, tzinfo=UTC)
DAILY = [
    {"property": "frequency", "value": 1, "unit": "d", "element": "meters"},
    {"property": "latency", "value": 6, "unit": "h"},
]


def agree(home: Home, levels: list[dict[str, Any]], **ours: object) -> None:
    home.declare("water.meters", METERS, mode="append", **ours)
    file = home.folder / "catalog" / "water" / "meters.odcs.yaml"
    file.write_text(
        json.dumps({**json.loads(file.read_text(encoding="utf-8")), "slaProperties": levels}), encoding="utf-8"
    )


@contextmanager
def at(home: Home, instant: datetime) -> Iterator[Context]:
    context = open_context(load_settings(home.folder), clock=lambda: instant)
    try:
        yield context
    finally:
        context.database.close()


def day(number: int) -> Window:
    return Window(DAY + timedelta(days=number), DAY + timedelta(days=number + 1))


def look(home: Home, instant: datetime) -> tuple[list[str], list[Observation]]:
    """Open incidents after looking at `instant`, and all observations so far, oldest first."""
    with at(home, instant) as context:
        after_commits(context)
        with context.database.read() as connection:
            return [i.expectation for i in incidents(connection)], list(observations(connection))[::-1]


def test_late_is_recorded_once_without_a_batch_and_ends_with_the_next(tmp_path: Path) -> None:
    home = empty_home(tmp_path)
    agree(home, DAILY, minRows=3)
    home.deliver("water.meters", FIRST)
    with at(home, day(0).end + timedelta(hours=1)) as context:
        run_all(context, day(0), models=False)
    assert look(home, day(1).end + timedelta(hours=5))[0] == []
    late = day(1).end + timedelta(hours=7)
    assert look(home, late)[0] == ["freshness:frequency"]
    still, seen = look(home, late + timedelta(hours=2))
    assert still == ["freshness:frequency"]
    assert [(o.kind, o.outcome, o.batch is None) for o in seen] == [
        ("freshness", "met", False),
        ("volume", "met", False),
        ("freshness", "warned", True),
    ]
    assert seen[-1].window == day(1)
    home.deliver("water.meters", FIRST[:2])
    with at(home, late + timedelta(hours=3)) as context:
        run_all(context, day(1), models=False)
    now, seen = look(home, late + timedelta(hours=4))
    assert sorted(now) == ["freshness:latency", "volume:bounds"]  # it came, late, and with too few rows
    assert seen[-1].facts["records"] == 2 or seen[-2].facts["records"] == 2
    home.deliver("water.meters", FIRST)
    with at(home, day(2).end + timedelta(hours=1)) as context:
        run_all(context, day(2), models=False)
    assert look(home, day(2).end + timedelta(hours=1))[0] == []
    assert home.entries()["observed"] == len(look(home, day(2).end + timedelta(hours=1))[1])


def test_a_dataset_that_never_came_is_late_after_its_contract(tmp_path: Path) -> None:
    home = empty_home(tmp_path)
    agree(home, DAILY)
    assert look(home, DAY)[0] == []
    assert look(home, DAY + timedelta(days=2))[0] == ["freshness:frequency"]
    done = CliRunner().invoke(group, ["--home", str(home.folder), "freshness", "--late", "--json"])
    assert done.exit_code == 0, done.output
    assert [one["failing"] for one in json.loads(done.output)] == [["freshness:frequency"]]


def test_levels_that_say_nothing_are_faults(tmp_path: Path) -> None:
    home = empty_home(tmp_path)
    agree(home, [{"property": "latency", "value": "soon"}], minRows=5, maxRows=4)
    with pytest.raises(DeclarationError) as raised:
        open_context(load_settings(home.folder))
    said = str(raised.value)
    assert "slaProperties.0.value: 'soon' is no period" in said
    assert "gov.maxRows" in said
