"""Checkpoints outside: sent with proof, countersigned by a witness that forgets nothing, compared before sending."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import delete, update

from governance.errors import Damaged, NotReady, Refused, SourceUnavailable
from governance.ledger.checkpoints import at_size
from governance.ledger.export import export, verify_export
from governance.ledger.note import LOG, WITNESS, parse, parse_verifier_key, verifier_key, witnessed_at
from governance.ledger.places import place
from governance.ledger.publish import note_name, publish
from governance.ledger.sequencer import sequence
from governance.ledger.signer import KeySigner
from governance.ledger.witness import witness
from governance.state.tables import checkpoint, checkpoint_sent, ledger_entry, ledger_tile
from tests.ledger.ledgers import AT, Ledger, open_ledger


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    return tmp_path / "outside"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return tmp_path / "witness" / "key.pem"


def grow(ledger: Ledger, outside: Path, entries: int = 3) -> None:
    ledger.append(entries)
    ledger.sequence()
    publish(ledger.database, str(outside))


def test_a_witness_countersigns_what_continues_what_it_has_seen(ledger: Ledger, outside: Path, key: Path) -> None:
    grow(ledger, outside)
    assert witness(outside, key, name="court", at=AT) == (3,)
    grow(ledger, outside)
    grow(ledger, outside, 300)
    assert witness(outside, key, name="court", at=AT) == (6, 306)
    assert witness(outside, key, name="court", at=AT) == ()
    assert witness(outside, key.with_name("second.pem"), name="press", at=AT, log=ledger.key) == (3, 6, 306)
    found = publish(ledger.database, str(outside))
    assert (found.sent, found.countersignatures) == (False, 5), "one came home when the second checkpoint went out"
    assert publish(ledger.database, str(outside)).countersignatures == 0
    with ledger.database.read() as connection:
        kept = at_size(connection, 306)
        export(connection, outside / "export")
    assert kept is not None
    for name in ("court", "press"):
        _, public = parse_verifier_key((outside / f"witness-{name}.vkey").read_text(), WITNESS)
        assert witnessed_at(kept.note, name, public) == AT
    assert verify_export(outside / "export", kept=[kept.note]).sound


def test_a_witness_refuses_a_log_that_lost_its_tail(ledger: Ledger, outside: Path, key: Path) -> None:
    grow(ledger, outside)
    grow(ledger, outside)
    witness(outside, key, name="court", at=AT)
    (outside / note_name(6)).unlink()
    with pytest.raises(Damaged, match="the tail is gone"):
        witness(outside, key, name="court", at=AT)


def test_a_witness_refuses_a_forked_log(ledger: Ledger, outside: Path, key: Path, tmp_path: Path) -> None:
    grow(ledger, outside)
    witness(outside, key, name="court", at=AT)
    other = open_ledger(tmp_path / "fork")
    fork = Ledger(other.home, other.database, ledger.signer)
    fork.append(1, "another past")
    grow(fork, tmp_path / "elsewhere", 2)
    shutil.copy(tmp_path / "elsewhere" / note_name(3), outside)
    with pytest.raises(Damaged, match="different roots"):
        witness(outside, key, name="court", at=AT)
    grow(fork, tmp_path / "elsewhere", 2)
    (outside / note_name(3)).unlink()
    for path in (tmp_path / "elsewhere").iterdir():
        if "0005" in path.name:
            shutil.copy(path, outside)
    with pytest.raises(Damaged, match="forked"):
        witness(outside, key, name="court", at=AT)
    next(outside.glob("consistency-*")).unlink()
    with pytest.raises(Damaged, match="no proof"):
        witness(outside, key, name="court", at=AT)
    assert not list(outside.glob("*0005.court.cosigned"))
    fork.database.close()


def test_a_witness_takes_a_new_key_of_the_log_only_from_a_person(ledger: Ledger, outside: Path, key: Path) -> None:
    grow(ledger, outside)
    witness(outside, key, name="court", at=AT)
    ledger.append(1)
    renewed = KeySigner(Ed25519PrivateKey.generate())
    assert sequence(ledger.database, renewed) is not None
    origin = publish(ledger.database, str(outside)).checkpoint.note.origin
    with pytest.raises(Damaged, match="not signed by the log's key"):
        witness(outside, key, name="court", at=AT)
    assert witness(outside, key, name="court", at=AT, log=verifier_key(origin, LOG, renewed.public_key)) == (4,)


def test_what_another_log_wrote_into_the_folder_is_neither_sent_beside_nor_passed_over(
    ledger: Ledger, outside: Path, key: Path, tmp_path: Path
) -> None:
    grow(ledger, outside, 5)
    witness(outside, key, name="court", at=AT)
    before = {path.name: path.read_bytes() for path in outside.iterdir()}
    anew = open_ledger(tmp_path / "anew")
    anew.append(3)
    anew.sequence()
    with pytest.raises(Damaged, match="another log"):
        publish(anew.database, str(outside))
    assert {path.name: path.read_bytes() for path in outside.iterdir()} == before
    publish(anew.database, str(tmp_path / "elsewhere"))
    shutil.copy(tmp_path / "elsewhere" / note_name(3), outside)
    with pytest.raises(Damaged, match="not signed by the log's key"):
        witness(outside, key, name="court", at=AT)
    anew.database.close()


@pytest.mark.parametrize(
    "target", ["ftp://audit/x", "s3://audit", "http://", "http://[bad/x", "mailto:", "mailto:a@b?server=localhost:abc"]
)
def test_a_target_that_names_no_place_is_refused(target: str) -> None:
    with pytest.raises(Refused, match="no place"):
        place(target)


def test_a_witness_needs_something_to_sign_and_a_name(outside: Path, key: Path, ledger: Ledger) -> None:
    outside.mkdir()
    with pytest.raises(NotReady, match="no checkpoint"):
        witness(outside, key, name="court", at=AT, log=ledger.key)
    with pytest.raises(Damaged, match="called so"):
        witness(outside, key, name="../court", at=AT)


def test_a_log_that_was_set_back_or_forked_sends_nothing(ledger: Ledger, outside: Path) -> None:
    grow(ledger, outside)
    grow(ledger, outside)
    with ledger.database.unit_of_work() as tx:
        tx.execute(delete(ledger_entry).where(ledger_entry.c.position >= 3))
        tx.execute(delete(checkpoint_sent))
        tx.execute(delete(checkpoint).where(checkpoint.c.size == 6))
        tx.execute(update(ledger_tile).values(hashes=_first(ledger, 3)))
    with pytest.raises(Damaged, match="its tail was removed"):
        publish(ledger.database, str(outside))
    ledger.append(4, "another past")
    ledger.sequence()
    assert ledger.problems() == ()
    with pytest.raises(Damaged, match="history was forked"):
        publish(ledger.database, str(outside))
    assert not (outside / note_name(7)).exists()


def test_forged_countersignatures_are_not_kept(ledger: Ledger, outside: Path, key: Path) -> None:
    grow(ledger, outside)
    witness(outside, key, name="court", at=AT)
    signed = next(outside.glob("*.cosigned"))
    note = parse(signed.read_text())
    forged = note.signatures[1]
    signed.write_text(str(note.with_signature(type(forged)(forged.name, forged.key_id, bytes(72)))))
    assert publish(ledger.database, str(outside)).countersignatures == 0


def _first(ledger: Ledger, leaves: int) -> bytes:
    from sqlalchemy import select

    with ledger.database.read() as connection:
        hashes: bytes = connection.execute(select(ledger_tile.c.hashes)).scalar_one()
    return hashes[: leaves * 32]


@contextmanager
def http_server(status: list[int]) -> Iterator[tuple[str, dict[str, bytes]]]:
    taken: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            taken[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status[0])
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/gov", taken
    server.shutdown()
    thread.join()
    server.server_close()


@contextmanager
def mail_server() -> Iterator[tuple[int, list[bytes]]]:
    """Just enough of RFC 5321 to take messages."""
    messages: list[bytes] = []
    loop = asyncio.new_event_loop()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        while line := await reader.readline():
            word = line[:4].upper()
            if word == b"DATA":
                writer.write(b"354 go on\r\n")
                messages.append(await reader.readuntil(b"\r\n.\r\n"))
            writer.write(b"221 bye\r\n" if word == b"QUIT" else b"250 ok\r\n")
            if word == b"QUIT":
                break
        writer.close()

    server = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield server.sockets[0].getsockname()[1], messages
    loop.call_soon_threadsafe(server.close)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_checkpoints_go_out_by_http_and_what_was_refused_is_sent_again(ledger: Ledger) -> None:
    ledger.append(3)
    ledger.sequence()
    status = [503]
    with http_server(status) as (address, taken):
        with pytest.raises(SourceUnavailable, match="503"):
            publish(ledger.database, address)
        status[0] = 201
        assert publish(ledger.database, address).sent
        assert not publish(ledger.database, address).sent
        ledger.append(1)
        ledger.sequence()
        assert publish(ledger.database, address).sent
    assert parse(taken[f"/gov/{note_name(4)}"].decode()).size == 4
    assert [path for path in taken if "consistency" in path] == [f"/gov/consistency-{3:020}-{4:020}.json"]
    with pytest.raises(SourceUnavailable):
        publish(ledger.database, address.replace("/gov", "/other"))


def test_checkpoints_go_out_by_mail(ledger: Ledger) -> None:
    ledger.append(3)
    made = ledger.sequence()
    with mail_server() as (port, messages):
        target = f"mailto:audit@example.org?server=127.0.0.1:{port}&from=gov@example.org"
        assert publish(ledger.database, target).sent
        assert not publish(ledger.database, target).sent
    message = message_from_bytes(messages[0])
    attached = {part.get_filename(): part.get_payload(decode=True) for part in message.walk() if part.get_filename()}
    assert message["To"] == "audit@example.org"
    assert attached[note_name(3)] == str(made.note).encode()
    with pytest.raises(SourceUnavailable, match="mail server"):
        publish(ledger.database, "mailto:other@example.org?server=127.0.0.1:1")
