"""Data without its ledger entry, or an entry without its data, cannot be committed: a fault before and after every
statement, at the commit itself, and a kill, leave all of it or nothing.

The units of work are real: landing a batch, issuing a grant, swapping a lake table with its run and entry.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, func, select

from governance.catalog.types import FileSource
from governance.collect import collect
from governance.config import Settings
from governance.keys import grants
from governance.keys.keyring import Keyring
from governance.keys.names import KeyName
from governance.lake.lake import Lake, TableChange
from governance.lake.specs import stored_spec
from governance.ledger.entry import append
from governance.ledger.verify import verify
from governance.lineage.record import record_run
from governance.state.database import Database
from governance.state.tables import batch, grant, ledger_entry, outbox, run
from governance.state.tables_lake import iceberg_tables, lake_file, lake_snapshot
from tests.collect.home import day, meters
from tests.lake.conftest import Home as LakeHome
from tests.lake.conftest import invoice_rows, invoices
from tests.ledger.ledgers import ACTOR

SPEC = stored_spec(invoices())
DATA = (batch, run, outbox, grant, lake_file, lake_snapshot)


class Injected(Exception):
    """The fault."""


@dataclass
class Home:
    settings: Settings
    database: Database
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def land(self) -> Callable[[], object]:
        """Landing one more day of a file: batch row, run, lineage, entry."""
        source = FileSource("in/meters.csv", "csv")
        window, keystore = day(next(self.numbers)), Keyring(self.settings.keyring, self.database)
        parts: dict[str, Any] = {"settings": self.settings, "database": self.database, "keystore": keystore}
        return lambda: collect(meters(source), window, **parts, actor=ACTOR)

    def grant(self) -> Callable[[], object]:
        def issue() -> None:
            with self.database.unit_of_work() as tx:
                key = KeyName("water", "water.meters", "L3")
                grants.issue(tx, actor=ACTOR, keys=[key], database=self.database)

        return issue

    def swap(self) -> Callable[[], object]:
        """What manage does: Iceberg's pointer, the files of the plan, the run and the entry."""
        keyring = Keyring(self.settings.keyring, self.database)
        lake = LakeHome(self.settings, self.database, keyring, Lake(self.settings, self.database, keyring))
        number = next(self.numbers)
        prepared = lake.lake.prepare([TableChange(SPEC.name, lake.write(SPEC, invoice_rows(number, number + 1)))])
        at = self.database.clock()

        def commit() -> None:
            with self.database.unit_of_work() as tx:
                snapshots = lake.lake.swap(tx, prepared)
                record_run(
                    tx,
                    actor=ACTOR,
                    stage="manage",
                    batch=None,
                    output=SPEC.name,
                    output_snapshot=snapshots[SPEC.name],
                    outcome="go",
                    counts={"rows": 1},
                    versions={},
                    inputs={},
                    edges=None,
                    at=at,
                    namespace="gov",
                )
                append(tx, "judged", {"rows": 1}, actor=ACTOR, writer=self.database.writer, at=at)

        return commit

    def seen(self) -> tuple[Any, ...]:
        """How many rows of data and of the ledger a reader sees, and Iceberg's pointers."""
        with self.database.read() as connection:
            counts = [connection.execute(select(func.count()).select_from(t)).scalar_one() for t in DATA]
            entries = connection.execute(select(func.count()).select_from(ledger_entry)).scalar_one()
            pointers = connection.execute(select(iceberg_tables.c.metadata_location)).scalars().all()
            assert verify(connection).sound
        return (*counts, entries, len(pointers), hash(frozenset(pointers)))


@pytest.fixture
def home(url: str, tmp_path: Path) -> Iterator[Home]:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "meters.csv").write_text("Meter,holder,ReadAt\n1,a,2026-03-01\n")
    folders = (tmp_path, tmp_path / "catalog", tmp_path / "expectations", tmp_path / "var", tmp_path / "keys")
    database = Database(url)
    database.create()
    yield Home(Settings(*folders, url), database)
    database.close()


class Fault:
    """Acts at the `number`-th statement of the database: before it, after it, or at the `number`-th commit."""

    def __init__(self, database: Database, kind: str, number: int, act: Callable[[], None]) -> None:
        self._target = (database.engine, kind, self._hit)
        self._number, self._act = number, act
        self.seen = 0

    def _hit(self, *_: object) -> None:
        self.seen += 1
        if self.seen == self._number:
            self._act()

    def __enter__(self) -> Fault:
        event.listen(*self._target)
        return self

    def __exit__(self, *_: object) -> None:
        event.remove(*self._target)

    @property
    def struck(self) -> bool:
        return self.seen >= self._number


def inject() -> None:
    raise Injected


@pytest.mark.parametrize("operation", ["land", "grant", "swap"])
@pytest.mark.parametrize("kind", ["before_cursor_execute", "after_cursor_execute", "commit"])
def test_a_fault_at_any_statement_leaves_all_or_nothing(home: Home, operation: str, kind: str) -> None:
    make: Callable[[], Callable[[], object]] = getattr(home, operation)
    make()()
    nothing = all_of_it = 0
    for number in itertools.count(1):
        act, before = make(), home.seen()
        with Fault(home.database, kind, number, inject) as fault, contextlib.suppress(Injected):
            act()
        after = home.seen()
        if after == before:
            nothing += 1
        else:
            all_of_it += 1
            gained = [b - a for a, b in zip(before[:-2], after[:-2], strict=True)]
            assert gained[-1] == 1, "exactly one entry"
            assert any(gained[:-1]), "with its data"
        if not fault.struck:
            break
    assert nothing >= (1 if kind == "commit" else 4)
    assert all_of_it >= 1


@pytest.mark.parametrize("kind", ["before_cursor_execute", "after_cursor_execute", "commit"])
def test_a_kill_at_any_statement_leaves_all_or_nothing(home: Home, kind: str) -> None:
    home.grant()()
    for number in itertools.count(1):
        before = home.seen()
        home.database.close()
        child = os.fork()
        if child == 0:
            database = Database(home.database.url)
            with Fault(database, kind, number, lambda: os.kill(os.getpid(), signal.SIGKILL)):
                replace(home, database=database).grant()()
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        gained = [b - a for a, b in zip(before[:-2], home.seen()[:-2], strict=True)]
        if status == 0:
            assert sum(gained) == 2
            break
        assert status == -signal.SIGKILL
        assert sum(gained) == 0
    assert number >= 2
