"""Equal multisets of rows hash alike; anything else does not."""

from __future__ import annotations

import duckdb
import pytest

from governance.develop.tablehash import order_free_hash

TYPES = {"a": "BIGINT", "b": "VARCHAR", "c": "DECIMAL(18,2)", "d": "DOUBLE", "e": "DATE", "f": "BLOB"}
BASE = "(1, 'x', 1.50, 0.5, DATE '2026-01-01', '\\x01'::BLOB), (2, NULL, NULL, NULL, NULL, NULL), (2, '', 0, -0.0, NULL, NULL)"


def hashed(values: str) -> str:
    con = duckdb.connect()
    con.execute("CREATE SCHEMA s")
    con.execute(f"CREATE TABLE s.t AS FROM (VALUES {values}) t(a, b, c, d, e, f)")
    result = order_free_hash(con, "s.t", TYPES)
    con.close()
    return result


def test_order_and_physical_types_do_not_matter() -> None:
    other = "(2, '', 0.00, 0.0, NULL, NULL), (2, NULL, NULL, NULL, NULL, NULL), (1.0, 'x', 1.5, 0.5, DATE '2026-01-01', '\\x01'::BLOB)"
    assert hashed(other) == hashed(BASE)


@pytest.mark.parametrize(
    "changed",
    [
        BASE.replace("'x'", "'y'"),
        BASE.replace("1.50", "1.51"),
        BASE.replace("(2, ''", "(2, NULL"),
        BASE + ", (2, NULL, NULL, NULL, NULL, NULL)",
        BASE + ", (3, NULL, NULL, NULL, NULL, NULL), (3, NULL, NULL, NULL, NULL, NULL)",
        BASE.replace("\\x01", "\\x02"),
        "(1, 'x', 1.50, 0.5, DATE '2026-01-01', '\\x01'::BLOB)",
    ],
)
def test_any_other_multiset_differs(changed: str) -> None:
    assert hashed(changed) != hashed(BASE)


def test_values_do_not_run_into_each_other() -> None:
    con = duckdb.connect()
    con.execute("CREATE TABLE one AS SELECT 'ab' AS a, 'c' AS b")
    con.execute("CREATE TABLE two AS SELECT 'a' AS a, 'bc' AS b")
    types = {"a": "VARCHAR", "b": "VARCHAR"}
    assert order_free_hash(con, "one", types) != order_free_hash(con, "two", types)
    con.close()


def test_an_empty_table_has_a_hash() -> None:
    con = duckdb.connect()
    con.execute("CREATE TABLE t (a BIGINT)")
    assert order_free_hash(con, "t", {"a": "BIGINT"}) == "0:" + "0" * 32
    con.close()
