"""Contracts that were read before need not be read again: their parsed datasets by the digest of their text.

JSON files, one a department, beside the index; `gov check` writes them. They are data only (no pickles: another service may have written
them), are trusted no further than the index itself, and count only for the code that made them.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from governance.catalog.contract import Parsed, parse_contract
from governance.catalog.encoded import decode_dataset, encode_dataset
from governance.catalog.files import Declaration


class ParseCache:
    """The cache in `folder` for a home with these `sources` (they decide what a contract's source is)."""

    def __init__(self, folder: Path, sources: Mapping[str, str]) -> None:
        self.folder, self.sources = folder, dict(sources)
        self.version = _version(json.dumps(self.sources, sort_keys=True))

    def parse(self, files: Sequence[Declaration], *, keep: bool) -> Iterator[tuple[Declaration, Parsed]]:
        """Each contract with what it gives, in order; only those without a fault are kept."""
        kept = self._read({d.department for d in files})
        known: dict[str, Parsed] = {}
        for declaration in files:
            entry = kept.get(declaration.file)
            if entry is not None and entry["sha256"] == declaration.sha256:
                known[declaration.file] = Parsed(tuple(decode_dataset(d) for d in entry["datasets"]), ())
        unread = [d for d in files if d.file not in known]
        known |= {d.file: _parse(d, self.sources) for d in unread}
        if keep:
            self._write(files, known, changed={d.department for d in unread})
        for declaration in files:
            yield declaration, known[declaration.file]

    def _read(self, departments: set[str]) -> dict[str, Any]:
        entries: dict[str, Any] = {}
        for department in departments:
            try:
                content = json.loads((self.folder / f"{department}.json").read_bytes())
                if content["version"] == self.version:
                    entries |= content["contracts"]
            except (OSError, ValueError, KeyError, TypeError):
                continue  # no cache is no fault: the contracts are read
        return entries

    def _write(self, files: Sequence[Declaration], parsed: Mapping[str, Parsed], *, changed: set[str]) -> None:
        departments: dict[str, dict[str, Any]] = {department: {} for department in changed}
        for declaration in files:
            result = parsed[declaration.file]
            if declaration.department in changed and not result.faults:
                entry = {"sha256": declaration.sha256, "datasets": [encode_dataset(d) for d in result.datasets]}
                departments[declaration.department][declaration.file] = entry
        self.folder.mkdir(parents=True, exist_ok=True)
        for department, contracts in departments.items():
            content = {"version": self.version, "contracts": contracts}
            temporary = self.folder / f".{department}.{os.getpid()}"
            temporary.write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
            temporary.replace(self.folder / f"{department}.json")


def _parse(declaration: Declaration, sources: Mapping[str, str]) -> Parsed:
    return parse_contract(
        declaration.text,
        file=declaration.file,
        department=declaration.department,
        stem=declaration.stem,
        sources=sources,
    )


@functools.cache
def _version(sources: str) -> str:
    """A digest of this package's code and of what else decides how a contract is read."""
    digest = hashlib.sha256(sources.encode("utf-8"))
    for module in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(module.read_bytes())
    return digest.hexdigest()
