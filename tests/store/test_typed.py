from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

import duckdb
import pytest

from governance.catalog.types import ColumnType, Field, Kind
from governance.store.parsers.relation import raw_name
from governance.store.typed import raw_json, select_typed, typed_columns

BAD = object()


def convert(kind: Kind, text: str | None, *, format: str | None = None) -> object:
    field = Field("v", ColumnType(kind, 18, 2) if kind == "decimal" else ColumnType(kind), "v", format=format)
    column = typed_columns([field], {})[0]
    with duckdb.connect() as con:
        source = f"SELECT CAST($1 AS VARCHAR) AS {raw_name(0)}"
        sql = f"SELECT v, {column.fails or 'FALSE'} FROM ({select_typed([field], {}, source)})"  # noqa: S608
        row = con.execute(sql, [text]).fetchone()
    assert row is not None
    return BAD if row[1] else row[0]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("string", " a ", " a "),
        ("string", "", None),
        ("integer", "", None),
        ("integer", "  ", None),
        ("integer", None, None),
        ("integer", "20", 20),
        ("integer", " 20 ", 20),
        ("integer", "30790.0", 30790),
        ("integer", "30790.6", BAD),
        ("integer", "1e3", 1000),
        ("integer", "1_000", BAD),
        ("integer", "0x1F", BAD),
        ("integer", "1,000", BAD),
        ("integer", "9223372036854775808", BAD),
        ("decimal", "12.345", Decimal("12.35")),
        ("decimal", "abc", BAD),
        ("double", "1.5", 1.5),
        ("double", "nan", BAD),
        ("double", "inf", BAD),
        ("boolean", "是", True),
        ("boolean", "否", False),
        ("boolean", "TRUE", True),
        ("boolean", "0", False),
        ("boolean", "maybe", BAD),
        ("date", "2014-01-03", date(2014, 1, 3)),
        ("date", "20140103", date(2014, 1, 3)),
        ("date", "2014-01-03T00:00:00", date(2014, 1, 3)),
        ("date", "2014-13-03", BAD),
        ("date", "epoch", BAD),
        ("date", "infinity", BAD),
        ("date", "0001-01-01", date(1, 1, 1)),
        ("date", "9999-12-31", date(9999, 12, 31)),
        ("date", "20260-01-31", BAD),
        ("date", "20260-1-31", BAD),
        ("date", "0000-01-01", BAD),
        ("date", "0044-03-15 (BC)", BAD),
        ("date", "-infinity", BAD),
        ("timestamp", "9999-12-31 23:59:59.999999", datetime(9999, 12, 31, 23, 59, 59, 999999)),
        ("timestamp", "20260-01-31 10:00:00", BAD),
        ("timestamp", "0000-01-01 00:00:00", BAD),
        ("timestamp", "-infinity", BAD),
        ("timestamp", "0001-01-01T00:00:00+14:00", BAD),
        ("timestamp", "2014-01-03T10:00:00", datetime(2014, 1, 3, 10)),
        ("timestamp", "2014-01-03T10:00:00Z", datetime(2014, 1, 3, 10)),
        ("timestamp", "2014-01-03 10:00:00+08:00", datetime(2014, 1, 3, 2)),
        ("timestamp", "2014-01-03", datetime(2014, 1, 3)),
        ("timestamp", "soon", BAD),
    ],
)
def test_text_converts_to_the_contracts_type_or_is_a_reason(kind: Kind, text: str | None, value: object) -> None:
    assert convert(kind, text) == value


def test_dates_follow_the_contracts_format() -> None:
    assert convert("date", "01/03/2014", format="%m/%d/%Y") == date(2014, 1, 3)
    assert convert("date", "2014-01-03", format="%m/%d/%Y") is BAD


@pytest.mark.parametrize(
    ("own", "expression", "kind", "value"),
    [
        ("DOUBLE", "30790.0::DOUBLE", "integer", 30790),
        ("DOUBLE", "30790.5::DOUBLE", "integer", BAD),
        ("INTEGER", "7::INTEGER", "integer", 7),
        ("INTEGER", "7::INTEGER", "string", "7"),
        ("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ '2014-01-03 10:00:00+08'", "timestamp", datetime(2014, 1, 3, 2)),
        ("BIGINT", "7::BIGINT", "integer", 7),
        ("DATE", "DATE '2014-01-03'", "date", date(2014, 1, 3)),
        ("DATE", "DATE '10000-01-01'", "date", BAD),
        ("DATE", "DATE '-infinity'", "date", BAD),
        ("TIMESTAMP", "TIMESTAMP '0044-03-15 (BC) 00:00:00'", "timestamp", BAD),
        ("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ 'infinity'", "timestamp", BAD),
        ("DOUBLE", "1.5::DOUBLE", "double", 1.5),
        ("DOUBLE", "'nan'::DOUBLE", "double", BAD),
        ("FLOAT", "'inf'::FLOAT", "double", BAD),
    ],
)
def test_values_that_are_typed_already_are_only_fitted(own: str, expression: str, kind: Kind, value: object) -> None:
    field = Field("v", ColumnType(kind), "v")
    column = typed_columns([field], {"v": own})[0]
    with duckdb.connect() as con:
        source = f"SELECT {expression} AS {raw_name(0)}"
        sql = f"SELECT v, {column.fails or 'FALSE'} FROM ({select_typed([field], {'v': own}, source)})"  # noqa: S608
        row = con.execute(sql).fetchone()
    assert row is not None
    assert (BAD if row[1] else row[0]) == value


def test_raw_text_is_kept_of_what_did_not_convert_alone() -> None:
    fields = [Field(name, ColumnType("integer"), name) for name in ("a", "b")]
    columns = typed_columns(fields, {})
    with duckdb.connect() as con:
        source = "SELECT * FROM (VALUES ('1', 'x'), ('1', '2')) AS t(__c0, __c1)"
        sql = f"SELECT {raw_json(columns)} FROM ({select_typed(fields, {}, source)})"  # noqa: S608
        assert con.execute(sql).fetchall() == [('{"b":"x"}',), (None,)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.239", BAD),
        ("1.2300000000000001", BAD),
        ("-0.005", BAD),
        ("12e-3", BAD),
        ("1.23", Decimal("1.23")),
        (" 1.2300 ", Decimal("1.23")),
        ("-7", Decimal("-7")),
        (".5", Decimal("0.5")),
        ("abc", BAD),
        ("", None),
    ],
)
def test_an_exact_decimal_is_never_rounded(text: str, value: object) -> None:
    field = Field("v", ColumnType("decimal", 18, 2), "v", exact=True)
    column = typed_columns([field], {})[0]
    with duckdb.connect() as con:
        source = f"SELECT CAST($1 AS VARCHAR) AS {raw_name(0)}"
        sql = f"SELECT v, {column.fails} FROM ({select_typed([field], {}, source)})"  # noqa: S608
        row = con.execute(sql, [text]).fetchone()
    assert row is not None
    assert (BAD if row[1] else row[0]) == value


@pytest.mark.parametrize(
    ("own", "given", "value"),
    [
        ("DECIMAL(18,4)", "1.2390", BAD),
        ("DECIMAL(18,4)", "1.2300", Decimal("1.23")),
        ("DOUBLE", "1.23", Decimal("1.23")),
        ("DOUBLE", "1.239", BAD),
    ],
)
def test_an_exact_decimal_of_a_typed_source_is_never_rounded(own: str, given: str, value: object) -> None:
    field = Field("v", ColumnType("decimal", 18, 2), "v", exact=True)
    column = typed_columns([field], {"v": own})[0]
    with duckdb.connect() as con:
        source = f"SELECT CAST('{given}' AS {own}) AS {raw_name(0)}"
        sql = f"SELECT v, {column.fails} FROM ({select_typed([field], {'v': own}, source)})"  # noqa: S608
        row = con.execute(sql).fetchone()
    assert row is not None
    assert (BAD if row[1] else row[0]) == value
