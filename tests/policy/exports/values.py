"""Values at the edges of every type, as (name, ColumnType, values)."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from governance.catalog.types import ColumnType

TEXTS = (
    None, "", "a", "王", "王小明", "欧阳修", "XXXXXXXX", "********", "**", "110101199003074514", "11010119900307451X",
    "110101900307451", "110101199003074514\n", "13800138000", "13800138000\n", "１３８００１３８０００", "abcd", "abcde",
    "王小明在北京", "a@b.cn", "(1),-@.x", "line\nbreak", "tab\there", "北京市东城区景山前街4号", "江苏省南京市玄武区中山路1号",
    "上海市浦东新区世纪大道", "广西壮族自治区南宁市青秀区", "阳光小区3栋", "某县某县", "%_\\'\";--", "é", "e\u0301", "𠮷野家", "😀😀😀😀😀", "Ａｂ９",
    "nnnn", "xxxx", "x", "n", "A" * 40, "0" * 64,
)  # fmt: skip
INTEGERS = (None, 0, 1, -1, 7, -7, 999, 1000, -1000, 1001, 2**53, -(2**53) - 1, 2**63 - 1, -(2**63), -(2**63) + 5)
DECIMALS = (None, *map(Decimal, ("0", "0.01", "-0.01", "999.99", "1000", "-1000", "-1000.01", "9999999999.99")))
LARGE = (
    *DECIMALS,
    *map(Decimal, ("9999999999999999.99", "-9999999999999999.99", "1234567890123456.78", "90071992547409.93")),
)
TINY = (None, *map(Decimal, ("0", "99.99", "-99.99", "-0.01", "50")))
DOUBLES = (
    None,
    0.0,
    -0.0,
    1.5,
    -1.5,
    999.9,
    -1000.0,
    1e-300,
    -1e-300,
    1e300,
    -1e300,
    float("inf"),
    float("-inf"),
    float("nan"),
)
BOOLEANS = (None, True, False)
DATES = (
    None,
    date(11, 1, 1),
    date(1899, 12, 31),
    date(1987, 6, 5),
    date(1990, 1, 1),
    date(2026, 11, 24),
    date(9999, 12, 31),
)
TIMES = (
    None,
    datetime(11, 1, 1),
    datetime(1987, 6, 5, 23, 59, 59, 999999),
    datetime(2026, 3, 29, 2, 30),
    datetime(1969, 12, 31, 23),
)

COLUMNS = (
    ("text", ColumnType("string"), TEXTS),
    ("whole", ColumnType("integer"), INTEGERS),
    ("amount", ColumnType("decimal", 12, 2), DECIMALS),
    ("large", ColumnType("decimal", 18, 2), LARGE),
    ("tiny", ColumnType("decimal", 4, 2), TINY),
    ("units", ColumnType("decimal", 10, 0), (None, Decimal(0), Decimal(1999), Decimal(-1), Decimal(9999999999))),
    ("widest", ColumnType("decimal", 38, 4), (None, Decimal("12345678901234567890.1234"))),
    ("real", ColumnType("double"), DOUBLES),
    ("flag", ColumnType("boolean"), BOOLEANS),
    ("day", ColumnType("date"), DATES),
    ("at", ColumnType("timestamp"), TIMES),
)  # fmt: skip
