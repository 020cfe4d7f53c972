"""Checkpoints as text: one form, signed by the log and by witnesses; and the key file that signs."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_public_key,
)

from governance.errors import Damaged
from governance.ledger import note as notes
from governance.ledger.note import LOG, WITNESS, Note, parse, parse_verifier_key, verifier_key
from governance.ledger.signer import KeySigner, key_file, open_signer

SIGNER = KeySigner(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
UNSIGNED = Note("log", 7, bytes(32), datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC))
SIGNED = UNSIGNED.with_signature(notes.log_signature(UNSIGNED, SIGNER.public_key, SIGNER.sign(UNSIGNED.body.encode())))


def test_a_checkpoint_reads_as_it_was_written() -> None:
    assert UNSIGNED.body == f"log\n7\n{'A' * 43}=\nat 2026-01-02T03:04:05.000006+00:00\n"
    assert parse(str(SIGNED)) == SIGNED
    assert notes.signed_by_log(parse(str(SIGNED)), SIGNER.public_key)


@pytest.mark.parametrize(
    ("old", "new"), [("\n7\n", "\n8\n"), ("log\n7", "log\n07"), ("at ", "at  "), ("\n\n", "\n"), ("AA=", "AB=")]
)
def test_another_text_is_no_checkpoint_or_not_signed(old: str, new: str) -> None:
    changed = str(SIGNED).replace(old, new, 1)
    try:
        read = parse(changed)
    except Damaged:
        return
    assert not notes.signed_by_log(read, SIGNER.public_key)


def test_a_signature_by_another_key_or_name_does_not_count() -> None:
    other = KeySigner(Ed25519PrivateKey.generate())
    assert not notes.signed_by_log(SIGNED, other.public_key)
    assert not notes.signed_by_log(Note("log2", 7, bytes(32), UNSIGNED.at, SIGNED.signatures), SIGNER.public_key)
    forged = notes.log_signature(UNSIGNED, SIGNER.public_key, other.sign(UNSIGNED.body.encode()))
    assert not notes.signed_by_log(UNSIGNED.with_signature(forged), SIGNER.public_key)


def test_a_witness_signs_with_its_time() -> None:
    other = KeySigner(Ed25519PrivateKey.generate())
    signature = other.sign(notes.witness_message(SIGNED, 1_700_000_000))
    seen = SIGNED.with_signature(notes.witness_signature("court", other.public_key, 1_700_000_000, signature))
    assert notes.signed_by_log(seen, SIGNER.public_key)
    assert notes.witnessed_at(parse(str(seen)), "court", other.public_key) == datetime.fromtimestamp(1_700_000_000, UTC)
    assert notes.witnessed_at(seen, "court", SIGNER.public_key) is None
    later = notes.witness_signature("court", other.public_key, 1_700_000_001, signature)
    assert notes.witnessed_at(seen.with_signature(later), "court", other.public_key) is None


def test_a_verifier_key_reads_as_it_was_written() -> None:
    text = verifier_key("log", LOG, SIGNER.public_key)
    assert parse_verifier_key(text + "\n") == ("log", SIGNER.public_key)
    for wrong in (text.replace("log", "lag"), verifier_key("log", WITNESS, SIGNER.public_key), "log", "a+b+c"):
        with pytest.raises(Damaged, match="not a verifier key"):
            parse_verifier_key(wrong)


def test_the_signing_key_is_a_file_for_its_owner_alone_made_once(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    with ThreadPoolExecutor(8) as pool:
        made = {signer.public_key for signer in pool.map(open_signer, [folder] * 8)}
    assert len(made) == 1
    assert stat.S_IMODE((folder / "ledger.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    public = load_pem_public_key((folder / "ledger.pub.pem").read_bytes())
    assert public.public_bytes_raw() in made  # type: ignore[union-attr]
    assert sorted(path.name for path in folder.iterdir()) == ["ledger.pem", "ledger.pub.pem"]


def test_a_key_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    broken, other = tmp_path / "broken.pem", tmp_path / "other.pem"
    broken.write_text("no key")
    other.write_bytes(X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(Damaged, match="cannot be read"):
        key_file(broken)
    with pytest.raises(Damaged, match="another kind"):
        key_file(other)
