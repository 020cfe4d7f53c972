"""A ledger in SQLite, and URLs of fresh databases on either engine."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.collect import postgres
from tests.ledger.ledgers import Ledger, open_ledger

_NUMBERS = itertools.count(1)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = open_ledger(tmp_path)
    yield opened
    opened.database.close()


@pytest.fixture(scope="session")
def server() -> Iterator[sa.URL]:
    """One PostgreSQL server for all tests of the ledger."""
    if postgres.binaries() is None:
        pytest.skip("no PostgreSQL server that can be started here")
    with postgres.server() as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database: a file, or one of the server's own."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'var' / 'state.sqlite'}"
    server: sa.URL = request.getfixturevalue("server")
    name = f"ledger_{next(_NUMBERS)}"
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    return server.set(database=name).render_as_string(hide_password=False)
