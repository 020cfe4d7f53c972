"""Where copies of columns lie: every key and every clear column of every file that any snapshot ever named, or that was
copied for lookups, and the column lineage between them, of former models too: what a former build wrote lies in former snapshots still.

A node is (table, column). The quarantine of a dataset and its landed originals hold copies of its fields by
construction; lineage says the rest, and only DIRECT edges carry values.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Connection, select, union

from governance.catalog.types import TOKEN_SUFFIX
from governance.lineage.store_edges import LANDED_PREFIX
from governance.state.tables import edge, edge_set
from governance.state.tables_lake import lake_file
from governance.state.tables_use import serving

Node = tuple[str, str]
QUARANTINE = "__quarantine"
K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Copies:
    """All of it, read once. `incomplete` are outputs whose lineage could not be followed everywhere."""

    keys: Mapping[Node, frozenset[str]]
    columns: Mapping[str, frozenset[Node]]
    clear: frozenset[Node]
    forward: Mapping[Node, frozenset[Node]]
    backward: Mapping[Node, frozenset[Node]]
    incomplete: tuple[str, ...]

    def downstream(self, roots: Iterable[Node]) -> frozenset[Node]:
        """The roots and every column of a table that has values of them, quarantines included."""
        found = _closure(roots, self.forward)
        return found | {(f"{table}{QUARANTINE}", name) for table, name in found}

    def upstream(self, roots: Iterable[Node]) -> frozenset[Node]:
        """What the roots were made from, without them."""
        return _closure(roots, self.backward) - frozenset(roots)


def read_copies(connection: Connection) -> Copies:
    """What the state database knows of keys, clear columns and lineage."""
    keys: dict[Node, set[str]] = {}
    columns: dict[str, set[Node]] = {}
    clear: set[Node] = set()
    files = select(lake_file.c.table_name, lake_file.c.encrypted, lake_file.c.names)
    query = union(files, select(serving.c.table_name, serving.c.encrypted, serving.c.names))
    for table, encrypted_text, names_text in connection.execute(query):
        encrypted, names = json.loads(encrypted_text), json.loads(names_text)
        for field, name in names.items():
            if field not in encrypted:
                clear.add((table, name))
                continue
            keys.setdefault((table, name), set()).add(encrypted[field])
            columns.setdefault(encrypted[field], set()).add((table, name))
    forward, backward = _edges(connection)
    unknown = select(edge_set.c.output).where(edge_set.c.complete.is_(False)).distinct()
    return Copies(
        keys=_frozen(keys),
        columns=_frozen(columns),
        clear=frozenset(clear),
        forward=forward,
        backward=backward,
        incomplete=tuple(sorted(connection.execute(unknown).scalars())),
    )


def _edges(connection: Connection) -> tuple[Mapping[Node, frozenset[Node]], Mapping[Node, frozenset[Node]]]:
    """DIRECT edges both ways; tokens are left out, they are no copies, and so are landed originals, known by their key."""
    forward: dict[Node, set[Node]] = {}
    backward: dict[Node, set[Node]] = {}
    query = (
        select(edge.c.input, edge.c.input_column, edge_set.c.output, edge.c.output_column)
        .join_from(edge, edge_set, edge.c.edge_set == edge_set.c.id)
        .where(edge.c.kind == "DIRECT")
        .distinct()
    )
    for source, source_column, target, column in connection.execute(query):
        if column.endswith(TOKEN_SUFFIX) or target.startswith(LANDED_PREFIX) or source.startswith(LANDED_PREFIX):
            continue
        forward.setdefault((source, source_column), set()).add((target, column))
        backward.setdefault((target, column), set()).add((source, source_column))
    return _frozen(forward), _frozen(backward)


def _closure(roots: Iterable[Node], edges: Mapping[Node, frozenset[Node]]) -> frozenset[Node]:
    seen, frontier = set(roots), set(roots)
    while frontier:
        frontier = {target for node in frontier for target in edges.get(node, ())} - seen
        seen |= frontier
    return frozenset(seen)


def _frozen(mapping: Mapping[K, set[V]]) -> Mapping[K, frozenset[V]]:
    return {key: frozenset(values) for key, values in mapping.items()}
