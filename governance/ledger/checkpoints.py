"""Signed checkpoints and the tree's tiles, as the state keeps them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, insert, or_, select, update

from governance.errors import Damaged
from governance.ledger.note import WITNESS, Note, Signature, key_id, log_signature
from governance.ledger.tiles import Key, Tree, unfilled
from governance.state.tables import checkpoint, countersignature, ledger_tile

_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The ledger's first `size` entries have the tree head `root`; `note` is the signed text, countersignatures
    included."""

    size: int
    root: bytes
    public_key: bytes
    at: datetime
    note: Note


def latest(connection: Connection) -> Checkpoint | None:
    """The newest checkpoint; None when nothing was ever sequenced."""
    row = connection.execute(select(checkpoint).order_by(checkpoint.c.size.desc()).limit(1)).one_or_none()
    return _checkpoint(connection, row) if row is not None else None


def at_size(connection: Connection, size: int) -> Checkpoint | None:
    row = connection.execute(select(checkpoint).where(checkpoint.c.size == size)).one_or_none()
    return _checkpoint(connection, row) if row is not None else None


def checkpoints(connection: Connection, after: int = 0) -> Iterator[Checkpoint]:
    """All checkpoints of more than `after` entries, the smallest first, a page at a time."""
    while True:
        page = select(checkpoint).where(checkpoint.c.size > after).order_by(checkpoint.c.size).limit(_PAGE)
        rows = connection.execute(page).all()
        for row in rows:
            yield _checkpoint(connection, row)
        if len(rows) < _PAGE:
            return
        after = rows[-1].size


def insert_checkpoint(tx: Connection, made: Checkpoint) -> None:
    """Raises an IntegrityError when there is one of that size."""
    values = {"size": made.size, "origin": made.note.origin, "root": made.root, "at": made.at}
    signature = made.note.signatures[0].payload.hex()
    tx.execute(insert(checkpoint).values(**values, signature=signature, public_key=made.public_key.hex()))


def insert_countersignature(
    tx: Connection,
    size: int,
    witness: str,
    public_key: bytes,
    signature: Signature,
    *,
    signed_at: datetime,
    at: datetime,
) -> bool:
    """Keep a witness's verified countersignature; False when it is there already."""
    known = and_(countersignature.c.size == size, countersignature.c.public_key == public_key.hex())
    if tx.execute(select(countersignature.c.size).where(known)).first() is not None:
        return False
    values = {"size": size, "public_key": public_key.hex(), "witness": witness, "signature": signature.payload.hex()}
    tx.execute(insert(countersignature).values(**values, at=signed_at, recorded_at=at))
    return True


def edge_tiles(connection: Connection, size: int) -> dict[Key, bytes]:
    """The unfilled tiles of a tree of that size."""
    keys = unfilled(size)
    if not keys:
        return {}
    wanted = or_(*(and_(ledger_tile.c.level == level, ledger_tile.c.number == number) for level, number in keys))
    return {(row.level, row.number): row.hashes for row in connection.execute(select(ledger_tile).where(wanted))}


def write_tiles(tx: Connection, tiles: Mapping[Key, bytes], there: Mapping[Key, bytes]) -> None:
    """Store changed tiles; those of `there` are rows already."""
    for (level, number), hashes in tiles.items():
        if (level, number) in there:
            same = and_(ledger_tile.c.level == level, ledger_tile.c.number == number)
            tx.execute(update(ledger_tile).where(same).values(hashes=hashes))
    new = [
        {"level": level, "number": number, "hashes": hashes}
        for (level, number), hashes in tiles.items()
        if (level, number) not in there
    ]
    if new:
        tx.execute(insert(ledger_tile), new)


def tile(connection: Connection, level: int, number: int) -> bytes:
    """A tile's bytes; empty when it is not there."""
    same = and_(ledger_tile.c.level == level, ledger_tile.c.number == number)
    return connection.execute(select(ledger_tile.c.hashes).where(same)).scalar_one_or_none() or b""


def tree(connection: Connection, size: int) -> Tree:
    """The tree of the first `size` entries, read tile by tile; its methods raise Damaged where tiles are missing."""

    def read(level: int, number: int) -> bytes:
        hashes = tile(connection, level, number)
        if not hashes:
            raise Damaged(f"tile {level}/{number} of the ledger's tree is missing", do="gov ledger verify")
        return hashes

    return Tree(size, read)


def _checkpoint(connection: Connection, row: Row[Any]) -> Checkpoint:
    public_key = bytes.fromhex(row.public_key)
    note = Note(row.origin, row.size, row.root, row.at)
    note = note.with_signature(log_signature(note, public_key, bytes.fromhex(row.signature)))
    by_witness = select(countersignature).where(countersignature.c.size == row.size)
    for seen in connection.execute(by_witness.order_by(countersignature.c.recorded_at)):
        identity = key_id(seen.witness, WITNESS, bytes.fromhex(seen.public_key))
        note = note.with_signature(Signature(seen.witness, identity, bytes.fromhex(seen.signature)))
    return Checkpoint(row.size, row.root, public_key, row.at, note)
