"""An answer that can be shown: signed, expiring, without any identifier; verified by whoever has the public key.

    {"attestation": {"v": 1, "question": "kinship", "claim": "mother", "answer": "yes",
                     "about": {"person": "<32 hex>", "relative": "<32 hex>"},   keyed under purpose and nonce
                     "nonce": "<hex of the asker>", "purpose": …, "asked_by": …, "declared": "<hash of the question>",
                     "table": …, "snapshot": …, "release": …, "ledger": "<leaf hash of the entry>",
                     "at": …, "expires": …},
     "key": "<the signer's public key, hex>", "signature": "<Ed25519 over mark and canonical attestation, hex>"}

The key in the document only says which one to look for: trust comes from the one that the verifier holds. Pure, but for
reading the signing key's file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from governance.errors import Damaged, Refused, StorageError
from governance.ledger.entry import Json, canonical
from governance.ledger.note import valid
from governance.ledger.signer import KeySigner, Signer, key_file

_MARK = b"gov-attestation/v1\n"
SIGNING_KEY, PUBLIC_KEY = "attest.pem", "attest.pub.pem"


@dataclass(frozen=True, slots=True)
class Attestation:
    """A verified answer."""

    question: str
    claim: str
    answer: str
    about: Mapping[str, str]
    nonce: str
    purpose: str
    asked_by: str
    at: datetime
    expires: datetime
    body: Mapping[str, Any]


def open_attester(keyring: Path) -> KeySigner:
    """The signer of attestations of a keyring's folder; the key is made when it is new."""
    return key_file(keyring / SIGNING_KEY)


def signed(body: Mapping[str, Json], signer: Signer) -> str:
    """The document as JSON text."""
    signature = signer.sign(_MARK + canonical(body)).hex()
    document = {"attestation": body, "key": signer.public_key.hex(), "signature": signature}
    return json.dumps(document, ensure_ascii=False, sort_keys=True, indent=1)


def verify(text: str, public_key: bytes, *, at: datetime, nonce: str | None = None) -> Attestation:
    """The answer of a document that `public_key` (32 bytes) signed. Raises Damaged when it is not what was signed,
    Refused when it stands no more at `at`, or answers another `nonce` than the one that is expected.
    """
    body = _body(text, public_key)
    try:
        made = Attestation(
            **{name: str(body[name]) for name in ("question", "claim", "answer", "nonce", "purpose", "asked_by")},
            about={str(role): str(token) for role, token in body["about"].items()},
            at=datetime.fromisoformat(body["at"]),
            expires=datetime.fromisoformat(body["expires"]),
            body=body,
        )
        over = not made.at <= at < made.expires
    except (KeyError, TypeError, ValueError, AttributeError):
        raise _damaged() from None
    if body.get("v") != 1 or made.answer not in ("yes", "no", "unknown"):
        raise _damaged()
    if over:
        raise Refused("the attestation does not stand at this moment", allowed="from `at` to `expires`", do="ask again")
    if nonce is not None and nonce.lower() != made.nonce:
        raise Refused("the attestation answers another nonce", do="ask with a nonce of your own")
    return made


def read_public_key(path: Path) -> bytes:
    """The 32 bytes of a PEM file of a public key. Raises Damaged for anything else."""
    try:
        key = load_pem_public_key(path.read_bytes())
    except OSError as error:
        raise StorageError(f"cannot read the public key: {error.strerror}", where=path.name) from None
    except ValueError:
        raise Damaged("not a public key", where=path.name, allowed="PEM, Ed25519") from None
    if not isinstance(key, Ed25519PublicKey):
        raise Damaged("a public key of another kind", where=path.name, allowed="Ed25519")
    return key.public_bytes_raw()


def _body(text: str, public_key: bytes) -> dict[str, Any]:
    try:
        document = json.loads(text)
        body, signature = document["attestation"], bytes.fromhex(document["signature"])
        message = _MARK + canonical(body)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _damaged() from None
    if not isinstance(body, dict) or not valid(public_key, signature, message):
        raise Damaged("the signature is not that of this key over this attestation", do="take the attester's own key")
    return body


def _damaged() -> Damaged:
    return Damaged("it is not an attestation", do="take it again from whoever asked")
