"""Attacks 37-43: files, the network, extensions, settings, Python, what is left on the disk."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.attacks.worlds import BASE, ZHAO, Worlds

READERS = [
    "SELECT * FROM read_parquet('{}')",
    "SELECT * FROM read_csv('{}')",
    "SELECT * FROM read_csv_auto('{}')",
    "SELECT * FROM read_json('{}')",
    "SELECT * FROM read_text('{}')",
    "SELECT * FROM read_blob('{}')",
    "SELECT * FROM read_duckdb('{}')",
    "SELECT * FROM sniff_csv('{}')",
    "SELECT * FROM glob('{}')",
    "SELECT * FROM parquet_scan('{}')",
    "SELECT * FROM iceberg_scan('{}')",
    "SELECT * FROM sqlite_scan('{}', 'ledger_entry')",
]


def places(worlds: Worlds, tmp_path: Path) -> list[str]:
    """What an insider would like to open: the lake, the state, the keys, the machine, by ways around."""
    var = worlds.base.settings.var
    link = tmp_path / "link.csv"
    if not link.is_symlink():
        link.symlink_to("/etc/passwd")
    [data] = sorted((var / "lake" / "curated").rglob("*.parquet"))
    return [
        str(data),
        f"file://{data}",
        str(var / "state.sqlite"),
        f"{worlds.base.settings.keyring}/*",
        str(link),
        "/etc/passwd",
        "../../../../etc/passwd",
        "/proc/self/environ",
        "https://127.0.0.1/x.parquet",
    ]


@pytest.mark.parametrize("reader", READERS)
def test_37_no_function_reads_a_file(worlds: Worlds, tmp_path: Path, reader: str) -> None:
    for place in places(worlds, tmp_path):
        worlds.unread(reader.format(place), ZHAO)


def test_37_no_path_is_a_table(worlds: Worlds, tmp_path: Path) -> None:
    for place in places(worlds, tmp_path):
        worlds.refused(f"FROM '{place}'")
        worlds.refused(f'FROM "{place}"')


def test_37_without_the_guard_the_worker_opens_nothing(worlds: Worlds, tmp_path: Path) -> None:
    there = places(worlds, tmp_path)
    statements = [reader.format(place) for reader in READERS for place in there[::3]]
    statements += [f"FROM '{place}'" for place in there]
    for found in worlds.past(statements):
        assert failed(found) or found[1] == [], found


@pytest.mark.parametrize(
    "sql",
    [
        "COPY curated.person TO '{}'",
        "COPY (SELECT * FROM curated.person) TO '{}' (FORMAT parquet)",
        "COPY curated.person TO '/dev/stdout'",
        "COPY curated.person FROM '{}'",
        "EXPORT DATABASE '{}'",
        "IMPORT DATABASE '{}'",
        "COPY FROM DATABASE memory TO other",
    ],
)
def test_38_nothing_is_copied_out_or_in(worlds: Worlds, tmp_path: Path, sql: str) -> None:
    target = tmp_path / "out"
    worlds.unread(sql.format(target), ZHAO)
    [found] = worlds.past([sql.format(target)])
    assert failed(found)
    assert not target.exists()


@pytest.mark.parametrize(
    "sql",
    [
        "ATTACH ':memory:' AS other",
        "ATTACH '{}' AS state (TYPE sqlite)",
        "ATTACH 'host=127.0.0.1' AS pg (TYPE postgres)",
        "ATTACH 'md:x'",
        "DETACH memory",
        "USE memory",
    ],
)
def test_39_nothing_is_attached(worlds: Worlds, sql: str) -> None:
    text = sql.format(worlds.base.settings.var / "state.sqlite")
    worlds.unread(text)
    assert all(map(failed, worlds.past([text])))


@pytest.mark.parametrize(
    "sql",
    [
        "INSTALL httpfs",
        "LOAD httpfs",
        "FORCE INSTALL spatial FROM community",
        "INSTALL 'x.duckdb_extension'",
        "CREATE SECRET s (TYPE s3, KEY_ID 'a', SECRET 'b')",
        "CREATE PERSISTENT SECRET s (TYPE http)",
        "SELECT * FROM which_secret('s3://x', 's3')",
        "SELECT * FROM duckdb_secrets()",
        "SELECT * FROM duckdb_extensions()",
        "UPDATE EXTENSIONS",
    ],
)
def test_40_no_extension_and_no_secret(worlds: Worlds, sql: str) -> None:
    worlds.unread(sql)


def test_40_without_the_guard_no_extension_is_loaded_and_nothing_is_sent(worlds: Worlds) -> None:
    statements = [
        "SELECT * FROM 'https://127.0.0.1/x.parquet'",
        "FROM 's3://bucket/x.parquet'",
        "FROM read_text('https://127.0.0.1/')",
    ]
    assert all(map(failed, worlds.past(statements)))


@pytest.mark.parametrize(
    "sql",
    [
        "SET search_path = 'curated'",
        "SET schema = 'curated'",
        "USE curated",
        "SET VARIABLE x = 1",
        "SET lock_configuration = false",
        "SET enable_external_access = true",
        "SET allowed_paths = ['/etc/passwd']",
        "RESET lock_configuration",
        "PRAGMA enable_external_access",
        "SELECT set_config('threads', '4', false)",
        "SELECT current_setting('memory_limit')",
        "SELECT current_schema(), current_schemas(true), current_database()",
    ],
)
def test_41_no_setting_is_changed_or_read(worlds: Worlds, sql: str) -> None:
    worlds.unread(sql)


@pytest.mark.parametrize(
    "sql", ["SELECT * FROM df", "FROM tables", "SELECT * FROM request", "FROM inputs", "FROM self"]
)
def test_42_no_variable_of_python_is_a_table(worlds: Worlds, sql: str) -> None:
    worlds.refused(sql)
    assert all(map(failed, worlds.past([sql])))


def test_42_no_environment_and_no_python_function_is_called(worlds: Worlds, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOV_SECRET_CANARY", "HIDDEN-IN-ENVIRONMENT")
    for sql in ("SELECT getenv('GOV_SECRET_CANARY')", "SELECT read_env('PATH')", "SELECT python_eval('1')"):
        worlds.unread(sql)
    [found] = worlds.past(["SELECT getenv('GOV_SECRET_CANARY')"])
    assert failed(found) or found[1] == [[None]]


def test_43_a_statement_that_would_spill_leaves_nothing_on_the_disk(
    worlds: Worlds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than the worker's memory holds, sorted: it ends by code, and no file of it is anywhere that it could write."""
    monkeypatch.chdir(tmp_path)
    for variable in ("TMPDIR", "TEMP", "TMP", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    before = {home: written(home) for home in (worlds.base.settings.var, worlds.of_zhao.settings.var)}
    sql = "SELECT max(s) FROM (SELECT name || repeat(x::VARCHAR, 40) AS s FROM curated.person, range(30000000) r(x) ORDER BY 1) q"
    text = worlds.refused(sql, ZHAO)
    assert text.startswith("the statement failed: memory") or "memory limit" in text
    assert list(tmp_path.iterdir()) == []
    for home, files in before.items():
        assert {path for path in written(home) - files if not path.startswith("state.sqlite")} == set()


def test_43_no_file_of_a_home_holds_what_an_answer_held(worlds: Worlds) -> None:
    """Read by another process: closing a file of SQLite's here would give up the locks of this process on it."""
    worlds.rows("SELECT name, id_number, born FROM curated.person WHERE name = '王小明'", ZHAO)
    looked_for = [text.encode() for person in BASE for text in person[:2] if text and len(text) > 2]
    for home in (worlds.base, worlds.of_zhao):
        for path in home.settings.var.rglob("*"):
            if path.is_file():
                data = subprocess.run(["cat", path], capture_output=True, check=True).stdout
                assert not [value for value in looked_for if value in data], path.name


def failed(found: list) -> bool:
    """Whether an answer of the locked worker is an error."""
    return len(found) == 1 or not isinstance(found[0], str) or not found[0]


def written(folder: Path) -> set[str]:
    return {os.path.relpath(path, folder) for path in folder.rglob("*") if path.is_file()}
