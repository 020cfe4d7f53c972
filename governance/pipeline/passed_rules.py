"""Which contracts and suites have compiled before, so that `gov check` of a large catalogue compiles only what has changed.

A file of digests beside the index: of the texts, the code sets, and the code that compiled them.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import os
from collections.abc import Mapping
from pathlib import Path

import governance.catalog
import governance.manage
from governance.catalog.types import CodeSet, Dataset, Suite


class PassedRules:
    """The digests kept in `folder`; `keep` writes those of this check alone."""

    def __init__(self, folder: Path, code_sets: Mapping[str, CodeSet]) -> None:
        self.file = folder / "passed-rules.json"
        sets = ",".join(f"{name}={code_sets[name].text_hash}" for name in sorted(code_sets))
        self.basis = f"{_code()}\0{sets}"
        self.before = self._read()
        self.now: set[str] = set()

    def has(self, table: Dataset, suite: Suite | None) -> bool:
        """Whether these texts compiled without a fault before."""
        digest = self._digest(table, suite)
        if digest not in self.before:
            return False
        self.now.add(digest)
        return True

    def add(self, table: Dataset, suite: Suite | None) -> None:
        """These texts have just compiled without a fault."""
        self.now.add(self._digest(table, suite))

    def keep(self) -> None:
        """Write the digests of this check, when they are others than before."""
        if self.now == self.before:
            return
        self.file.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.file.with_name(f".{self.file.name}.{os.getpid()}")
        temporary.write_text(json.dumps(sorted(self.now)), encoding="utf-8")
        temporary.replace(self.file)

    def _read(self) -> set[str]:
        try:
            return set(json.loads(self.file.read_bytes()))
        except (OSError, ValueError, TypeError):
            return set()  # none is no fault: everything is compiled

    def _digest(self, table: Dataset, suite: Suite | None) -> str:
        parts = (self.basis, table.file, table.name, table.text_hash, suite.text_hash if suite else "")
        return hashlib.sha256("\0".join(parts).encode("utf-8")).hexdigest()


@functools.cache
def _code() -> str:
    """A digest of all that decides what compiles: our two packages, Great Expectations, sqlglot."""
    digest = hashlib.sha256()
    for package in (governance.catalog, governance.manage):
        for folder in package.__path__:
            for module in sorted(Path(folder).glob("*.py")):
                digest.update(module.read_bytes())
    for name in ("great-expectations", "sqlglot", "duckdb"):
        digest.update(f"{name}={importlib.metadata.version(name)}".encode())
    return digest.hexdigest()
