"""The worlds that attacks are tried on, made once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.attacks.worlds import RULES, Worlds, make
from tests.use.conftest import PEOPLE, Home, catalogue_of, open_home


@pytest.fixture(scope="session")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worlds]:
    made = make(tmp_path_factory.mktemp("worlds"))
    yield made
    made.close()


@pytest.fixture
def home(tmp_path) -> Iterator[Home]:
    """A home of the test's own, filled and not released."""
    opened = open_home(tmp_path / "home", catalogue_of(RULES))
    opened.fill(PEOPLE)
    yield opened
    opened.database.close()
