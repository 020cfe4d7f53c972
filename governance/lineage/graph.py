"""What an answer over column edges is: the way back to the sources, or what depends on a column (`index.Index` gives it). Every answer
says whether it is complete.

Current is, for each output and stage, the edge set of the latest run that was not stopped, and for each output and job
of others what their events say. A node `(table, '*')`
stands for the rows of a table: what decides which rows there are (joins, filters, groups), whatever the column. A
name with a colon is a source (`<system>:<table>`): there the way back ends well.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, NamedTuple

from sqlalchemy import Connection, func, select

from governance.lineage.edges import Kind, Subtype
from governance.state.tables_lineage import lineage_event, lineage_rejected

ROWS = "*"
NOT_IN_FORCE = ("stop", "stopped", "failed")
Direction = Literal["upstream", "downstream"]


class Node(NamedTuple):
    """One column of one table, or its rows (`column` is '*')."""

    table: str
    column: str

    def __str__(self) -> str:
        return f"{self.table} (rows)" if self.column == ROWS else f"{self.table}.{self.column}"


class Link(NamedTuple):
    """One edge of an answer, in the direction of the data."""

    source: Node
    target: Node
    kind: Kind
    subtype: Subtype
    masking: bool
    stage: str


@dataclass(frozen=True, slots=True)
class Answer:
    """All links on the way from (or to) `root`. `cut` has the reasons why it may lack something; none: it is
    complete."""

    root: Node
    direction: Direction
    links: tuple[Link, ...]
    cut: tuple[str, ...]

    @property
    def complete(self) -> bool:
        return not self.cut

    def also(self, reasons: Iterable[str]) -> Answer:
        """The answer with more reasons why it may lack something."""
        return replace(self, cut=(*self.cut, *(reason for reason in reasons if reason not in self.cut)))

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Every node once, the root among them, sorted."""
        return tuple(sorted({self.root, *(n for link in self.links for n in (link.source, link.target))}))

    @property
    def ends(self) -> tuple[Node, ...]:
        """Nodes at which the way ends: sources upstream, last users downstream."""
        if self.direction == "upstream":
            passed = {link.target for link in self.links} | {Node(n.table, ROWS) for n in self.nodes}
        else:
            passed = {link.source for link in self.links}
            passed |= {Node(node.table, ROWS) for node in passed}
        return tuple(n for n in self.nodes if n not in passed and n != self.root)


def unseen(connection: Connection, as_of: datetime | None = None) -> tuple[str, ...]:
    """What others told of which no graph can know: events that were refused, finished runs that name no dataset."""
    refused = select(func.coalesce(func.sum(lineage_rejected.c.events), 0))
    bare = select(func.count()).select_from(lineage_event)
    bare = bare.where(lineage_event.c.event_type == "COMPLETE", lineage_event.c.datasets == 0)
    if as_of is not None:
        refused = refused.where(lineage_rejected.c.first_at <= as_of)
        bare = bare.where(lineage_event.c.recorded_at <= as_of)
    events, runs = connection.execute(refused).scalar_one(), connection.execute(bare).scalar_one()
    told = [(events, "events of others were rejected"), (runs, "runs of others name no dataset")]
    return tuple(f"{number:,} {what}" for number, what in told if number)


def not_followed(table: str) -> str:
    """Why lineage into a table may lack something: of ours, by its SQL; of others, since they tell of it as a whole."""
    return f"{table}: {'known as a whole only' if ':' in table else 'its SQL could not be followed everywhere'}"


def unknown(table: str) -> str:
    return f"{table}: no run of it has recorded lineage"
