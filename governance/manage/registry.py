"""Which of GX's expectation types compile, with what kwargs and by which function; and why the others do not.

A test holds both tables against GX's own list, so that no type is forgotten when GX is upgraded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from governance.manage import row_types as row
from governance.manage import table_types as table
from governance.manage.call import Call, Compiled
from governance.manage.kwargs import COUNT, NUMBER, SHARE, Form


@dataclass(frozen=True, slots=True)
class Type:
    """One GX type: its function, the kwargs it takes beside the condition, and whether it speaks of rows or of the table. `bounds`: what its
    min_value and max_value are, where they are no values of the column."""

    compile: Callable[[Call], Compiled]
    kwargs: frozenset[str]
    about: Literal["rows", "table"]
    conditional: bool = True
    bounds: Form | None = None


def _rows(function: Callable[[Call], Compiled], *kwargs: str) -> Type:
    return Type(function, frozenset({"mostly", *kwargs}), "rows")


def _column(function: Callable[[Call], Compiled], *kwargs: str) -> Type:
    return _rows(function, "column", *kwargs)


def _pair(function: Callable[[Call], Compiled], *kwargs: str) -> Type:
    return _rows(function, "column_A", "column_B", "ignore_row_if", *kwargs)


def _multi(function: Callable[[Call], Compiled], *kwargs: str) -> Type:
    return _rows(function, "column_list", "ignore_row_if", *kwargs)


def _aggregate(function: Callable[[Call], Compiled], *kwargs: str, bounds: Form | None = None) -> Type:
    return Type(function, frozenset({"column", *kwargs}), "table", bounds=bounds)


def _table(
    function: Callable[[Call], Compiled], *kwargs: str, conditional: bool = False, bounds: Form | None = None
) -> Type:
    return Type(function, frozenset(kwargs), "table", conditional, bounds)


_BETWEEN = ("min_value", "max_value", "strict_min", "strict_max")

SUPPORTED: Mapping[str, Type] = {
    "expect_column_values_to_be_null": _column(row.to_be_null),
    "expect_column_values_to_not_be_null": _column(row.to_not_be_null),
    "expect_column_values_to_be_in_set": _column(row.to_be_in_set, "value_set"),
    "expect_column_values_to_not_be_in_set": _column(row.to_not_be_in_set, "value_set"),
    "expect_column_values_to_be_between": _column(row.to_be_between, *_BETWEEN),
    "expect_column_values_to_be_unique": _column(row.to_be_unique),
    "expect_column_values_to_match_regex": _column(row.to_match_regex, "regex"),
    "expect_column_values_to_not_match_regex": _column(row.to_not_match_regex, "regex"),
    "expect_column_values_to_match_regex_list": _column(row.to_match_regex_list, "regex_list", "match_on"),
    "expect_column_values_to_not_match_regex_list": _column(row.to_not_match_regex_list, "regex_list"),
    "expect_column_values_to_match_like_pattern": _column(row.to_match_like_pattern, "like_pattern", "escape"),
    "expect_column_values_to_not_match_like_pattern": _column(row.to_not_match_like_pattern, "like_pattern", "escape"),
    "expect_column_values_to_match_like_pattern_list": _column(
        row.to_match_like_pattern_list, "like_pattern_list", "match_on", "escape"
    ),
    "expect_column_values_to_not_match_like_pattern_list": _column(
        row.to_not_match_like_pattern_list, "like_pattern_list", "escape"
    ),
    "expect_column_values_to_match_strftime_format": _column(row.to_match_strftime_format, "strftime_format"),
    "expect_column_values_to_be_json_parseable": _column(row.to_be_json_parseable),
    "expect_column_value_lengths_to_equal": _column(row.lengths_to_equal, "value"),
    "expect_column_value_lengths_to_be_between": Type(
        row.lengths_to_be_between, frozenset({"mostly", "column", *_BETWEEN}), "rows", bounds=COUNT
    ),
    "expect_column_pair_values_a_to_be_greater_than_b": _pair(row.pair_a_greater_than_b, "or_equal"),
    "expect_column_pair_values_to_be_equal": _pair(row.pair_equal),
    "expect_column_pair_values_to_be_in_set": _pair(row.pair_in_set, "value_pairs_set"),
    "expect_compound_columns_to_be_unique": _multi(row.compound_unique),
    "expect_select_column_values_to_be_unique_within_record": _multi(row.unique_within_record),
    "expect_multicolumn_values_to_be_equal": _multi(row.multicolumn_equal),
    "expect_multicolumn_sum_to_equal": _multi(row.multicolumn_sum, "sum_total"),
    "expect_column_values_to_be_of_type": Type(
        table.column_type, frozenset({"column", "type_", "mostly"}), "table", False
    ),
    "expect_column_values_to_be_in_type_list": Type(
        table.column_type, frozenset({"column", "type_list", "mostly"}), "table", False
    ),
    "expect_column_type_to_be": _table(table.column_type, "column", "type_"),
    "expect_column_to_exist": _table(table.column_exists, "column", "column_index"),
    "expect_table_row_count_to_be_between": _table(table.row_count, *_BETWEEN, conditional=True, bounds=COUNT),
    "expect_table_row_count_to_equal": _table(table.row_count, "value", conditional=True),
    "expect_table_column_count_to_equal": _table(table.columns_only, "value"),
    "expect_table_column_count_to_be_between": _table(table.columns_only, "min_value", "max_value", bounds=COUNT),
    "expect_table_columns_to_match_ordered_list": _table(table.columns_only, "column_list"),
    "expect_table_columns_to_match_set": _table(table.columns_only, "column_set", "exact_match"),
    "expect_column_min_to_be_between": _aggregate(table.minimum, *_BETWEEN),
    "expect_column_max_to_be_between": _aggregate(table.maximum, *_BETWEEN),
    "expect_column_mean_to_be_between": _aggregate(table.mean, *_BETWEEN, bounds=NUMBER),
    "expect_column_median_to_be_between": _aggregate(table.median, *_BETWEEN, bounds=NUMBER),
    "expect_column_sum_to_be_between": _aggregate(table.total, *_BETWEEN, bounds=NUMBER),
    "expect_column_stdev_to_be_between": _aggregate(table.standard_deviation, *_BETWEEN, bounds=NUMBER),
    "expect_column_quantile_values_to_be_between": _aggregate(
        table.quantiles, "quantile_ranges", "allow_relative_error"
    ),
    "expect_column_unique_value_count_to_be_between": _aggregate(table.distinct_count, *_BETWEEN, bounds=COUNT),
    "expect_column_proportion_of_unique_values_to_be_between": _aggregate(
        table.distinct_proportion, *_BETWEEN, bounds=SHARE
    ),
    "expect_column_proportion_of_non_null_values_to_be_between": _aggregate(
        table.present_proportion, *_BETWEEN, bounds=SHARE
    ),
    "expect_column_distinct_values_to_be_in_set": _aggregate(table.distinct_in_set, "value_set"),
    "expect_column_distinct_values_to_contain_set": _aggregate(table.distinct_contain_set, "value_set"),
    "expect_column_distinct_values_to_equal_set": _aggregate(table.distinct_equal_set, "value_set"),
    "expect_column_most_common_value_to_be_in_set": _aggregate(table.most_common_in_set, "value_set", "ties_okay"),
}

_ORDER = "it depends on the order of rows, which is no part of a table here"
_SPREAD = (
    "whether a row is unexpected depends on all other rows: use an aggregate expectation or a check beside a model"
)
_TEST = "a statistical test, not a rule: measure it beside the pipeline"

NOT_COMPILED: Mapping[str, str] = {
    "expect_column_values_to_be_increasing": _ORDER,
    "expect_column_values_to_be_decreasing": _ORDER,
    "expect_column_value_z_scores_to_be_less_than": _SPREAD,
    "expect_column_values_to_not_be_outliers": _SPREAD,
    "expect_column_kl_divergence_to_be_less_than": _TEST,
    "expect_column_bootstrapped_ks_test_p_value_to_be_greater_than": _TEST,
    "expect_column_chisquare_test_p_value_to_be_greater_than": _TEST,
    "expect_column_parameterized_distribution_ks_test_p_value_to_be_greater_than": _TEST,
    "expect_column_pair_cramers_phi_value_to_be_less_than": _TEST,
    "expect_column_values_to_be_dateutil_parseable": "it is defined by a Python library: use match_strftime_format",
    "expect_column_values_to_match_json_schema": "there is no JSON schema in SQL: parse the field in a model",
    "expect_multicolumn_values_to_be_unique": "deprecated: use expect_select_column_values_to_be_unique_within_record",
    "expect_table_row_count_to_equal_other_table": "it reads another table: write a check beside a model",
    "expect_query_results_to_match_comparison": "it reads another source: write a check beside a model",
    "unexpected_rows_expectation": "it is SQL over a whole table: write a check beside a model",
}
