"""The scorecard: a declared table of points, each with a fact (that of a whole home is in `test_report`)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from governance.catalog.dimensions import Tally
from governance.pipeline.report.facts import RunLine
from governance.pipeline.scorecard.rules import RULES, STAGES, Fact
from governance.pipeline.scorecard.score import score
from governance.pipeline.scorecard.standing import Files, Moment, Standing
from governance.state.values import Counts

AT = datetime(2026, 3, 1, tzinfo=UTC)
BATCH = RunLine("b", "b", AT, "go", (), Counts(9, 1, 8, 2), (), dimensions={"validity": Tally(4, 1, 0, 2, 3.8)})
DATASET = Standing(
    "tax.invoices", False, True, True, 4, 4, BATCH, BATCH, AT, False, Files(2, 2), on_time=True, reconciled=True
)
BUILD = replace(BATCH, snapshot=7, inputs=("tax.invoices",), findings={"agree": 2})
CURATED = replace(DATASET, name="curated.turnover", curated=True, newest=BUILD, judged=BUILD, lineage=True)


def _fact(rule: str, moment: Moment) -> Fact:
    return next(r for r in RULES if r.id == rule).fact(moment)


def test_every_stage_has_a_hundred_points_each_with_a_reason_and_a_source() -> None:
    for stage in STAGES:
        assert sum(rule.points for rule in RULES if rule.stage == stage) == 100
    assert len({rule.id for rule in RULES}) == len(RULES)
    assert all(rule.says and rule.reason and rule.source and rule.points > 0 for rule in RULES)


def test_an_empty_home_has_no_score_and_no_point_that_nothing_stands_behind() -> None:
    stages = score(Moment(AT, ()))
    assert [stage.score for stage in stages] == [None] * 5
    assert all(line.points is None and line.fact.of == 0 for stage in stages for line in stage.lines)


@pytest.mark.parametrize(
    ("rule", "worse"),
    [
        ("source", {"has_source": False}),
        ("landed", {"newest": None, "judged": None}),
        ("no_failure", {"failed": True}),
        ("stored", {"judged": None}),
        ("on_time", {"on_time": False}),
        ("reconciled", {"reconciled": False}),
        ("conserved", {"judged": replace(BATCH, counts=Counts(9, 1, 8, 1))}),
        ("encrypted", {"files": Files(2, 1)}),
        ("let_in", {"judged": replace(BATCH, outcome="stop")}),
        ("judgeable", {"judged": replace(BATCH, dimensions={"validity": Tally(4, 0, 1, 0, 3.0)})}),
        ("incidents", {"old_incidents": 1}),
        ("stewards", {"steward": False}),
        ("classified", {"classified": 3}),
    ],
)
def test_each_rule_of_datasets_takes_points_for_what_it_says_and_names_the_dataset(rule: str, worse: dict) -> None:
    whole = _fact(rule, Moment(AT, (DATASET,)))
    assert whole.share == 1
    assert whole.lacking == ()
    lost = _fact(rule, Moment(AT, (DATASET, replace(DATASET, name="tax.other", **worse))))
    assert lost.good < lost.of
    assert lost.lacking == ("tax.other",)


def test_shares_of_rows_and_rules_give_shares_of_points() -> None:
    moment = Moment(AT, (DATASET,))
    assert _fact("parsed", moment) == Fact(0.9, 1, "datasets", ("tax.invoices 90.0 %",))
    assert _fact("rules_met", moment) == Fact(3.8, 4, "rules", ("tax.invoices 95.00 %",))
    (line,) = [line for line in score(moment)[2].lines if line.rule.id == "rules_met"]
    assert line.points == pytest.approx(0.95 * line.rule.points)


def test_curated_tables_count_by_build_lineage_inputs_findings_and_release() -> None:
    moment = Moment(AT, (DATASET, CURATED), released={"curated.turnover": 7})
    for rule in ("built", "lineage", "up_to_date", "published", "current"):
        assert _fact(rule, moment).share == 1, rule
    assert _fact("agreement", moment).share == pytest.approx(0.75)
    newer = replace(moment, tables=(replace(DATASET, judged_at=AT + timedelta(seconds=1)), CURATED))
    assert _fact("up_to_date", newer).lacking == ("curated.turnover",)
    assert _fact("current", replace(moment, released={"curated.turnover": 6})).lacking == ("curated.turnover",)
    assert _fact("published", replace(moment, released=None)).lacking == ("curated.turnover",)
    assert _fact("signed", replace(moment, entries=10, signed=7)).share == 0.7
    assert _fact("reviewed", replace(moment, break_glasses=2, reviewed=1)).share == 0.5
