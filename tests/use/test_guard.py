"""The guard accepts one SELECT over named tables and refuses every way around it."""

from __future__ import annotations

import pytest

from governance.errors import Refused
from governance.use.functions import FUNCTIONS
from governance.use.guard import examine

ACCEPTED = [
    ("SELECT name FROM curated.person", {"curated.person"}, False),
    ('SELECT NAME FROM "Curated"."PERSON" AS p', {"curated.person"}, False),
    ("FROM curated.person", {"curated.person"}, True),
    ("TABLE curated.person", {"curated.person"}, True),
    ("SELECT * FROM (VALUES (1), (2)) AS v(x)", set(), True),
    ("SELECT * FROM curated.person TABLESAMPLE 10%", {"curated.person"}, True),
    (
        "WITH RECURSIVE t AS (SELECT 1 a UNION ALL SELECT a + 1 FROM t WHERE a < 3) SELECT a FROM t, curated.person",
        {"curated.person"},
        False,
    ),
    ("WITH t AS (SELECT name FROM curated.person) SELECT count(*) FROM t", {"curated.person"}, False),
    ("WITH t AS (SELECT 1 AS x) SELECT (SELECT max(rank) FROM curated.person), x FROM t", {"curated.person"}, False),
    (
        "SELECT a.name FROM curated.person a JOIN curated.firm b USING (district)",
        {"curated.person", "curated.firm"},
        False,
    ),
    (
        "SELECT name FROM curated.person UNION ALL SELECT boss FROM curated.firm",
        {"curated.person", "curated.firm"},
        False,
    ),
    ("SELECT p FROM curated.person p", {"curated.person"}, True),
    ("SELECT #1 FROM curated.person", {"curated.person"}, True),
    ("SELECT COLUMNS('n.*') FROM curated.person", {"curated.person"}, True),
    ("SELECT 1 FROM curated.person NATURAL JOIN curated.firm", {"curated.person", "curated.firm"}, True),
    ("SELECT x FROM curated.person AS p(x)", {"curated.person"}, True),
    ("SELECT sum(rank) OVER (ORDER BY born) FROM curated.person", {"curated.person"}, False),
    ("SELECT n FROM range(3) AS r(n), unnest([1, 2]) AS u(m)", set(), True),
    ("SELECT [x + 1 FOR x IN [rank] IF x > 0] FROM curated.person", {"curated.person"}, False),
    (
        "SELECT CASE WHEN rank BETWEEN 1 AND 2 THEN name ELSE trim(name) END FROM curated.person",
        {"curated.person"},
        False,
    ),
    (
        "SELECT extract(year FROM born), born + INTERVAL 1 DAY, name ILIKE '王%' FROM curated.person",
        {"curated.person"},
        False,
    ),
    (
        "SELECT name FROM curated.person p WHERE EXISTS (FROM curated.firm f WHERE f.boss = p.name)",
        {"curated.person", "curated.firm"},
        True,
    ),
]


@pytest.mark.parametrize(("sql", "tables", "everything"), ACCEPTED)
def test_a_select_over_tables_is_accepted(sql, tables, everything):
    statement = examine(sql)
    assert set(statement.tables) == tables
    assert statement.everything is everything


REFUSED = [
    "",
    ";",
    "SELECT 1; SELECT name FROM curated.person",
    "SELECT 1;;SELECT 2 -- x",
    "THIS IS NOT VALID SQL",
    "EXPLAIN SELECT name FROM curated.person",
    "EXPLAIN ANALYZE SELECT name FROM curated.person",
    "SUMMARIZE curated.person",
    "DESCRIBE curated.person",
    "SHOW TABLES",
    "SHOW curated.person",
    "PREPARE p AS SELECT name FROM curated.person",
    "EXECUTE p",
    "CALL pragma_version()",
    "PRAGMA database_list",
    "PIVOT curated.person ON district USING count(*)",
    "UNPIVOT curated.person ON name, district INTO NAME k VALUE v",
    "SELECT * FROM (PIVOT curated.person ON district USING count(*))",
    "CREATE TABLE x AS SELECT name FROM curated.person",
    "CREATE MACRO m() AS TABLE SELECT name FROM curated.person",
    "INSERT INTO curated.person VALUES (1) RETURNING *",
    "UPDATE curated.person SET name = '' RETURNING *",
    "DELETE FROM curated.person RETURNING name",
    "MERGE INTO curated.person USING curated.person b ON true WHEN MATCHED THEN DELETE",
    "COPY curated.person TO '/dev/stdout'",
    "COPY (SELECT 1) TO '/dev/stdout'",
    "EXPORT DATABASE '/dev/shm/x'",
    "ATTACH ':memory:' AS other",
    "USE curated",
    "SET search_path = 'curated'",
    "SET VARIABLE x = (SELECT max(name) FROM curated.person)",
    "INSTALL httpfs",
    "LOAD httpfs",
    "CREATE SECRET s (TYPE s3)",
    "CHECKPOINT",
    "UPDATE EXTENSIONS",
    "VACUUM",
    "BEGIN",
    "SELECT getvariable('x')",
    "SELECT getenv('PATH')",
    "SELECT current_setting('memory_limit')",
    "SELECT current_database(), current_schema(), current_query()",
    "SELECT version()",
    "SELECT error(name) FROM curated.person",
    "SELECT stats(rank) FROM curated.person",
    "SELECT pg_sleep(1)",
    "SELECT write_log(name) FROM curated.person",
    "SELECT nextval('s')",
    "SELECT vector_type(name) FROM curated.person",
    "SELECT json_serialize_sql('SELECT 1')",
    "SELECT * FROM query('SELECT name FROM curated.person')",
    "SELECT * FROM query_table('curated.person')",
    "SELECT * FROM query_table(['curated.person'])",
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_parquet('x.parquet')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM glob('/*')",
    "SELECT * FROM parquet_metadata('x.parquet')",
    "SELECT * FROM duckdb_tables()",
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM duckdb_columns()",
    "SELECT * FROM duckdb_logs()",
    "SELECT * FROM pragma_storage_info('curated.person')",
    "SELECT * FROM curated.person AT (VERSION => 1)",
    "SELECT name FROM curated.person WHERE rank = ?",
    "SELECT name FROM curated.person WHERE rank = $1",
    "SELECT name\0FROM curated.person",
    "SELECT main.query('x')",
    "SELECT other.sum(1)",
]


@pytest.mark.parametrize("sql", REFUSED)
def test_everything_else_is_refused(sql):
    with pytest.raises(Refused) as caught:
        examine(sql)
    assert "person" not in str(caught.value)
    assert "passwd" not in str(caught.value)


NOT_PUBLISHED = [
    "SELECT * FROM 'curated.person'",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM 'x.parquet'",
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM pg_catalog.pg_class",
    "SELECT * FROM duckdb_tables",
    "SELECT * FROM person",
    "SELECT * FROM main.person",
    "SELECT * FROM memory.curated.person",
    "SELECT * FROM df",
]


@pytest.mark.parametrize("sql", NOT_PUBLISHED)
def test_a_name_that_is_no_published_table_never_becomes_one(sql):
    try:
        tables = examine(sql).tables
    except Refused:
        return
    assert "curated.person" not in tables
    assert tables


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT " + "(" * 5000 + "1" + ")" * 5000,
        "SELECT " + "1+" * 20000 + "1",
        "SELECT " + "[" * 900 + "1" + "]" * 900,
        "SELECT 1 FROM " + "(SELECT 1 FROM " * 900 + "curated.person" + ")" * 900,
        "SELECT '" + "x" * 200_000 + "'",
        "SELECT \ud800",
    ],
    ids=["parentheses", "sum", "lists", "subqueries", "long", "surrogate"],
)
def test_a_statement_that_would_exhaust_a_parser_is_refused(sql):
    with pytest.raises(Refused):
        examine(sql)


def test_a_column_counts_as_read_whatever_its_case():
    statement = examine('SELECT "NAME" FROM curated.person WHERE Rank > 1')
    assert statement.reads("name")
    assert statement.reads("rank")
    assert not statement.reads("income")


def test_no_function_that_runs_text_or_reads_the_engine_is_allowed():
    forbidden = {
        "query",
        "query_table",
        "getvariable",
        "getenv",
        "current_setting",
        "error",
        "stats",
        "read_csv",
        "nextval",
    }
    assert not FUNCTIONS & forbidden
