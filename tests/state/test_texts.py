"""What was in force on a day is a query over superseded rows."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from governance.state import tables, texts
from governance.state.database import Database

DAY = timedelta(days=1)
START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'state.sqlite'}")
    database.create()
    yield database
    database.close()


def test_a_changed_text_ends_the_old_one_and_both_can_be_asked_for(database: Database) -> None:
    with database.unit_of_work() as tx:
        texts.record(tx, {("contract", "tax.invoices"): ("a" * 64, "old")}, at=START)
    with database.unit_of_work() as tx:
        texts.record(tx, {("contract", "tax.invoices"): ("b" * 64, "new")}, at=START + DAY)
    with database.read() as connection:
        assert texts.as_of(connection, "contract", "tax.invoices", START - DAY) is None
        assert texts.as_of(connection, "contract", "tax.invoices", START) == "old"
        assert texts.as_of(connection, "contract", "tax.invoices", START + DAY) == "new"


def test_a_text_that_is_no_longer_declared_ends(database: Database) -> None:
    with database.unit_of_work() as tx:
        texts.record(tx, {("suite", "tax.invoices"): ("a" * 64, "rules")}, at=START)
        texts.record(tx, {}, at=START + DAY)
        assert texts.as_of(tx, "suite", "tax.invoices", START + DAY) is None


def test_recording_the_same_again_changes_nothing(database: Database) -> None:
    declared = {("contract", "tax.invoices"): ("a" * 64, "text"), ("suite", "tax.invoices"): ("a" * 64, "text")}
    with database.unit_of_work() as tx:
        texts.record(tx, declared, at=START)
    with database.read() as connection:
        assert not texts.differs(connection, declared)
    with database.unit_of_work() as tx:
        assert texts.record(tx, declared, at=START + DAY) == 0
        assert tx.execute(select(func.count()).select_from(tables.in_force)).scalar_one() == 2
        assert tx.execute(select(func.count()).select_from(tables.text)).scalar_one() == 1
