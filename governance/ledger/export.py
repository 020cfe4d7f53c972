"""The whole ledger as files that can be verified without us: `entries.jsonl` and `checkpoints.jsonl` in a folder.

entries.jsonl      {"position": 0, "leaf_hash": "<hex>", "body": "<base64 of the canonical bytes>"}, in the log's order;
                   entries not yet sequenced come last, with position null
checkpoints.jsonl  {"public_key": "<hex>", "note": "<signed text, countersignatures included>"}, the smallest first
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from governance.errors import Damaged, StorageError
from governance.ledger import note
from governance.ledger.checkpoints import checkpoints
from governance.ledger.note import Note
from governance.ledger.stored import Stored, entries
from governance.ledger.verify import Report, Signed, check

ENTRIES, CHECKPOINTS = "entries.jsonl", "checkpoints.jsonl"


def export(connection: Connection, folder: Path) -> tuple[int, int]:
    """Write both files, replacing those of an earlier export; numbers of entries and checkpoints. `connection` is a
    read transaction: both files show one state."""
    folder.mkdir(parents=True, exist_ok=True)
    bodies = (
        {
            "position": entry.position,
            "leaf_hash": entry.leaf_hash.hex(),
            "body": base64.b64encode(entry.body).decode("ascii"),
        }
        for entry in entries(connection)
    )
    notes = ({"public_key": c.public_key.hex(), "note": str(c.note)} for c in checkpoints(connection))
    return _write(folder / ENTRIES, bodies), _write(folder / CHECKPOINTS, notes)


def verify_export(folder: Path, *, kept: Sequence[Note] = (), keys: Collection[bytes] = ()) -> Report:
    """Check an export; needs no home, no database and no network. Raises Damaged for a line that is not one of an
    export, StorageError when a file is missing."""
    return check(_entries(folder / ENTRIES), list(_signed(folder / CHECKPOINTS)), kept=kept, keys=keys)


def read_entries(folder: Path) -> Iterator[Stored]:
    """The entries of an export, unchecked. Raises as `verify_export` does."""
    return _entries(folder / ENTRIES)


def _write(path: Path, lines: Iterable[dict[str, Any]]) -> int:
    temporary, count = path.with_name(f".{path.name}.{os.getpid()}"), 0
    try:
        with temporary.open("w", encoding="utf-8") as file:
            for line in lines:
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
                count += 1
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise StorageError(f"cannot write the export: {error.strerror}", where=path.name) from None
    return count


def _entries(path: Path) -> Iterator[Stored]:
    for where, line in _lines(path):
        try:
            body, leaf_hash = base64.b64decode(line["body"], validate=True), bytes.fromhex(line["leaf_hash"])
            position = line["position"]
            if position is not None and type(position) is not int:
                raise ValueError
        except (KeyError, TypeError, ValueError, binascii.Error):
            raise Damaged("not an entry of an export", where=where) from None
        yield Stored(where, position, body, leaf_hash)


def _signed(path: Path) -> Iterator[Signed]:
    for where, line in _lines(path):
        try:
            text, public_key = line["note"], bytes.fromhex(line["public_key"])
        except (KeyError, TypeError, ValueError):
            raise Damaged("not a checkpoint of an export", where=where) from None
        yield note.parse(text, where), public_key


def _lines(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                yield f"{path.name}:{number}", json.loads(line)
    except FileNotFoundError:
        raise StorageError("the export lacks a file", where=path.name, do="gov ledger export FOLDER") from None
    except OSError as error:
        raise StorageError(f"cannot read the export: {error.strerror}", where=path.name) from None
    except ValueError:
        raise Damaged("not a line of JSON", where=path.name) from None
