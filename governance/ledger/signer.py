"""The key that signs checkpoints: an Ed25519 key in a file of its own beside the keyring, mode 0600; the public key
beside it for everybody.

`Signer` is the seam: a key service or an HSM signs in the same way and keeps the key to itself.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from governance.errors import Damaged, StorageError

FILE = "ledger.pem"


class Signer(Protocol):
    """Who signs checkpoints."""

    @property
    def public_key(self) -> bytes:
        """32 bytes, RFC 8032."""
        ...

    def sign(self, message: bytes) -> bytes:
        """64 bytes, Ed25519."""
        ...


class KeySigner:
    """Signs with a key that this process holds."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public_key = key.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)


def open_signer(folder: Path) -> KeySigner:
    """The ledger's signer of a keyring's folder; the key is made when it is new."""
    return key_file(folder / FILE)


def key_file(path: Path) -> KeySigner:
    """The signer of a PEM file (PKCS #8), made with its folder when it is new, the public key beside it as `.pub.pem`.

    Two processes that make it at once get the same key. Raises Damaged for a file that is no Ed25519 key.
    """
    try:
        if not path.exists():
            _make(path)
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise StorageError(f"cannot read or make a signing key: {error.strerror}", where=path.name) from None
    except (ValueError, TypeError):
        raise Damaged("the signing key cannot be read", where=path.name, do="restore it from its backup") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise Damaged("the signing key is of another kind", where=path.name, allowed="Ed25519")
    return KeySigner(key)


def _make(path: Path) -> None:
    """Written whole under a name of its own, then linked: the name appears once, with a complete key."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = Ed25519PrivateKey.generate()
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    no_password = serialization.NoEncryption()
    _write(temporary, key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, no_password))
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        return
    finally:
        temporary.unlink()
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    public = path.with_suffix(".pub.pem")
    public.write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, spki))
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _write(path: Path, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
