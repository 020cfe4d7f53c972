"""`program`: which code runs in this process - our sources, the installed packages, the interpreter - as one text and its hash."""

from __future__ import annotations

import functools
import hashlib
import json
import platform
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_OURS = "governance"
_METADATA = (".dist-info", ".egg-info")


@dataclass(frozen=True, slots=True)
class Program:
    """`text` is JSON with sorted keys: `version`, `sources`, `packages` (name==version, sorted), `python`; `sha256` is of its UTF-8 bytes."""

    sha256: str
    text: str


@functools.cache
def program() -> Program:
    """Of this process, as its files were at the first call; about 0.06 s, once a process. A run asks for it at its commit, nothing else does."""
    return described(Path(__file__).parent, tuple(sys.path))


def described(folder: Path, search: Iterable[str]) -> Program:
    """Of the sources in `folder` and the packages found in the folders of `search`, the first of a name as `import` has it."""
    installed = _installed(search)
    facts = {
        "version": installed.get(_OURS, "not installed"),
        "sources": sources(folder),
        "packages": [f"{name}=={version}" for name, version in sorted(installed.items())],
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }
    text = json.dumps(facts, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return Program(hashlib.sha256(text.encode()).hexdigest(), text)


def sources(folder: Path) -> str:
    """One SHA-256 over all Python files of a package: what `find governance -name '*.py' | LC_ALL=C sort | xargs sha256sum | sha256sum`
    prints beside it.
    """
    files = {path.relative_to(folder.parent).as_posix(): path for path in folder.rglob("*.py")}
    whole = hashlib.sha256()
    for name in sorted(files, key=str.encode):
        whole.update(f"{hashlib.sha256(files[name].read_bytes()).hexdigest()}  {name}\n".encode())
    return whole.hexdigest()


def _installed(search: Iterable[str]) -> dict[str, str]:
    """Name (PEP 503) -> version, by the names of the metadata folders: `importlib.metadata` would open every one of them, which takes
    half a second."""
    found: dict[str, str] = {}
    for folder in dict.fromkeys(search):
        path = Path(folder)
        if path.is_dir():
            for entry in sorted(path.iterdir()):
                if entry.suffix in _METADATA:
                    name, _, version = entry.stem.partition("-")
                    found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), version)
    return found
