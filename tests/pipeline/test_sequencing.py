"""Whoever answers signs the ledger: entries get their positions while a service runs and when a command ends, and no answer fails over it."""

from __future__ import annotations

import dataclasses
import logging
import time

import pytest
from sqlalchemy import func, select

from governance.config import Settings
from governance.ledger.entry import append
from governance.ledger.signer import FILE
from governance.ledger.verify import verify
from governance.pipeline.context import Context
from governance.pipeline.sequencing import sequence_now, sequencing
from governance.state.database import Database
from governance.state.tables import ledger_entry
from governance.state.values import Actor


@pytest.fixture
def context(tmp_path):
    settings = Settings(
        home=tmp_path,
        catalog=tmp_path / "catalog",
        expectations=tmp_path / "expectations",
        var=tmp_path / "var",
        keyring=tmp_path / "keys",
        database_url=f"sqlite:///{tmp_path / 'state.sqlite'}",
    )
    database = Database(settings.database_url)
    database.create()
    yield Context(settings, None, database, None, None)
    database.close()


def _append(context):
    with context.database.unit_of_work() as tx:
        actor, at = Actor("user:li", "statistics", "run-1"), context.database.clock()
        append(tx, "access", {"keys": 1}, actor=actor, writer=context.database.writer, at=at)


def _waiting(context):
    with context.database.read() as connection:
        query = select(func.count()).select_from(ledger_entry).where(ledger_entry.c.position.is_(None))
        return connection.execute(query).scalar_one()


def test_while_a_service_runs_an_entry_is_signed_within_a_second_or_so(context):
    with sequencing(context):
        for _ in range(2):
            _append(context)
            end = time.monotonic() + 10
            while _waiting(context) and time.monotonic() < end:
                time.sleep(0.02)
            assert not _waiting(context)
        _append(context)
    assert not _waiting(context)
    with context.database.read() as connection:
        assert verify(connection).problems == ()


def test_what_waits_is_signed_at_once_when_a_command_ends(context):
    _append(context)
    sequence_now(context)
    assert not _waiting(context)


def test_before_a_key_service_its_machine_signs_and_no_key_is_made_here(context):
    behind = dataclasses.replace(context, settings=dataclasses.replace(context.settings, key_socket="/nowhere/keys"))
    _append(behind)
    sequence_now(behind)
    with sequencing(behind):
        pass
    assert _waiting(behind) == 1
    assert not (behind.settings.keyring / FILE).exists()


def test_a_key_that_cannot_be_read_fails_nothing_and_is_said(context, caplog):
    context.settings.keyring.mkdir()
    (context.settings.keyring / FILE).write_text("no key")
    _append(context)
    with caplog.at_level(logging.ERROR, "governance"), sequencing(context):
        sequence_now(context)
    assert "the ledger is not signed" in caplog.text
    assert _waiting(context) == 1
