"""A checkpoint as text: the signed note of C2SP (`tlog-checkpoint`, `signed-note`, `tlog-cosignature`). Pure.

    gov-ledger-1f0c…                              origin: the log's name
    1234                                          size: entries
    qINS1GRFhWHwdkUeqLEoP4yEMkTBBzxBkGwGQlVlVcs=  root: RFC 9162 tree head, base64
    at 2026-01-02T03:04:05.000006+00:00           when it was signed, by the log's clock

    — gov-ledger-1f0c… <base64 of 4 bytes key id, Ed25519 signature>
    — witness <base64 of 4 bytes key id, 8 bytes Unix time, Ed25519 signature>

The log signs the text above the blank line, its last line feed included; a witness signs `cosignature/v1`, `time
<seconds>` and that text. A verifier key is `<name>+<key id, hex>+<base64 of the algorithm's byte and the public key>`;
the key id is the first 4 bytes of SHA-256(name, line feed, that byte, public key).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from governance.errors import Damaged

LOG, WITNESS = b"\x01", b"\x04"
_DASH = "— "
_KEY_ID_BYTES, _TIME_BYTES = 4, 8


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line: the signer's name, and what follows the key id."""

    name: str
    key_id: bytes
    payload: bytes

    def __str__(self) -> str:
        return f"{_DASH}{self.name} {base64.b64encode(self.key_id + self.payload).decode('ascii')}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A checkpoint with its signatures, which nobody has verified yet."""

    origin: str
    size: int
    root: bytes
    at: datetime
    signatures: tuple[Signature, ...] = ()

    @property
    def body(self) -> str:
        """The text that is signed."""
        root = base64.b64encode(self.root).decode("ascii")
        return f"{self.origin}\n{self.size}\n{root}\nat {self.at.astimezone(UTC).isoformat(timespec='microseconds')}\n"

    def __str__(self) -> str:
        return f"{self.body}\n{''.join(map(str, self.signatures))}"

    def with_signature(self, signature: Signature) -> Note:
        """The note with one more signature line; a second one of the same key takes the place of the first."""
        others = tuple(s for s in self.signatures if (s.name, s.key_id) != (signature.name, signature.key_id))
        return replace(self, signatures=(*others, signature))


def parse(text: str, where: str = "") -> Note:
    """Raises Damaged when `text` is not exactly what a note of this form prints as."""
    body, _, lines = text.partition("\n\n")
    try:
        origin, size, root, at = body.split("\n")
        instant = datetime.fromisoformat(at.removeprefix("at "))
        note = Note(origin, int(size), base64.b64decode(root, validate=True), instant, tuple(_signatures(lines)))
        if instant.tzinfo is None or len(note.root) != 32 or str(note) != text:
            raise ValueError
    except (ValueError, binascii.Error):
        raise Damaged("it is not a checkpoint of a ledger", where=where, do="take it again from its source") from None
    return note


def key_id(name: str, algorithm: bytes, public_key: bytes) -> bytes:
    return hashlib.sha256(name.encode("utf-8") + b"\n" + algorithm + public_key).digest()[:_KEY_ID_BYTES]


def verifier_key(name: str, algorithm: bytes, public_key: bytes) -> str:
    """
    >>> verifier_key("log", LOG, bytes(32))
    'log+5d68977d+AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'
    """
    encoded = base64.b64encode(algorithm + public_key).decode("ascii")
    return f"{name}+{key_id(name, algorithm, public_key).hex()}+{encoded}"


def parse_verifier_key(text: str, algorithm: bytes = LOG) -> tuple[str, bytes]:
    """Name and public key. Raises Damaged for anything else than a verifier key of this algorithm."""
    try:
        name, _, encoded = text.strip().split("+", 2)
        public_key = base64.b64decode(encoded, validate=True)[1:]
        if verifier_key(name, algorithm, public_key) != text.strip() or len(public_key) != 32:
            raise ValueError
    except (ValueError, binascii.Error):
        raise Damaged("it is not a verifier key", where=text.strip()[:80], allowed="name+key id+base64") from None
    return name, public_key


def log_signature(note: Note, public_key: bytes, signature: bytes) -> Signature:
    return Signature(note.origin, key_id(note.origin, LOG, public_key), signature)


def signed_by_log(note: Note, public_key: bytes) -> bool:
    """Whether the log with this public key signed the note."""
    wanted = (note.origin, key_id(note.origin, LOG, public_key))
    found = [s.payload for s in note.signatures if (s.name, s.key_id) == wanted]
    return any(valid(public_key, payload, note.body.encode("utf-8")) for payload in found)


def witness_message(note: Note, seconds: int) -> bytes:
    return f"cosignature/v1\ntime {seconds}\n{note.body}".encode()


def witness_signature(name: str, public_key: bytes, seconds: int, signature: bytes) -> Signature:
    payload = seconds.to_bytes(_TIME_BYTES, "big") + signature
    return Signature(name, key_id(name, WITNESS, public_key), payload)


def witnessed_at(note: Note, name: str, public_key: bytes) -> datetime | None:
    """When this witness says that it countersigned; None when there is no valid countersignature of it."""
    wanted = (name, key_id(name, WITNESS, public_key))
    for found in note.signatures:
        if (found.name, found.key_id) == wanted and len(found.payload) > _TIME_BYTES:
            seconds = int.from_bytes(found.payload[:_TIME_BYTES], "big")
            if valid(public_key, found.payload[_TIME_BYTES:], witness_message(note, seconds)):
                return datetime.fromtimestamp(seconds, UTC)
    return None


def valid(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether it is an Ed25519 signature (RFC 8032) of the message."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _signatures(lines: str) -> Iterator[Signature]:
    for line in lines.splitlines():
        name, encoded = line.removeprefix(_DASH).split(" ")
        raw = base64.b64decode(encoded, validate=True)
        yield Signature(name, raw[:_KEY_ID_BYTES], raw[_KEY_ID_BYTES:])
