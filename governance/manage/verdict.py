"""`verdict`: what was counted becomes GX's results and one decision. Used for batches and for builds of curated tables.

stop                an expectation errored, one of severity stop failed, too large a share was quarantined, or nothing is left of a
                    delivery that would take the place of the whole table
go_with_warnings    one of severity warn failed, or such a delivery has no record
go                  neither; rows of severity quarantine are set aside whether or not `mostly` is met
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from governance.catalog.rules import Expectation, RowRules
from governance.catalog.types import Dataset
from governance.manage.engine import MetricError, judge_expectations, suite_result
from governance.state.values import Outcome, RuleMetric

MAX_QUARANTINE = "max_quarantine"
"""Reason: the quarantined share is above the contract's `gov.maxQuarantine`."""

NOTHING_PASSED = "nothing_passed"
"""Reason: every record of a delivery that takes the place of the whole table was quarantined."""
NO_RECORD = "no_record"
"""Reason: a delivery that takes the place of the whole table has no record."""

ROWS_SUFFIX, COUNTED_SUFFIX = ":rows", ":counted"

_AGGREGATES = frozenset(
    {
        "column.min",
        "column.max",
        "column.mean",
        "column.median",
        "column.sum",
        "column.standard_deviation",
        "column.quantile_values",
        "column.distinct_values.count",
        "column.unique_proportion",
        "column.non_null_proportion",
        "gov_table_rule.holds",
    }
)


def verdict(
    dataset: Dataset,
    rules: RowRules,
    metrics: Mapping[str, RuleMetric],
    *,
    rows: int,
    quarantined: int,
    sets_aside: bool = True,
    meta: Mapping[str, Any] | None = None,
    stopped_by: Sequence[str] = (),
) -> tuple[Outcome, tuple[str, ...], str]:
    """(outcome, ids of what stopped or warned, JSON text of GX's suite result).

    `rows` are all records of the batch, unparsed ones too, of which `quarantined` were set aside. The result holds counts, and no
    value of an encrypted column. An expectation without a metric, or whose rule errored, errors: it is never a pass.
    `stopped_by` are reasons from elsewhere that stop it.
    `sets_aside` False says that no row can be set aside (a curated table): there a failure of severity quarantine stops.
    """
    judgements = judge_expectations(rules.expectations, lambda e, name: _metric(dataset, metrics, e, name))
    errored = [j.expectation.id for j in judgements if j.error]
    failed = [j for j in judgements if not j.success and not j.error]
    stopping = ("stop",) if sets_aside else ("stop", "quarantine")
    stopped = [j.expectation.id for j in failed if severity(j.expectation) in stopping]
    warned = [j.expectation.id for j in failed if severity(j.expectation) == "warn"]
    too_many = rows > 0 and quarantined / rows > dataset.max_quarantine
    whole = sets_aside and dataset.load_mode in ("full", "snapshot_diff")
    stops = [*errored, *stopped, *([MAX_QUARANTINE] if too_many else []), *stopped_by]
    stops += [NOTHING_PASSED] if whole and 0 < rows <= quarantined else []
    warned += [NO_RECORD] if whole and rows == 0 else []
    outcome: Outcome = "stop" if stops else "go_with_warnings" if warned else "go"
    gov = {
        **(meta or {}),
        "outcome": outcome,
        "rules_hash": rules.hash,
        "errored": errored,
        "failed": [j.expectation.id for j in failed],
        "rows": rows,
        "quarantined": quarantined,
        "max_quarantine": dataset.max_quarantine,
    }
    result = suite_result(judgements, suite=dataset.name, meta={"gov": gov})
    return outcome, tuple(stops or warned), result


def severity(expectation: Expectation) -> str:
    """warn, quarantine or stop, as compiled into the expectation's meta."""
    return str(json.loads(expectation.config)["meta"]["gov"]["severity"])


def _metric(dataset: Dataset, metrics: Mapping[str, RuleMetric], expectation: Expectation, name: str) -> Any:
    """A metric of GX from what our rules counted. Raises MetricError when there is none, or its rule errored."""
    if name == "table.columns":
        return [f.name for f in dataset.fields]
    if name == "table.column_count":
        return len(dataset.fields)
    rule = _of(metrics, expectation.rule_ids[0] if expectation.rule_ids else "")
    if name in _AGGREGATES:
        return rule.value
    elements = _count(metrics, expectation, ROWS_SUFFIX, rule.rows)
    if name == "table.row_count":
        return rule.value if _is_row_count(expectation) else elements
    kind = name.rpartition(".")[2]
    if name == "column_values.nonnull.unexpected_count" and not _is_not_null(expectation):
        return rule.skipped - (rule.rows - elements)
    match kind:
        case "unexpected_count":
            return rule.unexpected
        case "filtered_row_count":
            return _count(metrics, expectation, COUNTED_SUFFIX, rule.rows - rule.skipped)
        case "unexpected_values" | "unexpected_index_list":
            return []
        case "unexpected_index_query":
            return None
    raise MetricError(f"no rule counts {name}")


def _of(metrics: Mapping[str, RuleMetric], rule: str) -> RuleMetric:
    if rule not in metrics:
        raise MetricError(f"rule {rule or '(none)'} was not counted")
    if metrics[rule].error:
        raise MetricError(f"rule {rule} could not be evaluated: {metrics[rule].error}")
    return metrics[rule]


def _count(metrics: Mapping[str, RuleMetric], expectation: Expectation, suffix: str, default: int) -> int:
    """The value of the expectation's counting rule with that suffix, if it has one."""
    for rule_id in expectation.rule_ids[1:]:
        if rule_id.endswith(suffix):
            return int(str(_of(metrics, rule_id).value))
    return default


def _is_row_count(expectation: Expectation) -> bool:
    return str(json.loads(expectation.config)["type"]).startswith("expect_table_row_count")


def _is_not_null(expectation: Expectation) -> bool:
    return bool(json.loads(expectation.config)["type"] == "expect_column_values_to_not_be_null")
