from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from governance.catalog.types import Level
from governance.manage import compile_rules, verdict
from governance.state.values import RuleMetric
from tests.manage.tables import counted, dataset, expect, field, judged, suite

OF = dataset(field("a", "integer"), field("s", "string"), name="curated.t")
TABLE = pa.table({"a": pa.array([1, 2, None, 50], pa.int64()), "s": ["CANARY-1", "CANARY-2", "CANARY-3", None]})
MAX = expect("expect_column_max_to_be_between", column="a", max_value=10)
SMALL = expect("expect_column_values_to_be_between", column="a", max_value=10)


def severe(severity: str, expectation: dict[str, Any]) -> dict[str, Any]:
    return {**expectation, "meta": {"gov": {"severity": severity}}}


def test_all_that_holds_is_go() -> None:
    assert judged(OF, TABLE, expect("expect_table_row_count_to_equal", value=4)).outcome == "go"


def test_a_failed_warning_goes_with_warnings_and_names_itself() -> None:
    found = judged(OF, TABLE, severe("warn", SMALL))
    assert (found.outcome, found.reasons) == ("go_with_warnings", ("suite:expect_column_values_to_be_between:a",))


def test_rows_set_aside_neither_stop_nor_warn() -> None:
    assert judged(OF, TABLE, SMALL).outcome == "go"


def test_a_failed_stop_stops_unless_mostly_is_met() -> None:
    assert judged(OF, TABLE, severe("stop", SMALL)).outcome == "stop"
    assert judged(OF, TABLE, MAX).outcome == "stop"
    lenient = {**SMALL, "kwargs": {**SMALL["kwargs"], "mostly": 0.6}}
    assert judged(OF, TABLE, severe("stop", lenient)).outcome == "go"


@pytest.mark.parametrize(("quarantined", "outcome"), [(20, "go"), (21, "stop")])
def test_too_large_a_share_of_quarantine_stops(quarantined: int, outcome: str) -> None:
    of = replace(OF, max_quarantine=0.2)
    rules = compile_rules(of, None, {})
    found, reasons, _ = verdict(of, rules, {}, rows=100, quarantined=quarantined)
    assert (found, reasons) == (outcome, ("max_quarantine",) if outcome == "stop" else ())


def test_an_empty_batch_has_no_share_and_is_warned_of_where_it_takes_the_place_of_a_table() -> None:
    for mode, expected in (("append", ("go", ())), ("full", ("go_with_warnings", ("no_record",)))):
        of = replace(OF, load_mode=mode)
        assert verdict(of, compile_rules(of, None, {}), {}, rows=0, quarantined=0)[:2] == expected


def test_a_whole_delivery_of_which_nothing_passes_stops_and_an_addition_does_not() -> None:
    for mode, outcome in (("append", "go"), ("upsert", "go"), ("full", "stop"), ("snapshot_diff", "stop")):
        of = replace(OF, load_mode=mode)
        assert verdict(of, compile_rules(of, None, {}), {}, rows=3, quarantined=3)[0] == outcome


@pytest.mark.parametrize("lost", [True, False])
def test_an_expectation_that_cannot_be_judged_is_never_a_pass(lost: bool) -> None:
    given = suite(severe("warn", SMALL), expect("expect_table_row_count_to_equal", value=4))
    rules = compile_rules(OF, given, {})
    metrics = counted(rules, TABLE)
    name = "suite:expect_column_values_to_be_between:a"
    if lost:
        del metrics[name]
    else:
        metrics[name] = RuleMetric(name, 4, 0, 0, error="ConversionException")
    outcome, reasons, text = verdict(OF, rules, metrics, rows=4, quarantined=0)
    result = json.loads(text)
    assert (outcome, reasons) == ("stop", (name,))
    assert result["meta"]["gov"]["errored"] == [name]
    assert result["meta"]["gov"]["failed"] == []
    first, second = result["results"]
    assert (first["success"], second["success"]) == (False, True)
    assert first["exception_info"]["raised_exception"] is True
    assert name in first["exception_info"]["exception_message"]
    assert result["statistics"]["unsuccessful_expectations"] == 1


def test_what_gx_itself_cannot_judge_is_an_error_without_its_message() -> None:
    rules = compile_rules(OF, suite(MAX), {})
    name = "suite:expect_column_max_to_be_between:a"
    metrics = {name: RuleMetric(name, 4, 0, 0, value={"CANARY": 1})}
    outcome, reasons, text = verdict(OF, rules, metrics, rows=4, quarantined=0)
    assert (outcome, reasons) == ("stop", (name,))
    assert json.loads(text)["results"][0]["exception_info"] == {
        "raised_exception": True,
        "exception_message": "GX raised while judging it",
        "exception_traceback": None,
    }


def test_the_result_is_a_genuine_gx_result_with_counts_and_no_values() -> None:
    from great_expectations.core import expectationSuiteValidationResultSchema

    found = judged(OF, TABLE, SMALL, expect("expect_column_values_to_be_in_set", column="s", value_set=["x"]), MAX)
    loaded = expectationSuiteValidationResultSchema.load(found.result)
    assert loaded["statistics"]["evaluated_expectations"] == 3
    assert found.results[0]["result"]["unexpected_count"] == 1
    assert found.results[2]["result"] == {"observed_value": 50}
    assert "CANARY" not in json.dumps(found.result)


def test_of_an_encrypted_column_no_observed_value_is_shown() -> None:
    of = replace(OF, fields=tuple(replace(f, classification=Level.L4) for f in OF.fields))
    kinds = ("min", "max", "median")
    expectations = [
        expect(f"expect_column_{kind}_to_be_between", column="a", min_value=1, max_value=10) for kind in kinds
    ]
    quantiles = {"quantiles": [0.5], "value_ranges": [[1, 10]]}
    expectations.append(expect("expect_column_quantile_values_to_be_between", column="a", quantile_ranges=quantiles))
    expectations.append(expect("expect_column_most_common_value_to_be_in_set", column="s", value_set=["x"]))
    found = judged(of, TABLE, *expectations)
    assert [r["success"] for r in found.results] == [True, False, True, True, False]
    assert all(r["result"] == {"observed_value": None} for r in found.results)
    assert [r["expectation_config"]["type"] for r in found.results] == [e["type"] for e in expectations]


def test_no_rows_pass_row_rules_and_fail_aggregates() -> None:
    found = judged(OF, TABLE.slice(0, 0), SMALL, severe("warn", MAX))
    assert [r["success"] for r in found.results] == [True, False]
    assert found.outcome == "go_with_warnings"
