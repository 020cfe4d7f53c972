"""`witness`: countersigns the checkpoints of a folder after checking that each only adds to the one before.

A witness needs nothing of ours but the folder: no home, no database. What it has seen of a log (verifier key, size,
root) is remembered in a file beside its own key, which the operator must not be able to write. The first checkpoint of
a log is taken on trust unless the log's verifier key is given; a new key of the log is only ever taken when given.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from governance.errors import Damaged, NotReady, StorageError
from governance.ledger.merkle import verify_consistency
from governance.ledger.note import (
    WITNESS,
    Note,
    parse,
    parse_verifier_key,
    signed_by_log,
    verifier_key,
    witness_message,
    witness_signature,
)
from governance.ledger.places import FolderPlace
from governance.ledger.publish import consistency_name
from governance.ledger.signer import key_file


@dataclass(frozen=True, slots=True)
class Seen:
    """The last checkpoint of a log that a witness accepted: its verifier key, size and root (hex)."""

    log: str
    size: int
    root: str


def witness(folder: Path, key: Path, *, name: str, at: datetime, log: str | None = None) -> tuple[int, ...]:
    """Sizes of the checkpoints that were countersigned now, smallest first; the witness's key is made when it is new.

    Raises Damaged, and signs nothing more, for a checkpoint that is not validly signed, that lacks its proof, that
    forks or shortens what was seen; NotReady for a folder without checkpoints.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", name):
        raise Damaged("a witness cannot be called so", where=name[:80], allowed="letters, digits, '-', '_', '.'")
    place = FolderPlace(folder)
    signer = key_file(key)
    memory = key.with_suffix(".seen.json")
    seen = _remembered(memory)
    log_key = (log or (seen.log if seen else None) or place.read("log.vkey").get("log.vkey", "")).strip()
    origin, public_key = parse_verifier_key(log_key)
    notes = [parse(text, file) for file, text in place.read("checkpoint-*.note").items()]
    if not notes:
        raise NotReady("the folder has no checkpoint", where=folder.name, do="gov ledger checkpoint --to FOLDER")
    place.put({f"witness-{name}.vkey": verifier_key(name, WITNESS, signer.public_key) + "\n"})
    signed = []
    for note in sorted(notes, key=lambda note: note.size):
        file = f"checkpoint-{note.size:020}.{name}.cosigned"
        if seen is not None and note.size == seen.size and note.root.hex() != seen.root:
            raise Damaged(f"two checkpoints of {note.size:,} entries have different roots: the log was forked")
        signed_by_it = note.origin == origin and signed_by_log(note, public_key)
        done = seen is not None and (note.size < seen.size or (note.size == seen.size and bool(place.read(file))))
        if not signed_by_it and not (done and seen is not None and seen.log != log_key):
            raise Damaged("a checkpoint is not signed by the log's key", where=f"size {note.size}")
        if done:  # also what an older key signed, when a person gave the new one
            continue
        if seen is not None:
            _require_continuation(place, seen, note)
        seen = Seen(log_key, note.size, note.root.hex())
        FolderPlace(memory.parent).put({memory.name: json.dumps(asdict(seen))})
        seconds = int(at.timestamp())
        line = witness_signature(name, signer.public_key, seconds, signer.sign(witness_message(note, seconds)))
        place.put({file: str(note.with_signature(line))})
        signed.append(note.size)
    largest = max(note.size for note in notes)
    if seen is not None and largest < seen.size:
        raise Damaged(
            f"a checkpoint of {seen.size:,} entries was seen, the largest is now {largest:,}: the tail is gone"
        )
    return tuple(signed)


def _require_continuation(place: FolderPlace, seen: Seen, note: Note) -> None:
    if note.size == seen.size:
        return
    file = consistency_name(seen.size, note.size)
    text = place.read(file).get(file)
    if text is None:
        raise Damaged(f"no proof that {note.size:,} entries continue the {seen.size:,} that were seen", where=file)
    try:
        proof = [bytes.fromhex(part) for part in json.loads(text)["consistency"]]
    except (ValueError, KeyError, TypeError):
        raise Damaged("it is not a consistency proof", where=file) from None
    if not verify_consistency(seen.size, note.size, bytes.fromhex(seen.root), note.root, proof):
        raise Damaged(f"{note.size:,} entries do not continue the {seen.size:,} that were seen: the log was forked")


def _remembered(memory: Path) -> Seen | None:
    try:
        return Seen(**json.loads(memory.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"the witness's memory cannot be read: {error.strerror}", where=memory.name) from None
    except (ValueError, TypeError):
        raise Damaged(
            "the witness's memory cannot be read", where=memory.name, do="restore it from its backup"
        ) from None
