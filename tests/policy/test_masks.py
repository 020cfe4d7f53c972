"""Masks on real DuckDB: exact results, type kept, and never the input that must be hidden."""

from __future__ import annotations

import random
from datetime import date, datetime
from decimal import Decimal

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot import exp

from governance.catalog.types import ColumnType
from governance.policy.ff1 import make_function
from governance.policy.masks import ICEBERG, KINDS, Mask, coarser, expression
from tests.use import reference

SALT = "00" * 16
STRING = ColumnType("string")
STRING_MASKS = sorted(kind for kind, kinds in KINDS.items() if "string" in kinds and kind != "token")
IDENTITY = ("replace-with-null", "mask-to-fixed-value")


@pytest.fixture(scope="module")
def con():
    with duckdb.connect() as connection:
        make_function(connection, b"\x01" * 32)
        yield connection


def masked(con, kind, values, column_type=STRING):
    mask = Mask.parse(kind)
    made = expression(mask, exp.column("v", quoted=True), column_type, salt=SALT).sql("duckdb")
    return con.execute(
        f"SELECT {made}, typeof({made}) FROM (SELECT unnest(?::{column_type.duckdb()}[]) AS v)",  # noqa: S608
        [values],
    ).fetchall()


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("mask-alphanum", "iceberg16@apache.org", "xxxxxxxnn@xxxxxx.xxx"),
        ("mask-alphanum", "(555) 123-4567", "(nnn)xnnn-nnnn"),
        ("mask-alphanum", "王小明\n1", "xxxxn"),
        ("mask-alphanum", "(,.)", "XXXXXXXX"),
        ("show-first-4", "prashant010696@gmail.com", "prasxxxxnnnnnn@xxxxx.xxx"),
        ("show-first-4", "王小明", "XXXXXXXX"),
        ("show-first-4", "😀😀😀😀😀", "😀😀😀😀x"),
        ("show-last-4", "4111-1111-1111-4444", "nnnn-nnnn-nnnn-4444"),
        ("show-last-4", "abcd", "XXXXXXXX"),
        ("sha-256-global", "hello", "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"),
        ("mask-to-fixed-value", "anything", "XXXXXXXX"),
        ("chinese-name", "王小明", "王**"),
        ("chinese-name", "欧阳", "欧**"),
        ("chinese-name", "王", "**"),
        ("chinese-name", "王**", "XXXXXXXX"),
        ("resident-number", "110101199003074514", "110101************"),
        ("resident-number", "11010119900307451", "******************"),
        ("phone", "13800138000", "138****8000"),
        ("phone", "010-8000", "***********"),
        ("address-county", "北京市东城区景山前街4号", "北京市东城区***"),
        ("address-county", "浙江省杭州市西湖区文三路12号", "浙江省杭州市西湖区***"),
        ("address-county", "内蒙古自治区锡林郭勒盟正蓝旗上都镇", "内蒙古自治区锡林郭勒盟正蓝旗***"),
        ("address-county", "和平小区3栋", "***"),
        ("address-county", "文三路12号", "***"),
    ],
)
def test_a_mask_gives_exactly(con, kind, value, expected):
    assert masked(con, kind, [value]) == [(expected, "VARCHAR")]


@pytest.mark.parametrize(
    ("kind", "column_type", "value", "expected"),
    [
        ("truncate-to-year", ColumnType("date"), date(2024, 7, 15), date(2024, 1, 1)),
        ("truncate-to-month", ColumnType("date"), date(2024, 7, 15), date(2024, 7, 1)),
        ("truncate-to-month", ColumnType("timestamp"), datetime(2024, 7, 15, 13, 45), datetime(2024, 7, 1)),
        ("date-decade", ColumnType("date"), date(1987, 6, 5), date(1980, 1, 1)),
        ("number-bucket(1000)", ColumnType("integer"), 1234, 1000),
        ("number-bucket(1000)", ColumnType("integer"), -1, -1000),
        ("number-bucket(1000)", ColumnType("integer"), -(2**63), None),
        ("number-bucket(500)", ColumnType("decimal", 12, 2), Decimal("1234.56"), Decimal("1000.00")),
        ("number-bucket(10)", ColumnType("double"), float("nan"), None),
        ("mask-to-fixed-value", ColumnType("date"), date(2024, 7, 15), date(1970, 1, 1)),
        ("mask-to-fixed-value", ColumnType("integer"), None, 0),
        ("mask-to-fixed-value", ColumnType("decimal", 10, 2), Decimal("12.34"), Decimal("0.00")),
        ("replace-with-null", ColumnType("boolean"), True, None),
    ],
)
def test_a_mask_keeps_the_type(con, kind, column_type, value, expected):
    [(result, found)] = masked(con, kind, [value], column_type)
    assert (result, found) == (expected, column_type.duckdb())


def test_every_mask_keeps_the_type_of_every_column_that_it_takes(con):
    types = [
        *map(ColumnType, ("string", "integer", "double", "boolean", "date", "timestamp")),
        ColumnType("decimal", 38, 4),
    ]
    for kind, kinds in KINDS.items():
        for column_type in types:
            if column_type.kind in kinds and kind != "token":
                name = f"{kind}(10)" if kind == "number-bucket" else kind
                assert {found for _, found in masked(con, name, [None], column_type)} == {column_type.duckdb()}


EXTREMES = {
    "integer": ["-9223372036854775808", "9223372036854775807"],
    "double": ["'nan'", "'inf'", "'-inf'", "1e308", "-1.7e308", "5e-324"],
    "date": ["'infinity'", "'-infinity'", "'5881580-07-10'", "'5877642-06-25 (BC)'", "'0001-01-01'"],
    "timestamp": ["'infinity'", "'290309-12-22 (BC)'", "'294247-01-10'", "'9999-12-31 23:59:59.999999'"],
    "decimal": ["-9999999999.99", "9999999999.99", "-0.01"],
    "string": ["''", "chr(0)", "repeat('王', 100000)", "'😀'"],
    "boolean": ["FALSE"],
}


def test_no_value_makes_a_mask_fail(con):
    """Not even one that the store would not take: else an error would tell of a row, seen or not."""
    for kind, kinds in KINDS.items():
        for each in kinds if kind != "token" else ():
            of = ColumnType("decimal", 12, 2) if each == "decimal" else ColumnType(each)
            mask = Mask.parse(f"{kind}(7)" if kind == "number-bucket" else kind)
            made = expression(mask, exp.column("a"), of, salt="5a" * 16).sql("duckdb")
            for value in EXTREMES[each]:
                sql = f"SELECT {made} FROM (SELECT CAST({value} AS {of.duckdb()}) AS a)"  # noqa: S608
                assert len(con.sql(sql).fetchall()) == 1


TEXT = st.one_of(
    st.text(max_size=40),
    st.text(alphabet="王小明欧阳😀👨‍👩‍👧Xx*()-., 0123456789", max_size=12),
    st.sampled_from(["", "XXXXXXXX", "********", "***", "**", "王**", "138****8000", "x", "n", "110101************"]),
)


@settings(max_examples=60, deadline=None)
@given(values=st.lists(TEXT.filter(lambda text: "\0" not in text), min_size=1, max_size=20))
def test_a_string_mask_never_returns_its_input(values):
    with duckdb.connect() as con:
        make_function(con, b"\x01" * 32)
        for kind in set(STRING_MASKS) - set(IDENTITY):
            results = [result for result, _ in masked(con, kind, values)]
            assert all(result != value for result, value in zip(results, values, strict=True)), kind


def test_null_stays_null(con):
    for kind in set(STRING_MASKS) - {"mask-to-fixed-value"}:
        assert masked(con, kind, [None])[0][0] is None


def test_the_query_local_hash_changes_with_its_salt_and_refuses_a_short_one(con):
    column = exp.column("v", quoted=True)
    with pytest.raises(ValueError, match="16 bytes"):
        expression(Mask("sha-256-query-local"), column, STRING, salt="00")
    assert masked(con, "sha-256-query-local", ["a"]) != masked(con, "sha-256-global", ["a"])


def test_the_nine_actions_of_iceberg_are_masks():
    assert len(ICEBERG) == 9
    assert set(ICEBERG) <= set(KINDS)


def test_the_order_of_masks_is_consistent():
    kinds = [Mask.parse(f"{kind}(10)" if kind == "number-bucket" else kind) for kind in KINDS]
    for left in kinds:
        for right in kinds:
            forward, back = coarser(left, right), coarser(right, left)
            assert (forward is None) == (back is None)
            assert forward is None or (back is not None and forward == -back)


PIECES = (
    "0",
    "9",
    "x",
    "n",
    "X",
    "a",
    "é",
    "王",
    "小",
    "市",
    "县",
    "路",
    "😀",
    "👩\u200d🔬",
    "(",
    ")",
    ",",
    ".",
    "@",
    "-",
    "*",
    "**",
    "***",
    " ",
    "\n",
    "'",
)


def test_string_masks_are_what_their_description_says_of_any_text(con):
    """Against a reckoning a character at a time in Python (`tests/use/reference.py`)."""
    rng = random.Random(7)
    texts = ["".join(rng.choices(PIECES, k=rng.randint(0, 9))) for _ in range(3000)]
    texts += ["".join(rng.choices(PIECES[: rng.randint(1, 4)], k=rng.randint(0, 20))) for _ in range(1500)]
    texts += ["X" * 8, "x" * 8, "138****8000", "*" * 11, "*" * 18, "13800138000", "11010119900307451X", "王**"]
    con.execute("CREATE OR REPLACE TABLE texts AS SELECT unnest($1) AS v", [texts])
    for kind in reference.REFERENCED:
        if KINDS[kind] != frozenset({"string"}) or kind == "token":
            continue
        made = expression(Mask(kind), exp.column("v", quoted=True), ColumnType("string"), salt="00" * 32)
        found = con.execute(exp.select("v", made).from_("texts").sql("duckdb")).fetchall()
        wrong = [(text, value) for text, value in found if reference.masked(Mask(kind), text, "00" * 32) != value]
        assert wrong == [], kind
