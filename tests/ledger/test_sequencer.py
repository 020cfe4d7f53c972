"""One sequencer at a time gives every entry its position; a dead or slow one does no harm."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import event, func, select, update

from governance.errors import Conflict, Damaged
from governance.ledger import merkle, sequencer
from governance.ledger.checkpoints import checkpoints, latest
from governance.ledger.sequencer import LEASE, follow, sequence
from governance.ledger.signer import KeySigner
from governance.state.batches import acquire_lease
from governance.state.tables import ledger_entry, ledger_tile
from tests.ledger.ledgers import Ledger, open_ledger

ONCE = """
import sys
from pathlib import Path
from tests.ledger.ledgers import open_ledger
open_ledger(Path(sys.argv[1])).sequence()
"""


def positions(ledger: Ledger) -> list[int | None]:
    with ledger.database.read() as connection:
        return list(connection.execute(select(ledger_entry.c.position).order_by(ledger_entry.c.id)).scalars())


def test_entries_get_positions_and_a_signed_head(ledger: Ledger) -> None:
    assert sequence(ledger.database, ledger.signer) is None
    ledger.append(3)
    first = ledger.sequence()
    ledger.append(2, "other")
    assert positions(ledger) == [0, 1, 2, None, None]
    second = ledger.sequence()
    with ledger.database.read() as connection:
        leaves = connection.execute(select(ledger_entry.c.leaf_hash).order_by(ledger_entry.c.position)).scalars().all()
        assert [c.size for c in checkpoints(connection)] == [3, 5]
    assert (first.size, first.root) == (3, merkle.root(leaves[:3]))
    assert (second.size, second.root) == (5, merkle.root(leaves))
    assert first.note.origin == second.note.origin
    assert ledger.problems() == ()


def test_entries_that_never_end_do_not_keep_it_from_ending(ledger: Ledger) -> None:
    class Busy(KeySigner):
        def sign(self, message: bytes) -> bytes:
            ledger.append(1)
            return super().sign(message)

    ledger.append(2)
    made = sequence(ledger.database, Busy(Ed25519PrivateKey.generate()))
    assert made is not None
    assert (made.size, positions(ledger)) == (2, [0, 1, None])


def test_what_waits_is_reported_as_such(ledger: Ledger) -> None:
    ledger.append(3)
    ledger.sequence()
    ledger.append(2)
    from governance.ledger.verify import verify

    with ledger.database.read() as connection:
        report = verify(connection)
    assert (report.sequenced, report.unsequenced, report.oldest_unsequenced) == (
        3,
        2,
        "2026-01-02T00:00:00.000000+00:00",
    )
    assert report.sound


def test_many_entries_are_sequenced_in_parts(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequencer, "ROWS", 300)
    ledger.append(1000)
    assert ledger.sequence().size == 1000
    with ledger.database.read() as connection:
        assert [c.size for c in checkpoints(connection)] == [300, 600, 900, 1000]
    assert ledger.problems() == ()


def test_sequencing_costs_what_is_new(ledger: Ledger) -> None:
    ledger.append(2_000)
    ledger.sequence()
    ledger.append(1)
    statements: list[str] = []

    def count(_c: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    event.listen(ledger.database.engine, "before_cursor_execute", count)
    ledger.sequence()
    with_work = len(statements)
    assert sequence(ledger.database, ledger.signer) is None
    event.remove(ledger.database.engine, "before_cursor_execute", count)
    assert with_work <= 30
    assert [s for s in statements[with_work:] if s.startswith("SELECT")] == statements[-1:]


def test_another_holder_of_the_lease_is_left_alone_and_replaced_when_it_is_dead(ledger: Ledger) -> None:
    ledger.append(1)
    acquire_lease(ledger.database, LEASE, "another", 0.5)
    assert sequence(ledger.database, ledger.signer, wait_seconds=0) is None
    assert positions(ledger) == [None]
    assert ledger.sequence().size == 1


def test_a_lease_that_a_wrong_clock_gave_holds_nobody_off(ledger: Ledger) -> None:
    ledger.append(1)
    acquire_lease(ledger.database, LEASE, "tomorrow", 86_400)
    made = sequence(ledger.database, ledger.signer, wait_seconds=0)
    assert made is not None
    assert made.size == 1


def test_a_sequencer_that_lost_its_lease_changes_nothing(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.append(5)

    class Slow(KeySigner):
        def sign(self, message: bytes) -> bytes:
            acquire_lease(ledger.database, LEASE, "another", 60)
            return super().sign(message)

    monkeypatch.setattr(sequencer, "LEASE_SECONDS", -1.0)
    assert sequence(ledger.database, Slow(Ed25519PrivateKey.generate()), wait_seconds=0) is None
    assert positions(ledger) == [None] * 5
    with ledger.database.read() as connection:
        assert latest(connection) is None
        assert connection.execute(select(func.count()).select_from(ledger_tile)).scalar_one() == 0
    with pytest.raises(Conflict):
        acquire_lease(ledger.database, LEASE, "third", 60)


@pytest.mark.parametrize("step", ["ledger.signed", "ledger.written"])
def test_a_sequencer_killed_at_any_step_is_replaced(tmp_path: Path, step: str) -> None:
    ledger = open_ledger(tmp_path)
    ledger.append(300)
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", ONCE, str(tmp_path)],
        cwd=root,
        env={**os.environ, "GOV_CRASH_AT": step, "PYTHONPATH": root},
    )
    assert done.returncode == -signal.SIGKILL
    assert positions(ledger) == [None] * 300
    assert ledger.sequence().size == 300
    assert ledger.problems() == ()
    ledger.database.close()


def test_a_follower_signs_while_there_is_work(ledger: Ledger) -> None:
    stop = threading.Event()
    signed: list[int] = []
    thread = threading.Thread(target=lambda: signed.append(follow(ledger.database, ledger.signer, stop, seconds=0.05)))
    thread.start()
    for _ in range(3):
        ledger.append(10)
        for _ in range(100):
            if None not in positions(ledger):
                break
            stop.wait(0.05)
        assert None not in positions(ledger)
    stop.set()
    thread.join()
    assert signed[0] >= 3
    assert ledger.problems() == ()


def test_a_new_signing_key_goes_on_with_the_same_log(ledger: Ledger) -> None:
    ledger.append(2)
    first = ledger.sequence()
    ledger.append(2)
    renewed = KeySigner(Ed25519PrivateKey.generate())
    second = sequence(ledger.database, renewed)
    assert second is not None
    assert second.note.origin == first.note.origin
    assert ledger.problems(first.note) == ()


def test_a_damaged_tree_is_never_signed_over(ledger: Ledger) -> None:
    ledger.append(3)
    ledger.sequence()
    with ledger.database.unit_of_work() as tx:
        tx.execute(update(ledger_tile).values(hashes=bytes(96)))
    ledger.append(1)
    with pytest.raises(Damaged, match="tiles"):
        sequence(ledger.database, ledger.signer)
    assert "tile 0/0 of the tree is not what its entries give" in ledger.problems()
    with ledger.database.unit_of_work() as tx:
        tx.execute(update(ledger_tile).values(hashes=b""))
    with pytest.raises(Damaged, match="too short"):
        sequence(ledger.database, ledger.signer)
