"""`verify`: walks the ledger, in the state or in an export, and says what does not fit.

Seen from inside: changed bytes, wrong hashes, missing, repeated and reordered positions, gaps in writers' counters, and
checkpoints that the entries do not give. What can only be seen from outside (a tail removed together with its
checkpoints, a history written anew) is found against checkpoints that were kept elsewhere: `kept`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from governance.ledger.checkpoints import checkpoints, tile
from governance.ledger.note import Note, signed_by_log
from governance.ledger.stored import Stored, entries
from governance.ledger.walk import Problems, TileReader, Walk

Signed = tuple[Note, bytes]
"""A checkpoint and the public key that signed it."""


@dataclass(frozen=True, slots=True)
class Report:
    """`root` is the RFC 9162 tree head of all entries: by position, then those not yet sequenced by id. `keys` are the
    public keys (hex) that signed checkpoints. `problems` are at most 100, `broken` counts all."""

    entries: int
    writers: int
    sequenced: int
    unsequenced: int
    oldest_unsequenced: str | None
    checkpoints: int
    kept: int
    keys: tuple[str, ...]
    root: str
    broken: int
    problems: tuple[str, ...]

    @property
    def sound(self) -> bool:
        return self.broken == 0


def verify(connection: Connection, *, kept: Sequence[Note] = (), keys: Collection[bytes] = ()) -> Report:
    """Check the ledger of the state, its tiles included, and against `kept` checkpoints. With `keys`, checkpoints must
    be signed by one of them; without, by the key that is stored beside each."""
    signed = [(found.note, found.public_key) for found in checkpoints(connection)]
    stored = entries(connection)
    return check(stored, signed, kept=kept, keys=keys, tile_reader=lambda level, n: tile(connection, level, n))


def check(
    stored: Iterable[Stored],
    signed: Sequence[Signed],
    *,
    kept: Sequence[Note] = (),
    keys: Collection[bytes] = (),
    tile_reader: TileReader | None = None,
) -> Report:
    """The same for entries (by position, then unsequenced) and checkpoints (by size) from anywhere."""
    problems = Problems()
    walk = Walk(problems, {note.size for note, _ in signed} | {note.size for note in kept}, tile_reader)
    for entry in stored:
        walk.feed(entry)
    walk.finish()
    _signatures(problems, signed, keys)
    _sizes(problems, walk, signed)
    signers = {public_key for _, public_key in signed}
    _kept(problems, walk, signed, kept, keys or signers)
    return Report(
        entries=walk.frontier.size,
        writers=len(walk.counters),
        sequenced=walk.sequenced,
        unsequenced=walk.frontier.size - walk.sequenced,
        oldest_unsequenced=walk.oldest_unsequenced,
        checkpoints=len(signed),
        kept=len(kept),
        keys=tuple(sorted(key.hex() for key in signers)),
        root=walk.frontier.root().hex(),
        broken=problems.count,
        problems=tuple(problems.shown),
    )


def _signatures(problems: Problems, signed: Sequence[Signed], keys: Collection[bytes]) -> None:
    for note, public_key in signed:
        if keys and public_key not in keys:
            problems.add(f"the checkpoint of {note.size:,} entries is signed by another key")
        elif not signed_by_log(note, public_key):
            problems.add(f"the checkpoint of {note.size:,} entries is not validly signed")
    if len({note.origin for note, _ in signed}) > 1:
        problems.add("checkpoints name different logs")


def _sizes(problems: Problems, walk: Walk, signed: Sequence[Signed]) -> None:
    """The first root that does not fit stands for all after it."""
    wrong = [note for note, _ in signed if note.size <= walk.sequenced and walk.roots.get(note.size) != note.root]
    if wrong:
        problems.add(f"the first {wrong[0].size:,} entries do not give their checkpoint: changed, removed or reordered")
    newest = max((note.size for note, _ in signed), default=0)
    if newest > walk.sequenced:
        problems.add(f"a checkpoint speaks of {newest:,} entries, {walk.sequenced:,} are there: some were removed")
    if newest < walk.sequenced:
        problems.add(f"{walk.sequenced:,} entries have a position, the newest checkpoint speaks of {newest:,}")


def _kept(
    problems: Problems, walk: Walk, signed: Sequence[Signed], kept: Sequence[Note], keys: Collection[bytes]
) -> None:
    origins = {note.origin for note, _ in signed}
    for note in kept:
        what = f"the kept checkpoint of {note.size:,} entries"
        if origins and note.origin not in origins:
            problems.add(f"{what} is of another log, {note.origin}")
        elif keys and not any(signed_by_log(note, key) for key in keys):
            problems.add(f"{what} is not signed by this log's key")
        elif note.size > walk.sequenced:
            problems.add(f"{what}: {walk.sequenced:,} are there, so the tail was removed")
        elif walk.roots.get(note.size) != note.root:
            problems.add(f"{what} has another root: history was forked")
