"""`Index`: the graph of the state's edges in memory, kept beside the state as files that processes map, made again when the state has
changed.

The state is the truth: what is mapped belongs to one stamp of it, and another stamp means reading what is new. A home of few
edges is read each time; nothing is kept of it.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, case, false, func, or_, select

from governance.lineage import index_files
from governance.lineage.arrays import EDGE_SCHEMA, EPISODE_SCHEMA, KINDS, OPEN, SUBTYPES, Graph, edge_batch, graph
from governance.lineage.graph import NOT_IN_FORCE, Answer, Direction, Node, unseen
from governance.lineage.walk import answer, nowhere, reach
from governance.state.tables import edge, edge_set, run
from governance.state.tables_lineage import lineage_flow

KEPT_EDGES = 20_000
"""From how many edges on the graph is kept as files."""
_RECENT = 10_000
_ROWS = 100_000
_SETS = 500
_log = logging.getLogger(__name__)


class Index:
    """The graph of one state database. `folder` is where its files are kept; None: nowhere. Safe to share between threads."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._making = threading.Lock()
        self._stamp = ""
        self._graph: Graph | None = None
        self._edges: pa.Table | None = None

    def upstream(
        self,
        connection: Connection,
        table: str,
        column: str,
        *,
        depth: int = 50,
        limit: int = 20_000,
        as_of: datetime | None = None,
    ) -> Answer:
        """Everything that `table`.`column` was made from, back to the source columns, with what decided the rows on the way; as it was
        recorded at `as_of`, else as it is now.
        """
        return self._answer(connection, Node(table, column), "upstream", depth, limit, as_of)

    def downstream(
        self,
        connection: Connection,
        table: str,
        column: str,
        *,
        depth: int = 50,
        limit: int = 20_000,
        as_of: datetime | None = None,
    ) -> Answer:
        """Everything that depends on `table`.`column`; a dependence by rows reaches every column of the table that it decides, and so does
        one that is known as a whole only. As it was recorded at `as_of`, else as it is now.
        """
        return self._answer(connection, Node(table, column), "downstream", depth, limit, as_of)

    def graph(self, connection: Connection) -> Graph:
        """The graph as the state is now."""
        with self._making:
            stamp = _stamp(connection)
            if self._graph is None or stamp != self._stamp:
                self._read(connection, stamp)
            assert self._graph is not None
            return self._graph

    def _answer(
        self, connection: Connection, root: Node, direction: Direction, depth: int, limit: int, as_of: datetime | None
    ) -> Answer:
        whole = self.graph(connection)
        number = whole.node(*root)
        unnamed = number is None
        number = whole.node(root.table, "*") if number is None else number
        if number is None:
            return nowhere(whole, root, direction, as_of).also(unseen(connection, as_of))
        found = reach(whole, number, direction, depth=depth, limit=limit, as_of=as_of, unnamed=unnamed)
        return answer(whole, root, direction, found).also(unseen(connection, as_of))

    def _read(self, connection: Connection, stamp: str) -> None:
        if self._folder is not None and (kept := index_files.load(self._folder, stamp)) is not None:
            self._graph, self._edges, self._stamp = *kept, stamp
            return
        if self._edges is None and self._folder is not None:
            self._edges = index_files.load_edges(self._folder, _origin(connection))
        episodes = _episodes(connection)
        self._edges = _with_new(connection, self._edges, episodes)
        self._graph, self._stamp = graph(self._edges, episodes), stamp
        if self._folder is not None and self._graph.edges >= KEPT_EDGES:
            try:
                index_files.save(self._folder, stamp, _origin(connection), self._graph, self._edges)
            except OSError as error:
                _log.warning("the lineage graph cannot be kept as files: %s", error.strerror)


def _stamp(connection: Connection) -> str:
    """Differs when runs or flows were added, in whatever order their transactions ended."""
    parts = [_origin(connection)]
    for table in (run, lineage_flow):
        last = connection.execute(select(func.max(table.c.id))).scalar_one() or 0
        number = select(func.count()).select_from(table).where(table.c.id > last - _RECENT)
        row = select(table.c.run, table.c.recorded_at).where(table.c.id == last)
        parts += [str(last), str(connection.execute(number).scalar_one()), str(connection.execute(row).one_or_none())]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _origin(connection: Connection) -> str:
    """Which database it is: its address and its first edge set."""
    first = select(edge.c.edge_set).order_by(edge.c.id).limit(1)
    url = connection.engine.url.render_as_string(hide_password=True)
    return f"{url} {connection.execute(first).scalar_one_or_none()}"


def _episodes(connection: Connection) -> pa.Table:
    """When each edge set was in force: by runs of ours of one output and stage, by flows of others of one output and job."""
    columns = (run.c.id, run.c.output, run.c.stage, run.c.edge_set, run.c.recorded_at)
    in_force = run.c.edge_set.is_not(None) & run.c.outcome.not_in(NOT_IN_FORCE)
    before = func.lag(run.c.edge_set).over(partition_by=(run.c.output, run.c.stage), order_by=run.c.id)
    told = select(*columns, before.label("before")).where(in_force).subquery()
    changed = select(told).where(or_(told.c.before.is_(None), told.c.before != told.c.edge_set)).subquery()
    later = func.min(changed.c.recorded_at).over(
        partition_by=(changed.c.output, changed.c.stage), order_by=changed.c.id, rows=(1, None)
    )
    ours = select(changed.c.edge_set, changed.c.output, changed.c.stage, changed.c.stage, changed.c.recorded_at, later)
    flow = lineage_flow.c
    others = select(flow.edge_set, flow.output, edge_set.c.stage, flow.job, flow.recorded_at, flow.superseded_at)
    found = [_episode_batch(rows) for rows in _parts(connection, ours)]
    found += [
        _episode_batch(rows) for rows in _parts(connection, others.join(edge_set, edge_set.c.id == flow.edge_set))
    ]
    episodes = pa.Table.from_batches(found, _READ)
    sets: set[str] = set()
    for rows in _parts(connection, select(edge_set.c.id).where(edge_set.c.complete == false())):
        sets.update(row[0] for row in rows)
    loose = pc.is_in(episodes["edge_set"], pa.array(sorted(sets), pa.string()))
    whole = pc.invert(loose)
    ends = pc.coalesce(episodes["to"], pa.scalar(OPEN, pa.int64()))
    named = {**{name: episodes[name] for name in _READ.names}, "complete": whole, "to": ends}
    return pa.table([named[name] for name in EPISODE_SCHEMA.names], schema=EPISODE_SCHEMA)


_READ = pa.schema([field for field in EPISODE_SCHEMA if field.name != "complete"])


def _episode_batch(rows: list[Any]) -> pa.RecordBatch:
    edge_sets, outputs, stages, keys, begins, ends = zip(*rows, strict=True)
    instants = [pa.array(part, pa.timestamp("us", "UTC")).cast(pa.int64()) for part in (begins, ends)]
    texts = [pa.array(part, pa.string()) for part in (edge_sets, outputs, stages, keys)]
    return pa.RecordBatch.from_arrays([*texts, *instants], schema=_READ)


def _with_new(connection: Connection, edges: pa.Table | None, episodes: pa.Table) -> pa.Table:
    """The edges with those of sets that were not read yet."""
    if edges is None:
        return _edges(connection, None)
    known = edges["edge_set"].combine_chunks().dictionary if len(edges) else pa.array([], pa.string())
    missing = pc.unique(episodes["edge_set"]).filter(pc.invert(pc.is_in(pc.unique(episodes["edge_set"]), known)))
    if not len(missing):
        return edges
    names = missing.to_pylist()
    parts = [_edges(connection, names[start : start + _SETS]) for start in range(0, len(names), _SETS)]
    return pa.concat_tables([edges, *parts]).unify_dictionaries().combine_chunks()


def _edges(connection: Connection, sets: list[str] | None) -> pa.Table:
    """Edges of these sets, or all."""
    subtype = case(*((edge.c.subtype == name, number) for number, name in enumerate(SUBTYPES)))
    kind = case((edge.c.kind == KINDS[1], 1), else_=0)
    masking = case((edge.c.masking == false(), 0), else_=1)
    codes = subtype * 4 + kind * 2 + masking
    query = select(edge.c.edge_set, edge.c.input, edge.c.input_column, edge.c.output_column, codes)
    if sets is not None:
        query = query.where(edge.c.edge_set.in_(sets))
    batches = []
    for rows in _parts(connection, query):
        texts, numbers = list(zip(*rows, strict=True))[:-1], [row[-1] for row in rows]
        batches.append(edge_batch(dict(zip(EDGE_SCHEMA.names[:-1], texts, strict=True)), numbers))
    return pa.Table.from_batches(batches, EDGE_SCHEMA).unify_dictionaries().combine_chunks()


def _parts(connection: Connection, query: Any) -> Iterator[list[Any]]:
    streamed = connection.execution_options(stream_results=True, yield_per=_ROWS).execute(query)
    for part in streamed.partitions():
        yield list(part)
