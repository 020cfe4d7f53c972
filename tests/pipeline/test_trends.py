"""Trends, directions and observations of the report, on made-up runs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from governance.catalog.dimensions import BY_OBSERVATION, DIMENSIONS, Tally
from governance.pipeline.report.charts import chart, sparkline
from governance.pipeline.report.facts import RunLine, TableFacts
from governance.pipeline.report.read import Observed, with_observations
from governance.pipeline.report.sla import providers, standing_of
from governance.pipeline.report.trend import MOST_POINTS, Trend, of_windows
from governance.state.values import Counts

FIRST = datetime(2026, 1, 1, tzinfo=UTC)


def _run(number: int, *, passed: int = 100, revision: int = 1, late_hours: float = 1.0) -> RunLine:
    """The window of one day, of which `passed` of a hundred rows passed."""
    start = FIRST + timedelta(days=number)
    landed = start + timedelta(days=1, hours=late_hours)
    return RunLine(
        id=f"b{number}.{revision}",
        label=str(number),
        at=landed,
        outcome="go",
        reasons=(),
        counts=Counts(100, 0, passed, 100 - passed),
        rules=(),
        dimensions={"validity": Tally(2, int(passed < 100), 0, 100 - passed, 1 + passed / 100)},
        landed_at=landed,
        judged_at=landed,
        window_start=start,
        window_end=start + timedelta(days=1),
    )


def _table(name: str, runs: list[RunLine]) -> TableFacts:
    """`runs` oldest first."""
    return TableFacts(name, name.partition(".")[0], "", "", "append", tuple(reversed(runs)), (), provider="tax/office")


def test_of_each_window_the_last_revision_counts() -> None:
    table = _table("tax.a", [_run(0, passed=50), _run(0, revision=2), _run(1)])
    assert [run.id for run in table.windows()] == ["b0.2", "b1.1"]
    assert of_windows(table.windows(), "validity") == ((date(2026, 1, 2), 100.0), (date(2026, 1, 3), 100.0))
    assert of_windows(table.windows(), "accuracy") == ()


def test_a_year_of_days_is_thinned_and_tables_are_put_together_rule_by_rule() -> None:
    runs = [_run(number, passed=90) for number in range(365)]
    assert len(of_windows(_table("tax.a", runs).windows(), "validity")) <= MOST_POINTS
    trend = Trend("month")
    trend.add(_table("tax.a", runs[:31]))
    trend.add(_table("tax.b", [_run(number) for number in range(31)]))
    assert trend.tables == 2
    assert trend.points("validity")[0][1] == pytest.approx((95 + 100) / 2)
    assert trend.good()[0][1] == pytest.approx(95)
    assert trend.score("validity") == pytest.approx((95 + 100) / 2)
    assert trend.late()[0] == (date(2026, 1, 1), 1.0)


def test_a_provider_that_slides_is_getting_worse_and_one_bad_day_is_not() -> None:
    told = {}
    for name, shares in {"sliding": range(100, 80, -2), "steady": [100, 100, 40, 100, 100, 100, 100, 100]}.items():
        table = _table("tax.a", [_run(n, passed=share, late_hours=2.0 * n) for n, share in enumerate(shares)])
        trend = Trend("day")
        trend.add(table)
        told[name] = providers({name: trend}, {name: [standing_of(table, None)]})[0]
    assert (told["sliding"].worse, told["sliding"].later) == (True, True)
    assert (told["steady"].worse, told["steady"].later) == (False, True)
    assert told["sliding"].quality.change == pytest.approx(-18)


def test_who_is_late_now_comes_first() -> None:
    trends = {name: Trend("day") for name in ("a/x", "b/y")}
    table = _table("b.t", [_run(0)])
    standing = {"a/x": [standing_of(table, True)], "b/y": [standing_of(table, False)]}
    first, second = providers(trends, standing)
    assert (first.name, first.late_now, first.agreed) == ("b/y", ("b.t",), 1)
    assert second.late_now == ()


def test_what_is_observed_counts_for_its_dimension_at_the_run_it_speaks_of() -> None:
    assert set(BY_OBSERVATION.values()) <= set(DIMENSIONS)
    newest, older = _run(1), _run(0)
    soon = newest.at + timedelta(hours=1)
    observed = [
        Observed("freshness", "b0.1", True, soon),
        Observed("freshness", None, True, soon),
        Observed("freshness", None, False, soon + timedelta(days=3)),  # no batch came: it is late
        Observed("gx", "b1.1", False, soon),
    ]
    after = with_observations([newest, older], observed)
    assert after[0].dimensions["timeliness"] == Tally(1, 1, 0, 0, 0.0)
    assert after[1].dimensions["timeliness"] == Tally(1, 0, 0, 0, 1.0)
    assert after[0].dimensions["validity"] == newest.dimensions["validity"]
    assert with_observations([replace(newest, judged_at=None)], observed)[0].dimensions == newest.dimensions


def test_pictures_need_two_points_and_hold_no_more_than_scores_and_days() -> None:
    points = ((date(2026, 1, 1), 99.0), (date(2026, 1, 2), 98.5))
    assert not sparkline(points[:1])
    assert "no trend yet" in chart(points[:1])
    assert "2026-01-02: 98.50" in chart(points)
    assert chart(points).count("<circle") == 2
