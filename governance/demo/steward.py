"""The demo steward's signature. The key is made from a sentence in this file, so it proves nothing outside the demo."""

from __future__ import annotations

import hashlib

from governance.config import Settings

SUBJECT = "user:steward"
_SENTENCE = b"the demo city's steward, who signs on every machine alike"


def sign(_settings: Settings, release: str) -> str:
    """The Ed25519 signature (hex) over the text of a release hash, by the key whose public half the demo's access.yaml names."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(_SENTENCE).digest())
    return key.sign(release.encode("ascii")).hex()
