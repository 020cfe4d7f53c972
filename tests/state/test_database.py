"""One write transaction: all of it or nothing; migrations can be repeated."""

from pathlib import Path

import pytest
from sqlalchemy import func, insert, inspect, select

from governance.errors import StorageError
from governance.state.database import Database
from governance.state.schema import metadata
from governance.state.tables import lease


def test_a_unit_of_work_that_fails_leaves_nothing(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'state.sqlite'}")
    database.create()
    with pytest.raises(KeyboardInterrupt):
        _interrupted(database)
    with database.read() as connection:
        assert connection.execute(select(func.count()).select_from(lease)).scalar_one() == 0
    database.close()


def test_creating_twice_gives_every_table_once(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'state.sqlite'}")
    database.create()
    database.create()
    assert set(metadata.tables) <= set(inspect(database.engine).get_table_names())
    database.close()


def test_sqlite_is_durable_and_waits(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'state.sqlite'}")
    database.create()
    with database.read() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
    database.close()


def _interrupted(database: Database) -> None:
    with database.unit_of_work() as tx:
        tx.execute(insert(lease).values(name="a", holder="b", expires_at=database.clock()))
        raise KeyboardInterrupt


def test_a_full_disk_is_told_as_such_and_nothing_of_the_unit_of_work_stays(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'state.sqlite'}")
    database.create()
    with database.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    rows = [{"name": f"lease {i}", "holder": "x" * 64, "expires_at": database.clock()} for i in range(2000)]
    with (
        pytest.raises(StorageError, match="the state database: its disk is full; free space and run again"),
        database.unit_of_work() as tx,
    ):
        tx.execute(insert(lease), rows)
    with database.read() as connection:
        assert connection.execute(select(func.count()).select_from(lease)).scalar_one() == 0


def test_a_database_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'state.sqlite'}")
    (tmp_path / "state.sqlite").mkdir()
    with pytest.raises(StorageError, match="the state database: it cannot be opened"), database.read():
        pass
