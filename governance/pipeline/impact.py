"""`impact`: what depends on a column, and whom that concerns: models, checks, expectations, policies, keys, releases, consumers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from governance.catalog.types import Catalogue
from governance.errors import NotReady
from governance.keys.names import KeyName
from governance.lineage.graph import ROWS, Answer, Node
from governance.lineage.index import Index
from governance.lineage.store_edges import LANDED_PREFIX, source_name
from governance.pipeline import concerned
from governance.pipeline.asof import catalogue_at, shown_at
from governance.pipeline.concerned import Touched
from governance.pipeline.context import Context
from governance.pipeline.lineage_sight import narrowed, seen_by
from governance.use import release
from governance.use.published import Published, read_published
from governance.use.published_at import published_at
from governance.use.release_past import live_at

LIMIT = 200_000
"""Columns that an answer of impact holds at most; one that is cut says so."""


@dataclass(frozen=True, slots=True)
class Impact:
    """Whom a change of `root` concerns. `values` are columns that hold something made of it; of `rows` it decides which rows there are,
    or how they were chosen or ordered. `cut`: why there may be more; none: this is all.
    """

    root: Node
    values: tuple[Node, ...]
    rows: tuple[Node, ...]
    models: tuple[str, ...]
    checks: tuple[str, ...]
    expectations: tuple[str, ...]
    references: tuple[str, ...]
    policies: tuple[str, ...]
    keys: tuple[str, ...]
    releases: tuple[str, ...]
    consumers: tuple[str, ...]
    outside: tuple[str, ...]
    cut: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        nodes = {name: [list(node) for node in getattr(self, name)] for name in ("values", "rows")}
        rest = {name: list(getattr(self, name)) for name in _PARTS}
        return {"root": list(self.root), "complete": not self.cut, "cut": list(self.cut), **nodes, **rest}


_PARTS = (
    "models",
    "checks",
    "expectations",
    "references",
    "policies",
    "keys",
    "releases",
    "consumers",
    "outside",
)


def impact(
    context: Context, table: str, column: str, *, subject: str | None = None, as_of: datetime | None = None
) -> Impact:
    """What depends on a column now, or did at `as_of`, by the declarations and the release of then. `subject`: only what they may know of
    now, the rest counted. Raises Refused when they may not know of the column itself.
    """
    with context.database.read() as connection:
        index = Index(context.settings.lineage / "graph")
        answer = index.downstream(connection, table, column, limit=LIMIT, as_of=as_of)
        if subject is not None:
            answer = narrowed(answer, seen_by(subject, context.catalogue, at=context.database.clock()), subject)
        return _concerned(context, connection, answer, subject, as_of)


def reached(answer: Answer) -> tuple[set[Node], set[Node]]:
    """(columns that hold something of the root, columns and rows that it only decides on); the root is in neither."""
    values, grown = {answer.root}, True
    direct = [
        (link.source, link.target) for link in answer.links if link.kind == "DIRECT" and link.target.column != ROWS
    ]
    while grown:
        more = {target for source, target in direct if source in values} - values
        values |= more
        grown = bool(more)
    return values - {answer.root}, {link.target for link in answer.links} - values - {answer.root}


def _concerned(
    context: Context, connection: Connection, answer: Answer, subject: str | None, as_of: datetime | None
) -> Impact:
    catalogue = context.catalogue if as_of is None else _of_then(context, connection, as_of)
    values, rows = reached(answer)
    touched = concerned.touched(catalogue, {answer.root, *values, *rows})
    released = release.live(connection) if as_of is None else live_at(connection, as_of)
    tables = set(touched)
    own = {source_name(dataset) for dataset in catalogue.datasets.values()}
    outside = {n.table for n in (*values, *rows) if ":" in n.table and not n.table.startswith(LANDED_PREFIX)} - own
    keys = (
        () if subject is not None else tuple(sorted({str(key) for key in _keys(context, connection, touched, as_of)}))
    )
    return Impact(
        root=answer.root,
        values=tuple(sorted(values)),
        rows=tuple(sorted(rows)),
        models=tuple(sorted(set(catalogue.models) & tables - {answer.root.table})),
        checks=tuple(sorted(concerned.checks(catalogue, touched))),
        expectations=tuple(sorted(concerned.expectations(catalogue, touched))),
        references=tuple(sorted(concerned.references(catalogue, touched))),
        policies=tuple(sorted(concerned.policies(catalogue, touched))),
        keys=keys,
        releases=(released[0],) if released is not None and tables.intersection(released[1]["tables"]) else (),
        consumers=tuple(sorted(_consumers(context, connection, catalogue, touched, subject, as_of))),
        outside=tuple(sorted(outside)),
        cut=answer.cut,
    )


def _of_then(context: Context, connection: Connection, at: datetime) -> Catalogue:
    """The declarations of then; none where nothing was declared."""
    try:
        return catalogue_at(connection, at, context.settings)
    except NotReady:
        return Catalogue({}, {}, {}, {}, context.catalogue.access_file, "version: 1\n", {})


def _keys(context: Context, connection: Connection, touched: Touched, as_of: datetime | None) -> Iterator[KeyName]:
    """Keys that reading the touched columns of what is stored takes."""
    for table, names in touched.items():
        then = shown_at(connection, table, as_of) if as_of is not None else None
        snapshot = context.lake.snapshot(table, connection) if as_of is None else then.snapshot if then else None
        if snapshot is not None:
            there = {column.name for column in context.lake.schema(table, snapshot).columns}
            yield from context.lake.keys(table, snapshot, sorted(names & there))


def _consumers(
    context: Context,
    connection: Connection,
    catalogue: Catalogue,
    touched: Touched,
    asker: str | None,
    as_of: datetime | None,
) -> Iterator[str]:
    """Who sees a touched column of a published table, for which purpose; one who asks for themselves sees only themselves."""
    try:
        if as_of is None:
            published = read_published(connection, catalogue=catalogue, lake=context.lake)
        else:
            published = published_at(connection, as_of, catalogue=catalogue, lake=context.lake)
    except NotReady:
        return
    for subject in published.access.subjects:
        for purpose in published.access.purposes:
            at = as_of or context.database.clock()
            if asker in (None, subject.name) and _uses(published, subject.name, purpose.id, touched, at):
                yield f"{subject.name} for {purpose.id}"


def _uses(published: Published, subject: str, purpose: str, touched: Touched, at: datetime) -> bool:
    for table in touched:
        if table in published.snapshots:
            restrictions = published.restrictions(subject, purpose, table, at=at)
            if any(column.opened and column.name in touched[table] for column in restrictions.columns):
                return True
    return False
