"""Whether a number is like those before it: median and median absolute deviation, which a few odd batches do not move. Pure, no training.

A number is unlike when it lies further from the median than 3.5 deviations (Iglewicz and Hoaglin's limit, with 1.4826 MAD as the deviation of a
normal); of one among many that are judged together further, so that all of them together are as seldom wrong. Small histories know their spread
badly, so the limit is wider there; and a spread of zero counts as a floor, so that a constant may move a little.

A rhythm of the week is told from its history alone: where the medians of weekdays lie apart by more than what is left around them, a number is held
against those of its own weekday, with the spread of all days around their weekdays' medians. It needs `WEEKS` earlier numbers of that weekday.
Other seasons (months, holidays, hours) are not modelled; a number that grows steadily moves its own median along.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

FEWEST = 8
"""Batches before it that a judgement needs."""
MOST = 60
"""Newest batches before it that are looked at."""
LIMIT = 3.5
WEEKS = 4
"""Earlier numbers of a weekday that a judgement by weekday needs."""
RHYTHM = 3.0
"""So many deviations a weekday's median lies from the median of all days where there is a rhythm."""
_FEWEST_DAYS = 16
_NORMAL = 1.4826
_TAIL = statistics.NormalDist().cdf(-LIMIT)


@dataclass(frozen=True, slots=True)
class Floor:
    """The least deviation that counts: `least`, or `share` of the median where that is more. What is `proportional` varies by shares of its size.
    `rows`: it is a share of so many rows, and counts no less than what chance makes of a share of so few."""

    least: float
    share: float = 0.0
    proportional: bool = False
    rows: float | None = None

    def at(self, median: float) -> float:
        """
        >>> Floor(1.0, 0.02).at(1000.0), Floor(1.0, 0.02).at(-10.0)
        (20.0, 1.0)
        >>> Floor(0.01, rows=25).at(0.5), Floor(0.01, rows=0).at(0.5)
        (0.1, 1.0)
        """
        chance = 0.0
        if self.rows is not None:
            rows = self.rows
            likely = min(max(median, 0.5 / (rows + 1.0)), 1.0 - 0.5 / (rows + 1.0))
            chance = math.sqrt(likely * (1.0 - likely) / rows) if rows else 1.0
        return max(self.least, self.share * abs(median), chance)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a number stands among those before it: `score` is its distance from the median in deviations. `weekday`: the median is its weekday's."""

    value: float
    median: float
    deviation: float
    score: float
    limit: float
    weekday: bool = False

    @property
    def unlike(self) -> bool:
        return self.score > self.limit


def place(
    value: float,
    before: Sequence[float],
    *,
    floor: Floor,
    among: int = 1,
    weekday: int | None = None,
    weekdays: Sequence[int] = (),
) -> Place | None:
    """The place of `value` after `before` (oldest first), one of `among` numbers that are judged together; None where there are too few.

    `weekday` is the value's (0 to 6; None: no rhythm of the week is looked for), `weekdays` those of `before`.

    >>> place(100.0, [10.0, 11, 9, 10, 12, 10, 9, 11], floor=Floor(1.0)).unlike, place(12.0, [10.0, 11, 9, 10, 12, 10, 9, 11], floor=Floor(1.0)).unlike
    (True, False)
    >>> place(1.0, [1.0] * 7, floor=Floor(1.0)) is None
    True
    >>> weeks = [100.0, 101, 99, 100, 102, 10, 11] * 4
    >>> sunday = place(11.0, weeks, floor=Floor(1.0), weekday=6, weekdays=[*range(7)] * 4)
    >>> sunday.median, sunday.unlike, place(11.0, weeks, floor=Floor(1.0)).unlike
    (11.0, False, True)
    """
    known = list(before[-MOST:])
    if len(known) < FEWEST:
        return None
    limit = -statistics.NormalDist().inv_cdf(_TAIL / max(1, among)) * (1.0 + 8.0 / len(known))
    own = _weekday(known, weekdays[-MOST:], weekday, floor) if weekday is not None else None
    if own is not None:
        median, deviation, numbers = own
        return Place(value, median, deviation, _score(value, median, deviation), limit * (1.0 + 1.0 / numbers), True)
    median = statistics.median(known)
    deviation = max(_spread(known, median), floor.at(median))
    return Place(value, median, deviation, _score(value, median, deviation), limit)


def _weekday(
    known: Sequence[float], weekdays: Sequence[int], weekday: int, floor: Floor
) -> tuple[float, float, int] | None:
    """The weekday's median, its deviation and how many numbers it has; None where there are too few or the days of the week are alike."""
    days: dict[int, list[float]] = {}
    for number, day in zip(known, weekdays, strict=True):
        days.setdefault(day, []).append(number)
    medians = {day: statistics.median(numbers) for day, numbers in days.items() if len(numbers) >= WEEKS - 1}
    if len(days.get(weekday, ())) < WEEKS:
        return None
    scaled = floor.proportional and min(medians.values()) > 0
    units = {day: median if scaled else 1.0 for day, median in medians.items()}
    around = [abs(number - medians[day]) / units[day] for day in medians for number in days[day]]
    if len(around) < _FEWEST_DAYS:
        return None
    left = _NORMAL * statistics.median(around)
    whole = statistics.median(known)
    apart = (abs(median - whole) > RHYTHM * max(left * units[day], floor.at(median)) for day, median in medians.items())
    if not any(apart):
        return None
    median, numbers = medians[weekday], days[weekday]
    return median, max(left * units[weekday], _spread(numbers, median), floor.at(median)), len(numbers)


def _spread(numbers: Sequence[float], median: float) -> float:
    return _NORMAL * statistics.median(abs(number - median) for number in numbers)


def _score(value: float, median: float, deviation: float) -> float:
    return abs(value - median) / deviation if deviation > 0 else 0.0 if value == median else float("inf")
