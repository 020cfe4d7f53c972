"""Trends: scores by dimension over the runs of one table, or over days, weeks or months of many tables together. Pure.

A run stands at the end of its window, a build at its time. Many tables are put together rule by rule: each rule of each run counts once,
whatever the size of its table.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Literal

from governance.catalog.dimensions import DIMENSIONS, Dimension, Tally
from governance.pipeline.report.facts import RunLine, TableFacts

Step = Literal["day", "week", "month"]
MOST_POINTS = 60

Points = tuple[tuple[date, float], ...]
"""(day, score 0 to 100), oldest first."""


def step_for(first: datetime, last: datetime) -> Step:
    """The finest step that gives no more than `MOST_POINTS` points.

    >>> step_for(datetime(2026, 1, 1), datetime(2026, 2, 1)), step_for(datetime(2025, 1, 1), datetime(2026, 1, 1))
    ('day', 'week')
    """
    days = (last - first).days + 1
    return "day" if days <= MOST_POINTS else "week" if days <= 7 * MOST_POINTS else "month"


def bucket(day: date, step: Step) -> date:
    """The first day of the step that a day is in.

    >>> bucket(date(2026, 2, 26), "week"), bucket(date(2026, 2, 26), "month")
    (datetime.date(2026, 2, 23), datetime.date(2026, 2, 1))
    """
    match step:
        case "day":
            return day
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)


@dataclass(slots=True)
class Trend:
    """What the tables of one department, one provider or the whole home add up to, by step and dimension; grows by `add`."""

    step: Step
    tables: int = 0
    by_step: dict[date, dict[Dimension, Tally]] = field(default_factory=dict)
    newest: dict[Dimension, Tally] = field(default_factory=dict)
    """Of the newest verdict of each table."""
    passed: dict[date, tuple[int, int]] = field(default_factory=dict)
    """Step -> rows that passed, rows received."""
    hours: dict[date, list[float]] = field(default_factory=dict)
    """Step -> hours from the end of each window to its landing."""

    def add(self, table: TableFacts, windows: Sequence[RunLine] | None = None) -> None:
        """`windows`: the table's, when they are at hand."""
        self.tables += 1
        for run in table.windows() if windows is None else windows:
            at = bucket(run.day.date(), self.step)
            there = self.by_step.setdefault(at, {})
            for dimension, tally in run.dimensions.items():
                there[dimension] = there[dimension] + tally if dimension in there else tally
            if run.counts is not None:
                passed, received = self.passed.get(at, (0, 0))
                self.passed[at] = passed + run.counts.passed, received + run.received
            if (late := lateness(run)) is not None:
                self.hours.setdefault(at, []).append(late)
        judged = next((run for run in table.runs if run.dimensions), None)
        for dimension, tally in (judged.dimensions if judged else {}).items():
            self.newest[dimension] = self.newest.get(dimension, Tally()) + tally

    def merge(self, other: Trend) -> None:
        """Take in all that another of the same step has."""
        self.tables += other.tables
        for at, tallies in other.by_step.items():
            there = self.by_step.setdefault(at, {})
            for dimension, tally in tallies.items():
                there[dimension] = there[dimension] + tally if dimension in there else tally
        for at, (passed, received) in other.passed.items():
            before = self.passed.get(at, (0, 0))
            self.passed[at] = before[0] + passed, before[1] + received
        for at, hours in other.hours.items():
            self.hours.setdefault(at, []).extend(hours)
        for dimension, tally in other.newest.items():
            self.newest[dimension] = self.newest.get(dimension, Tally()) + tally

    def score(self, dimension: Dimension) -> float | None:
        """Of the newest verdict of each table."""
        return self.newest.get(dimension, Tally()).score

    def points(self, dimension: Dimension) -> Points:
        found = ((day, tallies.get(dimension, Tally()).score) for day, tallies in sorted(self.by_step.items()))
        return tuple((day, score) for day, score in found if score is not None)

    def good(self) -> Points:
        """Share of rows that passed."""
        return tuple((day, 100.0 * good / all_) for day, (good, all_) in sorted(self.passed.items()) if all_)

    def late(self) -> Points:
        """Median hours from the end of a window to its landing."""
        return tuple((day, statistics.median(hours)) for day, hours in sorted(self.hours.items()))


def of_windows(windows: Sequence[RunLine], dimension: Dimension) -> Points:
    """One point a window, oldest first, thinned to `MOST_POINTS` by means of neighbours."""
    found = ((run.day, run.dimensions[dimension].score) for run in windows if dimension in run.dimensions)
    return thinned([(day.date(), score) for day, score in found if score is not None])


def passed(runs: Sequence[RunLine]) -> Points:
    """Share of passed rows by window, `runs` oldest first."""
    return thinned([(run.day.date(), run.good_percent) for run in runs if run.good_percent is not None])


def thinned(points: Sequence[tuple[date, float]], most: int = MOST_POINTS) -> Points:
    """No more than `most` points: means of as many neighbours as that takes, each at the last of their days.

    >>> thinned([(date(2026, 1, n), float(n)) for n in (1, 2, 3, 4, 5)], 2)
    ((datetime.date(2026, 1, 3), 2.0), (datetime.date(2026, 1, 5), 4.5))
    """
    size = -(-len(points) // most) or 1
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return tuple((group[-1][0], statistics.fmean(value for _, value in group)) for group in groups)


def lateness(run: RunLine) -> float | None:
    """Hours from the end of the window to the landing; None of a build, and of a source that is read whole, whose window is that instant."""
    if run.landed_at is None or run.window_end is None or run.window_start == run.window_end:
        return None
    return (run.landed_at - run.window_end).total_seconds() / 3600


def weakest(scores: Iterable[tuple[Dimension, float | None]]) -> Dimension | None:
    """The dimension with the lowest score, None without any.

    >>> weakest([("validity", 99.0), ("accuracy", 90.0), ("timeliness", None)])
    'accuracy'
    """
    told = [(score, DIMENSIONS.index(name), name) for name, score in scores if score is not None]
    return min(told)[2] if told else None
