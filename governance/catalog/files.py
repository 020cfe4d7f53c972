"""Which files of a home declare what, and their texts. The only module of this package that walks folders."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from governance.catalog.names import CURATED, STANDARDS, name_fault
from governance.catalog.stamps import declaring_files
from governance.config import Settings
from governance.errors import Fault

CONTRACT, MODEL, STEP, CHECK = ".odcs.yaml", ".sql", ".py", ".check.sql"


@dataclass(frozen=True, slots=True)
class Declaration:
    """One file: its path relative to the home, what its place says, its text and the text's digest."""

    file: str
    department: str
    stem: str
    text: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Declarations:
    """All declaring files of a home by kind, each kind in order of path. `access` has the empty text when there is no file."""

    contracts: tuple[Declaration, ...]
    code_sets: tuple[Declaration, ...]
    models: tuple[Declaration, ...]
    checks: tuple[Declaration, ...]
    suites: tuple[Declaration, ...]
    access: Declaration


def read_declarations(settings: Settings) -> tuple[Declarations, tuple[Fault, ...]]:
    """Every declaration of the home, and the files that stand where nobody would read them."""
    faults: list[Fault] = []
    kinds: dict[str, list[Declaration]] = {
        "contract": [],
        "code_set": [],
        "model": [],
        "check": [],
        "suite": [],
        "cases": [],
    }
    access = Declaration(_relative(settings.catalog / "access.yaml", settings.home), "", "access", "", _digest(""))
    for path, file, parts, in_catalog in _walk(settings):
        kind, allowed = _kind(parts, in_catalog=in_catalog)
        if not kind:
            faults.append(Fault(file, 1, "", "a file that nobody reads", allowed, "move or rename it"))
            continue
        department = parts[0] if len(parts) > 1 else ""
        if len(parts) == 2 and department not in (CURATED, STANDARDS) and (problem := name_fault(department)):
            faults.append(
                Fault(file, 1, "", f"the folder {department!r}: {problem[0]}", problem[1], "rename the folder")
            )
        try:
            text = _read(path)
        except UnicodeDecodeError as error:
            faults.append(Fault(file, 1, "", f"not UTF-8 at byte {error.start}", "UTF-8", "save it as UTF-8"))
            continue
        except OSError as error:
            faults.append(Fault(file, 1, "", f"cannot be read: {error.strerror}", "", "make it readable"))
            continue
        declaration = Declaration(file, department, _stem(parts[-1]), text, _digest(text))
        if kind == "access":
            access = declaration
        else:
            kinds[kind].append(declaration)
    found = {kind: tuple(sorted(items, key=lambda d: d.file)) for kind, items in kinds.items()}
    return Declarations(
        found["contract"], found["code_set"], found["model"], found["check"], found["suite"], access
    ), tuple(faults)


def kept_declarations(texts: Mapping[tuple[str, str], str], settings: Settings) -> Declarations:
    """The declarations that the state keeps, (kind, name) -> text, under the paths that such files have.

    A contract of several datasets is one declaration, called by the first of their names.
    """
    kinds: dict[str, dict[tuple[str, str], Declaration]] = {kind: {} for kind in _PLACES}
    for (kind, name), text in sorted(texts.items()):
        if kind not in _PLACES:
            continue
        department, _, stem = name.partition(".") if kind in ("contract", "suite") else (CURATED, "", name)
        stem = stem.removeprefix(f"{CURATED}.")
        root = settings.expectations if kind == "suite" else settings.catalog
        path = _PLACES[kind].format(department=department, stem=stem)
        if kind == "model" and text.lstrip().startswith("#"):  # as each step begins: with its declared lineage
            path = path.removesuffix(MODEL) + STEP
        place = f"{_relative(root, settings.home)}/{path}"
        digest = _digest(text)
        own = (department, digest if kind == "contract" else stem)
        department = {"code_set": STANDARDS, "access": ""}.get(kind, department)
        kinds[kind].setdefault(own, Declaration(place, department, stem, text, digest))
    found = {kind: tuple(sorted(items.values(), key=lambda d: d.file)) for kind, items in kinds.items()}
    access = found["access"] or (Declaration("catalog/access.yaml", "", "access", "", _digest("")),)
    return Declarations(found["contract"], found["code_set"], found["model"], found["check"], found["suite"], access[0])


_PLACES: Mapping[str, str] = {
    "contract": "{department}/{stem}" + CONTRACT,
    "model": "curated/{stem}" + MODEL,
    "check": "curated/{stem}" + CHECK,
    "suite": "{department}/{stem}.json",
    "code_set": STANDARDS + "/{stem}.csv",
    "access": "access.yaml",
}
"""Kind -> where such a declaration lies below the catalogue's (a suite's: the expectations') folder."""


def _walk(settings: Settings) -> Iterator[tuple[str, str, tuple[str, ...], bool]]:
    """(path, path relative to the home, parts below the root, whether the root is the catalogue)."""
    for root in (settings.catalog, settings.expectations):
        prefix = _relative(root, settings.home)
        for path, relative in declaring_files(root):
            yield path, f"{prefix}/{relative}", tuple(relative.split("/")), root == settings.catalog


def _read(path: str) -> str:
    with open(path, "rb") as source:  # noqa: PTH123 - plain paths: there are 15,000 of them
        return source.read().decode("utf-8-sig")


def _kind(parts: tuple[str, ...], *, in_catalog: bool) -> tuple[str, str]:
    """(kind, what is allowed there); the empty kind for a file that stands nowhere."""
    name = parts[-1]
    if not in_catalog:
        allowed = "expectations/<department>/<dataset>.json"
        return ("suite", allowed) if len(parts) == 2 and name.endswith(".json") else ("", allowed)
    if parts == ("access.yaml",):
        return "access", ""
    if parts in (("access.cases.yaml",), ("attestations.yaml",)):
        return "cases", ""
    if len(parts) != 2:
        return "", "access.yaml, <department>/<dataset>.odcs.yaml, curated/<model>.sql or .py, standards/<codeset>.csv"
    if parts[0] == STANDARDS:
        return ("code_set", "") if name.endswith(".csv") else ("", "standards/<codeset>.csv")
    if name.endswith(CONTRACT):
        return "contract", ""
    if parts[0] != CURATED:
        return "", "<department>/<dataset>.odcs.yaml"
    if name.endswith(CHECK):
        check = name.removesuffix(CHECK).count(".") == 1
        return ("check", "") if check else ("", "curated/<model>.<check>.check.sql")
    model = name.endswith((MODEL, STEP)) and name.count(".") == 1
    return ("model", "") if model else ("", "curated/<model>.sql or .py, <model>.odcs.yaml, <model>.<check>.check.sql")


def _stem(name: str) -> str:
    for suffix in (CONTRACT, CHECK, MODEL, STEP, ".csv", ".json", ".yaml"):
        if name.endswith(suffix):
            return name.removesuffix(suffix)
    return name


def _relative(path: Path, home: Path) -> str:
    return Path(os.path.relpath(path, home)).as_posix()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
