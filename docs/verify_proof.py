"""Checks a proof of `gov ledger prove` without trusting the program that made it.

    python verify_proof.py PROOF.json [--key 'LOG VERIFIER KEY'] [--kept CHECKPOINT FILE]

Needs Python 3.9+ and `cryptography`. Get the log's verifier key by a way that the operator does not control; without
--key the one in the proof is used, and you only learn that the proof agrees with itself. With --kept, the log must be a
continuation of the checkpoint that you kept. RFC 9162 sections 2.1.1 to 2.1.4.
"""

import argparse
import base64
import hashlib
import json
import sys
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def node(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def included(leaf, index, size, path, root):  # RFC 9162, 2.1.3.2
    fn, sn, r = index, size - 1, leaf
    for p in path:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            r = node(p, r)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node(r, p)
        fn, sn = fn >> 1, sn >> 1
    return 0 <= index < size and sn == 0 and r == root


def consistent(old_size, new_size, old_root, new_root, path):  # RFC 9162, 2.1.4.2
    if old_size == new_size:
        return not path and old_root == new_root
    if not 0 < old_size < new_size or not path:
        return False
    if old_size & (old_size - 1) == 0:
        path = [old_root, *path]
    fn, sn = old_size - 1, new_size - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for c in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = node(c, fr), node(c, sr)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node(sr, c)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and (fr, sr) == (old_root, new_root)


def checkpoint(text, key):  # size and root, when the key (name+id+base64) signed it
    name, key_id, encoded = key.strip().split("+", 2)
    public = base64.b64decode(encoded)
    body, lines = text.split("\n\n")
    for line in lines.splitlines():
        dash, signer, signature = line.split(" ")
        raw = base64.b64decode(signature)
        if (dash, signer, raw[:4].hex()) == ("—", name, key_id) and public[:1] == b"\x01":
            try:
                Ed25519PublicKey.from_public_bytes(public[1:]).verify(raw[4:], f"{body}\n".encode())
            except InvalidSignature:
                break
            origin, size, root = body.split("\n")[:3]
            if origin == name:
                return int(size), base64.b64decode(root)
    raise SystemExit("NO: a checkpoint is not signed by the log's key")


sys.excepthook = lambda kind, *_: print(f"NO: it cannot be read ({kind.__name__})", file=sys.stderr)
parser = argparse.ArgumentParser()
for argument in ("proof", "--key", "--kept"):
    parser.add_argument(argument)
args = parser.parse_args()
proof = json.loads(Path(args.proof).read_text(encoding="utf-8"))
key = args.key or proof["key"]
size, root = checkpoint(proof["checkpoint"], key)
entry = base64.b64decode(proof["entry"])
leaf = hashlib.sha256(b"\x00" + entry).digest()
if not included(leaf, proof["position"], size, [bytes.fromhex(p) for p in proof["inclusion"]], root):
    raise SystemExit("NO: the entry is not in the log that the checkpoint speaks of")
if args.kept:
    old_size, old_root = checkpoint(Path(args.kept).read_text(encoding="utf-8"), key)
    steps = [bytes.fromhex(p) for p in proof.get("kept", {}).get("consistency", [])]
    if not consistent(old_size, size, old_root, root, steps):
        raise SystemExit("NO: the log does not continue the checkpoint that you kept")
print(f"YES: entry {proof['position']} of {size}{'' if args.key else ' (key taken from the proof itself)'}")
print(entry.decode())
