"""`publish`: the newest checkpoint to a place that the operator does not control; `collect`: what witnesses there say.

    log.vkey                                   the log's verifier key
    consistency-<old>-<new>.json               that checkpoint <new> only adds to <old>, the one sent before it
    checkpoint-<size>.note                     the signed text
    witness-<name>.vkey                        written by a witness: its verifier key
    checkpoint-<size>.<name>.cosigned          written by a witness: the text with its countersignature

Before anything is sent, the log is compared with what was sent before: a log that lost its tail or was written anew
refuses here, whatever its own checkpoints say.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select, update

from governance.errors import Damaged, NotReady
from governance.ledger.checkpoints import Checkpoint, at_size, insert_countersignature, latest, tree
from governance.ledger.note import (
    LOG,
    WITNESS,
    Note,
    parse,
    parse_verifier_key,
    signed_by_log,
    verifier_key,
    witnessed_at,
)
from governance.ledger.places import FolderPlace, place
from governance.ledger.prove import continuation
from governance.state.database import Database
from governance.state.tables import checkpoint_sent


@dataclass(frozen=True, slots=True)
class Published:
    """`checkpoint` is now at the place; `sent` says whether it was new there, `countersignatures` how many new ones
    were found there."""

    checkpoint: Checkpoint
    sent: bool
    countersignatures: int


def publish(database: Database, target: str) -> Published:
    """Send the newest checkpoint with the proof that it continues the one sent before; sending it again does nothing.

    Raises NotReady when nothing was sequenced yet, Damaged when the log does not continue what the place has.
    """
    where = place(target)
    with database.read() as connection:
        newest = latest(connection)
        if newest is None:
            raise NotReady("the ledger has no checkpoint yet", do="gov ledger sequence")
        sent = connection.execute(select(checkpoint_sent.c.size).where(checkpoint_sent.c.target == target)).scalar()
        told = at_size(connection, sent) if sent is not None else None
        before = _newest_there(where, newest) if isinstance(where, FolderPlace) else (told.note if told else None)
        proof = continuation(tree(connection, newest.size), before, newest) if before is not None else ()
    new = before is None or before.size < newest.size
    if new:
        where.put(_files(newest, before, proof))
        _remember(database, target, newest.size, there=sent is not None)
    found = _collect(database, where) if isinstance(where, FolderPlace) else 0
    return Published(newest, new, found)


def note_name(size: int) -> str:
    """
    >>> note_name(12)
    'checkpoint-00000000000000000012.note'
    """
    return f"checkpoint-{size:020}.note"


def consistency_name(old: int, new: int) -> str:
    return f"consistency-{old:020}-{new:020}.json"


def _files(newest: Checkpoint, before: Note | None, proof: tuple[bytes, ...]) -> dict[str, str]:
    files = {"log.vkey": verifier_key(newest.note.origin, LOG, newest.public_key) + "\n"}
    if before is not None:
        steps = {"old": before.size, "new": newest.size, "consistency": [part.hex() for part in proof]}
        files[consistency_name(before.size, newest.size)] = json.dumps(steps) + "\n"
    own = newest.note.signatures[:1]
    files[note_name(newest.size)] = str(Note(newest.note.origin, newest.size, newest.root, newest.at, own))
    return files


def _newest_there(folder: FolderPlace, newest: Checkpoint) -> Note | None:
    """The largest checkpoint of this log in the folder. Raises Damaged for a folder that keeps those of another log: nothing of an auditor's is
    written over.
    """
    notes = [parse(text, name) for name, text in folder.read("checkpoint-*.note").items()]
    ours = [note for note in notes if note.origin == newest.note.origin]
    if len(ours) < len(notes):
        do = "ask whoever keeps it: this ledger was begun anew, or is not the one kept there. Another folder takes its checkpoints"
        raise Damaged("it keeps checkpoints of another log", where=folder.folder.name, do=do)
    return max(ours, key=lambda note: note.size, default=None)


def _remember(database: Database, target: str, size: int, *, there: bool) -> None:
    values: dict[str, int | datetime] = {"size": size, "at": database.clock()}
    with database.unit_of_work() as tx:
        if there:
            tx.execute(update(checkpoint_sent).where(checkpoint_sent.c.target == target).values(**values))
        else:
            tx.execute(insert(checkpoint_sent).values(target=target, **values))


def _collect(database: Database, folder: FolderPlace) -> int:
    """Keep the countersignatures that are there and valid under the keys beside them; how many were new. Whether a
    witness is one to be trusted is for the reader of the checkpoint to say: its key is kept with the signature."""
    witnesses = [parse_verifier_key(text, WITNESS) for text in folder.read("witness-*.vkey").values()]
    found = 0
    for name, text in folder.read("checkpoint-*.cosigned").items():
        seen = parse(text, name)
        with database.unit_of_work() as tx:
            ours = at_size(tx, seen.size)
            if ours is None or ours.note.body != seen.body or not signed_by_log(seen, ours.public_key):
                continue
            for witness, key in witnesses:
                at = witnessed_at(seen, witness, key)
                for line in (s for s in seen.signatures if s.name == witness and at is not None):
                    assert at is not None
                    found += insert_countersignature(
                        tx, seen.size, witness, key, line, signed_at=at, at=database.clock()
                    )
    return found
