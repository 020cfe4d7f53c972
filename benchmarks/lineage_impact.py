"""`lineage_impact` and `lineage_as_of`: answers over an estate of 2 million columns and 5.7 million edges with skewed hubs.

An answer is what a caller gets: every node and link by name, sorted, and whether it is complete. Answers of at most 5,000 nodes count
for `p95_ms`; a closure is the greatest that a walk finds without limit, its nodes by name as a table. As of: the same questions
at an instant between the two revisions of the estate. Roots are drawn from all layers; both directions.
"""

from __future__ import annotations

import resource
import shutil
import statistics
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np

from benchmarks.lineage_estate import BEGAN, COLUMNS, build
from benchmarks.measure import BUILD
from governance.lineage.arrays import Graph
from governance.lineage.graph import Direction, Node
from governance.lineage.index import Index
from governance.lineage.walk import answer, nodes_of, reach
from governance.state.database import Database

_AS_OF = {"ratio": "ratio", "as_of_p95_ms": "p95_ms"}
_SHARED = ("answers", "nodes_median", "nodes_max", "columns", "edges")
SMALL, ASKED = 5_000, 400
ALL = 10**9
THEN = BEGAN + timedelta(hours=12)


def measure() -> Iterator[dict[str, object]]:
    folder = BUILD / "bench" / "lineage"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    database, edges = build(folder / "state.sqlite")
    try:
        found = _measured(database, folder, edges)
        yield {key: value for key, value in found.items() if key not in _AS_OF}
        yield {"name": "lineage_as_of", **{_AS_OF.get(key, key): found[key] for key in (*_AS_OF, *_SHARED)}}
    finally:
        database.close()
        shutil.rmtree(folder, ignore_errors=True)


def _measured(database: Database, folder: Path, edges: int) -> dict[str, object]:
    before = _resident_mb()
    with database.read() as connection:
        began = time.monotonic()
        Index(folder / "graph").graph(connection)
        built = time.monotonic()
        index = Index(folder / "graph")
        graph = index.graph(connection)
        opened = time.monotonic()
    print(f"  read and kept in {built - began:.1f} s, mapped in {(opened - built) * 1000:.0f} ms", flush=True)
    roots = np.random.default_rng(11).choice(graph.size, ASKED, replace=False).tolist()
    now, then, sizes = _answers(graph, roots)
    closures = [_closure(graph, root, direction) for direction, root in _widest(graph)]
    return {
        "p95_ms": round(float(np.percentile(now, 95)), 1),
        "median_ms": round(statistics.median(now), 2),
        "as_of_p95_ms": round(float(np.percentile(then, 95)), 1),
        "ratio": round(statistics.median(b / a for a, b in zip(now, then, strict=True)), 2),
        "answers": len(now),
        "nodes_median": int(statistics.median(sizes)),
        "nodes_max": max(sizes),
        "closure_s": round(max(seconds for seconds, _ in closures), 2),
        "closure_nodes": max(number for _, number in closures),
        "columns": COLUMNS,
        "nodes": graph.size,
        "edges": edges,
        "read_s": round(built - began, 1),
        "open_ms": round((opened - built) * 1000, 1),
        "graph_mb": round(sum(f.stat().st_size for f in (folder / "graph").rglob("*.npy")) / 2**20),
        "memory_mb": round(_resident_mb() - before),
    }


def _answers(graph: Graph, roots: list[int]) -> tuple[list[float], list[float], list[int]]:
    """Milliseconds of each answer now and as of then, and its nodes; those of more than 5,000 nodes are left out."""
    now, then, sizes = [], [], []
    directions: tuple[Direction, ...] = ("upstream", "downstream")
    for direction in directions:
        for root in roots:
            node = Node(*graph.names(np.array([root]))[0])
            began = time.perf_counter()
            found = reach(graph, root, direction, limit=SMALL)
            if len(found.nodes) > SMALL or len(found.nodes) < 2:
                continue
            answer(graph, node, direction, found)
            middle = time.perf_counter()
            answer(graph, node, direction, reach(graph, root, direction, limit=ALL, as_of=THEN))
            now.append((middle - began) * 1000)
            then.append((time.perf_counter() - middle) * 1000)
            sizes.append(len(found.nodes))
    return now, then, sizes


def _widest(graph: Graph) -> Iterator[tuple[Direction, int]]:
    """Columns of the first layer that are read most, and some of the last."""
    reads = np.diff(graph.forward.starts)
    for root in np.argsort(reads)[-5:].tolist():
        yield "downstream", root
    made = np.flatnonzero((np.diff(graph.backward.starts) > 0) & (reads == 0))
    for root in made[:: max(1, len(made) // 5)][:5].tolist():
        yield "upstream", root


def _closure(graph: Graph, root: int, direction: Direction) -> tuple[float, int]:
    began = time.perf_counter()
    found = nodes_of(graph, reach(graph, root, direction, limit=ALL))
    return time.perf_counter() - began, found.num_rows


def _resident_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
