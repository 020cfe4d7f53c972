"""Every kind of rule has a dimension of quality, and a verdict's tallies say what its rules found."""

from __future__ import annotations

import json
from typing import Any

import pytest

from governance.catalog.dimensions import (
    BY_RULE,
    BY_TYPE,
    CHECKS,
    CHINESE,
    DIMENSIONS,
    Tally,
    dimension_of,
    from_json,
    tallies,
    to_json,
)
from governance.catalog.properties import RULES
from governance.manage.contract import GOV_RULE
from governance.manage.registry import SUPPORTED
from governance.manage.semantics import NAMES


def test_every_rule_that_can_be_compiled_has_a_dimension_and_no_other_has() -> None:
    assert set(BY_TYPE) == set(SUPPORTED)
    assert set(BY_RULE) == {*RULES, "key"}
    assert set(CHECKS) == set(NAMES)
    assert {*BY_TYPE.values(), *BY_RULE.values(), *CHECKS.values()} <= set(DIMENSIONS)
    assert set(CHINESE) == set(DIMENSIONS)


def test_a_rule_of_neither_table_is_an_error_and_no_guess() -> None:
    with pytest.raises(KeyError):
        dimension_of(GOV_RULE, "check:no:unheard_of")
    with pytest.raises(KeyError):
        dimension_of(GOV_RULE, "unheard_of:no")


def _one(type: str, rule: str, *, success: bool = True, error: bool = False, **result: int) -> dict[str, Any]:
    return {
        "success": success,
        "exception_info": {"raised_exception": error},
        "result": result,
        "expectation_config": {"type": type, "kwargs": {}, "meta": {"gov": {"id": rule}}},
    }


def test_what_mostly_tolerates_counts_as_met() -> None:
    one = _one(
        "expect_column_values_to_not_be_null", "required:x", element_count=10, missing_count=0, unexpected_count=3
    )
    one["expectation_config"]["kwargs"]["mostly"] = 0.7
    document = {"results": [one], "meta": {"gov": {}}}
    assert tallies(json.dumps(document))["completeness"].kept == 1.0
    one["expectation_config"]["kwargs"]["mostly"] = 1.0
    assert tallies(json.dumps(document))["completeness"].kept == pytest.approx(0.7)


def test_shares_count_rows_spoken_of_tables_count_whole_and_what_errored_counts_as_nothing() -> None:
    results = [
        _one(GOV_RULE, "codeSet:kind", success=False, element_count=10, missing_count=2, unexpected_count=2),
        _one(GOV_RULE, "type:day", element_count=10, missing_count=10, unexpected_count=0),
        _one("expect_table_row_count_to_equal", "suite:1", success=False),
        _one("expect_column_values_to_be_unique", "unique:id", error=True, success=False),
    ]
    meta = {"gov": {"counts": {"parsed": 9, "unparsed": 1}}}
    found = tallies(json.dumps({"results": results, "meta": meta}))
    assert found == {
        "validity": Tally(3, 2, 0, 3, 0.75 + 1.0 + 0.9),
        "completeness": Tally(1, 1, 0, 0, 0.0),
        "uniqueness": Tally(1, 0, 1, 0, 0.0),
    }
    assert found["uniqueness"].score == 0
    assert Tally().score is None
    assert from_json(to_json(found)) == found
