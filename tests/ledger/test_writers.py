"""Eight writers at once, two sequencers and threads of one process: nothing is lost, on either engine."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import func, select

from governance.errors import Conflict
from governance.ledger.entry import append
from governance.ledger.verify import Report, verify
from governance.state.batches import acquire_lease
from governance.state.database import Database
from governance.state.tables import ledger_entry, outbox
from tests.ledger import writers
from tests.ledger.ledgers import ACTOR, AT, Ledger, open_ledger

WRITERS, ENTRIES = 8, 40


@pytest.fixture
def ledger(url: str, tmp_path: Path) -> Iterator[Ledger]:
    opened = open_ledger(tmp_path, url)
    yield opened
    opened.database.close()


def report(ledger: Ledger) -> Report:
    with ledger.database.read() as connection:
        return verify(connection)


def test_eight_writers_and_two_sequencers_lose_nothing(ledger: Ledger) -> None:
    url, keys = ledger.database.url, str(ledger.home / "var" / "keys")
    sequencers = [writers.start("sequence", url, keys) for _ in range(2)]
    _, slowest = writers.written(url, WRITERS, ENTRIES)
    signed = sum(int(writers.result(process)) for process in sequencers)
    ledger.append(1)
    ledger.sequence()
    found = report(ledger)
    assert found.problems == ()
    assert (found.entries, found.writers, found.unsequenced) == (WRITERS * ENTRIES + 1, WRITERS + 1, 0)
    assert signed >= 1
    with ledger.database.read() as connection:
        assert connection.execute(select(func.count()).select_from(outbox)).scalar_one() == WRITERS * ENTRIES
    assert slowest < 1.0, "no writer waits over a second"


def test_threads_of_one_process_count_without_gap_or_wait(ledger: Ledger) -> None:
    """On PostgreSQL each open transaction of a writer counts in a lane of its own; on SQLite there is only one."""
    together = threading.Barrier(4, timeout=30)

    def work(_: int) -> None:
        for n in range(20):
            with ledger.database.unit_of_work() as tx:
                append(tx, "stored", {"n": n}, actor=ACTOR, writer=ledger.database.writer, at=AT)
                if n == 0 and tx.dialect.name == "postgresql":
                    together.wait()
                append(tx, "stored", {"n": n}, actor=ACTOR, writer=ledger.database.writer, at=AT)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    ledger.sequence()
    found = report(ledger)
    assert found.problems == ()
    assert found.entries == 160
    assert found.writers == 1 if ledger.database.url.startswith("sqlite") else 4 <= found.writers <= 8


def test_a_rolled_back_transaction_leaves_no_gap(ledger: Ledger) -> None:
    ledger.append(2)
    with contextlib.suppress(KeyError), ledger.database.unit_of_work() as tx:
        append(tx, "stored", {}, actor=ACTOR, writer="writer", at=AT)
        raise KeyError
    ledger.append(1)
    assert ledger.sequence().size == 3
    assert report(ledger).problems == ()


def test_entries_that_commit_late_come_after_what_has_a_position(ledger: Ledger) -> None:
    """On PostgreSQL a transaction that began first may commit last; the log never changes what it signed."""
    if ledger.database.url.startswith("sqlite"):
        pytest.skip("SQLite has one write transaction at a time")
    with ledger.database.unit_of_work() as tx:
        append(tx, "stored", {"late": True}, actor=ACTOR, writer="late", at=AT)
        ledger.append(2)
        assert ledger.sequence().size == 2
    assert ledger.sequence().size == 3
    assert report(ledger).problems == ()
    with ledger.database.read() as connection:
        placed = connection.execute(select(ledger_entry.c.writer).order_by(ledger_entry.c.position)).scalars().all()
    assert placed == ["writer", "writer", "late"]


def test_a_free_lease_goes_to_exactly_one_of_many(ledger: Ledger) -> None:
    for number in range(5):
        name, barrier = f"dataset-{number}", threading.Barrier(6, timeout=30)
        acquire_lease(ledger.database, name, "dead", -1.0)

        def take(holder: int, name: str = name, barrier: threading.Barrier = barrier) -> bool:
            own = Database(ledger.database.url)
            barrier.wait()
            try:
                acquire_lease(own, name, str(holder), 60)
            except Conflict:
                return False
            finally:
                own.close()
            return True

        with ThreadPoolExecutor(6) as pool:
            assert sum(pool.map(take, range(6))) == 1
