"""Every way to tamper with entries that is visible from inside the database is found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import delete, select, text, update

from governance.cli.ledger import command
from governance.errors import Damaged
from governance.ledger.entry import append, canonical, leaf_hash
from governance.ledger.verify import verify
from governance.state.database import Database
from governance.state.tables import ledger_entry
from governance.state.values import Actor

AT = datetime(2026, 1, 2, tzinfo=UTC)
ACTOR = Actor("service:store@tax", "pipeline.store", "run")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    (tmp_path / "gov.toml").write_text("", encoding="utf-8")
    database = Database(f"sqlite:///{tmp_path / 'var' / 'state.sqlite'}")
    database.create()
    for n in range(6):
        with database.unit_of_work() as tx:
            append(tx, "stored", {"n": n}, actor=ACTOR, writer=f"writer-{n % 2}", at=AT)
    yield database
    database.close()


def problems(database: Database) -> tuple[str, ...]:
    with database.read() as connection:
        return verify(connection).problems


def test_a_sound_ledger_is_sound(database: Database) -> None:
    with database.read() as connection:
        report = verify(connection)
    assert (report.sound, report.entries, report.writers, report.sequenced) == (True, 6, 2, 0)


def test_a_changed_byte_is_found(database: Database) -> None:
    with database.unit_of_work() as tx:
        body = tx.execute(select(ledger_entry.c.body).where(ledger_entry.c.id == 3)).scalar_one()
        tx.execute(update(ledger_entry).where(ledger_entry.c.id == 3).values(body=body.replace(b'"n":2', b'"n":7')))
    assert problems(database) == ("entry 3: its bytes do not give its leaf hash",)


def test_a_rewritten_entry_changes_the_root(database: Database) -> None:
    with database.read() as connection:
        before = verify(connection).root
    with database.unit_of_work() as tx:
        body = json.loads(tx.execute(select(ledger_entry.c.body).where(ledger_entry.c.id == 3)).scalar_one())
        body["facts"]["n"] = 99
        values = {"body": canonical(body), "leaf_hash": leaf_hash(canonical(body))}
        tx.execute(update(ledger_entry).where(ledger_entry.c.id == 3).values(values))
    with database.read() as connection:
        report = verify(connection)
    assert report.sound
    assert report.root != before


def test_a_removed_entry_is_a_gap(database: Database) -> None:
    with database.unit_of_work() as tx:
        tx.execute(delete(ledger_entry).where(ledger_entry.c.id == 3))
    assert problems(database) == ("entry 5: writer writer-0 counts 3 where 2 is due",)


def test_another_writer_or_kind_than_the_bytes_say_is_found(database: Database) -> None:
    with database.unit_of_work() as tx:
        tx.execute(update(ledger_entry).where(ledger_entry.c.id == 6).values(kind="release"))
    assert problems(database) == ("entry 6: writer, counter, kind or time differ from its bytes",)


def test_another_time_than_the_bytes_say_is_found(database: Database) -> None:
    """By it `--as-of` finds what was published then."""
    with database.unit_of_work() as tx:
        tx.execute(
            update(ledger_entry).where(ledger_entry.c.id == 6).values(recorded_at=datetime(2000, 1, 1, tzinfo=UTC))
        )
    assert problems(database) == ("entry 6: writer, counter, kind or time differ from its bytes",)


def test_bytes_that_were_replaced_by_text_are_found(database: Database) -> None:
    with database.unit_of_work() as tx:
        tx.execute(text("UPDATE ledger_entry SET body = CAST(body AS TEXT) WHERE id = 6"))
    assert problems(database) == ("entry 6: its bytes were replaced by text",)


def test_bytes_that_are_no_entry_are_found(database: Database) -> None:
    with database.unit_of_work() as tx:
        tx.execute(update(ledger_entry).where(ledger_entry.c.id == 6).values(body=b"{", leaf_hash=leaf_hash(b"{")))
        spaced = b'{"kind": "stored"}'
        tx.execute(update(ledger_entry).where(ledger_entry.c.id == 5).values(body=spaced, leaf_hash=leaf_hash(spaced)))
    assert set(problems(database)) == {
        "entry 5: its bytes are not canonical",
        "entry 5: writer, counter, kind or time differ from its bytes",
        "entry 6: its bytes are no entry",
    }


@pytest.mark.parametrize(
    "body", [b'{"counter":1.5}', b'{"a":NaN}', b"\xff", b'{"a":"\\ud800"}', b"[" * 9999, b'{"a":1,"a":1}']
)
def test_bytes_that_append_never_writes_are_found(database: Database, body: bytes) -> None:
    with database.unit_of_work() as tx:
        tx.execute(update(ledger_entry).where(ledger_entry.c.id == 6).values(body=body, leaf_hash=leaf_hash(body)))
    assert any("no entry" in problem or "not canonical" in problem for problem in problems(database))


def test_the_command_answers_and_fails_on_damage(database: Database, tmp_path: Path) -> None:
    sound = CliRunner().invoke(command, ["verify", "--json"], obj=tmp_path)
    assert json.loads(sound.output)["entries"] == 6
    with database.unit_of_work() as tx:
        tx.execute(delete(ledger_entry).where(ledger_entry.c.id == 2))
    damaged = CliRunner().invoke(command, ["verify"], obj=tmp_path)
    assert isinstance(damaged.exception, Damaged)
    assert "where 1 is due" in damaged.output
