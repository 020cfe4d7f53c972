"""Service levels and history, judged without a database."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from governance.catalog.service_level import Period
from governance.catalog.types import Dataset
from governance.manage.history import FEWEST, Floor, place
from governance.manage.levels import Arrival, freshness, too_few_or_many
from governance.state.values import Window

START = datetime(2026, 1, 1, tzinfo=UTC)
DAILY = replace(
    Dataset("d.t", "d", "s", "1", (), None, "f", "h"), frequency=Period(1, "day"), latency=Period(6, "hour")
)


def at(day: float) -> datetime:
    return START + timedelta(days=day)


def arrival(day: int, hours: float) -> Arrival:
    return Arrival(f"d.t@{day}", Window(at(day), at(day + 1)), at(day + 1) + timedelta(hours=hours))


@pytest.mark.parametrize(
    ("newest", "now", "failing"),
    [
        (arrival(0, 1), at(1.5), ()),
        (arrival(0, 1), at(2.25), ()),
        (arrival(0, 1), at(2.26), ("freshness:frequency",)),
        (arrival(0, 7), at(1.5), ("freshness:latency",)),
        (arrival(0, 7), at(3), ("freshness:latency", "freshness:frequency")),
        (None, at(1.3), ("freshness:frequency",)),
    ],
)
def test_a_batch_is_late_after_its_period_and_latency_and_each_level_is_told_apart(
    newest: Arrival | None, now: datetime, failing: tuple[str, ...]
) -> None:
    found = freshness(DAILY, newest, START, now)
    assert found is not None
    assert found.failing == failing


def test_what_is_missing_is_the_window_that_is_judged() -> None:
    found = freshness(DAILY, arrival(0, 1), START, at(9))
    assert found is not None
    assert (found.window, found.batch) == (Window(at(1), at(2)), None)


def test_nothing_is_said_before_the_first_batch_is_due_or_without_a_level() -> None:
    assert freshness(DAILY, None, START, at(1)) is None
    assert freshness(replace(DAILY, frequency=None, latency=None), arrival(0, 1), START, at(9)) is None


def test_bounds_of_rows_include_both_ends() -> None:
    bounded = replace(DAILY, min_rows=2, max_rows=4)
    assert [too_few_or_many(bounded, n) for n in (1, 2, 4, 5)] == [True, False, False, True]


def test_on_stable_history_few_numbers_are_called_unlike() -> None:
    """10,000 judgements over histories of every length from the fewest on, of numbers that come from one distribution each."""
    dice = random.Random(7)
    makers = (
        lambda: dice.gauss(1000, 30),
        lambda: dice.uniform(900, 1100),
        lambda: 0.05 + dice.gauss(0, 0.004),
        lambda: float(sum(dice.random() < 0.02 for _ in range(50))),
    )
    floors = (1.0, 1.0, 0.005, 1.0)
    told = asked = 0
    for make, floor in zip(makers, floors, strict=True):
        for _ in range(50):
            series = [make() for _ in range(FEWEST + 50)]
            for end in range(FEWEST, len(series)):
                found = place(series[end], series[:end], floor=Floor(floor))
                assert found is not None
                asked += 1
                told += found.unlike
    assert asked == 10_000
    assert told / asked < 0.005


def test_a_number_far_from_all_before_it_is_unlike_though_some_of_those_were_odd_too() -> None:
    dice = random.Random(11)
    before = [dice.gauss(1000, 30) for _ in range(30)]
    before[5] = before[17] = 40_000.0
    found = place(1500.0, before, floor=Floor(1.0))
    assert found is not None
    assert found.unlike
