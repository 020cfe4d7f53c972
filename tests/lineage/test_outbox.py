"""Events leave at least once, in order, and never half."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import insert

from governance.errors import SourceUnavailable, StorageError
from governance.lineage.outbox import FILE, deliver, mirror
from governance.state.database import Database
from governance.state.tables import outbox

AT = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'state.sqlite'}")
    database.create()
    yield database
    database.close()


def put(database: Database, *numbers: int) -> None:
    with database.unit_of_work() as tx:
        tx.execute(insert(outbox), [{"event": json.dumps({"n": n}), "recorded_at": AT} for n in numbers])


def numbers(folder: Path) -> list[int]:
    return [json.loads(line)["n"] for line in (folder / FILE).read_text(encoding="utf-8").splitlines()]


def test_events_are_appended_once_and_in_order(database: Database, tmp_path: Path) -> None:
    put(database, *range(1100))
    assert mirror(database, tmp_path) == 1100
    assert mirror(database, tmp_path) == 0
    put(database, 1100)
    assert mirror(database, tmp_path) == 1
    assert numbers(tmp_path) == list(range(1101))


def test_a_receiver_that_is_down_loses_nothing(database: Database, tmp_path: Path) -> None:
    class Down:
        def send(self, events: Sequence[str]) -> None:
            raise SourceUnavailable("nobody answers")

    put(database, 1, 2)
    with pytest.raises(SourceUnavailable):
        deliver(database, Down())
    assert mirror(database, tmp_path) == 2


def test_a_half_written_line_does_not_swallow_the_next_event(database: Database, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"n": 1', encoding="utf-8")
    put(database, 2)
    mirror(database, tmp_path)
    assert (tmp_path / FILE).read_text(encoding="utf-8").splitlines()[-1] == '{"n": 2}'


def test_a_folder_that_cannot_be_written_is_told(database: Database, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("", encoding="utf-8")
    put(database, 1)
    with pytest.raises(StorageError, match="cannot be written"):
        mirror(database, tmp_path / "taken")
