"""Signatures of approvers over what they decided: Ed25519 over a few words and the 64 hex digits of the document's hash.

The words keep a signature from being taken for another decision: an approval of a request is none of a release, nor a
review of a break-glass.
"""

from __future__ import annotations

from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from governance.errors import Refused
from governance.policy.access import Access

APPROVES = "gov access approve "
REVIEWS = "gov access review "


def sign(words: str, document_hash: str, key: Ed25519PrivateKey) -> str:
    """The signature, as hex. `words` is APPROVES or REVIEWS."""
    return key.sign(f"{words}{document_hash}".encode("ascii")).hex()


def holds(access: Access, subject: str, words: str, document_hash: str, signature: str) -> bool:
    """Whether `subject` is an approver of `access` and one of their keys there made the signature."""
    message = f"{words}{document_hash}"
    return any(_made_by(a.public_key, message, signature) for a in access.approvers if a.subject == subject)


def require(access: Access, subject: str, words: str, document_hash: str, signature: str) -> None:
    """Raises Refused unless `holds`."""
    if not holds(access, subject, words, document_hash, signature):
        raise Refused(
            "the signature is not that of an approver over exactly this",
            where=document_hash,
            allowed="an Ed25519 signature (hex) by an approver of access.yaml",
            do="gov access sign makes one",
        )


@lru_cache(maxsize=4096)
def _made_by(public_key: str, message: str, signature: str) -> bool:
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
        key.verify(bytes.fromhex(signature), message.encode("ascii"))
    except (InvalidSignature, ValueError):
        return False
    return True
