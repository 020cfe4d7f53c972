"""The demo's steward: a signing key that everybody can derive, so that the demo can answer its own approval.

The public key is in the demo's `access.yaml`. Never register it in a home with real data.
"""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

SUBJECT = "user:steward"
_SEED = b"the demo city's steward: a published key, never for real data"


def demo_key() -> Ed25519PrivateKey:
    """The demo steward's Ed25519 key."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(_SEED).digest())


def public_key() -> str:
    """Its public half as 64 hex digits, as `access.yaml` registers it.

    >>> len(public_key())
    64
    """
    return demo_key().public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()


def sign(release: str) -> str:
    """Signature over a release hash (hex text), as hex."""
    return demo_key().sign(release.encode("ascii")).hex()
