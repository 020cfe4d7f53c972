"""The stored tables behind a model whose lineage a person declares: what a row, or a value, of it may be from at most. Pure.

Nobody can follow its text, so nothing but the declaration says more than "of all that it reads". For a column: the tables
that are declared of it and those of `*`; where no `*` is declared, everything that it reads decides on its rows. Through
curated tables the answer goes on by their own lineage, found or declared, at the pins of their builds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from governance.catalog.types import Catalogue, Model
from governance.develop.analyse import analyse
from governance.develop.analysis import Analysis
from governance.develop.declared import ROWS
from governance.errors import DeclarationError, NotReady


@dataclass(frozen=True, slots=True)
class Version:
    """A model as it was built: its text and contract with the catalogue of then, and the snapshots that it read."""

    model: Model
    catalogue: Catalogue
    snapshots: Mapping[str, int]


VersionOf = Callable[[str, int], Version]
"""(curated table, snapshot) -> the build that made it."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One stored table as it was read, all of it; `through` are the curated tables between."""

    table: str
    snapshot: int
    through: tuple[str, ...]
    current: bool | None


class Said(NamedTuple):
    """One declaration; without `line` the file of a model that reads a table and declares nothing of it."""

    file: str
    line: int
    column: str
    evidence: str


@dataclass(frozen=True, slots=True)
class Behind:
    """Whether values come from a stored table (else it only decides on rows), and the declarations that lead to it."""

    value: bool
    said: frozenset[Said]

    def __or__(self, other: Behind) -> Behind:
        return Behind(self.value or other.value, self.said | other.said)

    @property
    def reason(self) -> str:
        """Who says so: file, line, column and evidence of each declaration."""
        told = [f"{s.file}:{s.line}: {s.column} because {s.evidence}" for s in sorted(self.said) if s.line]
        told = told or [f"{file} reads it" for file in sorted({s.file for s in self.said})]
        return f"a person declared this lineage ({'; '.join(told)})"


def stored_behind(version: Version, column: str, path: tuple[str, ...], version_of: VersionOf) -> dict[Stored, Behind]:
    """What `column` (`*`: a row) of a built model may be from. Raises NotReady when a build on the way is not known,
    DeclarationError when its text is not sound.
    """
    found: dict[Stored, Behind] = {}
    for stored, behind in _Walk(version_of).behind(version, column.lower(), path):
        found[stored] = found[stored] | behind if stored in found else behind
    return found


def line_of_declaration(model: Model, column: str) -> int:
    """The line of a `gov.lineage` declaration in a model's file; 1 when it is not there."""
    pattern = re.compile(rf"^\s*(?:--|#)\s*gov\.lineage\s*:\s*{re.escape(column)}\s+from\s")
    return next((n for n, line in enumerate(model.sql.splitlines(), 1) if pattern.match(line)), 1)


class _Walk:
    def __init__(self, version_of: VersionOf) -> None:
        self._version_of = version_of
        self._analyses: dict[str, Analysis] = {}

    def behind(self, version: Version, column: str, path: tuple[str, ...]) -> Iterator[tuple[Stored, Behind]]:
        catalogue = version.catalogue
        for (name, input_column), behind in self._inputs(version, column).items():
            if name not in version.snapshots:
                raise NotReady("its build does not name a snapshot of it", where=name, do="build the model again")
            snapshot = version.snapshots[name]
            if name not in catalogue.models:
                current = True if catalogue.table(name).keeps_versions else None
                yield Stored(name, snapshot, path, current), behind
                continue
            for stored, further in self.behind(self._version_of(name, snapshot), input_column, (*path, name)):
                yield stored, Behind(behind.value and further.value, behind.said | further.said)

    def _inputs(self, version: Version, column: str) -> dict[tuple[str, str], Behind]:
        """(input, its column or `*`) -> what is said of it, for a column of the model and for its rows."""
        model, analysis = version.model, self._analysis(version)
        found: dict[tuple[str, str], Behind] = {}
        for edge in analysis.edges.edges:
            if edge.output_column.lower() not in (column, ROWS):
                continue
            value = edge.kind == "DIRECT" and edge.output_column != ROWS
            source = f"{edge.input}.{edge.input_column}"
            made = Behind(value, _said(model, edge.output_column, source))
            place = (edge.input, edge.input_column.lower())
            found[place] = found[place] | made if place in found else made
        named = {edge.input for edge in analysis.edges.edges}
        for name in analysis.inputs:
            if name not in named or ROWS not in model.lineage:
                found.setdefault((name, ROWS), Behind(value=False, said=_said(model, "", "")))
        return found

    def _analysis(self, version: Version) -> Analysis:
        model = version.model
        if model.text_hash not in self._analyses:
            analysis = analyse(model, version.catalogue)
            if analysis.faults:
                raise DeclarationError(analysis.faults)
            self._analyses[model.text_hash] = analysis
        return self._analyses[model.text_hash]


def _said(model: Model, column: str, source: str) -> frozenset[Said]:
    """The declaration of `column` that names `source`; of what is found beside declarations, the file."""
    if not model.lineage:
        return frozenset()
    sources, evidence = model.lineage.get(column, ((), ""))
    if source.lower() not in {name.lower() for name in sources}:
        return frozenset({Said(model.file, 0, "", "")})
    return frozenset({Said(model.file, line_of_declaration(model, column), column, evidence)})
