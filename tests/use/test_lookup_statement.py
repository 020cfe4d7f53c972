"""The statement of a session of lookups gives the same rows whether few are joined before it or many within it."""

import duckdb
import pyarrow as pa
import pytest
import sqlglot

from governance.catalog.types import ColumnType
from governance.keys.tokens import TOKEN_BYTES
from governance.policy.lattice import Outcome
from governance.use.lookup_statement import WANTED, Statements

COLUMNS = [
    ("name", ColumnType("string"), Outcome.parse("raw")),
    ("phone", ColumnType("string"), Outcome.parse("mask:phone")),
]
WHERE = sqlglot.parse_one("name <> 'hidden'", dialect="duckdb")


def _token(i):
    return bytes([i] * TOKEN_BYTES)


def _found(*rows):
    names, tokens = [name for name, _ in rows], [_token(i) for _, i in rows]
    phones = [f"138000000{i:02d}" for _, i in rows]
    kept = pa.array(tokens, pa.binary(TOKEN_BYTES))
    return pa.table({"name": names, "phone": phones, "no__token": kept})


def _wanted(*keys):
    request, key, token = zip(*keys, strict=True)
    return pa.table([request, key, [_token(i) for i in token]], schema=WANTED)


def _run(found, wanted, asked=("name", "phone"), most_rows=100):
    with duckdb.connect(config={"threads": 1}) as con:
        statements = Statements(con, COLUMNS, WHERE, token_column="no__token", most_rows=most_rows)
        return [statements.run(asked, found, wanted).read_all().to_pylist() for _ in range(2)][-1]


FOUND = _found(("b", 2), ("a1", 1), ("hidden", 1), ("a2", 1), ("hidden", 3))
KEYS = ((0, 1, 2), (0, 2, 1), (1, 1, 9), (1, 2, 3), (2, 1, 1), (2, 2, 1))


@pytest.mark.parametrize("most_rows", [3, 100])
def test_rows_come_in_the_order_of_the_keys_however_they_were_joined(most_rows):
    rows = _run(FOUND, _wanted(*KEYS), most_rows=most_rows)
    assert [(row["_request"], row["_key"]) for row in rows][:3] == [(0, 1), (0, 2), (0, 2)]
    assert sorted((row["_request"], row["_key"], row["name"]) for row in rows) == [
        (0, 1, "b"),
        (0, 2, "a1"),
        (0, 2, "a2"),
        (2, 1, "a1"),
        (2, 1, "a2"),
        (2, 2, "a1"),
        (2, 2, "a2"),
    ]
    assert rows[0]["phone"] == "138****0002"


def test_a_request_with_too_many_rows_gets_one_more_than_that():
    rows = _run(FOUND, _wanted((0, 1, 1), (0, 2, 1), (0, 3, 1), (1, 1, 2)), most_rows=3)
    assert [row["_request"] for row in rows] == [0, 0, 0, 0, 1]


@pytest.mark.parametrize("most_rows", [1, 100])
def test_a_column_that_nobody_asked_for_is_null(most_rows):
    assert {row["phone"] for row in _run(FOUND, _wanted(*KEYS), ["name"], most_rows)} == {None}


def test_keys_that_find_nothing_give_no_row():
    assert _run(FOUND.slice(0, 0), _wanted(*KEYS)) == []
    assert _run(FOUND, WANTED.empty_table()) == []
