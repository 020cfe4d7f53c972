"""Who delivers late or worse and worse: one line a provider, from what was recorded of its windows. Pure.

The rules are in `RULES`, in words, as the page shows them; `slope` says what a direction is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from governance.pipeline.report.facts import TableFacts
from governance.pipeline.report.said import Said, said
from governance.pipeline.report.slope import FEWEST, STEPS, Slope, slope
from governance.pipeline.report.trend import Points, Trend

QUALITY_POINTS = 1.0
"""A fall of the share of passed rows that matters, in points of a hundred."""
LATE_HOURS = 1.0
"""A growth of the delay that matters."""

RULES: tuple[tuple[str, Said], ...] = (
    (
        "getting worse",
        said(
            "over its newest {steps} steps (at least {fewest}) the share of passed rows falls: Theil-Sen's slope comes to {points} point or more, and "
            "Mann-Kendall's one-sided test is significant at 5 %",
            steps=STEPS,
            fewest=FEWEST,
            points=f"{QUALITY_POINTS:g}",
        ),
    ),
    (
        "getting later",
        said(
            "by the same two tests the median hours between the end of a window and its landing grow by {hours} or more",
            hours=f"{LATE_HOURS:g}",
        ),
    ),
    (
        "late",
        said(
            "the newest observation of a dataset's freshness against its contract's service level is not met (<code>gov freshness</code>)"
        ),
    ),
    ("not let in", said("newest batches that were stopped, failed, or wait for their judgement")),
)
"""State -> what it means."""


@dataclass(frozen=True, slots=True)
class Provider:
    """One source system of a department."""

    name: str
    department: str
    tables: int
    good: Points
    quality: Slope
    late: Points
    delay: Slope
    not_in: tuple[str, ...]
    """Datasets whose newest batch did not get in."""
    never: tuple[str, ...]
    """Datasets that never landed."""
    late_now: tuple[str, ...] = ()
    """Datasets whose service level is not met now."""
    agreed: int = 0
    """Datasets of which freshness was observed: a service level is agreed."""

    @property
    def worse(self) -> bool:
        return self.quality.direction == "falling"

    @property
    def later(self) -> bool:
        return self.delay.direction == "rising"

    @property
    def trouble(self) -> tuple[int, float, str]:
        """What sorts the worst first."""
        return (
            -(8 * bool(self.late_now) + 4 * self.worse + 2 * self.later + bool(self.not_in)),
            self.quality.change,
            self.name,
        )


def provider(name: str, trend: Trend, standing: Sequence[Standing]) -> Provider:
    """From the trend of its tables and how each of them stands."""
    good, late = trend.good(), trend.late()
    return Provider(
        name=name,
        department=name.partition("/")[0],
        tables=trend.tables,
        good=good,
        quality=slope([value for _, value in good], QUALITY_POINTS),
        late=late,
        delay=slope([value for _, value in late], LATE_HOURS),
        not_in=tuple(table.name for table in standing if table.in_trouble),
        never=tuple(table.name for table in standing if table.never),
        late_now=tuple(table.name for table in standing if table.on_time is False),
        agreed=sum(table.on_time is not None for table in standing),
    )


@dataclass(frozen=True, slots=True)
class Standing:
    """What is kept of a table while the others are read."""

    name: str
    in_trouble: bool
    never: bool
    on_time: bool | None
    """As the newest observation of freshness said; None without one."""


def standing_of(table: TableFacts, on_time: bool | None) -> Standing:
    latest = table.latest
    return Standing(table.name, latest is not None and latest.in_trouble, latest is None, on_time)


def providers(trends: Mapping[str, Trend], standing: Mapping[str, Sequence[Standing]]) -> tuple[Provider, ...]:
    """All of them, the worst first."""
    return tuple(sorted((provider(name, trends[name], standing[name]) for name in trends), key=lambda p: p.trouble))
