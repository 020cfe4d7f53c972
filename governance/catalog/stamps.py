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
        for path in declaring_files(root):
            stat = path.stat()
            digest.update(
                f"{number}/{path.relative_to(root).as_posix()}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode()
            )
    return digest.hexdigest()


def content_digest(roots: Sequence[Path]) -> str:
    """A digest over path and content of every declaring file; the same wherever the folders stand."""
    digest = hashlib.sha256()
    for number, root in enumerate(roots):
        for path in declaring_files(root):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{number}/{path.relative_to(root).as_posix()}\0{content}\n".encode())
    return digest.hexdigest()


def declaring_files(root: Path) -> Iterator[Path]:
    """The files below `root` that declare something, in a fixed order."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f != "__pycache__")
        for name in sorted(names):
            if not name.startswith(".") and not name.endswith(IGNORED):
                yield Path(folder) / name
