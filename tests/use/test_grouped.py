"""The scanner's groups on DuckDB alone: against a plain reckoning in Python, and in two worlds, on random rows."""

from __future__ import annotations

import math
from collections import defaultdict

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot import exp

from governance.catalog.types import ColumnType
from governance.use.grouped import released_groups

TYPES = {"g": ColumnType("string"), "m": ColumnType("double"), "r": ColumnType("integer")}
VALUES = st.none() | st.integers(-3, 40).map(float) | st.sampled_from([math.inf, -math.inf, math.nan, 1e308, 1e-300])
ROW = st.tuples(st.sampled_from(["a", "b", "c", None]), VALUES, st.integers(0, 3), st.none() | st.integers(1, 9))
KINDS = (pa.string(), pa.float64(), pa.int64(), pa.int64())
TERMS = [["group", "g"], ["sum", "m"], ["avg", "m"], ["count", "m"], ["rows", ""]]


@pytest.fixture(scope="module")
def con():
    with duckdb.connect(config={"threads": 1}) as connection:
        yield connection


def asked(con, rows, *, where=(), least=2, identifiers=("t",), terms=TERMS, groups=("g",)):
    arrays = [pa.array([row[at] for row in rows], kind) for at, kind in enumerate(KINDS)]
    con.register("seen_rows", pa.Table.from_arrays(arrays, names=["g", "m", "r", "t"]))
    request = {
        "groups": list(groups),
        "terms": terms,
        "where": list(where),
        "min_group": least,
        "identifiers": list(identifiers),
    }
    made = released_groups(exp.select('"g"', '"m"', '"r"', '"t"').from_("seen_rows"), request, TYPES, ["m"])
    return con.execute(made.sql("duckdb")).fetchall()


def reckoned(rows, kept, least):
    """The groups that may be released, their rows, and the exact sum and number of values of each."""
    groups = defaultdict(list)
    for row in rows:
        groups[row[0]].append(row)
    found = {}
    for name, own in groups.items():
        inside, outside = [row for row in own if kept(row)], [row for row in own if not kept(row)]
        people = {row[3] for row in inside} - {None}
        with_value = {row[3] for row in inside if row[1] is not None} - {None}
        dropped = {row[3] for row in outside} - {None}
        each = defaultdict(float)
        for row in inside:
            if row[1] is not None:
                each[row[3]] += abs(row[1])
        whole = sum(each.values())
        most = max(each.values(), default=0)
        if min(len(people), len(with_value)) < least or (outside and len(dropped) < least):
            continue
        if whole > 0 and 2 * most <= whole:
            values = [row[1] for row in inside if row[1] is not None]
            found[name] = (len(inside), sum(values), len(values), whole / len(with_value))
    return found


FINITE = st.tuples(
    st.sampled_from(["a", "b", None]), st.none() | st.integers(0, 40).map(float), st.integers(0, 3), st.integers(1, 9)
)


@settings(max_examples=15, deadline=None)
@given(rows=st.lists(FINITE, max_size=40), least=st.integers(2, 4), limit=st.integers(0, 4))
def test_released_are_exactly_the_groups_of_the_rule_and_sums_to_a_step_not_below_the_average(con, rows, least, limit):
    found = asked(con, rows, where=[f'"r" < {limit}'], least=least)
    expected = reckoned(rows, lambda row: row[2] < limit, least)
    assert {row[0] for row in found} == set(expected)
    for name, total, average, count, number in found:
        rows_in, exact, values, each = expected[name]
        step = min(m * 10.0**e for e in range(-3, 4) for m in (1, 2, 5, 10) if m * 10.0**e >= each * (1 - 1e-12))
        assert number == rows_in
        assert count == values // least * least
        assert abs(total - exact) <= step / 2 + 1e-9
        assert math.isclose(total / step, round(total / step), abs_tol=1e-6)
        assert abs(average - exact / values) <= step / values * 5 + 1e-9


@settings(max_examples=15, deadline=None)
@given(rows=st.lists(ROW, max_size=30), others=st.lists(VALUES, min_size=30, max_size=30))
def test_values_in_groups_of_too_few_people_change_nothing(con, rows, others):
    people = defaultdict(set)
    for row in rows:
        people[row[0]].add(row[3])
    small = {name for name, own in people.items() if len(own - {None}) < 4}
    other_world = [
        (row[0], value, row[2], row[3]) if row[0] in small else row for row, value in zip(rows, others, strict=False)
    ]
    without = [row for row in rows if row[0] not in small]
    first = str(asked(con, rows, least=4))
    assert str(asked(con, other_world, least=4)) == first
    assert str(asked(con, without, least=4)) == first


@settings(max_examples=15, deadline=None)
@given(
    rows=st.lists(ROW, max_size=25), where=st.sampled_from([(), ('"r" < 2',), ('"r" < 2', "\"g\" = 'a'", '"r" > 0')])
)
def test_no_value_makes_it_fail_and_a_table_without_identifiers_counts_rows(con, rows, where):
    for identifiers in ((), ("t",), ("t", "r")):
        for groups, terms in ((["g"], TERMS), ([], TERMS[1:])):
            for row in asked(con, rows, where=where, identifiers=identifiers, groups=groups, terms=terms):
                assert row[-1] >= 2


def test_each_identifier_must_have_enough(con):
    rows = [("a", 10.0, at % 2, at) for at in range(20)]
    assert len(asked(con, rows, least=3, identifiers=("t",))) == 1
    assert asked(con, rows, least=3, identifiers=("t", "r")) == []


@pytest.mark.parametrize("where", [['"r" <> 3', "\"g\" = 'a'"], ["\"g\" = 'a'", '"r" <> 3']])
def test_leaving_out_any_condition_adds_nobody_or_enough(con, where):
    rows = [("a", 10.0, 0, at) for at in range(20)] + [("b", 10.0, 0, 50 + at) for at in range(20)]
    one = [*rows, ("a", 99.0, 3, 99)]
    terms = [["sum", "m"]]
    assert asked(con, one, where=["\"g\" = 'a'"], least=5, terms=terms, groups=[]) != []
    assert asked(con, one, where=where, least=5, terms=terms, groups=[]) == []
    assert asked(con, rows, where=where, least=5, terms=terms, groups=[]) == [(200.0,)]
