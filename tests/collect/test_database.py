"""Database tables: exact values, order, windows by watermark; on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest
import sqlalchemy as sa

from governance.catalog.types import DatabaseSource
from governance.errors import DeclarationError, SourceContentError, SourceUnavailable
from governance.state.tables import run
from governance.state.values import Landed
from tests.collect.home import Home, day, meters
from tests.collect.postgres import PASSWORD


def table_of(home: Home, landed: Landed) -> pa.Table:
    (file,) = landed.files
    table = pa.ipc.open_stream(home.bytes_of(file)).read_all()
    assert file.rows == table.num_rows
    assert landed.format == "arrow"
    return table


def sqlite_file(home: Home, *statements: str) -> Path:
    path = home.settings.home / "in" / "city.db"
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    return path


SQLITE = DatabaseSource("sqlite:///in/city.db", "meters")


def test_sqlite_rows_land_as_exact_text_in_key_order(home: Home) -> None:
    sqlite_file(
        home,
        "CREATE TABLE meters (Meter INTEGER PRIMARY KEY, holder TEXT, amount TEXT, rate REAL, ReadAt DATE, flag BOOLEAN)",
        "INSERT INTO meters VALUES (3, '王小明', '0.1', 0.1, '2026-03-01', 1), (1, NULL, '12345678901234567.89', 30790.0, 'soon', 0),"
        " (2, x'00ff', 7, NULL, NULL, NULL)",
    )
    table = table_of(home, home.collect(meters(SQLITE)))
    assert set(table.schema.types) == {pa.string()}
    assert table.to_pydict() == {
        "Meter": ["1", "2", "3"],
        "holder": [None, "00ff", "王小明"],
        "amount": ["12345678901234567.89", "7", "0.1"],
        "rate": ["30790", None, "0.1"],
        "ReadAt": ["soon", None, "2026-03-01"],
        "flag": ["0", None, "1"],
    }


def test_many_rows_land_in_several_batches_in_one_order(home: Home) -> None:
    sqlite_file(
        home,
        "CREATE TABLE meters (Meter INTEGER PRIMARY KEY, holder TEXT)",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 25000)"
        " INSERT INTO meters SELECT 25001 - i, 'h' || i FROM n",
    )
    landed = home.collect(meters(SQLITE))
    stream = pa.ipc.open_stream(home.bytes_of(landed.files[0]))
    batches = list(stream)
    assert [batch.num_rows for batch in batches] == [10_000, 10_000, 5_000]
    assert batches[2].column("Meter")[-1].as_py() == "25000"


def test_an_empty_table_lands_with_no_rows_and_all_columns(home: Home) -> None:
    sqlite_file(home, "CREATE TABLE meters (Meter INTEGER, holder TEXT)")
    table = table_of(home, home.collect(meters(SQLITE)))
    assert (table.num_rows, table.column_names) == (0, ["Meter", "holder"])


def test_a_view_lands_like_a_table(home: Home) -> None:
    sqlite_file(
        home, "CREATE TABLE t (Meter INTEGER)", "INSERT INTO t VALUES (1)", "CREATE VIEW meters AS SELECT * FROM t"
    )
    assert table_of(home, home.collect(meters(SQLITE))).to_pydict() == {"Meter": ["1"]}


def test_append_reads_the_rows_of_its_window_and_history_can_be_read_later(home: Home) -> None:
    sqlite_file(
        home,
        "CREATE TABLE meters (Meter INTEGER PRIMARY KEY, ReadAt TIMESTAMP)",
        "INSERT INTO meters VALUES (1, '2026-03-01'), (2, '2026-03-01T23:59:59'), (3, '2026-03-02 00:00:00.000000'),"
        " (4, '2026-03-03T01:00:00+02:00'), (5, NULL)",
    )
    dataset = meters(SQLITE, "append", "read_at")
    windows = {n: table_of(home, home.collect(dataset, day(n)))["Meter"].to_pylist() for n in (1, 0, 2)}
    assert windows == {0: ["1", "2"], 1: ["3", "4"], 2: []}
    assert home.collect(dataset, day(0), again=True).batch.endswith(".2")
    with home.database.read() as connection:
        counts = connection.execute(sa.select(run.c.counts)).scalars().all()
    assert '"rows":2,"without_watermark":1' in counts[0]


def test_append_from_a_database_needs_a_watermark(home: Home) -> None:
    with pytest.raises(DeclarationError, match=r"gov\.watermark: append from a database needs"):
        home.collect(meters(SQLITE, "append"))


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ("Meter INTEGER", "there is no column 'ReadAt'"),
        ("Meter INTEGER, ReadAt INTEGER", "neither a date nor a timestamp"),
    ],
)
def test_a_watermark_that_cannot_be_used_says_why(home: Home, columns: str, said: str) -> None:
    sqlite_file(home, f"CREATE TABLE meters ({columns})")
    with pytest.raises(SourceContentError, match=said):
        home.collect(meters(SQLITE, "append", "read_at"))


def test_a_missing_database_is_not_made_and_may_be_tried_again(home: Home) -> None:
    with pytest.raises(SourceUnavailable, match=r"sqlite:///in/city\.db#meters: no such database"):
        home.collect(meters(SQLITE))
    assert not (home.settings.home / "in" / "city.db").exists()


def test_a_missing_table_fails_at_once(home: Home) -> None:
    sqlite_file(home, "CREATE TABLE other (a INTEGER)")
    with pytest.raises(SourceContentError, match="there is no such table or view"):
        home.collect(meters(SQLITE))


def test_a_file_that_is_no_database_fails_at_once(home: Home) -> None:
    path = sqlite_file(home)
    path.write_bytes(b"Meter,holder\n" * 100)
    with pytest.raises(SourceContentError, match="the database refused: DatabaseError"):
        home.collect(meters(SQLITE))


@pytest.mark.parametrize("location", ["unheard+of://reader:hidden@db/x", "not a url at all"])
def test_an_address_without_driver_says_what_to_do_and_no_password(home: Home, location: str) -> None:
    with pytest.raises(SourceContentError, match="no driver for this address") as raised:
        home.collect(meters(DatabaseSource(location, "meters")))
    assert "hidden" not in str(raised.value)


@pytest.fixture
def city(postgres: sa.URL) -> sa.URL:
    """A database of its own on the session's server."""
    engine = sa.create_engine(postgres, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql("DROP DATABASE IF EXISTS city")
        connection.exec_driver_sql("CREATE DATABASE city")
    return postgres.set(database="city")


def filled(url: sa.URL, *statements: str) -> DatabaseSource:
    """Runs the statements; the source names the password by variable."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    return DatabaseSource(
        f"postgresql+psycopg://governor:${{PG_PASSWORD}}@{url.host}:{url.port}/city", "meters", schema="utility"
    )


ENVIRON = {"PG_PASSWORD": PASSWORD}


@pytest.mark.postgres
def test_postgresql_rows_land_exact_and_typed(home: Home, city: sa.URL) -> None:
    source = filled(
        city,
        "CREATE SCHEMA utility",
        'CREATE TABLE utility.meters ("Meter" bigint PRIMARY KEY, holder text, code char(4), amount numeric, ok boolean,'
        " share double precision, small real, born date, at timestamptz, id uuid, tags text[], raw bytea, doc jsonb)",
        "INSERT INTO utility.meters VALUES (2, '王', 'ab', 12345678901234567890123456789.123456789, true, 0.1, 0.1,"
        " 'infinity', '2026-03-01 08:00+08', '00000000-0000-0000-0000-000000000001', '{a,b}', '\\x00ff', '{\"a\": 1}'),"
        " (1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
    )
    landed = home.collect(meters(source), environ=ENVIRON)
    table = table_of(home, landed)
    assert {name: column[1] for name, column in table.to_pydict().items()} == {
        "Meter": 2,
        "holder": "王",
        "code": "ab  ",
        "amount": "12345678901234567890123456789.123456789",
        "ok": True,
        "share": 0.1,
        "small": "0.1",
        "born": "infinity",
        "at": "2026-03-01 00:00:00+00",
        "id": "00000000-0000-0000-0000-000000000001",
        "tags": "{a,b}",
        "raw": "\\x00ff",
        "doc": '{"a": 1}',
    }
    assert table["Meter"].to_pylist() == [1, 2]
    assert landed.source == f"postgresql+psycopg://{city.host}:{city.port}/city#utility.meters"


@pytest.mark.postgres
def test_postgresql_windows_by_watermark_of_every_type(home: Home, city: sa.URL) -> None:
    for kind in ("timestamp", "timestamptz", "date"):
        source = filled(
            city,
            "CREATE SCHEMA IF NOT EXISTS utility",
            "DROP TABLE IF EXISTS utility.meters",
            f'CREATE TABLE utility.meters ("Meter" int PRIMARY KEY, "ReadAt" {kind})',
            "SET TIME ZONE 'UTC'",
            "INSERT INTO utility.meters VALUES (1, '2026-03-01'), (2, '2026-03-02'), (3, '2026-03-03'), (4, NULL)",
        )
        landed = home.collect(meters(source, "append", "read_at"), day(1), environ=ENVIRON, again=True)
        assert table_of(home, landed)["Meter"].to_pylist() == [2]


@pytest.mark.postgres
def test_postgresql_many_rows_stream_in_key_order(home: Home, city: sa.URL) -> None:
    source = filled(
        city,
        "CREATE SCHEMA utility",
        'CREATE TABLE utility.meters ("Meter" int PRIMARY KEY, holder text)',
        "INSERT INTO utility.meters SELECT i, 'h' || i FROM generate_series(25000, 1, -1) AS s(i)",
    )
    meter = table_of(home, home.collect(meters(source), environ=ENVIRON))["Meter"]
    assert meter.to_pylist() == list(range(1, 25_001))


@pytest.mark.postgres
def test_postgresql_errors_tell_again_from_now_and_no_password(home: Home, city: sa.URL) -> None:
    source = filled(city, "CREATE SCHEMA utility")
    with pytest.raises(SourceContentError, match="there is no such table or view"):
        home.collect(meters(source), environ=ENVIRON)
    with pytest.raises(SourceUnavailable, match="the database refused: OperationalError") as raised:
        home.collect(meters(source), environ={"PG_PASSWORD": "wr0ng"})
    assert "wr0ng" not in str(raised.value)
    filled(city, "CREATE TABLE utility.meters (a int)", "CREATE ROLE reader LOGIN PASSWORD 'reader'")
    reader = DatabaseSource(source.location.replace("governor:${PG_PASSWORD}", "reader:reader"), "meters", "utility")
    with pytest.raises(SourceContentError, match="SQLSTATE 42501"):
        home.collect(meters(reader))
