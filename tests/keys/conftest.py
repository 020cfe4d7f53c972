"""A state database, a clock that tests move, and an embedded keyring."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from governance.keys.keyring import Keyring
from governance.state.database import Database
from governance.state.values import Actor


@dataclass
class Clock:
    now: datetime = field(default_factory=lambda: datetime(2026, 3, 1, 12, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.now

    def pass_seconds(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(tmp_path: Path, clock: Clock) -> Iterator[Database]:
    made = Database(f"sqlite:///{tmp_path / 'state.sqlite'}", clock=clock)
    made.create()
    yield made
    made.close()


@pytest.fixture
def keyring(tmp_path: Path, database: Database) -> Keyring:
    return Keyring(tmp_path / "keys", database)


@pytest.fixture
def actor() -> Actor:
    return Actor("service:store@tax", "pipeline.store", "run-1")
