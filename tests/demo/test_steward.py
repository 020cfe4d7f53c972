"""The demo steward's signature verifies with the key that the demo's access rules name."""

from __future__ import annotations

from pathlib import Path

import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from governance.demo.steward import SUBJECT, public_key, sign

ROOT = Path(__file__).parents[2]


def test_the_signature_is_by_the_registered_key() -> None:
    access = yaml.safe_load((ROOT / "catalog" / "access.yaml").read_text(encoding="utf-8"))
    (approver,) = access["approvers"]
    release = "ab" * 32
    signature = bytes.fromhex(sign(release))
    Ed25519PublicKey.from_public_bytes(bytes.fromhex(approver["public_key"])).verify(signature, release.encode())
    assert (approver["subject"], approver["public_key"]) == (SUBJECT, public_key())
