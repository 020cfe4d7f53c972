"""Ways over a graph's arrays: everything up- or downstream of a node, at an instant, as `graph.Answer`. Pure.

In time that goes with what is reached, not with what there is; a test holds it against a plain walk by SQL.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product

import numpy as np
import pyarrow as pa

from governance.lineage.arrays import OPEN, SUBTYPES, Flags, Graph, Half, Ints, Longs, how_of, ranges
from governance.lineage.graph import ROWS, Answer, Direction, Link, Node, not_followed, unknown

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def instant(at: datetime) -> int:
    """Microseconds since 1970."""
    return (at - _EPOCH) // timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Reached:
    """What a walk found: the nodes (the root first, then step by step, `steps` from it) and the links, each by numbers of the graph."""

    nodes: Ints
    steps: Ints
    source: Ints
    target: Ints
    episode: Ints
    how: Ints
    cut: tuple[str, ...]


def reach(
    graph: Graph,
    root: int,
    direction: Direction,
    *,
    depth: int = 50,
    limit: int = 20_000,
    as_of: datetime | None = None,
    unnamed: bool = False,
) -> Reached:
    """Everything up- or downstream of node `root`; `unnamed`: of a column that no edge names, of the table whose rows are `root`."""
    at = OPEN - 1 if as_of is None else instant(as_of)
    half = graph.backward if direction == "upstream" else graph.forward
    walker = _Walker(graph, half, at, direction)
    seen = np.zeros(graph.size, np.bool_)
    frontier = np.array([root], np.int32)
    seen[root] = not unnamed
    found, steps, number, cut = [frontier[:0] if unnamed else frontier], [0], 1, set[str]()
    for level in range(depth + 1):
        if not len(frontier):
            break
        if level == depth:
            cut.add(f"stopped after {depth} steps")
            break
        reached = walker.step(frontier, whole_only=unnamed and level == 0)
        reached = reached[~seen[reached]]
        seen[reached] = True
        frontier = np.unique(reached)
        found.append(frontier)
        steps.append(level + 1)
        number += len(frontier)
        if number > limit:
            cut.add(f"stopped after {limit} columns")
            break
    nodes = np.concatenate(found)
    spread = np.repeat(np.array(steps, np.int32), [len(part) for part in found])
    return Reached(nodes, spread, *walker.links(), tuple(sorted(cut | walker.reasons())))


def answer(graph: Graph, root: Node, direction: Direction, reached: Reached) -> Answer:
    """What was reached, by names, in the order of `graph.Answer`."""
    hows = [how_of(code) for code in range(len(SUBTYPES) * 4)]
    kinds = sorted(product(hows, graph.stages))
    kind_of = {kind: number for number, kind in enumerate(kinds)}
    ranks = np.array([[kind_of[how, stage] for stage in graph.stages] for how in hows], np.int64)
    ranks = ranks.reshape(len(hows), len(graph.stages))
    kind = ranks[reached.how, graph.stage[reached.episode]]
    order = np.lexsort((kind, reached.target, reached.source))
    rows = np.stack([reached.source[order], reached.target[order], kind[order]])
    rows = rows[:, np.concatenate([[True], np.any(np.diff(rows, axis=1) != 0, axis=0)])] if len(order) else rows
    used, places = np.unique(rows[:2], return_inverse=True)
    names = [Node._make(pair) for pair in graph.names(used)]
    sources, targets = places.reshape(2, -1).tolist()
    links = tuple(
        Link._make((names[s], names[t], *kinds[k][0], kinds[k][1]))
        for s, t, k in zip(sources, targets, rows[2].tolist(), strict=True)
    )
    return Answer(root, direction, links, reached.cut)


def downstream(graph: Graph, root: Node, *, limit: int = 200_000, as_of: datetime | None = None) -> Answer:
    """Everything that depends on a node, whether an edge names it or not."""
    number = graph.node(*root)
    unnamed = number is None
    number = graph.node(root.table, ROWS) if number is None else number
    if number is None:
        return nowhere(graph, root, "downstream", as_of)
    return answer(
        graph, root, "downstream", reach(graph, number, "downstream", limit=limit, as_of=as_of, unnamed=unnamed)
    )


def nowhere(graph: Graph, root: Node, direction: Direction, as_of: datetime | None) -> Answer:
    """The answer for a node that no edge has: nothing, and why that may be too little."""
    at = OPEN - 1 if as_of is None else instant(as_of)
    place = graph.table_number(root.table)
    told = (graph.begins <= at) & (graph.ends > at) & (graph.output == (-1 if place is None else place))
    cut: tuple[str, ...] = ()
    if direction == "upstream" and bool(np.any(told & ~graph.complete)):
        cut = (not_followed(root.table),)
    elif direction == "upstream" and not bool(np.any(told)) and ":" not in root.table:
        cut = (unknown(root.table),)
    return Answer(root, direction, (), cut)


def nodes_of(graph: Graph, reached: Reached) -> pa.Table:
    """The nodes as table, column and step: for answers too large to be links in Python."""
    return pa.table(
        {
            "table": graph.tables.take(pa.array(graph.table[reached.nodes])),
            "column": graph.columns.take(pa.array(graph.column[reached.nodes])),
            "step": pa.array(reached.steps),
        }
    )


class _Walker:
    """One walk: which nodes were expanded, which edges were taken."""

    def __init__(self, graph: Graph, half: Half, at: int, direction: Direction) -> None:
        self._graph, self._half, self._direction = graph, half, direction
        self._in_force: Flags = (graph.begins <= at) & (graph.ends > at)
        self._done = np.zeros(graph.size, np.bool_)
        self._whole = np.zeros(graph.size, np.bool_)
        self._tables: list[Ints] = []
        self._taken: list[tuple[Ints, Longs]] = []
        self._twice = False

    def step(self, frontier: Ints, *, whole_only: bool = False) -> Ints:
        """Nodes that one edge leads to from these, and from what belongs to them."""
        graph = self._graph
        tables = np.unique(graph.table[frontier])
        rows = graph.rows[tables]
        if self._direction == "upstream":
            self._tables.append(tables)
            return self._expand(np.concatenate([frontier, rows]))
        if whole_only:
            return self._expand(rows, whole_only=True)
        whole_tables = graph.table[frontier[np.isin(frontier, rows)]]
        _, members = ranges(graph.first[whole_tables], graph.first[whole_tables + 1] - graph.first[whole_tables])
        reached = self._expand(np.concatenate([frontier, members.astype(np.int32)]))
        return np.concatenate([reached, self._expand(rows, whole_only=True)])

    def links(self) -> tuple[Ints, Ints, Ints, Ints]:
        """(source, target, episode, how) of all edges taken."""
        nodes, edges = self._all()
        other, episode = self._half.other[edges], self._half.episode[edges]
        code = self._half.how[edges].astype(np.int32)
        if self._direction == "upstream":
            return other, nodes, episode, code
        return nodes, other, episode, code

    def reasons(self) -> set[str]:
        """Why the walk may lack something: what could not be followed, and tables of ours of which no run told."""
        graph = self._graph
        if self._direction == "downstream":
            met = np.zeros(len(graph.complete), np.bool_)
            for _, edges in self._taken:
                met[self._half.episode[edges]] = True
            loose = np.unique(graph.output[met & ~graph.complete])
            return {not_followed(name) for name in graph.table_names(loose)}
        passed = np.unique(np.concatenate(self._tables)) if self._tables else np.empty(0, np.int32)
        told, loose_tables = np.zeros(len(graph.tables), np.bool_), np.zeros(len(graph.tables), np.bool_)
        told[graph.output[self._in_force]] = True
        loose_tables[graph.output[self._in_force & ~graph.complete]] = True
        found = {not_followed(name) for name in graph.table_names(passed[loose_tables[passed]])}
        return found | {unknown(name) for name in graph.table_names(passed[~told[passed]]) if ":" not in name}

    def _expand(self, nodes: Ints, *, whole_only: bool = False) -> Ints:
        """Take the edges in force of nodes that were not expanded yet; where they lead."""
        graph, half = self._graph, self._half
        nodes = np.unique(nodes)
        nodes = nodes[~self._done[nodes] & ~(self._whole[nodes] & whole_only)]
        (self._whole if whole_only else self._done)[nodes] = True
        owner, edges = ranges(half.starts[nodes], half.starts[nodes + 1] - half.starts[nodes])
        kept = self._in_force[half.episode[edges]]
        if whole_only:
            other = half.other[edges]
            kept &= graph.rows[graph.table[other]] == other
        owner, edges = owner[kept], edges[kept]
        self._taken.append((nodes[owner], edges))
        self._twice |= whole_only and len(edges) > 0  # the rows may be expanded as a whole later
        return half.other[edges]

    def _all(self) -> tuple[Ints, Longs]:
        """The nodes and places of all edges taken, each edge once."""
        if not self._taken:
            return np.empty(0, np.int32), np.empty(0, np.int64)
        nodes = np.concatenate([part[0] for part in self._taken])
        edges = np.concatenate([part[1] for part in self._taken])
        if not self._twice:
            return nodes, edges
        edges, first = np.unique(edges, return_index=True)
        return nodes[first], edges
