"""The key service's own ledger: JSON lines beside the keyring, each naming the hash of the line before it, on disk before
the answer leaves. The state database can be rewritten by whoever owns it; this file is the service's alone.

    {"at": …, "grant": …, "key": …, "kind": "opened", "n": 7, "prev": "<SHA-256 of line 6>", …}

Kinds: `started`, `opened` (a key was unwrapped under a grant, once for each pair while the service runs), `digested` (how
many values), `refused`, `made` (a new master key), `history` (the newest entry about access that the state had). No key, no wrapped key and no value is in it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from governance.errors import Conflict, Damaged, StorageError
from governance.ledger.entry import Json, canonical

FILE = "custody.jsonl"
_START = "0" * 64


class CustodyLedger:
    """The open file; one process at a time has it."""

    def __init__(self, folder: Path) -> None:
        self._lock = threading.Lock()
        self._path = folder / FILE
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise Conflict("another key service serves this keyring", where=FILE, do="stop it first") from None
        torn = self._cut_torn_line()
        self._number, self._head = verify(self._path)
        self.append("started", {"torn_bytes": torn})

    def append(self, kind: str, facts: Mapping[str, Json]) -> None:
        """One more line, durable when this returns."""
        with self._lock:
            at = datetime.now(UTC).isoformat(timespec="microseconds")
            line = canonical({**facts, "n": self._number + 1, "prev": self._head, "at": at, "kind": kind})
            try:
                written = os.write(self._file, line + b"\n")
                os.fdatasync(self._file)
            except OSError as error:
                raise StorageError(f"cannot be written: {error.strerror}", where=FILE, do="free its disk") from None
            if written != len(line) + 1:
                self._cut_torn_line()
                raise StorageError("cannot be written whole", where=FILE, do="free its disk")
            self._number, self._head = self._number + 1, hashlib.sha256(line).hexdigest()

    def newest(self, kind: str) -> Mapping[str, Any] | None:
        """The last line of this kind; None when there is none."""
        return newest(self._path, kind)

    def close(self) -> None:
        os.close(self._file)

    def _cut_torn_line(self) -> int:
        """Remove what a crash left after the last whole line: no answer ever left for it. How many bytes that were."""
        size = os.fstat(self._file).st_size
        text = self._path.read_bytes()
        whole = text.rfind(b"\n") + 1
        if whole < size:
            os.ftruncate(self._file, whole)
            os.fsync(self._file)
        return size - whole


def newest(path: Path, kind: str) -> Mapping[str, Any] | None:
    """The last line of this kind; None when there is none. Says nothing about the lines: `verify` does."""
    found: Mapping[str, Any] | None = None
    try:
        with path.open("rb") as file:
            for line in file:
                entry = json.loads(line)
                found = entry if entry["kind"] == kind else found
    except OSError as error:
        raise StorageError(f"cannot be read: {error.strerror}", where=path.name) from None
    return found


def verify(path: Path) -> tuple[int, str]:
    """Number of lines and hash of the last one. Raises Damaged at the first line that does not follow the one before it.

    A tail that was cut off is found by whoever kept number and hash.
    """
    number, head = 0, _START
    try:
        with path.open("rb") as file:
            for line in file:
                entry = json.loads(line)
                body = line.rstrip(b"\n")
                if entry["n"] != number + 1 or entry["prev"] != head or canonical(entry) != body:
                    raise ValueError
                number, head = number + 1, hashlib.sha256(body).hexdigest()
    except OSError as error:
        raise StorageError(f"cannot be read: {error.strerror}", where=path.name) from None
    except (ValueError, KeyError, TypeError):
        raise Damaged(f"line {number + 1} does not follow line {number}", where=path.name) from None
    return number, head
