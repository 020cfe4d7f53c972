"""`diff`: the changes between a base and the working declarations, and what each reaches downstream. Needs no state: lineage is that of
the declarations themselves, so that it can be asked before a merge, where nothing was ever run.
"""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

from governance.catalog.load import read_catalogue
from governance.catalog.rules import RowRules
from governance.catalog.types import Catalogue, Dataset
from governance.config import Settings
from governance.develop import analyse
from governance.errors import DeclarationError, Fault, GovernanceError
from governance.lineage.arrays import EDGE_SCHEMA, EPISODE_SCHEMA, OPEN, Graph, edge_batch, graph, how
from governance.lineage.edges import EdgeSet
from governance.lineage.graph import Answer
from governance.lineage.store_edges import edges_of_dataset, landed_edges
from governance.lineage.walk import downstream
from governance.manage import compile_rules
from governance.pipeline import concerned
from governance.pipeline.change import Change
from governance.pipeline.changes import changes
from governance.pipeline.impact import reached
from governance.policy.access import parse_access


@dataclass(frozen=True, slots=True)
class Reach:
    """A change with everything downstream of it in the base, and whom that concerns."""

    change: Change
    columns: tuple[str, ...]
    models: tuple[str, ...]
    checks: tuple[str, ...]
    expectations: tuple[str, ...]
    references: tuple[str, ...]
    policies: tuple[str, ...]
    keys: tuple[str, ...]
    consumers: tuple[str, ...]
    cut: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        change = {name: getattr(self.change, name) for name in ("table", "column", "kind", "breaking", "what")}
        return {**change, **{name: list(getattr(self, name)) for name in self.__slots__ if name != "change"}}


@dataclass(frozen=True, slots=True)
class Difference:
    """All changes with what they reach. `faults` are those of the working declarations: what they leave out counts as dropped."""

    reaches: tuple[Reach, ...]
    faults: tuple[Fault, ...]

    @property
    def breaking(self) -> bool:
        return bool(self.faults) or any(reach.change.breaking for reach in self.reaches)


def diff(base: Catalogue, settings: Settings, *, at: datetime) -> Difference:
    """What the working declarations of a home change against `base`."""
    loaded = read_catalogue(settings)
    found = changes(base, loaded.catalogue, at=at)
    declared = declared_graph(base) if found else None
    faults = dict.fromkeys((*loaded.faults, *_access_faults(loaded.catalogue)))
    return Difference(tuple(_reach(change, base, declared, at) for change in found if declared), tuple(faults))


@contextmanager
def base_of(settings: Settings, base: str) -> Iterator[Settings]:
    """The settings of a base: a folder with declarations, or a commit of the home's git repository."""
    folder = Path(base)
    if folder.is_dir():
        yield _elsewhere(settings, folder.resolve())
        return
    names = [path.relative_to(settings.home).as_posix() for path in _inside(settings)]
    with TemporaryDirectory() as place:
        for name in names:
            _unpack(settings.home, base, name, Path(place))
        yield _elsewhere(settings, Path(place))


def declared_graph(catalogue: Catalogue) -> Graph:
    """The lineage that declarations imply, without any run."""
    sets: list[EdgeSet] = []
    for dataset in catalogue.datasets.values():
        sets += [landed_edges(dataset), edges_of_dataset(dataset, _rules(dataset, catalogue))]
    sets += [analyse(model, catalogue).edges for model in catalogue.models.values()]
    rows = [
        (s.id, e.input, e.input_column, e.output_column, how(e.kind, e.subtype, e.masking))
        for s in sets
        for e in s.edges
    ]
    texts = {name: [str(row[number]) for row in rows] for number, name in enumerate(EDGE_SCHEMA.names[:-1])}
    edges = pa.Table.from_batches([edge_batch(texts, [row[-1] for row in rows])])
    each = [[s.id, s.output, s.stage, s.complete, s.stage, 0, OPEN] for s in sets]
    columns = [pa.array([row[number] for row in each], kind) for number, kind in enumerate(EPISODE_SCHEMA.types)]
    return graph(edges, pa.Table.from_arrays(columns, schema=EPISODE_SCHEMA))


def _rules(dataset: Dataset, catalogue: Catalogue) -> RowRules | None:
    """The rules of a dataset; None when they cannot be compiled."""
    try:
        return compile_rules(dataset, catalogue.suites.get(dataset.name), catalogue.code_sets)
    except DeclarationError:
        return None


def _access_faults(catalogue: Catalogue) -> tuple[Fault, ...]:
    """What the access rules have wrong over these declarations."""
    try:
        parse_access(catalogue.access_text, catalogue.access_file, catalogue)
    except DeclarationError as error:
        return error.faults
    return ()


def _reach(change: Change, base: Catalogue, declared: Graph, at: datetime) -> Reach:
    answer = (
        downstream(declared, change.root) if change.kind != "table added" else Answer(change.root, "downstream", (), ())
    )
    values, rows = reached(answer)
    columns = concerned.touched(base, {change.root, *values, *rows})
    return Reach(
        change=change,
        columns=tuple(str(node) for node in sorted(values | rows)),
        models=tuple(sorted(set(base.models) & set(columns) - {change.table})),
        checks=tuple(sorted(concerned.checks(base, columns))),
        expectations=tuple(sorted(concerned.expectations(base, columns))),
        references=tuple(sorted(concerned.references(base, columns))),
        policies=tuple(sorted(concerned.policies(base, columns))),
        keys=tuple(sorted(set(concerned.keys(base, columns)))),
        consumers=tuple(sorted(concerned.readers(base, columns, at=at))),
        cut=answer.cut,
    )


def _inside(settings: Settings) -> tuple[Path, Path]:
    for path in (settings.catalog, settings.expectations):
        if not path.is_relative_to(settings.home):
            raise GovernanceError(
                "declarations lie outside the home: git cannot be asked for them",
                where=path.name,
                do="give a folder as BASE",
            )
    return settings.catalog, settings.expectations


def _elsewhere(settings: Settings, folder: Path) -> Settings:
    catalog, expectations = (folder / path.relative_to(settings.home) for path in _inside(settings))
    if not catalog.is_dir():
        raise GovernanceError(
            "the base has no declarations", where=catalog.name, do="give a commit or folder that has some"
        )
    return replace(settings, home=folder, catalog=catalog, expectations=expectations, var=folder / "var")


def _unpack(home: Path, commit: str, name: str, place: Path) -> None:
    """Write a folder of a commit to `place`; one that the commit lacks is left out."""
    command = ["git", "-C", str(home), "archive", "--format=tar", commit, "--", name]
    wrong = GovernanceError(
        "neither a folder nor a commit",
        where=commit[:80],
        allowed="a git ref, or a folder with declarations",
        do="correct BASE",
    )
    if commit.startswith("-"):
        raise wrong
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        raise GovernanceError("git is not installed", do="give a folder as BASE") from None
    if done.returncode and b"did not match any files" not in done.stderr:
        raise wrong
    if done.returncode == 0:
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            archive.extractall(place, filter="data")
