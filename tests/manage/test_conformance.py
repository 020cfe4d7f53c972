"""Every supported type on small random tables: GX's own pandas engine against our counts put through GX's own `_validate`.

What differs between GX's own engines is named here: pandas calls a comparison with a missing side unexpected where SQL does not, counts NULLs
as equal values in compound keys, and interpolates quantiles and medians of few values; we follow GX on SQL.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from governance.catalog.types import Level
from governance.manage.registry import SUPPORTED
from tests.manage.tables import Judged, dataset, expect, field, judged

DATASET = dataset(
    field("i", "integer"),
    field("j", "integer"),
    field("s", "string"),
    field("u", "string"),
    field("d", "timestamp"),
    name="curated.t",
)
KINDS = {"i": pa.int64(), "j": pa.int64(), "s": pa.string(), "u": pa.string(), "d": pa.timestamp("us")}
COUNTS = ("element_count", "unexpected_count", "missing_count", "unexpected_percent")

NUMBERS = st.none() | st.integers(-3, 6)
TEXTS = st.none() | st.sampled_from(["", "a", "ab", "B1", "2024-01-31", "x_y", '{"a": 1}'])
DAYS = st.none() | st.sampled_from([datetime(2024, 1, d) for d in (1, 2, 31)])
ROWS = st.lists(st.tuples(NUMBERS, NUMBERS, TEXTS, TEXTS, DAYS), max_size=12)
FULL = st.lists(
    st.tuples(st.integers(-3, 6), st.integers(-3, 6), st.sampled_from("ab"), st.sampled_from("ab"), DAYS.filter(bool)),
    min_size=1,
    max_size=12,
)

SOME = {"mostly": 0.6}
ANY_ROWS: tuple[dict[str, Any], ...] = (
    expect("expect_column_values_to_be_null", column="i", **SOME),
    expect("expect_column_values_to_not_be_null", column="s", **SOME),
    expect("expect_column_values_to_be_in_set", column="i", value_set=[1, 2, 3], **SOME),
    expect("expect_column_values_to_be_in_set", column="s", value_set=["a", "ab"]),
    expect("expect_column_values_to_not_be_in_set", column="s", value_set=["a"], **SOME),
    expect("expect_column_values_to_be_between", column="i", min_value=0, max_value=4, strict_max=True, **SOME),
    expect("expect_column_values_to_be_between", column="d", min_value="2024-01-02T00:00:00"),
    expect("expect_column_values_to_be_unique", column="s", **SOME),
    expect("expect_column_values_to_match_regex", column="s", regex="^[a-z]", **SOME),
    expect("expect_column_values_to_not_match_regex", column="s", regex="[0-9]", **SOME),
    expect("expect_column_values_to_match_regex_list", column="s", regex_list=["^a", "b$"], match_on="all", **SOME),
    expect("expect_column_values_to_match_regex_list", column="s", regex_list=["^a", "1"], **SOME),
    expect("expect_column_values_to_not_match_regex_list", column="s", regex_list=["^a", "1"], **SOME),
    expect("expect_column_values_to_match_strftime_format", column="s", strftime_format="%Y-%m-%d", **SOME),
    expect("expect_column_values_to_be_json_parseable", column="s", **SOME),
    expect("expect_column_value_lengths_to_equal", column="s", value=2, **SOME),
    expect("expect_column_value_lengths_to_be_between", column="s", min_value=1, max_value=2, **SOME),
    expect("expect_column_pair_values_to_be_equal", column_A="s", column_B="u", **SOME),
    expect("expect_column_pair_values_a_to_be_greater_than_b", column_A="i", column_B="j", ignore_row_if="either_value_is_missing"),
    expect("expect_column_pair_values_to_be_in_set", column_A="s", column_B="u", value_pairs_set=[["a", "a"], ["a", "ab"]],
           ignore_row_if="either_value_is_missing"),
    expect("expect_compound_columns_to_be_unique", column_list=["s", "u"], ignore_row_if="any_value_is_missing", **SOME),
    expect("expect_select_column_values_to_be_unique_within_record", column_list=["s", "u"], ignore_row_if="any_value_is_missing"),
    expect("expect_multicolumn_values_to_be_equal", column_list=["s", "u"], ignore_row_if="any_value_is_missing"),
    expect("expect_multicolumn_sum_to_equal", column_list=["i", "j"], sum_total=3, ignore_row_if="any_value_is_missing", **SOME),
    expect("expect_table_row_count_to_be_between", min_value=3, max_value=7),
    expect("expect_table_row_count_to_equal", value=5),
    expect("expect_table_column_count_to_equal", value=5),
    expect("expect_table_column_count_to_be_between", min_value=6),
    expect("expect_table_columns_to_match_ordered_list", column_list=["i", "j", "s", "u", "d"]),
    expect("expect_table_columns_to_match_set", column_set=["i", "j", "s"], exact_match=False),
    expect("expect_column_to_exist", column="i"),
    expect("expect_column_values_to_be_between", column="i", min_value=0, row_condition={"type": "comparison", "column": {"name": "j"},
           "operator": ">", "parameter": 1}),
    expect("expect_column_values_to_be_unique", column="s", row_condition={"type": "nullity", "column": {"name": "u"}, "is_null": False}),
)  # fmt: skip
"""On tables with missing values."""

FULL_ROWS: tuple[dict[str, Any], ...] = (
    expect("expect_column_min_to_be_between", column="i", min_value=0),
    expect("expect_column_max_to_be_between", column="i", max_value=4, strict_max=True),
    expect("expect_column_mean_to_be_between", column="i", min_value=1, max_value=3),
    expect("expect_column_sum_to_be_between", column="i", min_value=3),
    expect("expect_column_median_to_be_between", column="i", max_value=2),
    expect("expect_column_unique_value_count_to_be_between", column="i", min_value=2),
    expect("expect_column_proportion_of_unique_values_to_be_between", column="i", min_value=0.5),
    expect("expect_column_proportion_of_non_null_values_to_be_between", column="i", min_value=0.5),
)
"""Aggregates, with an observed value to compare."""

VERDICTS_ONLY: tuple[dict[str, Any], ...] = (
    expect("expect_column_distinct_values_to_be_in_set", column="s", value_set=["a"]),
    expect("expect_column_distinct_values_to_contain_set", column="s", value_set=["a", "b"]),
    expect("expect_column_distinct_values_to_equal_set", column="s", value_set=["a", "b"]),
    expect("expect_column_max_to_be_between", column="d", max_value="2024-01-02T00:00:00"),
)
"""What we report as holding or not, without the values."""

DIFFERENT = {
    "expect_column_values_to_match_like_pattern": "GX has it on SQL only",
    "expect_column_values_to_not_match_like_pattern": "GX has it on SQL only",
    "expect_column_values_to_match_like_pattern_list": "GX has it on SQL only",
    "expect_column_values_to_not_match_like_pattern_list": "GX has it on SQL only",
    "expect_column_values_to_be_of_type": "judged against the contract's type when it compiles",
    "expect_column_values_to_be_in_type_list": "judged against the contract's type when it compiles",
    "expect_column_type_to_be": "judged against the contract's type when it compiles",
    "expect_column_stdev_to_be_between": "of one value pandas gives NaN, SQL NULL: compared in a test of its own",
    "expect_column_quantile_values_to_be_between": "pandas interpolates: compared where both agree, in a test of its own",
    "expect_column_most_common_value_to_be_in_set": "ties: compared in a test of its own",
}
"""Types that the random comparison leaves out, with the reason."""


def test_every_supported_type_is_compared_or_says_why_not() -> None:
    compared = {e["type"] for e in (*ANY_ROWS, *FULL_ROWS, *VERDICTS_ONLY)}
    assert compared | set(DIFFERENT) == set(SUPPORTED)
    assert not compared & set(DIFFERENT)


FEW = settings(max_examples=5, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))


@FEW
@given(ROWS)
def test_counts_of_row_rules_are_those_of_gx(rows: list[tuple[Any, ...]]) -> None:
    ours, theirs = both(rows, ANY_ROWS)
    for expected, our, their in zip(ANY_ROWS, ours.results, theirs, strict=True):
        assert our["success"] == their["success"], expected
        for key in COUNTS:
            assert our["result"].get(key) == their["result"].get(key), (expected, key)


@FEW
@given(FULL)
def test_aggregates_are_those_of_gx(rows: list[tuple[Any, ...]]) -> None:
    given_expectations = (*FULL_ROWS, *VERDICTS_ONLY)
    ours, theirs = both(rows, given_expectations)
    for expected, our, their in zip(given_expectations, ours.results, theirs, strict=True):
        assert our["success"] == their["success"], expected
        if expected in FULL_ROWS:
            assert our["result"]["observed_value"] == pytest.approx(their["result"]["observed_value"]), expected


def test_spread_quantiles_and_mode_are_those_of_gx_where_its_engines_agree() -> None:
    rows = [(n, 1, "a" if n < 4 else "b", None, None) for n in range(5)]
    quantiles = {"quantiles": [0.25, 0.5, 0.75], "value_ranges": [[1, 1], [2, 2], [3, 4]]}
    given_expectations = (
        expect("expect_column_stdev_to_be_between", column="i", min_value=1, max_value=1.6),
        expect("expect_column_quantile_values_to_be_between", column="i", quantile_ranges=quantiles),
        expect("expect_column_most_common_value_to_be_in_set", column="s", value_set=["a"]),
        expect("expect_column_most_common_value_to_be_in_set", column="s", value_set=["b"]),
    )
    ours, theirs = both(rows, given_expectations)
    assert [r["success"] for r in ours.results] == [r["success"] for r in theirs] == [True, True, True, False]
    assert ours.results[0]["result"]["observed_value"] == pytest.approx(theirs[0]["result"]["observed_value"])
    assert ours.results[1]["result"]["observed_value"]["values"] == theirs[1]["result"]["observed_value"]["values"]


@pytest.mark.parametrize("ties_okay", [False, True])
@pytest.mark.parametrize("texts", ["aab", "ab", "aabb", "aabbc", "abc"])
def test_ties_of_the_most_common_value_are_judged_as_by_gx(texts: str, ties_okay: bool) -> None:
    rows = [(1, 1, text, None, None) for text in texts] + [(1, 1, None, None, None)] * 3
    sets: tuple[list[str], ...] = (["a"], ["b"], ["a", "b"], ["a", "x"], ["c"])
    given_expectations = tuple(
        expect("expect_column_most_common_value_to_be_in_set", column="s", value_set=values, ties_okay=ties_okay)
        for values in sets
    )
    ours, theirs = both(rows, given_expectations)
    assert [r["success"] for r in ours.results] == [r["success"] for r in theirs]


@pytest.mark.parametrize("ignored", ["all_values_are_missing", "any_value_is_missing", "never"])
def test_a_missing_value_beside_others_is_unequal_as_to_gx(ignored: str) -> None:
    rows = [(1, 1, s, u, None) for s, u in (("a", "a"), ("a", None), (None, "b"), (None, None), ("a", "b"))]
    several = expect("expect_multicolumn_values_to_be_equal", column_list=["s", "u"], ignore_row_if=ignored)
    ours, theirs = both(rows, (several,))
    for key in COUNTS:
        assert ours.results[0]["result"].get(key) == theirs[0]["result"].get(key), key


UNICODE = [
    "",
    "a",
    "A_1",
    "张三",
    "王 五",
    "王\u3000五",
    "\u00a0",
    "\u2003",
    "\u0085",
    "\x1c",
    "\x0b",
    "ａ１",
    "٣",
    "²",
    "Ⅷ",
    "é",
    "e-",
    "\U00020bb7野",
]
PATTERNS = [
    r"^\w+$", r"^\W+$", r"^\d+$", r"^\D+$", r"^\s$", r"^\S+$", r"^\w+\s\w+$", r"^[\w-]+$", r"^[^\w]+$", r"^[\d²]$", r"^[^\s]+$",
    r"^[]\w]+$", r"\\w", r"[\\d]", r"^\w{2}$",
]  # fmt: skip


def test_the_classes_of_a_suites_pattern_are_pythons() -> None:
    rows = [(1, 1, text, None, None) for text in UNICODE]
    given_expectations = tuple(
        expect("expect_column_values_to_match_regex", column="s", regex=pattern) for pattern in PATTERNS
    )
    ours, theirs = both(rows, given_expectations)
    for pattern, our, their in zip(PATTERNS, ours.results, theirs, strict=True):
        assert our["result"]["unexpected_count"] == their["result"]["unexpected_count"], pattern


def test_a_sum_over_columns_may_be_larger_than_a_column() -> None:
    most = 2**63 - 1
    equal = expect("expect_multicolumn_sum_to_equal", column_list=["i", "j"], sum_total=2 * most)
    ours = judged(DATASET, table_of([(most, most, None, None, None), (most, 1, None, None, None)]), equal)
    assert ours.results[0]["result"]["unexpected_count"] == 1


def test_quantiles_of_an_encrypted_column_are_decided_in_the_pass_as_gx_decides() -> None:
    sealed = replace(DATASET, fields=(replace(DATASET.fields[0], classification=Level.L3), *DATASET.fields[1:]))
    ranges: tuple[list[float | None], ...] = (
        [0, 10_000],
        [10_000.5, 20_000],
        [0, 9_999.5],
        [10_002, None],
        [None, 9_990],
        [None, None],
    )
    entries = tuple(
        expect("expect_column_quantile_values_to_be_between", column="i", quantile_ranges={"quantiles": [0.5], "value_ranges": [r]})
        for r in ranges
    )  # fmt: skip
    table = table_of([(10_000, 1, None, None, None)] * 3)
    ours = judged(sealed, table, *entries)
    assert [r["success"] for r in ours.results] == [r["success"] for r in pandas_results(table, entries)]
    assert not any("10000" in str(r["result"]) for r in ours.results)
    nothing = judged(sealed, table_of([(None, 1, None, None, None)]), entries[-1])
    assert not nothing.results[0]["success"]


def test_like_patterns_are_sql_s() -> None:
    rows = [(None, None, s, None, None) for s in ("ab", "a_", "xb", None)]
    found = judged(
        DATASET,
        table_of(rows),
        expect("expect_column_values_to_match_like_pattern", column="s", like_pattern="a%"),
        expect("expect_column_values_to_match_like_pattern", column="s", like_pattern="a\\_", escape="\\"),
        expect("expect_column_values_to_not_match_like_pattern", column="s", like_pattern="a%"),
        expect(
            "expect_column_values_to_match_like_pattern_list",
            column="s",
            like_pattern_list=["a%", "%b"],
            match_on="all",
        ),
        expect("expect_column_values_to_not_match_like_pattern_list", column="s", like_pattern_list=["a%", "%b"]),
    )
    assert [r["result"]["unexpected_count"] for r in found.results] == [1, 2, 2, 2, 3]


def table_of(rows: list[tuple[Any, ...]]) -> pa.Table:
    return pa.table({name: pa.array([row[n] for row in rows], kind) for n, (name, kind) in enumerate(KINDS.items())})


def both(
    rows: list[tuple[Any, ...]], expectations: tuple[dict[str, Any], ...]
) -> tuple[Judged, list[Mapping[str, Any]]]:
    table = table_of(rows)
    ours = judged(DATASET, table, *expectations)
    errored = [r["exception_info"] for r in ours.results if r["exception_info"]["raised_exception"]]
    assert not errored
    return ours, pandas_results(table, expectations)


def pandas_results(table: pa.Table, expectations: tuple[dict[str, Any], ...]) -> list[Mapping[str, Any]]:
    """GX's own answers, each expectation validated by itself on pandas."""
    import great_expectations as gx
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    frame = table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    for name in ("s", "u"):
        frame[name] = frame[name].astype(object).where(frame[name].notna(), None)
    results = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        batch = context.data_sources.add_pandas("p").add_dataframe_asset("a").add_batch_definition_whole_dataframe("b")
        given_batch = batch.get_batch(batch_parameters={"dataframe": frame})
        for expectation in expectations:
            config = ExpectationConfiguration(type=expectation["type"], kwargs=dict(expectation["kwargs"]))
            result = given_batch.validate(config.to_domain_obj(), result_format="SUMMARY").to_json_dict()
            raised = result["exception_info"]
            assert not raised.get("raised_exception"), (expectation, raised.get("exception_message"))
            results.append(dict(result))
    return results
