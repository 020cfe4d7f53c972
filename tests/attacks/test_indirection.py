"""Attacks 16-22: SQL inside strings, macros, views, variables, what runs when something else is read."""

from __future__ import annotations

import pytest

from governance.use.functions import FUNCTIONS, TABLE_FUNCTIONS
from tests.attacks.worlds import Worlds


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM query('SELECT income FROM curated.person')",
        "SELECT * FROM query('SELECT ' || 'income FROM curated.person')",
        "FROM main.query('FROM curated.person')",
        "SELECT * FROM QUERY('SELECT 1')",
        "SELECT (SELECT max(income) FROM query('FROM curated.person'))",
    ],
)
def test_16_query_of_text_is_refused(worlds: Worlds, sql: str) -> None:
    worlds.unread(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM query_table('curated.person')",
        "SELECT * FROM query_table(['curated.person'])",
        "SELECT * FROM query_table(['person', 'source'], true)",
        "SELECT * FROM system.main.query_table('curated.person')",
    ],
)
def test_17_a_table_named_by_text_is_refused(worlds: Worlds, sql: str) -> None:
    worlds.unread(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT income FROM curated.person'))",
        "PRAGMA json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
        "SELECT json_serialize_sql('SELECT 1')",
        "SELECT json_serialize_plan('SELECT income FROM curated.person')",
        "SELECT json_deserialize_sql('{}')",
        "SELECT parse_duckdb_log_message('x', 'y')",
    ],
)
def test_18_serialised_sql_is_refused(worlds: Worlds, sql: str) -> None:
    worlds.unread(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE MACRO m(x) AS (SELECT income FROM curated.person WHERE rank = x)",
        "CREATE TEMP MACRO m() AS TABLE FROM curated.person",
        "SELECT m(1)",
        "SELECT * FROM m()",
        "WITH RECURSIVE m(x) AS (SELECT 1) SELECT m(x) FROM m",
    ],
)
def test_19_no_macro_is_made_or_called(worlds: Worlds, sql: str) -> None:
    worlds.unread(sql)


@pytest.mark.parametrize(
    "table",
    ["source", "main.source", "input_0", "main.input_0", "__lake_source_0", "temp.source", "main.__lake_source_0"],
)
def test_20_views_that_stand_over_the_raw_table_are_not_there(worlds: Worlds, table: str) -> None:
    worlds.refused(f"SELECT * FROM {table}")  # noqa: S608


def test_20_a_statement_cannot_make_a_view_over_it(worlds: Worlds) -> None:
    worlds.unread("CREATE VIEW v AS SELECT * FROM source")
    worlds.unread("CREATE SECURE VIEW v AS SELECT * FROM curated.person")


@pytest.mark.parametrize(
    "sql",
    [
        "SET VARIABLE x = (SELECT max(income) FROM curated.person)",
        "SELECT getvariable('x')",
        "SELECT * FROM duckdb_variables()",
        "RESET VARIABLE x",
        "SELECT getvariable(name) FROM curated.person",
    ],
)
def test_21_variables_are_neither_set_nor_read(worlds: Worlds, sql: str) -> None:
    worlds.unread(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE x (a INT, b VARCHAR GENERATED ALWAYS AS (error(a)))",
        "CREATE TABLE x (a VARCHAR DEFAULT (SELECT max(income) FROM curated.person))",
        "CREATE TABLE x (a INT CHECK (a IN (SELECT rank FROM curated.person)))",
        "CREATE INDEX i ON curated.person (lower(name))",
        "CREATE TRIGGER t BEFORE INSERT ON curated.person FOR EACH ROW SELECT error(name)",
        "CREATE SEQUENCE s",
        "SELECT nextval('s')",
    ],
)
def test_22_expressions_that_would_run_on_their_own_are_refused(worlds: Worlds, sql: str) -> None:
    worlds.unread(sql)


def test_no_function_that_takes_sql_or_names_a_table_is_allowed() -> None:
    forbidden = {"query", "query_table", "json_execute_serialized_sql", "json_serialize_sql", "json_serialize_plan"}
    forbidden |= {"getvariable", "nextval", "currval", "error", "stats", "getenv", "which_secret", "current_setting"}
    assert not (FUNCTIONS | TABLE_FUNCTIONS) & forbidden
