"""`prove`: an entry's inclusion in the newest checkpoint, as a document that an independent script can check.

    {"v": 1, "entry": "<base64 of its canonical bytes>", "position": 7, "size": 9, "inclusion": ["<hex>", …],
     "checkpoint": "<signed text>", "key": "<verifier key of the log>",
     "kept": {"checkpoint": "<signed text>", "consistency": ["<hex>", …]}}

`kept` is there when a checkpoint was given that somebody kept: the newest one only adds to it.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

from sqlalchemy import Connection, select

from governance.errors import Damaged, NotReady, Refused
from governance.ledger.checkpoints import Checkpoint, latest, tree
from governance.ledger.entry import Json
from governance.ledger.merkle import verify_consistency, verify_inclusion
from governance.ledger.note import LOG, Note, verifier_key
from governance.ledger.tiles import Tree
from governance.state.tables import ledger_entry


@dataclass(frozen=True, slots=True)
class Proof:
    """An entry, its place, and the way from it to a signed checkpoint."""

    body: bytes
    position: int
    inclusion: tuple[bytes, ...]
    checkpoint: Checkpoint
    kept: Note | None = None
    consistency: tuple[bytes, ...] = ()

    def document(self) -> dict[str, Json]:
        document: dict[str, Json] = {
            "v": 1,
            "entry": base64.b64encode(self.body).decode("ascii"),
            "position": self.position,
            "size": self.checkpoint.size,
            "inclusion": [part.hex() for part in self.inclusion],
            "checkpoint": str(self.checkpoint.note),
            "key": verifier_key(self.checkpoint.note.origin, LOG, self.checkpoint.public_key),
        }
        if self.kept is None:
            return document
        return {
            **document,
            "kept": {"checkpoint": str(self.kept), "consistency": [part.hex() for part in self.consistency]},
        }


@dataclass(frozen=True, slots=True)
class _Found:
    position: int | None
    body: bytes
    leaf_hash: bytes


def prove(connection: Connection, entry: str, *, kept: Note | None = None) -> Proof:
    """The proof of the entry called by its position, its leaf hash (hex) or `writer:counter`.

    Raises Refused when there is no such entry, NotReady when it is not yet sequenced, Damaged when the tree does not
    give the checkpoint any more or is not a continuation of `kept`.
    """
    row = _find(connection, entry)
    if row.position is None:
        raise NotReady("the entry has no position yet", where=entry, do="gov ledger sequence")
    newest = latest(connection)
    if newest is None or row.position >= newest.size:
        raise Damaged("the entry has a position that no checkpoint speaks of", where=entry, do="gov ledger verify")
    log = tree(connection, newest.size)
    path = _inclusion(log, row.position, row.leaf_hash, newest)
    steps = continuation(log, kept, newest) if kept is not None else ()
    return Proof(row.body, row.position, path, newest, kept, steps)


def continuation(log: Tree, old: Note, newest: Checkpoint) -> tuple[bytes, ...]:
    """The consistency proof that `newest` only adds to `old`. Raises Damaged when it does not."""
    if old.origin != newest.note.origin:
        raise Damaged("the kept checkpoint is of another log", where=old.origin, allowed=newest.note.origin)
    if old.size > newest.size:
        raise Damaged(
            f"the log has {newest.size:,} entries, the kept checkpoint {old.size:,}: its tail was removed",
            do="restore the ledger from its backup; do not sign over it",
        )
    try:
        proof = log.consistency(old.size)
    except ValueError as error:
        raise Damaged(f"the ledger's tree: {error}", do="gov ledger verify") from None
    if not verify_consistency(old.size, newest.size, old.root, newest.root, proof):
        raise Damaged(
            f"the first {old.size:,} entries are not those of the kept checkpoint: history was forked",
            do="gov ledger verify; keep both checkpoints as evidence",
        )
    return proof


def _inclusion(log: Tree, position: int, leaf: bytes, newest: Checkpoint) -> tuple[bytes, ...]:
    try:
        path = log.inclusion(position)
    except ValueError as error:
        raise Damaged(f"the ledger's tree: {error}", do="gov ledger verify") from None
    if not verify_inclusion(leaf, position, newest.size, path, newest.root):
        raise Damaged("the entry is not what the checkpoint speaks of", where=f"position {position}")
    return path


def _find(connection: Connection, entry: str) -> _Found:
    query = select(ledger_entry.c.position, ledger_entry.c.body, ledger_entry.c.leaf_hash)
    writer, _, counter = entry.rpartition(":")
    if writer and counter.isdecimal():
        query = query.where(ledger_entry.c.writer == writer, ledger_entry.c.counter == int(counter))
    elif len(entry) == 64 and not set(entry) - set("0123456789abcdef"):
        query = query.where(ledger_entry.c.leaf_hash == bytes.fromhex(entry))
    elif entry.isdecimal():
        query = query.where(ledger_entry.c.position == int(entry))
    else:
        raise Refused(
            "an entry is not called so", where=entry[:80], allowed="position, leaf hash (hex), writer:counter"
        )
    row = connection.execute(query.limit(1)).one_or_none()
    if row is None:
        raise Refused("no such entry in the ledger", where=entry[:80])
    return _Found(row.position, row.body, row.leaf_hash)
