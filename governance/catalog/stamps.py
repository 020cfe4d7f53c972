"""Has a declaration changed? Digests over the declaring folders: a quick one of paths, sizes and times, and one of the contents.

Standard library only: DAG files import it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

IGNORED = ("~", ".bak", ".swp", ".md", ".txt")
"""Endings of files that declare nothing: backups of editors, notes."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """The state of the declaring folders at one moment."""

    roots: tuple[Path, ...]
    quick: str
    content: str


def take_stamp(roots: Sequence[Path]) -> Stamp:
    """The stamp of `roots` now."""
    found = tuple(roots)
    return Stamp(found, quick_stamp(found), content_digest(found))


def quick_stamp(roots: Sequence[Path]) -> str:
    """A digest over path, size and time of change of every declaring file; changes when any of them may have."""
    digest = hashlib.sha256()
    for number, root in enumerate(roots):
        for path, relative in declaring_files(root):
            digest.update(f"{number}/{relative}\0{_state(path)}\n".encode())
    return digest.hexdigest()


def content_digest(roots: Sequence[Path]) -> str:
    """A digest over path and content of every declaring file; the same wherever the folders stand."""
    digest = hashlib.sha256()
    for number, root in enumerate(roots):
        for path, relative in declaring_files(root):
            digest.update(f"{number}/{relative}\0{_content(path)}\n".encode())
    return digest.hexdigest()


def _state(path: str) -> str:
    try:
        stat = os.stat(path)  # noqa: PTH116 - plain paths: there are 15,000 of them
    except OSError as error:  # a link to nowhere: a fault to whoever reads it, and a state like any other here
        return f"unreadable {error.errno}"
    return f"{stat.st_size}\0{stat.st_mtime_ns}"


def _content(path: str) -> str:
    try:
        with open(path, "rb") as source:  # noqa: PTH123
            return hashlib.sha256(source.read()).hexdigest()
    except OSError as error:
        return f"unreadable {error.errno}"


def declaring_files(root: Path) -> Iterator[tuple[str, str]]:
    """(path, path relative to `root` with `/`) of the files below `root` that declare something, in a fixed order."""
    top = str(root)
    for folder, folders, names in os.walk(top):
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f != "__pycache__")
        inside = folder[len(top) + 1 :].replace(os.sep, "/")
        for name in sorted(names):
            if not name.startswith(".") and not name.endswith(IGNORED):
                yield f"{folder}{os.sep}{name}", f"{inside}/{name}" if inside else name
