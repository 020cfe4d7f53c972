from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from governance.errors import Conflict
from governance.state import batches
from governance.state.database import Database
from governance.state.values import Base, Counts, Judged, Landed, Stored, Window, batch_id

DATASET = "tax.invoices"
JANUARY = Window(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))
FEBRUARY = Window(datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC))


class Hands:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def database(tmp_path: Path, clock: Hands) -> Database:
    database = Database(f"sqlite:///{tmp_path / 'state.sqlite'}", clock=clock)
    database.create()
    return database


def land(database: Database, window: Window, revision: int = 1, dataset: str = DATASET) -> str:
    batch = batch_id(dataset, window, revision)
    landed = Landed(batch, dataset, (), "csv", database.clock(), "a folder")
    with database.unit_of_work() as tx:
        batches.insert_landed(tx, landed, window, revision, database.clock())
    return batch


def store(database: Database, batch: str) -> None:
    stored = Stored(batch, DATASET, Base(), "h", (), (), (), (), 3, 0, 0, {})
    with database.unit_of_work() as tx:
        batches.save_stored(tx, stored)


def judge(database: Database, batch: str) -> None:
    judged = Judged(batch, DATASET, "go", (), Counts(3, 0, 3, 0), 1, 1)
    with database.unit_of_work() as tx:
        batches.save_judged(tx, judged, "judged")


def ready(database: Database, stage: batches.Stage) -> tuple[str, ...]:
    with database.read() as connection:
        return batches.ready(connection, stage, [DATASET])


def test_a_batch_goes_from_landed_to_judged_and_keeps_its_values(database: Database) -> None:
    batch = land(database, JANUARY)
    assert ready(database, "store") == (batch,)
    with database.unit_of_work() as tx:
        batches.save_base(tx, batch, Base({DATASET: None}, {"codes": "h"}))
    store(database, batch)
    assert ready(database, "store") == ()
    assert ready(database, "manage") == (batch,)
    judge(database, batch)
    with database.read() as connection:
        row = batches.find(connection, batch)
        assert row is not None
        assert (row.status, row.window, row.base) == ("judged", JANUARY, Base({DATASET: None}, {"codes": "h"}))
        assert row.landed is not None
        assert row.stored is not None
        assert row.judged is not None
        assert batches.live(connection, DATASET) == (row,)


def test_the_next_window_waits_until_the_first_is_judged(database: Database) -> None:
    second, first = land(database, FEBRUARY), land(database, JANUARY)
    assert ready(database, "store") == (first,)
    store(database, first)
    assert ready(database, "store") == ()
    judge(database, first)
    assert ready(database, "store") == (second,)


def test_a_failed_batch_is_tried_again_and_holds_up_nobody(database: Database) -> None:
    first, second = land(database, JANUARY), land(database, FEBRUARY)
    with database.unit_of_work() as tx:
        batches.mark_failed(tx, first, "SourceContentError", "the file is empty")
    assert ready(database, "store") == (first, second)
    store(database, second)
    judge(database, second)
    assert ready(database, "store") == ()
    with database.read() as connection:
        row = batches.find(connection, first)
    assert row is not None
    assert (row.error_class, row.error) == ("SourceContentError", "the file is empty")


def test_a_batch_that_failed_in_manage_waits_for_manage(database: Database) -> None:
    batch = land(database, JANUARY)
    store(database, batch)
    with database.unit_of_work() as tx:
        batches.mark_failed(tx, batch, "Conflict", "somebody came first")
    assert ready(database, "manage") == (batch,)
    assert ready(database, "store") == ()


def test_a_revision_replaces_one_that_never_got_past_landing(database: Database) -> None:
    first = land(database, JANUARY)
    with database.read() as connection:
        assert batches.next_revision(connection, DATASET, JANUARY) == 2
        assert batches.next_revision(connection, DATASET, FEBRUARY) == 1
    second = land(database, JANUARY, 2)
    with database.read() as connection:
        row = batches.find(connection, first)
        assert row is not None
        assert (row.status, row.replaced_by) == ("replaced", second)
        assert [row.id for row in batches.batches(connection, DATASET, "landed")] == [second]
        newest = batches.latest(connection, DATASET, JANUARY)
    assert newest is not None
    assert newest.id == second


def test_a_revision_leaves_a_live_batch_in_place(database: Database) -> None:
    first = land(database, JANUARY)
    store(database, first)
    judge(database, first)
    land(database, JANUARY, 2)
    with database.read() as connection:
        assert [row.id for row in batches.live(connection, DATASET)] == [first]


def test_landing_twice_and_storing_a_finished_batch_are_conflicts(database: Database) -> None:
    batch = land(database, JANUARY)
    with pytest.raises(Conflict, match="landed already"):
        land(database, JANUARY)
    store(database, batch)
    judge(database, batch)
    with pytest.raises(Conflict, match="is judged"):
        store(database, batch)
    with pytest.raises(Conflict, match="is judged"):
        judge(database, batch)


def test_a_finished_batch_cannot_fail(database: Database) -> None:
    batch = land(database, JANUARY)
    store(database, batch)
    judge(database, batch)
    with database.unit_of_work() as tx:
        batches.mark_failed(tx, batch, "WorkerFailed", "killed")
    with database.read() as connection:
        row = batches.find(connection, batch)
    assert row is not None
    assert row.status == "judged"


def test_a_lease_is_held_by_one_until_it_ends(database: Database, clock: Hands) -> None:
    batches.acquire_lease(database, DATASET, "one", 60)
    batches.acquire_lease(database, DATASET, "one", 60)
    with pytest.raises(Conflict, match="another run"):
        batches.acquire_lease(database, DATASET, "two", 60)
    batches.release_lease(database, DATASET, "two")
    with pytest.raises(Conflict):
        batches.acquire_lease(database, DATASET, "two", 60)
    clock.now += timedelta(seconds=61)
    batches.acquire_lease(database, DATASET, "two", 60)
    batches.release_lease(database, DATASET, "two")
    batches.acquire_lease(database, DATASET, "one", 60)


def test_an_unknown_stage_waits_for_nothing(database: Database) -> None:
    with pytest.raises(ValueError, match="store, manage"):
        ready(database, "develop")  # type: ignore[arg-type]
