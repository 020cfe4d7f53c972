"""Attacks 31-36: statistics, plans, the engine's catalogue, Parquet footers, and what refusals give away."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from governance.cli.main import group
from governance.errors import GovernanceError
from tests.attacks.worlds import BASE, IDLE, LI, ZHAO, Worlds
from tests.use.conftest import Home

CATALOGUE = [
    "SELECT table_name, estimated_size, column_count FROM duckdb_tables()",
    "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE NOT internal",
    "SELECT * FROM duckdb_constraints()",
    "SELECT * FROM duckdb_indexes()",
    "SELECT view_name, sql FROM duckdb_views() WHERE NOT internal",
    "SELECT * FROM duckdb_prepared_statements()",
    "SELECT * FROM duckdb_logs()",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM duckdb_variables()",
    "SELECT * FROM pragma_storage_info('curated.person')",
    "SELECT name, value FROM duckdb_settings() WHERE name NOT IN ('memory_limit', 'max_memory', 'threads')",
    "SELECT * FROM duckdb_external_file_cache()",
    "SELECT database_name, path, readonly FROM duckdb_databases()",
]


@pytest.mark.parametrize("who", [LI, ZHAO], ids=["masks", "rows"])
@pytest.mark.parametrize("column", ["name", "rank", "income", "district"])
def test_31_stats_of_a_column_are_refused(worlds: Worlds, column: str, who: tuple[str, str]) -> None:
    worlds.unread(f"SELECT stats({column}) FROM curated.person LIMIT 1", who)  # noqa: S608


def test_31_aggregates_that_work_like_statistics_see_visible_rows_alone(worlds: Worlds) -> None:
    sql = "SELECT min(rank), max(rank), approx_count_distinct(name), histogram(district), entropy(born), mode(name) FROM curated.person"
    worlds.rows(sql, ZHAO)
    worlds.rows(sql, LI)


@pytest.mark.parametrize("who", [LI, ZHAO], ids=["masks", "rows"])
@pytest.mark.parametrize(
    "wrapped",
    [
        "EXPLAIN {}",
        "EXPLAIN (FORMAT json) {}",
        "SELECT * FROM (EXPLAIN {})",
        "EXPLAIN EXPLAIN {}",
        "PRAGMA explain_output = 'all'",
    ],
)
def test_32_no_plan_and_no_estimate_is_shown(worlds: Worlds, wrapped: str, who: tuple[str, str]) -> None:
    worlds.unread(wrapped.format("SELECT * FROM curated.person WHERE rank > 2"), who)


@pytest.mark.parametrize(
    "sql",
    [
        "EXPLAIN ANALYZE SELECT * FROM curated.person",
        "EXPLAIN (ANALYZE, FORMAT json) SELECT * FROM curated.person",
        "PRAGMA enable_profiling",
        "SET enable_profiling = 'json'",
        "SELECT * FROM pragma_last_profiling_output()",
    ],
)
def test_33_nothing_is_profiled(worlds: Worlds, sql: str) -> None:
    worlds.unread(sql)


@pytest.mark.parametrize("sql", CATALOGUE)
def test_34_functions_of_the_catalogue_are_refused(worlds: Worlds, sql: str) -> None:
    worlds.unread(sql)
    for name in ("information_schema.tables", "pg_catalog.pg_class", "sqlite_master", "duckdb_tables"):
        worlds.refused(f"SELECT * FROM {name}")  # noqa: S608


@pytest.mark.parametrize("who", [LI, ZHAO], ids=["masks", "rows"])
def test_34_without_the_guard_the_catalogue_knows_the_visible_rows_alone(worlds: Worlds, who: tuple[str, str]) -> None:
    """The locked worker, asked past the guard: its catalogue is the same in both worlds."""
    found = worlds.past(CATALOGUE, who)
    assert found[0][1][0][:2] == ["person", 2 if who == ZHAO else 5]


def data_files(home: Home) -> list[Path]:
    return sorted((home.settings.lake / "curated").rglob("*.parquet"))


@pytest.mark.parametrize(
    "function",
    ["parquet_metadata", "parquet_schema", "parquet_file_metadata", "parquet_kv_metadata", "parquet_bloom_probe"],
)
def test_35_parquet_functions_are_refused(worlds: Worlds, function: str) -> None:
    [path] = data_files(worlds.base)
    worlds.unread(f"SELECT * FROM {function}('{path}')")  # noqa: S608


def test_35_footers_of_the_lakes_own_files_hold_no_statistics_of_encrypted_columns(worlds: Worlds) -> None:
    hidden = [text for person in BASE for text in map(str, person[:4]) if text != "None"]
    for home in (worlds.base, worlds.of_li, worlds.of_zhao):
        for path in data_files(home):
            data = path.read_bytes()
            assert not [text for text in hidden if text.encode() in data]
            with pytest.raises((OSError, duckdb.Error)), duckdb.connect() as con:
                con.execute("SELECT name FROM read_parquet(?)", [str(path)]).fetchall()
            for at, name in enumerate(pq.read_schema(path).names):
                if name in ("id_number", "name", "born", "income"):
                    with duckdb.connect() as con:
                        found = con.execute(
                            "SELECT stats_min, stats_max, stats_distinct_count FROM parquet_metadata(?) WHERE column_id = ?",
                            [str(path), at],
                        ).fetchall()
                    assert all(value in (None, "") for row in found for value in row), name


def test_36_forbidden_and_absent_are_told_alike(worlds: Worlds) -> None:
    for forbidden, absent in (
        ("SELECT income FROM curated.person", "SELECT nowhere FROM curated.person"),
        ("SELECT id_number__token FROM curated.person", "SELECT id_number__x FROM curated.person"),
        ("SELECT _row FROM curated.person", "SELECT _column FROM curated.person"),
        ("SELECT incom FROM curated.person", "SELECT nowher FROM curated.person"),
        ("SELECT name FROM curated.people", "SELECT name FROM curated.nothing"),
    ):
        assert worlds.same(forbidden, ZHAO) == worlds.same(absent, ZHAO)
        if "income" not in forbidden:  # which is there for the statistician, in groups
            assert worlds.same(forbidden) == worlds.same(absent)
    assert worlds.same("SELECT name FROM curated.person", IDLE) == worlds.same("SELECT name FROM curated.nothing", IDLE)


def test_36_the_command_line_tells_no_more_than_the_function(worlds: Worlds, tmp_path: Path) -> None:
    from tests.use.conftest import fields
    from tests.use.test_cli import write_home

    folder = tmp_path / "home"
    write_home(folder, fields())
    said = []
    for sql in ("SELECT name FROM curated.person", "SELECT name FROM curated.nothing"):
        words = ["--home", str(folder), "query", "--as", "user:idle", "--purpose", "statistics", sql, "--json"]
        with pytest.raises(GovernanceError) as caught:
            CliRunner().invoke(group, words, catch_exceptions=False, standalone_mode=False)
        said.append(json.dumps(str(caught.value)))
    assert said[0] == said[1]
