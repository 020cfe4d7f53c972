"""Every mask and every row filter: PostgreSQL gives what DuckDB gives, value by value, or refuses to say it."""

from __future__ import annotations

import math
from decimal import Decimal

import duckdb
import pytest
from sqlglot import exp

from governance.catalog.types import ColumnType
from governance.policy import filters, masks
from governance.policy.exports.dialect import POSTGRES, condition
from governance.policy.exports.expressions import masked
from governance.policy.exports.model import Inexpressible
from governance.policy.filters import And, Compare, Not, Or
from governance.policy.masks import Mask
from tests.policy.exports.conftest import connect
from tests.policy.exports.values import COLUMNS, TEXTS

SAID = frozenset(
    {"mask-alphanum", "mask-to-fixed-value", "replace-with-null", "show-first-4", "show-last-4", "truncate-to-year"}
    | {
        "truncate-to-month",
        "sha-256-global",
        "chinese-name",
        "resident-number",
        "phone",
        "date-decade",
        "number-bucket",
    }
)
"""What PostgreSQL can say; any other mask, also one of which nobody here has heard, is refused."""
WIDTHS = (2, 7, 1000, 999_999_999_999_999)


@pytest.fixture(scope="module")
def con(postgres_url):
    with connect(postgres_url, "postgres") as admin:
        admin.execute("SET TIME ZONE 'Asia/Shanghai'")
        yield admin


def named(kind):
    return f"decimal({kind.precision},{kind.scale})" if kind.kind == "decimal" else kind.kind


def cases():
    for name, kind, values in COLUMNS:
        for mask in sorted(masks.KINDS):
            if kind.kind in masks.KINDS[mask]:
                for width in WIDTHS if mask == "number-bucket" else (0,):
                    yield pytest.param(name, kind, values, Mask(mask, width), id=f"{Mask(mask, width)}-{named(kind)}")


def ours(tree, kind, values):
    with duckdb.connect() as duck:
        duck.execute(f"CREATE TABLE t (n INTEGER, v {kind.duckdb()})")
        duck.executemany("INSERT INTO t VALUES (?, ?)", list(enumerate(values)))
        return [row[0] for row in duck.execute(f"SELECT {tree.sql('duckdb')} FROM t ORDER BY n").fetchall()]  # noqa: S608


def theirs(con, tree, kind, values):
    con.execute("DROP TABLE IF EXISTS t")
    con.execute(f"CREATE TEMP TABLE t (n integer, v {POSTGRES.type_of(kind)})")
    with con.cursor().copy("COPY t FROM STDIN") as copy:
        for row in enumerate(values):
            copy.write_row(row)
    return [row[0] for row in con.execute(f"SELECT {tree.sql('postgres')} FROM t ORDER BY n").fetchall()]  # noqa: S608


def same(left, right):
    if isinstance(left, float) and isinstance(right, float) and math.isnan(left):
        return math.isnan(right)
    return left == right and type(left) is type(right)


@pytest.mark.parametrize(("name", "kind", "values", "mask"), list(cases()))
def test_a_mask_gives_what_ours_gives_or_is_not_said(con, name, kind, values, mask):
    column = exp.column("v", quoted=True)
    try:
        tree = masked(mask, column, kind, POSTGRES)
    except Inexpressible:
        assert mask.kind not in SAID or named(kind) == "decimal(38,4)"
        return
    assert mask.kind in SAID
    expected = ours(masks.expression(mask, column, kind), kind, values)
    got = theirs(con, tree, kind, values)
    differing = [(v, a, b) for v, a, b in zip(values, expected, got, strict=True) if not same(a, b)]
    assert not differing


def test_a_mask_never_gives_back_a_text_that_it_hides(con):
    for mask in (
        "mask-alphanum",
        "show-first-4",
        "show-last-4",
        "chinese-name",
        "resident-number",
        "phone",
        "sha-256-global",
    ):
        tree = masked(Mask(mask), exp.column("v", quoted=True), ColumnType("string"), POSTGRES)
        shown = theirs(con, tree, ColumnType("string"), TEXTS)
        assert not [v for v, s in zip(TEXTS, shown, strict=True) if v is not None and v == s]


OPERANDS = {
    "text": ("a", "王小明", "%_\\'\";--", "é", ""),
    "whole": (0, -7, 2**63 - 1),
    "amount": ("999.99", 1000, "-0.01"),
    "large": ("9999999999999999.99",),
    "real": ("1.5", 0, "-1000"),
    "flag": (True, False),
    "day": ("1987-06-05", "9999-12-31"),
    "at": ("1987-06-05 23:59:59.999999", "2026-03-29T02:30", "2026-03-29"),
}


@pytest.mark.parametrize("column", sorted(OPERANDS))
def test_every_operator_holds_on_the_same_rows(con, column):
    _, kind, values = next(c for c in COLUMNS if c[0] == column)
    operands = OPERANDS[column]
    compares = [Compare(column="v", op=op) for op in ("is_null", "not_null")]
    compares += [Compare(column="v", op=op, value=o) for op in ("=", "!=", "<", "<=", ">", ">=") for o in operands]
    compares += [Compare(column="v", op=op, values=operands) for op in ("in", "not_in")]
    compares += [
        Not(**{"not": compares[2]}),
        Or(**{"or": (compares[0], compares[4])}),
        And(**{"and": (compares[1], compares[3])}),
    ]
    types = {"v": kind}
    for row_filter in compares:
        expected = ours(filters.condition(row_filter, types), kind, values)
        assert theirs(con, condition(row_filter, types, POSTGRES), kind, values) == expected, row_filter
        assert None not in expected


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (ColumnType("decimal", 12, 2), "1.005"),
        (ColumnType("decimal", 4, 2), 100),
        (ColumnType("decimal", 4, 2), "NaN"),
        (ColumnType("double"), "Infinity"),
        (ColumnType("double"), "1_000"),
        (ColumnType("date"), "20260131"),
        (ColumnType("timestamp"), "2026-01-31T00:00:00+08:00"),
        (ColumnType("integer"), 2**63),
        (ColumnType("string"), "a\0b"),
    ],
)
def test_a_value_that_means_something_else_there_is_not_said(kind, value):
    with pytest.raises(Inexpressible):
        condition(Compare(column="v", op="=", value=value), {"v": kind}, POSTGRES)


def test_a_literal_of_hostile_signs_stays_a_literal(con):
    hostile = (
        "'; DROP TABLE t; --",
        "\\'; DROP TABLE t; --",
        "$gov$ $$",
        "%s %(x)s {} :x",
        '"a"',
        "E'\\x41'",
        "/* */ --",
    )
    for value in hostile:
        tree = condition(Compare(column="v", op="=", value=value), {"v": ColumnType("string")}, POSTGRES)
        assert theirs(con, tree, ColumnType("string"), hostile) == [value == other for other in hostile]


def test_amounts_at_the_edges_of_buckets_fall_as_ours_do(con):
    kind = ColumnType("decimal", 18, 4)
    values = [
        Decimal(n * 7) + Decimal(d).scaleb(-4)
        for n in (0, 1, -1, 10**12, -(10**12), 14285714285713)
        for d in (-1, 0, 1)
    ]
    column = exp.column("v", quoted=True)
    for width in (2, 7, 49):
        mask = Mask("number-bucket", width)
        assert theirs(con, masked(mask, column, kind, POSTGRES), kind, values) == ours(
            masks.expression(mask, column, kind), kind, values
        )
