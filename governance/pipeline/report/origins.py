"""Where the columns of a curated table come from: their sources by name, and the whole way as a picture."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup
from sqlalchemy import Connection

from governance.lineage.graph import ROWS, Answer, Node
from governance.lineage.index import Index
from governance.lineage.picture import picture
from governance.pipeline.report.facts import TableFacts


@dataclass(frozen=True, slots=True)
class Origin:
    """Where one curated column comes from: the source columns by name, and the whole way as a picture."""

    column: str
    sources: tuple[str, ...]
    complete: bool
    svg: Markup


def origins(connection: Connection, index: Index, table: TableFacts) -> tuple[Origin, ...]:
    """Of every column, in the order of the contract."""
    answers = [(name, index.upstream(connection, table.name, name)) for name, *_ in table.fields]
    return tuple(Origin(name, _sources(a), a.complete, Markup(picture(a))) for name, a in answers)


def _sources(answer: Answer) -> tuple[str, ...]:
    """The ends that the column's own value comes from, not those that only decide which rows there are."""
    before: dict[Node, list[Node]] = {}
    for link in answer.links:
        if link.kind == "DIRECT":
            before.setdefault(link.target, []).append(link.source)
    seen, waiting = {answer.root}, [answer.root]
    while waiting:
        for node in before.get(waiting.pop(), []):
            if node not in seen:
                seen.add(node)
                waiting.append(node)
    return tuple(str(node) for node in answer.ends if node in seen and node.column != ROWS)
