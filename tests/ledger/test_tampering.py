"""Each way to change what was recorded is found, in the state and in an export: a changed byte, a removed entry, a
removed tail, a reordered entry, a gap in a counter, a forked history, a checkpoint that says something else."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, delete, insert, select, update

from governance.errors import Damaged, StorageError
from governance.ledger.checkpoints import latest
from governance.ledger.entry import append, canonical, leaf_hash
from governance.ledger.export import CHECKPOINTS, ENTRIES, export, verify_export
from governance.ledger.note import Note, log_signature
from governance.ledger.signer import KeySigner
from governance.state.tables import checkpoint, ledger_entry, ledger_tile
from tests.ledger.ledgers import ACTOR, AT, Ledger, open_ledger


@pytest.fixture
def sequenced(ledger: Ledger) -> Ledger:
    """Eight entries of two writers, checkpoints of 4 and 8."""
    for writer in "abab":
        ledger.append(1, writer)
    ledger.sequence()
    for writer in "abab":
        ledger.append(1, writer)
    ledger.sequence()
    return ledger


def exported(ledger: Ledger) -> Path:
    with ledger.database.read() as connection:
        export(connection, ledger.home / "export")
    return ledger.home / "export"


def body_of(tx: Connection, position: int) -> bytes:
    body: bytes = tx.execute(select(ledger_entry.c.body).where(ledger_entry.c.position == position)).scalar_one()
    return body


def change(at: int, **values: Any) -> Any:
    return update(ledger_entry).where(ledger_entry.c.position == at).values(**values)


def changed_byte(tx: Connection) -> None:
    body = body_of(tx, 2)
    tx.execute(change(2, body=body.replace(b"run", b"ran")))


def rewritten(tx: Connection) -> None:
    """The bytes, and with them the leaf hash."""
    body = body_of(tx, 2).replace(b"run", b"ran")
    tx.execute(change(2, body=body, leaf_hash=leaf_hash(body)))


def removed(tx: Connection) -> None:
    tx.execute(delete(ledger_entry).where(ledger_entry.c.position == 5))


def removed_and_closed_up(tx: Connection) -> None:
    """The last entry of a writer, so that no counter has a gap, and the one after moved up."""
    tx.execute(delete(ledger_entry).where(ledger_entry.c.position == 6))
    tx.execute(change(7, position=6))


def reordered(tx: Connection) -> None:
    tx.execute(change(4, position=100))
    tx.execute(change(5, position=4))
    tx.execute(change(100, position=5))


def removed_tail(tx: Connection) -> None:
    tx.execute(delete(ledger_entry).where(ledger_entry.c.position >= 6))


def counter_gap(tx: Connection) -> None:
    body = json.loads(body_of(tx, 7))
    body["counter"] = 9
    tx.execute(change(7, body=canonical(body), leaf_hash=leaf_hash(canonical(body)), counter=9))


def invented(tx: Connection) -> None:
    body = body_of(tx, 7).replace(b'"counter":4', b'"counter":5')
    values = {"writer": "b", "counter": 5, "kind": "stored", "recorded_at": AT}
    tx.execute(insert(ledger_entry).values(body=body, leaf_hash=leaf_hash(body), position=8, **values))


def other_root(tx: Connection) -> None:
    tx.execute(update(checkpoint).where(checkpoint.c.size == 4).values(root=bytes(32)))


def other_time(tx: Connection) -> None:
    tx.execute(update(checkpoint).where(checkpoint.c.size == 4).values(at=AT - timedelta(days=9)))


def no_checkpoint(tx: Connection) -> None:
    tx.execute(delete(checkpoint).where(checkpoint.c.size == 8))


TAMPERED: list[tuple[Callable[[Connection], None], str]] = [
    (changed_byte, "its bytes do not give its leaf hash"),
    (rewritten, "the first 4 entries do not give their checkpoint"),
    (removed, "position 6 stands where 5 is due"),
    (removed_and_closed_up, "a checkpoint speaks of 8 entries, 7 are there"),
    (reordered, "the first 8 entries do not give their checkpoint"),
    (removed_tail, "a checkpoint speaks of 8 entries, 6 are there"),
    (counter_gap, "counts 9 where 4 is due"),
    (invented, "9 entries have a position, the newest checkpoint speaks of 8"),
    (other_root, "the checkpoint of 4 entries is not validly signed"),
    (other_time, "the checkpoint of 4 entries is not validly signed"),
    (no_checkpoint, "8 entries have a position, the newest checkpoint speaks of 4"),
]


def test_what_nobody_touched_is_sound(sequenced: Ledger) -> None:
    report = verify_export(exported(sequenced))
    assert sequenced.problems() == report.problems == ()
    assert (report.entries, report.sequenced, report.writers, report.checkpoints) == (8, 8, 2, 2)


@pytest.mark.parametrize(("tamper", "found"), TAMPERED, ids=[tamper.__name__ for tamper, _ in TAMPERED])
def test_it_is_found_in_the_state_and_in_an_export(
    sequenced: Ledger, tamper: Callable[[Connection], None], found: str
) -> None:
    with sequenced.database.unit_of_work() as tx:
        tamper(tx)
    assert any(found in problem for problem in sequenced.problems())
    assert any(found in problem for problem in verify_export(exported(sequenced)).problems)


def test_one_flipped_bit_anywhere_in_an_export_is_found(sequenced: Ledger) -> None:
    folder = exported(sequenced)
    lines = (folder / ENTRIES).read_text().splitlines()
    for number, line in enumerate(lines):
        entry = json.loads(line)
        body = bytearray(base64.b64decode(entry["body"]))
        for at in range(0, len(body), 37):
            body[at] ^= 1
            damaged = {**entry, "body": base64.b64encode(body).decode()}
            body[at] ^= 1
            (folder / ENTRIES).write_text("\n".join([*lines[:number], json.dumps(damaged), *lines[number + 1 :]]))
            assert not verify_export(folder).sound


def test_a_tail_removed_with_its_checkpoint_is_found_by_the_kept_one(sequenced: Ledger) -> None:
    with sequenced.database.read() as connection:
        newest = latest(connection)
    assert newest is not None
    with sequenced.database.unit_of_work() as tx:
        tx.execute(delete(ledger_entry).where(ledger_entry.c.position >= 4))
        tx.execute(delete(checkpoint).where(checkpoint.c.size == 8))
        short = tx.execute(select(ledger_tile.c.hashes)).scalar_one()[: 4 * 32]
        tx.execute(update(ledger_tile).values(hashes=short))
    found = ("the kept checkpoint of 8 entries: 4 are there, so the tail was removed",)
    assert sequenced.problems() == ()
    assert sequenced.problems(newest.note) == found
    assert verify_export(exported(sequenced), kept=[newest.note]).problems == found


def test_a_history_written_anew_with_the_same_key_is_found_by_the_kept_checkpoint(
    sequenced: Ledger, tmp_path: Path
) -> None:
    with sequenced.database.read() as connection:
        newest = latest(connection)
    assert newest is not None
    forked = open_ledger(tmp_path / "fork")
    fork = Ledger(forked.home, forked.database, sequenced.signer)
    fork.append(9, "a")
    fork.sequence()
    assert fork.problems() == ()
    assert fork.problems(newest.note) == ("the kept checkpoint of 8 entries has another root: history was forked",)
    found = verify_export(exported(fork), kept=[newest.note]).problems
    assert found == ("the kept checkpoint of 8 entries has another root: history was forked",)
    fork.database.close()


def test_a_kept_checkpoint_of_another_log_or_key_is_said_to_be_so(sequenced: Ledger) -> None:
    with sequenced.database.read() as connection:
        newest = latest(connection)
    assert newest is not None
    other = KeySigner(Ed25519PrivateKey.generate())
    foreign = Note("another", 8, newest.root, newest.at)
    assert sequenced.problems(foreign) == ("the kept checkpoint of 8 entries is of another log, another",)
    unsigned = Note(newest.note.origin, 8, newest.root, newest.at)
    forged = unsigned.with_signature(log_signature(unsigned, other.public_key, other.sign(unsigned.body.encode())))
    assert sequenced.problems(forged) == ("the kept checkpoint of 8 entries is not signed by this log's key",)


def test_checkpoints_signed_by_a_key_that_is_not_expected_are_found(sequenced: Ledger) -> None:
    folder, other = exported(sequenced), KeySigner(Ed25519PrivateKey.generate())
    assert verify_export(folder, keys=[sequenced.signer.public_key]).sound
    assert verify_export(folder, keys=[other.public_key]).broken == 2


def test_an_export_that_is_cut_or_is_none_is_said_to_be_so(sequenced: Ledger) -> None:
    folder = exported(sequenced)
    text = (folder / ENTRIES).read_text()
    (folder / ENTRIES).write_text(text[:-20])
    with pytest.raises(Damaged, match="JSON"):
        verify_export(folder)
    (folder / ENTRIES).write_text('{"position": "1"}\n')
    with pytest.raises(Damaged, match=r"entries.jsonl:1"):
        verify_export(folder)
    (folder / CHECKPOINTS).unlink()
    with pytest.raises(StorageError, match=r"checkpoints.jsonl"):
        verify_export(folder)


def test_an_entry_appended_by_the_same_writer_counts_on(sequenced: Ledger) -> None:
    with sequenced.database.unit_of_work() as tx:
        append(tx, "stored", {"n": 1}, actor=ACTOR, writer="a", at=AT)
        append(tx, "stored", {"n": 2}, actor=ACTOR, writer="a", at=AT)
    assert sequenced.problems() == ()
