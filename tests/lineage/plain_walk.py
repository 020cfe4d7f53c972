"""The way back and forth over recorded edges step by step in SQL: slow, plain, and made of other code than the index, which it judges."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import CompoundSelect, Connection, Row, Select, func, or_, select, union_all

from governance.lineage.graph import NOT_IN_FORCE, ROWS, Answer, Direction, Link, Node, not_followed, unknown, unseen
from governance.state.tables import edge, edge_set, run
from governance.state.tables_lineage import lineage_flow

T = TypeVar("T")
_CHUNK = 500


def upstream(
    connection: Connection,
    table: str,
    column: str,
    *,
    depth: int = 50,
    limit: int = 20_000,
    as_of: datetime | None = None,
) -> Answer:
    """Everything that `table`.`column` was made from, back to the source columns, with what decided the rows on the
    way; as it was recorded at `as_of`, else as it is now."""
    found = _walk(partial(_into, connection, as_of), Node(table, column), "upstream", depth, limit)
    return found.also(unseen(connection, as_of))


def downstream(
    connection: Connection,
    table: str,
    column: str,
    *,
    depth: int = 50,
    limit: int = 20_000,
    as_of: datetime | None = None,
) -> Answer:
    """Everything that depends on `table`.`column`; a dependence by rows reaches every column of the table that it
    decides, and so does one that is known as a whole only. As it was recorded at `as_of`, else as it is now."""
    found = _walk(partial(_out_of, connection, as_of), Node(table, column), "downstream", depth, limit)
    return found.also(unseen(connection, as_of))


def _walk(
    expand: Callable[[set[Node]], tuple[set[Link], set[str]]], root: Node, direction: Direction, depth: int, limit: int
) -> Answer:
    links: set[Link] = set()
    cut: set[str] = set()
    seen, frontier = {root}, {root}
    for level in range(depth + 1):
        if not frontier:
            break
        if level == depth:
            cut.add(f"stopped after {depth} steps")
            break
        found, reasons = expand(frontier)
        links |= found
        cut |= reasons
        reached = {link.source if direction == "upstream" else link.target for link in found}
        frontier = reached - seen
        seen |= reached
        if len(seen) > limit:
            cut.add(f"stopped after {limit} columns")
            break
    return Answer(root, direction, tuple(sorted(links)), tuple(sorted(cut)))


def _into(connection: Connection, as_of: datetime | None, frontier: set[Node]) -> tuple[set[Link], set[str]]:
    """The links that end in these nodes; a column's rows are part of its way."""
    tables = {node.table for node in frontier}
    columns: dict[str, set[str]] = {}
    for node in frontier:
        columns.setdefault(node.table, {ROWS}).add(node.column)
    known: set[str] = set()
    cut: set[str] = set()
    links: set[Link] = set()
    for sets in _chunks(_sets_of(connection, tables, as_of)):
        for row in sets:
            known.add(row.output)
            cut |= set() if row.complete else {not_followed(row.output)}
        query = _edges().where(edge.c.edge_set.in_([row.id for row in sets]))
        for row in connection.execute(query):
            if row.output_column in columns[row.output]:
                links.add(_link(row))
    cut |= {unknown(name) for name in tables - known if ":" not in name}
    return links, cut


def _out_of(connection: Connection, as_of: datetime | None, frontier: set[Node]) -> tuple[set[Link], set[str]]:
    """The links that begin in these nodes; from the rows of a table they begin in any of its columns."""
    cut: set[str] = set()
    links: set[Link] = set()
    columns: dict[str, set[str]] = {}
    for node in frontier:
        columns.setdefault(node.table, set()).add(node.column)
    for tables in _chunks(sorted(columns)):
        for row in connection.execute(_edges().where(edge.c.input.in_(tables), edge.c.edge_set.in_(_current(as_of)))):
            whole = row.input_column == row.output_column == ROWS
            if whole or row.input_column in columns[row.input] or ROWS in columns[row.input]:
                links.add(_link(row))
                cut |= set() if row.complete else {not_followed(row.output)}
    return links, cut


def _edges() -> Select[Any]:
    return select(
        edge.c.input,
        edge.c.input_column,
        edge.c.output_column,
        edge.c.kind,
        edge.c.subtype,
        edge.c.masking,
        edge_set.c.output,
        edge_set.c.stage,
        edge_set.c.complete,
    ).join_from(edge, edge_set, edge.c.edge_set == edge_set.c.id)


def _latest(as_of: datetime | None) -> Select[Any]:
    """Rows of `run` (their ids) that say which edge sets are current, or were at `as_of`."""
    in_force = run.c.edge_set.is_not(None) & run.c.outcome.not_in(NOT_IN_FORCE)
    latest = select(func.max(run.c.id)).where(in_force).group_by(run.c.output, run.c.stage)
    return latest if as_of is None else latest.where(run.c.recorded_at <= as_of)


def _current(as_of: datetime | None, outputs: Iterable[str] | None = None) -> CompoundSelect[Any]:
    """Edge sets in force, or as they were: of our own runs by output and stage, of others' events by output and job."""
    latest, flows = _latest(as_of), select(lineage_flow.c.edge_set)
    if as_of is None:
        flows = flows.where(lineage_flow.c.superseded_at.is_(None))
    else:
        ended = lineage_flow.c.superseded_at
        flows = flows.where(lineage_flow.c.recorded_at <= as_of, or_(ended.is_(None), ended > as_of))
    if outputs is not None:
        latest, flows = latest.where(run.c.output.in_(outputs)), flows.where(lineage_flow.c.output.in_(outputs))
    return union_all(select(run.c.edge_set).where(run.c.id.in_(latest)), flows)


def _sets_of(connection: Connection, tables: Iterable[str], as_of: datetime | None) -> list[Row[Any]]:
    """Edge sets of these outputs, current or as they were."""
    found: list[Row[Any]] = []
    for names in _chunks(sorted(tables)):
        current = edge_set.c.id.in_(_current(as_of, names))
        found.extend(connection.execute(select(edge_set.c.id, edge_set.c.output, edge_set.c.complete).where(current)))
    return found


def _link(row: Row[Any]) -> Link:
    source, target = Node(row.input, row.input_column), Node(row.output, row.output_column)
    return Link(source, target, row.kind, row.subtype, bool(row.masking), row.stage)


def _chunks(items: list[T]) -> Iterator[list[T]]:
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]
