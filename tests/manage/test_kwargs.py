"""Every kwarg of every supported type, set to what makes no sense: a fault of the suite, or what GX itself makes of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from governance.errors import DeclarationError
from governance.manage import compile_rules
from governance.manage.kwargs import FORMS
from governance.manage.registry import SUPPORTED
from tests.manage.tables import dataset, expect, field, judged, suite
from tests.manage.test_conformance import ANY_ROWS, FULL_ROWS, VERDICTS_ONLY, both, table_of

DATASET = dataset(
    field("i", "integer"),
    field("j", "integer"),
    field("s", "string"),
    field("u", "string"),
    field("d", "timestamp"),
    name="curated.t",
)
ROWS = [(n, 1, "a", "b", datetime(2024, 1, 2)) for n in range(3)]

ONLY_HERE = (
    expect("expect_column_values_to_match_like_pattern", column="s", like_pattern="a%"),
    expect("expect_column_values_to_not_match_like_pattern", column="s", like_pattern="a%"),
    expect("expect_column_values_to_match_like_pattern_list", column="s", like_pattern_list=["a%"]),
    expect("expect_column_values_to_not_match_like_pattern_list", column="s", like_pattern_list=["a%"]),
    expect("expect_column_values_to_be_of_type", column="s", type_="VARCHAR"),
    expect("expect_column_values_to_be_in_type_list", column="s", type_list=["VARCHAR"]),
    expect("expect_column_type_to_be", column="s", type_="VARCHAR"),
)
"""Types that GX's pandas engine does not have, or judges by pandas' own types."""
WITH_GX = (
    *ANY_ROWS, *FULL_ROWS, *VERDICTS_ONLY,
    expect("expect_column_stdev_to_be_between", column="i", min_value=0),
    expect("expect_column_quantile_values_to_be_between", column="i", quantile_ranges={"quantiles": [0.5], "value_ranges": [[0, 2]]}),
    expect("expect_column_most_common_value_to_be_in_set", column="j", value_set=[1]),
    expect("expect_column_values_to_be_between", column="i", min_value=1),
)  # fmt: skip

ABSURD: tuple[Any, ...] = (
    None, True, "", "abc", "yes", "3", "\x00", -3, 3.7, 3.0, 7, 10**40, 10**400, float("nan"), float("inf"), float("-inf"), [], [[]], [None],
    [float("nan")], {}, {"$PARAMETER": "p"}, {"a": 1}, [3, 1], ["a", 1], "2024-02-30", "2024-01-01T00:00:00+08:00", ["a", "b", "c"], "20240102",
    "2024-W01-2", "2024-01-01T00:00:00",
    {"quantiles": ["a"], "value_ranges": [[0, 1]]}, {"quantiles": [0.5], "value_ranges": [0]}, {"quantiles": [0.5], "value_ranges": [[3, 1]]},
    {"quantiles": [2], "value_ranges": [[0, 1]]}, {"quantiles": [], "value_ranges": []},
)  # fmt: skip


def absurd(expectations: tuple[dict[str, Any], ...]) -> Iterator[dict[str, Any]]:
    """Each type once, with each of its kwargs set to each absurd value; and without it."""
    seen = set()
    for one in {e["type"]: e for e in expectations}.values():
        given = {k: v for k, v in one["kwargs"].items() if k != "row_condition"}
        for key in sorted(SUPPORTED[one["type"]].kwargs):
            less = {k: v for k, v in given.items() if k != key}
            for kwargs in (less, *({**less, key: value} for value in ABSURD)):
                if repr((one["type"], kwargs)) not in seen:
                    seen.add(repr((one["type"], kwargs)))
                    yield {"type": one["type"], "kwargs": kwargs}


def accepted(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that compile; that a single one of them raises anything but a fault is the failure of the test."""
    with pytest.raises(DeclarationError) as error:
        compile_rules(DATASET, suite(*entries), {})
    refused = {int(re.split("[.:]", fault.path)[1]) for fault in error.value.faults}
    for fault in error.value.faults:
        assert all((fault.file, fault.line > 1, fault.found, fault.do)), fault
    return [entry for n, entry in enumerate(entries) if n not in refused]


def test_every_kwarg_of_every_type_has_a_form() -> None:
    assert set(FORMS) == set().union(*(kind.kwargs for kind in SUPPORTED.values()))


def test_what_makes_no_sense_is_a_fault_or_means_what_it_means_to_gx() -> None:
    assert {e["type"] for e in (*WITH_GX, *ONLY_HERE)} == set(SUPPORTED)
    compiled = accepted(list(absurd(WITH_GX)))
    ours, theirs = both(ROWS, tuple(compiled))
    for entry, our, their in zip(compiled, ours.results, theirs, strict=True):
        assert our["success"] == their["success"], entry


def test_what_gx_has_on_sql_alone_does_not_error_either() -> None:
    compiled = accepted(list(absurd(ONLY_HERE)))
    found = judged(DATASET, table_of(ROWS), *compiled)
    assert not [e for e, r in zip(compiled, found.results, strict=True) if r["exception_info"]["raised_exception"]]


@pytest.mark.parametrize("odd", ["NaN", "-Infinity", "1e400", "[" * 2000, '{"a":' * 2000, "1" * 5000])
@pytest.mark.parametrize("where", ["kwargs", "meta", "notes"])
def test_what_json_cannot_say_is_a_fault_wherever_it_stands(odd: str, where: str) -> None:
    given = suite(expect("expect_column_values_to_be_between", column="i", min_value=1))
    text = given.text.replace(
        '"kwargs": {', f'"{where}": {{"x": {odd}, ' if where != "notes" else f'"notes": {odd}, "kwargs": {{'
    )
    with pytest.raises(DeclarationError) as error:
        compile_rules(DATASET, replace(given, text=text), {})
    assert all(all((fault.file, fault.line, fault.found)) for fault in error.value.faults)
