"""The data key of format-preserving encryption: derived from a purpose's key, which stays where it is.

The key is what the purpose's key (AES-256) makes of two fixed blocks, 32 bytes. No token is ever made of them: the
blocks of tokens end in four zero bytes (`tokens.purpose_tokens`), these do not. Whoever has the data key cannot
make tokens, and whoever has tokens cannot tell the data key.
"""

from __future__ import annotations

import hashlib

from governance.keys.names import DigestKeyName, KeyStore

DIGESTS = 2
"""How many values it takes off a grant's budget."""
BLOCKS = hashlib.sha256(b"governance: data key of format-preserving encryption, FF1, version 1").digest()


def cipher_key(keystore: KeyStore, key: DigestKeyName, grant_id: str) -> bytes:
    """32 bytes for the purpose of `key`: the same every time. Raises Refused as `digest` does."""
    return keystore.digest(key, BLOCKS, grant_id)
