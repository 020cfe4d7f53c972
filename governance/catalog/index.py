"""The compiled index: what DAG files know of a catalogue, one small JSON file a department, and `index.json` with the whole's hash.

Imports the standard library only (a test holds it to that): DAG files are parsed often and must start quickly. `gov check` writes it.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from governance.catalog.stamps import Stamp, content_digest, quick_stamp
from governance.catalog.types import Catalogue, Dataset
from governance.errors import GovernanceError

FORMAT = 1
_CYCLES = ("hourly", "daily", "weekly", "monthly", "yearly")
_UNITS = {"h": 0, "d": 1, "w": 2, "m": 3, "y": 4}
_DO = "run `gov check`"


@dataclass(frozen=True, slots=True)
class IndexInfo:
    """The index that was written: the hash over all of it."""

    hash: str
    departments: tuple[str, ...]


def write_index(
    catalogue: Catalogue,
    folder: Path,
    *,
    stamp: Stamp,
    inputs: Mapping[str, tuple[str, ...]],
    approvers: Sequence[str] = (),
) -> IndexInfo:
    """Write the index of `catalogue`; the same catalogue gives the same hash. `inputs` are the tables that each model reads.

    `stamp` was taken before the catalogue was read: declarations that change meanwhile make the index stale. Departments first, `index.json`
    last, each by rename; files of departments that are gone are removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    hashes = {}
    datasets: dict[str, list[Dataset]] = {}
    for dataset in catalogue.datasets.values():
        datasets.setdefault(dataset.department, []).append(dataset)
    for department in sorted(datasets):
        entry = _department(department, datasets[department])
        hashes[department] = _hash(entry)
        _write(folder / _file(department), {**entry, "hash": hashes[department]})
    body: dict[str, Any] = {
        "format": FORMAT,
        "departments": hashes,
        "curated": {name: sorted(inputs.get(name, ())) for name in catalogue.models},
        "approvers": sorted(approvers),
        "declarations": stamp.content,
    }
    whole = _hash(body)
    roots = [os.path.relpath(root, folder) for root in stamp.roots]
    _write(folder / "index.json", {**body, "hash": whole, "quick": stamp.quick, "roots": roots})
    for stale in set(folder.glob("department-*.json")) - {folder / _file(d) for d in hashes}:
        stale.unlink(missing_ok=True)
    return IndexInfo(whole, tuple(hashes))


def read_index(folder: Path) -> dict[str, Any]:
    """`index.json`: `departments` and `curated` (model -> tables that it reads), `approvers`, `hash`.

    Raises GovernanceError, naming the command to run, when there is no index or a declaration has changed since.
    """
    index = _read(folder / "index.json")
    if index.get("format") != FORMAT:
        raise GovernanceError("the index is of another version", where=str(folder / "index.json"), do=_DO)
    roots = tuple((folder / root).resolve() for root in index["roots"])
    if not _is_fresh(roots, index["quick"], index["declarations"]):
        raise GovernanceError("the index is stale: a declaration has changed", where=str(folder / "index.json"), do=_DO)
    return {**index, "departments": list(index["departments"])}


def read_department(folder: Path, department: str) -> dict[str, Any]:
    """One department: `systems` (system -> dataset names), `schedule`, `cycles` and `assets` by dataset, `collectable`.

    Raises GovernanceError when there is none, or when it is not the one that `index.json` was written with.
    """
    expected = _read(folder / "index.json").get("departments", {}).get(department)
    if expected is None:
        raise GovernanceError(
            f"there is no department {department!r} in the index", where=str(folder / "index.json"), do=_DO
        )
    entry = _read(folder / _file(department))
    own = entry.pop("hash", None)
    if own != expected or _hash(entry) != expected:
        raise GovernanceError(
            "not the file that the index was written with", where=str(folder / _file(department)), do=_DO
        )
    return entry


def _department(department: str, datasets: list[Dataset]) -> dict[str, Any]:
    systems: dict[str, list[str]] = {}
    for dataset in datasets:
        systems.setdefault(dataset.system, []).append(dataset.name)
    cycles = {d.name: d.update_cycle for d in datasets}
    return {
        "department": department,
        "systems": {system: sorted(names) for system, names in sorted(systems.items())},
        "collectable": sorted(d.name for d in datasets if d.source is not None),
        "cycles": cycles,
        "schedule": schedule(cycle for cycle in cycles.values() if cycle is not None),
        "assets": {d.name: d.name for d in datasets},
    }


def schedule(cycles: Any) -> str | None:
    """The Airflow preset that is often enough for all of `cycles`; None (on request only) when nothing is agreed.

    >>> schedule(["monthly", "3 d"]), schedule(["yearly"]), schedule([])
    ('@daily', '@yearly', None)
    """
    ranks = [rank for rank in map(_rank, cycles) if rank is not None]
    return f"@{_CYCLES[min(ranks)]}" if ranks else None


def _rank(cycle: str) -> int | None:
    if cycle in _CYCLES:
        return _CYCLES.index(cycle)
    return _UNITS.get(cycle.partition(" ")[2][:1])


@functools.lru_cache(maxsize=8)
def _is_fresh_now(roots: tuple[Path, ...], quick_found: str, content: str) -> bool:
    return content_digest(roots) == content


def _is_fresh(roots: tuple[Path, ...], quick: str, content: str) -> bool:
    """By paths, sizes and times; when these differ (a copied home), by content. The answer by content is kept for this process."""
    found = quick_stamp(roots)
    return found == quick or _is_fresh_now(roots, found, content)


def _file(department: str) -> str:
    return f"department-{department}.json"


def _hash(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(
        json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    ).hexdigest()


def _write(file: Path, body: Mapping[str, Any]) -> None:
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    temporary.write_text(json.dumps(body, ensure_ascii=False, sort_keys=True, indent=1), encoding="utf-8")
    temporary.replace(file)


def _read(file: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise GovernanceError("there is no index", where=str(file), do=_DO) from None
    except ValueError:
        raise GovernanceError("the index cannot be read", where=str(file), do=_DO) from None
    return content
