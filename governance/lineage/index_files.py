"""A graph as files: arrays and names that any process maps without reading them. A folder holds one graph, named by its stamp."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from governance.lineage.arrays import Graph, Half

_VERSION = 1
_HEAD = "head.json"
_PREFIX = "graph-"
_ARRAYS = ("first", "table", "column", "rows", "begins", "ends", "output", "complete", "stage")
_HALVES = ("forward", "backward")


def load(folder: Path, stamp: str) -> tuple[Graph, pa.Table] | None:
    """The graph of a stamp, and the edges that it was made of, mapped; None: it is not there whole."""
    place = folder / f"{_PREFIX}{stamp}"
    head = _head(place)
    if head is None:
        return None
    try:
        arrays: dict[str, Any] = {name: _array(place, name) for name in _ARRAYS}
        halves: dict[str, Any] = {
            name: Half(*(_array(place, f"{name}-{part}") for part in Half.__slots__)) for name in _HALVES
        }
        tables, columns = (_table(place, name)["name"].combine_chunks() for name in ("tables", "columns"))
        edges = _table(place, "edges")
    except (OSError, ValueError):  # somebody replaced it just now
        return None
    return Graph(tables=tables, columns=columns, stages=tuple(head["stages"]), **arrays, **halves), edges


def load_edges(folder: Path, origin: str) -> pa.Table | None:
    """The edges of any graph that is kept of this database: sets do not change, so only new ones are to be read."""
    for place in sorted(folder.glob(f"{_PREFIX}*")):
        head = _head(place)
        if head is not None and head["origin"] == origin:
            try:
                return _table(place, "edges")
            except (OSError, ValueError):
                return None
    return None


def save(folder: Path, stamp: str, origin: str, graph: Graph, edges: pa.Table) -> None:
    """Keep a graph instead of the one before. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    place, making = folder / f"{_PREFIX}{stamp}", folder / f".{_PREFIX}{stamp}.{os.getpid()}"
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir()
    for name in _ARRAYS:
        np.save(making / f"{name}.npy", getattr(graph, name))
    for name in _HALVES:
        for part in Half.__slots__:
            np.save(making / f"{name}-{part}.npy", getattr(getattr(graph, name), part))
    for name, table in (("tables", _names(graph.tables)), ("columns", _names(graph.columns)), ("edges", edges)):
        with pa.OSFile(str(making / f"{name}.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
    head = {"version": _VERSION, "origin": origin, "stages": list(graph.stages)}
    (making / _HEAD).write_text(json.dumps(head), encoding="utf-8")
    for file_path in making.iterdir():
        with file_path.open("rb") as written:
            os.fsync(written.fileno())
    shutil.rmtree(place, ignore_errors=True)
    making.rename(place)
    for other in folder.glob(f"{_PREFIX}*"):
        if other != place:
            shutil.rmtree(other, ignore_errors=True)


def _head(place: Path) -> dict[str, Any] | None:
    try:
        head = json.loads((place / _HEAD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return head if isinstance(head, dict) and head.get("version") == _VERSION else None


def _array(place: Path, name: str) -> Any:
    return np.load(place / f"{name}.npy", mmap_mode="r")


def _names(names: pa.Array) -> pa.Table:
    return pa.table({"name": names})


def _table(place: Path, name: str) -> pa.Table:
    try:
        with pa.memory_map(str(place / f"{name}.arrow")) as file:
            return pa.ipc.open_file(file).read_all()
    except pa.ArrowInvalid as error:
        raise ValueError(str(error)) from None
