"""The graph of all column edges that ever were in force, as arrays: names sorted, nodes and edges by number, both ways. Pure.

A node's number is its place among all (table, column) in order of names, so the columns of a table stand together. An edge
stands once for each time its edge set was in force (`episode`: from, to in microseconds, `OPEN` without an end). `forward` has the
edges by their source, `backward` by their target (compressed sparse rows).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from governance.lineage.edges import Kind, Subtype

OPEN: Final = np.iinfo(np.int64).max
SUBTYPES: Final[tuple[Subtype, ...]] = get_args(Subtype)
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

EPISODE_SCHEMA = pa.schema(
    [
        ("edge_set", pa.string()),
        ("output", pa.string()),
        ("stage", pa.string()),
        ("complete", pa.bool_()),
        ("key", pa.string()),
        ("from", pa.int64()),
        ("to", pa.int64()),
    ]
)
"""`key` is what a later episode of the same output supersedes: stage of ours, or job of others."""

EDGE_SCHEMA = pa.schema(
    [
        ("edge_set", pa.dictionary(pa.int32(), pa.string())),
        ("input", pa.dictionary(pa.int32(), pa.string())),
        ("input_column", pa.dictionary(pa.int32(), pa.string())),
        ("output_column", pa.dictionary(pa.int32(), pa.string())),
        ("how", pa.int32()),
    ]
)


def how(kind: Kind, subtype: Subtype, masking: bool) -> int:
    """Kind, subtype and masking as one number below 256."""
    return SUBTYPES.index(subtype) * 4 + KINDS.index(kind) * 2 + masking


def how_of(code: int) -> tuple[Kind, Subtype, bool]:
    """What `how` made a number of.

    >>> how_of(how("INDIRECT", "FILTER", True))
    ('INDIRECT', 'FILTER', True)
    """
    return KINDS[code // 2 % 2], SUBTYPES[code // 4], bool(code % 2)


@dataclass(frozen=True, slots=True)
class Half:
    """Edges in one direction: those of node n are at [starts[n], starts[n + 1])."""

    starts: Longs
    other: Ints
    episode: Ints
    how: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes, edges and episodes. `first[t]` is the first node of table t (one more entry ends the last table); `rows[t]` its node
    `(t, '*')`, which every table has.
    """

    tables: pa.Array
    columns: pa.Array
    first: Ints
    table: Ints
    column: Ints
    rows: Ints
    forward: Half
    backward: Half
    begins: Longs
    ends: Longs
    output: Ints
    complete: Flags
    stage: Ints
    stages: tuple[str, ...]

    @property
    def size(self) -> int:
        return len(self.table)

    @property
    def edges(self) -> int:
        return len(self.forward.other)

    def node(self, table: str, column: str) -> int | None:
        """The number of a node; None: no edge has it."""
        place = _find(self.tables, table)
        name = _find(self.columns, column)
        if place is None or name is None:
            return None
        low, high = int(self.first[place]), int(self.first[place + 1])
        at = low + int(np.searchsorted(self.column[low:high], name))
        return at if at < high and int(self.column[at]) == name else None

    def table_number(self, table: str) -> int | None:
        return _find(self.tables, table)

    def columns_of(self, table: str) -> list[str]:
        """The columns that edges name of a table, sorted; none of one that is not there."""
        number = self.table_number(table)
        if number is None:
            return []
        return [name for _, name in self.names(np.arange(self.first[number], self.first[number + 1]))]

    def names(self, nodes: npt.NDArray[np.integer]) -> list[tuple[str, str]]:
        """(table, column) of nodes."""
        tables = self.tables.take(pa.array(self.table[nodes])).to_pylist()
        columns = self.columns.take(pa.array(self.column[nodes])).to_pylist()
        return list(zip(tables, columns, strict=True))

    def table_names(self, tables: npt.NDArray[np.integer]) -> list[str]:
        return [str(name) for name in self.tables.take(pa.array(tables.astype(np.int32))).to_pylist()]


def graph(edges: pa.Table, episodes: pa.Table) -> Graph:
    """The graph of edges (EDGE_SCHEMA) of the sets that episodes (EPISODE_SCHEMA) put in force."""
    edges = edges.unify_dictionaries().combine_chunks()
    source_of, source_table = _coded(edges["input"])
    target_of, target_table = _coded_strings(episodes["output"])
    tables, (source_map, target_map) = _merged(source_of, target_of)
    names_in, input_column = _coded(edges["input_column"])
    names_out, output_column = _coded(edges["output_column"])
    columns, (in_map, out_map, star) = _merged(names_in, names_out, pa.array(["*"]))
    set_names, edge_sets = _coded(edges["edge_set"])
    edge_rows, episode_rows = _in_force(set_names, edge_sets, episodes["edge_set"])
    wide = np.int64(len(columns) + 1)
    outputs = target_map[target_table]
    sources = source_map[source_table[edge_rows]].astype(np.int64) * wide + in_map[input_column[edge_rows]]
    targets = outputs[episode_rows].astype(np.int64) * wide + out_map[output_column[edge_rows]]
    of_rows = np.arange(len(tables)) * wide + star[0]
    nodes, numbers = np.unique(np.concatenate([of_rows, sources, targets]), return_inverse=True)
    rows, source, target = np.split(numbers.astype(np.int32), [len(tables), len(tables) + len(sources)])
    table, column = (nodes // wide).astype(np.int32), (nodes % wide).astype(np.int32)
    codes = edges["how"].to_numpy().astype(np.uint8)[edge_rows]
    stages, stage = _coded_strings(episodes["stage"])
    return Graph(
        tables=tables,
        columns=columns,
        first=np.searchsorted(table, np.arange(len(tables) + 1)).astype(np.int32),
        table=table,
        column=column,
        rows=rows,
        forward=_half(source, target, episode_rows, codes, len(nodes)),
        backward=_half(target, source, episode_rows, codes, len(nodes)),
        begins=episodes["from"].to_numpy(),
        ends=episodes["to"].to_numpy(),
        output=outputs,
        complete=episodes["complete"].to_numpy(zero_copy_only=False),
        stage=stage,
        stages=tuple(str(name) for name in stages.to_pylist()),
    )


def edge_batch(rows: Mapping[str, list[str] | tuple[str, ...]], codes: list[int] | tuple[int, ...]) -> pa.RecordBatch:
    """Some edges as a batch of EDGE_SCHEMA."""
    arrays = [pa.array(rows[name], pa.string()).dictionary_encode() for name in EDGE_SCHEMA.names[:-1]]
    return pa.RecordBatch.from_arrays([*arrays, pa.array(codes, pa.int32())], schema=EDGE_SCHEMA)


def _coded(values: pa.ChunkedArray) -> tuple[pa.Array, Ints]:
    """A dictionary column as its names and the number of each value's."""
    if values.num_chunks == 0:
        return pa.array([], pa.string()), np.empty(0, np.int32)
    whole = values.chunk(0)
    return whole.dictionary, whole.indices.to_numpy()


def _coded_strings(values: pa.ChunkedArray) -> tuple[pa.Array, Ints]:
    whole = values.combine_chunks()
    whole = whole if isinstance(whole, pa.Array) else pa.concat_arrays(whole.chunks)
    coded = whole.dictionary_encode()
    return coded.dictionary, coded.indices.to_numpy()


def _merged(*lists: pa.Array) -> tuple[pa.Array, list[Ints]]:
    """All names once, sorted; and for each list the place of its names there."""
    names = pc.unique(pa.concat_arrays(list(lists)))
    names = names.take(pc.array_sort_indices(names))
    return names, [pc.index_in(one, names).to_numpy(zero_copy_only=False).astype(np.int32) for one in lists]


def _in_force(set_names: pa.Array, edge_sets: Ints, episodes: pa.ChunkedArray) -> tuple[Longs, Ints]:
    """(edge row, episode row) of every edge for every episode of its set."""
    places = pc.index_in(episodes.combine_chunks(), set_names).to_numpy(zero_copy_only=False)
    known = np.flatnonzero(~np.isnan(places)) if places.dtype.kind == "f" else np.arange(len(places))
    sets = places[known].astype(np.int64)
    order = np.argsort(edge_sets, kind="stable")
    counts = np.bincount(edge_sets, minlength=len(set_names))
    starts = np.concatenate([[0], np.cumsum(counts)])
    taken, rows = ranges(starts[sets], counts[sets])
    return order[rows], known[taken].astype(np.int32)


def ranges(starts: npt.NDArray[np.integer], counts: npt.NDArray[np.integer]) -> tuple[Longs, Longs]:
    """Of ranges [start, start + count): for each member the number of its range, and itself.

    >>> [part.tolist() for part in ranges(np.array([5, 0]), np.array([2, 1]))]
    [[0, 0, 1], [5, 6, 0]]
    """
    total = int(counts.sum())
    owner = np.repeat(np.arange(len(counts)), counts)
    before = np.cumsum(counts) - counts
    return owner, np.arange(total) + np.repeat(starts - before, counts)


def _half(own: Ints, other: Ints, episode: Ints, codes: npt.NDArray[np.uint8], size: int) -> Half:
    order = np.argsort(own, kind="stable")
    starts = np.zeros(size + 1, np.int64)
    np.cumsum(np.bincount(own, minlength=size), out=starts[1:])
    return Half(starts, other[order], episode[order], codes[order])


def _find(names: pa.Array, name: str) -> int | None:
    """The place of a name among sorted ones."""
    low, high = 0, len(names)
    wanted = name.encode("utf-8")
    while low < high:
        middle = (low + high) // 2
        if str(names[middle].as_py()).encode("utf-8") < wanted:
            low = middle + 1
        else:
            high = middle
    return low if low < len(names) and names[low].as_py() == name else None
