"""What approvers sign with on the command line: a key file, or a signature that was made elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def one_of(key: Path | None, signature: str | None) -> None:
    """Raises click.UsageError unless exactly one is given."""
    if (key is None) == (signature is None):
        raise click.UsageError("give exactly one of --key and --signature")


def private_key(path: Path) -> Ed25519PrivateKey:
    """An approver's key. Nothing of a file that is none is shown."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError):
        raise click.UsageError("--key: not an unencrypted PEM private key") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise click.UsageError("--key: not an Ed25519 key")
    return key
