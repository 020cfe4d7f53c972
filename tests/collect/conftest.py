"""Fixtures of the tests of collect: an empty home, and a way to deliver files to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.collect.home import Home, open_home
from tests.collect.postgres import binaries, server


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    opened = open_home(tmp_path / "home")
    yield opened
    opened.database.close()


@pytest.fixture
def deliver(home: Home) -> Callable[[str, bytes], Path]:
    """Puts a file into the home's `in` folder."""

    def put(name: str, data: bytes) -> Path:
        path = home.settings.home / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    return put


@pytest.fixture(scope="session")
def postgres() -> Iterator[sa.URL]:
    """The URL of a PostgreSQL server that lives as long as the session."""
    if binaries() is None:
        pytest.skip("no PostgreSQL server is installed here, or only root could start it")
    with server() as url:
        yield url
