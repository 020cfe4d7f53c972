"""A rhythm of the week is no drift, a day that breaks it is; where the days are alike nothing changes."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from governance.manage.drift import unlike
from tests.manage.test_drift import profile

OFFICE = (1000, 980, 1010, 990, 1005, 200, 150)
"""Rows by weekday, Monday first."""
MONDAYS = (3000, 1000, 1000, 1000, 1000, 400, 400)
ALIKE = (1000,) * 7


def days(week: Sequence[int], seed: int, weeks: int = 9) -> list[dict[str, float]]:
    """Metrics of daily batches from a Monday on: rows scatter by 4 %, all else as the batch's size lets it."""
    dice = random.Random(seed)
    found = []
    for _ in range(weeks):
        for rows in week:
            found.append(
                {**profile(dice, rows=rows), "rows": float(round(dice.gauss(rows, max(0.04 * rows, rows**0.5))))}
            )
    return found


def told(batches: Sequence[dict[str, float]], number: int, **changed: float) -> set[str]:
    """What of one day is unlike the days before it."""
    weekdays = [n % 7 for n in range(number)]
    found = unlike({**batches[number], **changed}, batches[:number], weekday=number % 7, weekdays=weekdays)
    return {one.expectation for one in found}


@pytest.mark.parametrize("week", [OFFICE, MONDAYS, ALIKE], ids=["office", "mondays", "alike"])
def test_from_the_fifth_week_on_few_days_of_a_rhythm_are_called_unlike(week: Sequence[int]) -> None:
    asked = [(seed, number) for seed in range(2) for number in range(28, 63)]
    batches = {seed: days(week, seed) for seed in range(2)}
    wrong = sum(bool(told(batches[seed], number)) for seed, number in asked)
    assert wrong / len(asked) < 0.02


@pytest.mark.parametrize("week", [OFFICE, MONDAYS], ids=["office", "mondays"])
def test_without_weekdays_the_same_days_are_called_unlike_every_week(week: Sequence[int]) -> None:
    batches = days(week, 0)
    wrong = sum("drift:rows" in {u.expectation for u in unlike(batches[n], batches[:n])} for n in range(28, 63))
    assert wrong >= 35 / 7


@pytest.mark.parametrize(
    ("number", "rows"),
    [(42, 500.0), (42, 200.0), (47, 1000.0), (45, 200.0)],
    ids=[
        "half a Monday",
        "a Monday like a Saturday",
        "a Saturday like a Monday",
        "a quiet Thursday",
    ],
)
def test_a_day_that_breaks_the_rhythm_is_named(number: int, rows: float) -> None:
    assert "drift:rows" in told(days(OFFICE, 4), number, rows=rows)


def test_before_four_weeks_of_a_weekday_it_is_held_against_all_days() -> None:
    batches = days(OFFICE, 4)
    assert "drift:rows" in told(batches, 26)
    assert "drift:rows" not in told(batches, 33)


def test_a_share_that_has_the_rhythm_is_no_drift_and_one_that_breaks_it_is() -> None:
    dice = random.Random(9)
    batches = []
    for number in range(70):
        late = 0.6 if number % 7 == 0 else 0.1
        batches.append(profile(dice, late=late))
    assert not [n for n in range(35, 70) if "drift:share:c2:a" in told(batches, n)]
    assert "drift:share:c2:a" in told(batches, 65, **{"share:c2:a": 0.6})
    assert "drift:share:c2:a" in told(batches, 63, **{"share:c2:a": 0.1})


def test_shares_of_a_handful_of_rows_are_held_no_closer_than_chance_lets_them() -> None:
    batches = days(ALIKE, 2, weeks=5)
    few = {"rows": 1000.0, "null_share:c3": 0.25}
    assert "drift:null_share:c3" in told(batches, 34, **few)
    assert "drift:null_share:c3" not in told(batches, 34, **{**few, "rows": 8.0})
