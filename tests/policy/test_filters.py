"""Row filters: DuckDB's condition and Iceberg's expression against a plain reference, on random trees and rows with
NULLs.
"""

from __future__ import annotations

import operator
from datetime import date

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.catalog.types import ColumnType
from governance.errors import Refused
from governance.policy.filters import And, Compare, Not, Or, bind, condition, fits, iceberg

TYPES = {"district": ColumnType("string"), "rank": ColumnType("integer"), "born": ColumnType("date")}
IDS = {"district": 1, "rank": 2, "born": 3}
DAYS = ("1980-01-01", "1990-06-15", "2000-12-31")
POOL = {"district": ("a", "b", "王'\"", ""), "rank": (-1, 0, 2, 2**40), "born": DAYS}
OPERATORS = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def compares(column):
    value = st.sampled_from(POOL[column])
    return st.one_of(
        st.builds(lambda op, v: Compare(column=column, op=op, value=v), st.sampled_from(sorted(OPERATORS)), value),
        st.builds(
            lambda op, v: Compare(column=column, op=op, values=tuple(v)),
            st.sampled_from(["in", "not_in"]),
            st.lists(value, min_size=1, max_size=3),
        ),
        st.builds(lambda op: Compare(column=column, op=op), st.sampled_from(["is_null", "not_null"])),
    )


TREES = st.recursive(
    st.sampled_from(sorted(TYPES)).flatmap(compares),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: And.model_construct(parts=tuple(parts))),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: Or.model_construct(parts=tuple(parts))),
        inner.map(lambda part: Not.model_construct(part=part)),
    ),
    max_leaves=6,
)
ROWS = st.lists(
    st.fixed_dictionaries({name: st.none() | st.sampled_from(POOL[name]) for name in TYPES}), min_size=1, max_size=12
)


def reference(tree, row):
    """What the documentation says: NULL satisfies no comparison, and everything is TRUE or FALSE."""
    match tree:
        case And():
            return all(reference(part, row) for part in tree.parts)
        case Or():
            return any(reference(part, row) for part in tree.parts)
        case Not():
            return not reference(tree.part, row)
    value = row[tree.column]
    match tree.op:
        case "is_null":
            return value is None
        case "not_null":
            return value is not None
        case "in":
            return value is not None and value in tree.values
        case "not_in":
            return value is not None and value not in tree.values
        case _:
            return value is not None and OPERATORS[tree.op](value, tree.value)


def iceberg_says(made, row):
    """Iceberg's two-valued semantics: of a NULL, not-eq, not-in, lt and lt-eq are TRUE."""
    match made["type"]:
        case "and":
            return iceberg_says(made["left"], row) and iceberg_says(made["right"], row)
        case "or":
            return iceberg_says(made["left"], row) or iceberg_says(made["right"], row)
        case "not":
            return not iceberg_says(made["child"], row)
    value = row[{at: name for name, at in IDS.items()}[made["term"]["id"]]]
    match made["type"]:
        case "is-null":
            return value is None
        case "not-null":
            return value is not None
        case "in":
            return value in made["values"]
        case "not-in":
            return value not in made["values"]
    names = {"eq": "=", "not-eq": "!=", "lt": "<", "lt-eq": "<=", "gt": ">", "gt-eq": ">="}
    if value is None:
        return made["type"] in ("not-eq", "lt", "lt-eq")
    return OPERATORS[names[made["type"]]](value, made["value"])


@settings(max_examples=150, deadline=None)
@given(tree=TREES, rows=ROWS)
def test_duckdb_iceberg_and_the_reference_agree_on_every_row(tree, rows):
    expected = [reference(tree, row) for row in rows]
    assert [iceberg_says(iceberg(tree, IDS), row) for row in rows] == expected
    made = condition(tree, TYPES).sql("duckdb")
    typed = [(row["district"], row["rank"], date.fromisoformat(row["born"]) if row["born"] else None) for row in rows]
    with duckdb.connect() as con:
        con.execute("CREATE TABLE t (district VARCHAR, rank BIGINT, born DATE)")
        con.executemany("INSERT INTO t VALUES (?, ?, ?)", typed)
        found = con.execute(f"SELECT {made} FROM t ORDER BY rowid").fetchall()  # noqa: S608  (made by the code under test)
    assert [value for (value,) in found] == expected


@pytest.mark.parametrize(
    ("compare", "session", "expected"),
    [
        (Compare(column="district", op="in", session="places"), {"places": ("a", "b")}, ("a", "b")),
        (Compare(column="district", op="in", session="places"), {"places": "a"}, ("a",)),
    ],
)
def test_a_session_attribute_becomes_its_values(compare, session, expected):
    assert bind(compare, session, TYPES) == Compare(column="district", op="in", values=expected)


@pytest.mark.parametrize(
    "session", [{}, {"places": None}, {"places": ()}, {"places": 7}, {"places": ("a", 7)}, {"place": "a"}]
)
@pytest.mark.parametrize("op", ["in", "not_in", "="])
def test_a_session_attribute_that_is_missing_or_does_not_fit_refuses(op, session):
    with pytest.raises(Refused, match="places"):
        bind(Not.model_construct(part=Compare(column="district", op=op, session="places")), session, TYPES)


@pytest.mark.parametrize("empty", ["", " ", "\u3000", None, (), [], ("",), ("a", ""), ("a", " \t")])
@pytest.mark.parametrize("op", ["in", "not_in", "=", "!=", "<", ">="])
@pytest.mark.parametrize("negated", [False, True])
def test_an_empty_attribute_refuses_whatever_is_asked_of_it(op, empty, negated):
    """`not_in` of nothing would be everybody, and so would `!=` and `>=` of empty text."""
    asked = Compare(column="district", op=op, session="places")
    with pytest.raises(Refused, match="places"):
        bind(Not.model_construct(part=asked) if negated else asked, {"places": empty}, TYPES)


@pytest.mark.parametrize("twin", ["a ", " a", "a\u200b", "a\u00a0", "e\u0301", "a\n", "a\x00", "\ufeffa"])
@pytest.mark.parametrize("op", ["in", "not_in", "!="])
def test_an_attribute_that_only_looks_like_a_value_refuses(op, twin):
    with pytest.raises(Refused, match="places"):
        bind(Compare(column="district", op=op, session="places"), {"places": twin}, TYPES)


@pytest.mark.parametrize(
    ("value", "kind", "fit"),
    [
        ("20260131", ColumnType("date"), False),
        ("2026-W05-6", ColumnType("date"), False),
        ("NaN", ColumnType("double"), False),
        ("Infinity", ColumnType("double"), False),
        ("1e400", ColumnType("double"), False),
        ("1_000", ColumnType("decimal", 12, 2), False),
        ("0.001", ColumnType("decimal", 12, 2), False),
        ("12345678901.00", ColumnType("decimal", 12, 2), False),
        ("1234567890.12", ColumnType("decimal", 12, 2), True),
        (2**63, ColumnType("integer"), False),
        (1, ColumnType("boolean"), False),
        ("", ColumnType("string"), True),
    ],
)
def test_a_literal_fits_only_in_the_form_that_the_column_holds(value, kind, fit):
    """What casts to another value, or fails to cast, excludes other rows than it says."""
    assert fits(value, kind) is fit


@settings(max_examples=80, deadline=None)
@given(tree=TREES, rows=ROWS)
def test_a_bound_filter_lets_no_more_through_than_sql_does(tree, rows):
    """`not` of a comparison with NULL is no reason to show a row: what is bound has no `not`, and passes what WHERE does."""
    bound = bind(tree, {}, TYPES)
    assert "Not" not in repr(bound)
    typed = [(row["district"], row["rank"], date.fromisoformat(row["born"]) if row["born"] else None) for row in rows]
    asked, plain = condition(bound, TYPES).sql("duckdb"), sql_where(tree)
    with duckdb.connect() as con:
        con.execute("CREATE TABLE t (district VARCHAR, rank BIGINT, born DATE)")
        con.executemany("INSERT INTO t VALUES (?, ?, ?)", typed)
        found = con.execute(f"SELECT {asked}, coalesce({plain}, false) FROM t").fetchall()  # noqa: S608
    assert all(ours == theirs for ours, theirs in found)


def sql_where(tree):
    """The filter as anybody would write it in SQL, with SQL's three values."""
    match tree:
        case And():
            return f"({' AND '.join(map(sql_where, tree.parts))})"
        case Or():
            return f"({' OR '.join(map(sql_where, tree.parts))})"
        case Not():
            return f"(NOT {sql_where(tree.part)})"
    texts = ["'" + str(v).replace("'", "''") + "'" for v in (tree.values or (tree.value,))]
    words = {"is_null": "IS NULL", "not_null": "IS NOT NULL", "in": f"IN ({', '.join(texts)})"}
    words["not_in"] = f"NOT IN ({', '.join(texts)})"
    return f'("{tree.column}" {words.get(tree.op, f"{tree.op} {texts[0]}")})'
