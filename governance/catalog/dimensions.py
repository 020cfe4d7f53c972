"""The six dimensions of data quality, which of them each kind of rule speaks of, and what one verdict says of each. Pure.

GB/T 36344-2018 names 规范性 (validity), 完整性, 准确性, 一致性, 时效性 and 可访问性; uniqueness (数据唯一性) is an indicator of accuracy there and stands
alone here, as stewards ask for it. Accessibility (可访问性) is judged by no rule about rows: the scorecard's stage of use speaks of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

Dimension = Literal["completeness", "validity", "uniqueness", "consistency", "timeliness", "accuracy"]
DIMENSIONS: tuple[Dimension, ...] = get_args(Dimension)

CHINESE: Mapping[Dimension, str] = {
    "completeness": "完整性",
    "validity": "规范性",
    "uniqueness": "唯一性",
    "consistency": "一致性",
    "timeliness": "时效性",
    "accuracy": "准确性",
}

BY_TYPE: Mapping[str, Dimension] = {
    "expect_column_values_to_be_null": "validity",
    "expect_column_values_to_not_be_null": "completeness",
    "expect_column_values_to_be_in_set": "validity",
    "expect_column_values_to_not_be_in_set": "validity",
    "expect_column_values_to_be_between": "accuracy",
    "expect_column_values_to_be_unique": "uniqueness",
    "expect_column_values_to_match_regex": "validity",
    "expect_column_values_to_not_match_regex": "validity",
    "expect_column_values_to_match_regex_list": "validity",
    "expect_column_values_to_not_match_regex_list": "validity",
    "expect_column_values_to_match_like_pattern": "validity",
    "expect_column_values_to_not_match_like_pattern": "validity",
    "expect_column_values_to_match_like_pattern_list": "validity",
    "expect_column_values_to_not_match_like_pattern_list": "validity",
    "expect_column_values_to_match_strftime_format": "validity",
    "expect_column_values_to_be_json_parseable": "validity",
    "expect_column_value_lengths_to_equal": "validity",
    "expect_column_value_lengths_to_be_between": "validity",
    "expect_column_pair_values_a_to_be_greater_than_b": "consistency",
    "expect_column_pair_values_to_be_equal": "consistency",
    "expect_column_pair_values_to_be_in_set": "consistency",
    "expect_compound_columns_to_be_unique": "uniqueness",
    "expect_select_column_values_to_be_unique_within_record": "uniqueness",
    "expect_multicolumn_values_to_be_equal": "consistency",
    "expect_multicolumn_sum_to_equal": "consistency",
    "expect_column_values_to_be_of_type": "validity",
    "expect_column_values_to_be_in_type_list": "validity",
    "expect_column_type_to_be": "validity",
    "expect_column_to_exist": "completeness",
    "expect_table_row_count_to_be_between": "completeness",
    "expect_table_row_count_to_equal": "completeness",
    "expect_table_column_count_to_equal": "completeness",
    "expect_table_column_count_to_be_between": "completeness",
    "expect_table_columns_to_match_ordered_list": "completeness",
    "expect_table_columns_to_match_set": "completeness",
    "expect_column_min_to_be_between": "accuracy",
    "expect_column_max_to_be_between": "accuracy",
    "expect_column_mean_to_be_between": "accuracy",
    "expect_column_median_to_be_between": "accuracy",
    "expect_column_sum_to_be_between": "accuracy",
    "expect_column_stdev_to_be_between": "accuracy",
    "expect_column_quantile_values_to_be_between": "accuracy",
    "expect_column_unique_value_count_to_be_between": "uniqueness",
    "expect_column_proportion_of_unique_values_to_be_between": "uniqueness",
    "expect_column_proportion_of_non_null_values_to_be_between": "completeness",
    "expect_column_distinct_values_to_be_in_set": "validity",
    "expect_column_distinct_values_to_contain_set": "completeness",
    "expect_column_distinct_values_to_equal_set": "validity",
    "expect_column_most_common_value_to_be_in_set": "accuracy",
}
"""GX's types. A range, and what a column's aggregate may be, speak of whether the content is as expected (准确性), a form of how it is written."""

BY_RULE: Mapping[str, Dimension] = {
    "type": "validity",
    "required": "completeness",
    "unique": "uniqueness",
    "key": "uniqueness",
    "range": "accuracy",
    "length": "validity",
    "pattern": "validity",
    "codeSet": "validity",
    "reference": "consistency",
    "check": "accuracy",
}
"""Rules that follow from a contract, by the first word of their id. What `CHECKS` names has a dimension of its own."""

CHECKS: Mapping[str, Dimension] = {
    "resident_number": "accuracy",
    "credit_code": "accuracy",
    "bank_card": "accuracy",
    "phone": "validity",
    "birth_date_of": "consistency",
    "sex_of": "consistency",
    "division_valid_at": "consistency",
}
"""`gov.check`: a check digit that fails is a wrong content; what compares two fields speaks of their agreement; a phone number is a form."""


BY_OBSERVATION: Mapping[str, Dimension] = {
    "reconcile": "consistency",
    "freshness": "timeliness",
    "volume": "completeness",
    "drift": "accuracy",
}
"""Kinds of what is observed beside verdicts: the live source against the lake, the contract's service levels, a batch against those before it. A
suite that GX's own engine ran (`gx`) is a verdict of its own and counts in none.
"""


@dataclass(frozen=True, slots=True)
class Tally:
    """What the rules of one dimension found in one verdict or many: `kept` is the sum of the shares of rows that met each rule.

    What `mostly` tolerates counts as met: a share of 0.95 meets a `mostly` of 0.95 wholly. A rule about a table counts as 1 when it is met and 0
    when not; one that errored counts as 0, since it was not judged.
    """

    rules: int = 0
    failed: int = 0
    errored: int = 0
    found: int = 0
    kept: float = 0.0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.rules + other.rules,
            self.failed + other.failed,
            self.errored + other.errored,
            self.found + other.found,
            self.kept + other.kept,
        )

    @property
    def score(self) -> float | None:
        """The mean of those shares, 0 to 100; None where no rule speaks of it.

        >>> Tally(2, 1, 0, 5, 1.5).score
        75.0
        """
        return 100.0 * self.kept / self.rules if self.rules else None


Tallies = Mapping[Dimension, Tally]


def dimension_of(type: str, rule: str) -> Dimension:
    """The dimension of an expectation by its GX type or, for rules of our own, by the rule's id. KeyError for what no table has.

    >>> dimension_of("expect_gov_rule_to_hold", "check:no:sex_of"), dimension_of("expect_gov_rule_to_hold", "codeSet:kind")
    ('consistency', 'validity')
    """
    if type in BY_TYPE:
        return BY_TYPE[type]
    word, _, rest = rule.partition(":")
    return CHECKS[rest.rpartition(":")[2]] if word == "check" else BY_RULE[word]


def tallies(result: str) -> dict[Dimension, Tally]:
    """What a suite result (GX's, as JSON text) says of each dimension that it speaks of. Lines that no parser accepts count as a rule of validity.

    >>> one = {"success": False, "result": {"element_count": 10, "unexpected_count": 1, "missing_count": 5}, "expectation_config":
    ...        {"type": "expect_gov_rule_to_hold", "kwargs": {}, "meta": {"gov": {"id": "codeSet:kind"}}}}
    >>> tallies(json.dumps({"results": [one], "meta": {"gov": {}}}))
    {'validity': Tally(rules=1, failed=1, errored=0, found=1, kept=0.8)}
    """
    document = json.loads(result)
    found: dict[Dimension, Tally] = {}
    for dimension, tally in _each(document):
        found[dimension] = found.get(dimension, Tally()) + tally
    return found


def to_json(found: Tallies) -> str:
    """Compact, for the state."""
    return json.dumps(
        {name: [t.rules, t.failed, t.errored, t.found, round(t.kept, 6)] for name, t in found.items()},
        separators=(",", ":"),
    )


def from_json(text: str) -> dict[Dimension, Tally]:
    """
    >>> from_json(to_json({"validity": Tally(1, 0, 0, 2, 0.5)}))
    {'validity': Tally(rules=1, failed=0, errored=0, found=2, kept=0.5)}
    """
    return {name: Tally(*numbers) for name, numbers in json.loads(text).items()}


def _each(document: Mapping[str, Any]) -> Iterator[tuple[Dimension, Tally]]:
    for one in document["results"]:
        config = one["expectation_config"]
        yield dimension_of(config["type"], config["meta"]["gov"]["id"]), _tally(one)
    counts = document["meta"]["gov"].get("counts") or {}
    lines = counts.get("parsed", 0) + counts.get("unparsed", 0)
    if lines:
        unparsed = counts["unparsed"]
        yield "validity", Tally(1, int(unparsed > 0), 0, unparsed, 1.0 - unparsed / lines)


def _tally(one: Mapping[str, Any]) -> Tally:
    if (one.get("exception_info") or {}).get("raised_exception"):
        return Tally(1, 0, 1, 0, 0.0)
    counted = one.get("result") or {}
    success = bool(one["success"])
    unexpected = counted.get("unexpected_count")
    if unexpected is None:
        return Tally(1, int(not success), 0, 0, float(success))
    asked = int(counted.get("element_count") or 0) - int(counted.get("missing_count") or 0)
    share = 1.0 - min(int(unexpected), asked) / asked if asked > 0 else 1.0
    mostly = float(one["expectation_config"]["kwargs"].get("mostly", 1.0))
    kept = min(1.0, share / mostly) if mostly > 0 else 1.0
    return Tally(1, int(not success), 0, int(unexpected), kept)
