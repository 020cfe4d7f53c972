"""A state database, a clock that tests move, and an embedded keyring."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from governance.keys import grants
from governance.keys.keyring import Keyring
from governance.keys.names import Grant
from governance.state.database import Database
from governance.state.values import Actor

Issue = Callable[..., Grant]


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


@pytest.fixture
def issue(database: Database, actor: Actor) -> Issue:
    def made(**given: object) -> Grant:
        with database.unit_of_work() as tx:
            return grants.issue(tx, actor=actor, database=database, **given)  # type: ignore[arg-type]

    return made
