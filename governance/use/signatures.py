"""Signatures of people over what they decided: Ed25519 over a few words and the 64 hex digits of the document's hash.

The words keep a signature from being taken for another decision: an approval of a request is none of a release, nor a
review of a break-glass. Approvals, refusals, reviews and consents are an approver's; a break-glass and a withdrawal are signed by
whoever makes them, with the `public_key` that access.yaml has of them, or their key as an approver.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from governance.errors import Refused
from governance.policy.access import Access

APPROVES = "gov access approve "
DECLINES = "gov access decline "
REVIEWS = "gov access review "
BREAKS = "gov access break-glass "
ENDS = "gov access withdraw "
CONSENTS = "gov access consent "

Sign = Callable[[str, str], str]
"""Whose turn it is to sign: (words, document hash) -> signature, as hex."""


def sign(words: str, document_hash: str, key: Ed25519PrivateKey) -> str:
    """The signature, as hex. `words` is one of the constants above."""
    return key.sign(f"{words}{document_hash}".encode("ascii")).hex()


def holds(access: Access, subject: str, words: str, document_hash: str, signature: str) -> bool:
    """Whether `subject` is an approver of `access` and one of their keys there made the signature."""
    message = f"{words}{document_hash}"
    return any(made_by(a.public_key, message, signature) for a in access.approvers if a.subject == subject)


def signer(key: Ed25519PrivateKey) -> Sign:
    """Signs with this key."""
    return lambda words, document_hash: sign(words, document_hash, key)


def has_key(access: Access, subject: str) -> bool:
    """Whether access.yaml has a key of `subject`."""
    return bool(_keys(access, subject))


def holds_own(access: Access, subject: str, words: str, document_hash: str, signature: str) -> bool:
    """Whether a key that access.yaml has of `subject`, approver or not, made the signature."""
    message = f"{words}{document_hash}"
    return any(made_by(key, message, signature) for key in _keys(access, subject))


def require_own(access: Access, subject: str, words: str, document_hash: str, signature: str) -> None:
    """Raises Refused unless `holds_own`."""
    if not holds_own(access, subject, words, document_hash, signature):
        raise Refused(
            f"this is not signed by {subject}",
            where=document_hash,
            allowed="an Ed25519 signature by the public_key that access.yaml has of them",
            do="give --key; a steward registers public_key under subjects",
        )


def require(access: Access, subject: str, words: str, document_hash: str, signature: str) -> None:
    """Raises Refused unless `holds`."""
    if not holds(access, subject, words, document_hash, signature):
        raise Refused(
            "the signature is not that of an approver over exactly this",
            where=document_hash,
            allowed="an Ed25519 signature (hex) by an approver of access.yaml",
            do="gov access sign makes one",
        )


def _keys(access: Access, subject: str) -> tuple[str, ...]:
    known = access.subject(subject)
    own = (known.public_key,) if known is not None and known.public_key else ()
    return (*own, *(approver.public_key for approver in access.approvers if approver.subject == subject))


@lru_cache(maxsize=4096)
def made_by(public_key: str, message: str, signature: str) -> bool:
    """Whether the key (hex) made the Ed25519 signature (hex) over an ASCII message."""
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
        key.verify(bytes.fromhex(signature), message.encode("ascii"))
    except (InvalidSignature, ValueError):
        return False
    return True
