"""Attacks 1-15: names, shapes of statements and parsers. Whatever reaches a table reaches its masked, filtered stream."""

from __future__ import annotations

import pytest

from governance.errors import Refused
from governance.use.guard import examine
from tests.attacks.worlds import LI, ZHAO, Worlds

MASKED = ["张**", "李**", "王**", "赵**"]


def names(worlds: Worlds, sql: str) -> list[str]:
    return sorted(name for (name, *_) in worlds.rows(sql) if name is not None)


@pytest.mark.parametrize(
    "sql", ["SELECT NAME FROM CURATED.PERSON", 'SELECT "Name" FROM "Curated"."PERSON" AS "T"'], ids=["bare", "quoted"]
)
def test_01_the_case_of_a_name_changes_nothing(worlds: Worlds, sql: str) -> None:
    assert names(worlds, sql) == MASKED


def test_02_a_cte_that_shadows_a_table_reads_the_masked_table(worlds: Worlds) -> None:
    assert names(worlds, "WITH person AS (SELECT * FROM curated.person) SELECT name FROM person") == MASKED
    for sql in (
        "WITH person AS (SELECT * FROM person) SELECT name FROM person",
        'WITH "curated.person" AS (SELECT 1 AS name) SELECT name FROM "curated.person"',
        "WITH curated AS (SELECT 1 AS person) SELECT income FROM curated.person",
    ):
        worlds.refused(sql)


def test_03_nested_and_sibling_ctes_end_where_their_scope_ends(worlds: Worlds) -> None:
    sql = "SELECT (WITH t AS (SELECT 1 z) SELECT z FROM t), (SELECT max(name) FROM curated.person)"
    assert worlds.rows(sql) == [(1, "赵**")]
    worlds.refused("SELECT (WITH t AS (SELECT 1 z) SELECT z FROM t), (SELECT max(name) FROM t)")
    worlds.refused("SELECT (WITH person AS (SELECT 1 z) SELECT z FROM person), (SELECT max(income) FROM person)")


@pytest.mark.parametrize(
    "table",
    [
        "memory.curated.person",
        "main.person",
        "memory.main.person",
        '"memory".person',
        "person",
        "system.curated.person",
        "temp.curated.person",
        "main.curated.person",
        '"curated.person"',
        '"curated"."person"."person"',
    ],
)
def test_04_another_catalog_or_schema_is_no_way_to_a_table(worlds: Worlds, table: str) -> None:
    worlds.refused(f"SELECT name FROM {table}")  # noqa: S608


@pytest.mark.parametrize(
    "sql",
    ["FROM curated.person", "TABLE curated.person", "FROM curated.person SELECT *"],
    ids=["from", "table", "after"],
)
def test_05_from_first_and_table_show_what_a_select_shows(worlds: Worlds, sql: str) -> None:
    assert sorted(map(str, worlds.rows(sql))) == sorted(map(str, worlds.rows("SELECT * FROM curated.person")))


def test_05_values_around_a_subquery_is_refused(worlds: Worlds) -> None:
    """The two parsers do not name the same tables for it."""
    worlds.refused("VALUES ((SELECT max(name) FROM curated.person))")
    worlds.refused("SELECT * FROM (VALUES ((SELECT max(income) FROM curated.person))) v(x)")


@pytest.mark.parametrize(
    "text", ["curated.person", "person", "curated/person", "/etc/passwd", "x.parquet", "state.sqlite", "s3://a/b.csv"]
)
def test_06_a_string_is_no_table(worlds: Worlds, text: str) -> None:
    worlds.refused(f"SELECT * FROM '{text}'")  # noqa: S608


@pytest.mark.parametrize(
    "sql",
    [
        "PIVOT curated.person ON district USING count(*)",
        "FROM curated.person PIVOT (max(name) FOR district IN ('110101', '110102'))",
        "UNPIVOT curated.person ON name, district INTO NAME k VALUE v",
        "SELECT * FROM (PIVOT curated.person ON district USING max(name))",
        "WITH p AS (PIVOT curated.person ON name) SELECT * FROM p",
    ],
)
def test_07_pivot_and_unpivot_are_refused(worlds: Worlds, sql: str) -> None:
    worlds.refused(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SUMMARIZE curated.person",
        "SELECT * FROM (SUMMARIZE curated.person)",
        "DESCRIBE curated.person",
        "SELECT * FROM (DESCRIBE curated.person)",
        "SHOW curated.person",
        "SHOW TABLES",
        "SHOW ALL TABLES",
        "CALL pragma_table_info('curated.person')",
        "PRAGMA table_info('curated.person')",
        "CHECKPOINT",
        "VACUUM ANALYZE curated.person",
        "RESET threads",
    ],
)
def test_08_what_describes_a_table_is_refused(worlds: Worlds, sql: str) -> None:
    worlds.unread(sql)


def test_09_no_statement_is_prepared_for_later(worlds: Worlds) -> None:
    for sql in ("PREPARE p AS SELECT name FROM curated.person", "EXECUTE p", "DEALLOCATE p"):
        worlds.unread(sql)
    for sql in ("SELECT name FROM curated.person WHERE rank = ?", "SELECT name FROM curated.person WHERE rank = $rank"):
        worlds.unread(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1; SELECT income FROM curated.person",
        "SELECT 1;; /* ; */ SELECT 2",
        "SELECT 1 /* */; -- \n SELECT max(income) FROM curated.person",
        "SELECT $$1$$; SELECT $a$2$a$",
        "SELECT ‘name’ FROM curated.person; SELECT 1",
        "SELECT name\0FROM curated.person",
        "SELECT 1\u2028; DROP SCHEMA curated",
        "/* SELECT 1 */",
        "SELECT 1 /* unfinished",
    ],
)
def test_10_two_statements_are_never_one(worlds: Worlds, sql: str) -> None:
    worlds.unread(sql)


def test_10_what_stands_in_comments_and_quotes_is_not_run(worlds: Worlds) -> None:
    assert worlds.rows("SELECT $$; SELECT income FROM curated.person$$ AS a -- ; DROP TABLE x") == [
        ("; SELECT income FROM curated.person",)
    ]
    assert worlds.rows("SELECT 'it''s; SELECT 2' /* ; SELECT 3 */ AS a;") == [("it's; SELECT 2",)]


@pytest.mark.parametrize(
    "sql",
    [
        "EXPLAIN SELECT name FROM curated.person",
        "CREATE TABLE x AS SELECT name FROM curated.person",
        "CREATE TEMP TABLE x AS SELECT name FROM curated.person",
        "CREATE VIEW x AS SELECT name FROM curated.person",
        "CREATE MACRO m() AS TABLE SELECT income FROM curated.person",
        "CREATE TRIGGER t AFTER INSERT ON curated.person FOR EACH ROW SELECT 1",
        "CREATE TYPE t AS ENUM (SELECT name FROM curated.person)",
        "INSERT INTO curated.person SELECT * FROM curated.person RETURNING *",
        "UPDATE curated.person SET district = '110101' RETURNING *",
        "DELETE FROM curated.person RETURNING *",
        "TRUNCATE curated.person",
        "MERGE INTO curated.person p USING curated.person q ON true WHEN MATCHED THEN DELETE RETURNING *",
        "ALTER TABLE curated.person ADD COLUMN x INT DEFAULT 1",
        "DROP TABLE curated.person",
        "WITH x AS (INSERT INTO curated.person VALUES (1) RETURNING *) SELECT * FROM x",
        "WITH x AS (DELETE FROM curated.person RETURNING *) SELECT * FROM x",
    ],
)
def test_11_a_statement_that_writes_or_explains_is_refused(worlds: Worlds, sql: str) -> None:
    worlds.unread(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT a, b FROM curated.person AS p(a, b)",
        "SELECT p FROM curated.person p",
        "SELECT COLUMNS('n.*|inc.*') FROM curated.person",
        "SELECT * EXCLUDE (rank) REPLACE (upper(name) AS name) RENAME (born AS b) FROM curated.person",
        "SELECT struct_pack(a := name, b := born) FROM curated.person",
        "SELECT a.name FROM curated.person a JOIN curated.person b USING (name, born)",
        "SELECT count(*) FROM curated.person NATURAL JOIN (SELECT name FROM curated.person)",
        "SELECT * FROM curated.person POSITIONAL JOIN (SELECT rank AS other FROM curated.person)",
        "SELECT a.name, b.rank FROM curated.person a ASOF JOIN curated.person b ON a.rank >= b.rank",
    ],
)
def test_12_aliases_stars_and_joins_give_what_is_permitted(worlds: Worlds, sql: str) -> None:
    worlds.rows(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT g FROM curated.person AS p(a, b, c, d, e, f, g)",
        "SELECT a.rank FROM curated.person a JOIN curated.person b USING (income)",
        "SELECT * REPLACE (income AS rank) FROM curated.person",
        "SELECT p.income FROM curated.person p",
        "SELECT struct_extract(p, 'income') FROM curated.person p",
    ],
)
def test_12_none_of_them_reaches_a_field_that_is_not_there(worlds: Worlds, sql: str) -> None:
    worlds.refused(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT p.rank, q.n FROM curated.person p, LATERAL (SELECT max(name) n FROM curated.person r WHERE r.rank <= p.rank) q",
        "SELECT rank FROM curated.person p WHERE EXISTS (FROM curated.person q WHERE q.name = p.name AND q.rank > 2)",
        "SELECT rank FROM curated.person WHERE rank IN (SELECT max(rank) FROM curated.person GROUP BY born)",
        "SELECT (SELECT max(id_number) FROM curated.person), (SELECT any_value(born) FROM curated.person WHERE rank = 1)",
    ],
)
def test_13_subqueries_of_every_kind_read_the_same_stream(worlds: Worlds, sql: str) -> None:
    worlds.rows(sql)


def test_13_a_hidden_row_exists_for_no_subquery(worlds: Worlds) -> None:
    assert worlds.rows("SELECT 1 WHERE EXISTS (FROM curated.person WHERE district <> '110101' OR rank > 2)", ZHAO) == []
    assert worlds.rows("SELECT count(*), max(rank) FROM curated.person", ZHAO) == [(2, 2)]


@pytest.mark.parametrize(
    "sql",
    [
        "WITH RECURSIVE t AS (SELECT name, rank FROM curated.person WHERE rank = 1 UNION ALL "
        "SELECT p.name, p.rank FROM t JOIN curated.person p ON p.rank = t.rank + 1) SELECT * FROM t",
        "SELECT name FROM curated.person UNION SELECT id_number FROM curated.person UNION ALL SELECT CAST(born AS VARCHAR) FROM curated.person",
        "SELECT name FROM curated.person QUALIFY row_number() OVER (PARTITION BY district ORDER BY born) = 1",
        "SELECT name FROM curated.person TABLESAMPLE reservoir(3 ROWS) REPEATABLE (7)",
        "SELECT a.name FROM (curated.person a JOIN curated.person b ON a.rank = b.rank)",
        "SELECT [x || '!' FOR x IN [name] IF x IS NOT NULL] FROM curated.person",
        "SELECT name FROM curated.person INTERSECT SELECT name FROM curated.person WHERE rank < 3",
    ],
)
def test_14_recursion_sets_samples_and_comprehensions_give_masked_values(worlds: Worlds, sql: str) -> None:
    worlds.rows(sql)


def test_15_the_users_own_text_runs_and_not_one_written_anew(worlds: Worlds) -> None:
    for sql in (
        "SELECT  rank  FROM curated.person WHERE name ~~ '王%' OR name SIMILAR TO '李.*' ORDER BY 1",
        "SELECT 7 // 2 ** 2 % 3, -7 % 3, 1 / 2, NOT 1 = 2 FROM curated.person LIMIT 1",
    ):
        assert examine(sql).sql == sql
        worlds.same(sql)
    assert worlds.rows("SELECT rank FROM curated.person WHERE name ^@ '王' OR name ^@ '李' ORDER BY 1") == [(1,), (2,)]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT name FROM `curated.person`",
        "SELECT name FROM [curated.person]",
        "SELECT name FROM curated.person FOR UPDATE",
        "SELECT name FROM curated.person@1",
        "SELECT name FROM curated.'person'",
        "THIS IS NOT VALID SQL",
    ],
)
def test_15_where_two_parsers_may_differ_nothing_hidden_is_read(worlds: Worlds, sql: str) -> None:
    """Refused by one of the two parsers, or read alike by both."""
    try:
        tables = examine(sql).tables
    except Refused:
        tables = ()
    assert set(tables) <= {"curated.person", "curated.'person'"}
    worlds.same(sql, LI)
