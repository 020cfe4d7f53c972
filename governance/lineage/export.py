"""The lineage for other systems, written line by line: GraphML and JSON (the graph in force, now or as of then), PROV-O as JSON-LD and
OpenLineage (everything that was recorded).

No form holds a cell value: the state has none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, TextIO
from urllib.parse import quote
from xml.sax.saxutils import escape

import numpy as np
from sqlalchemy import Connection, select

from governance.lineage.arrays import OPEN, Graph, how_of
from governance.lineage.graph import unseen
from governance.lineage.ingest import event_body
from governance.lineage.walk import instant
from governance.state.tables import outbox, run, run_input
from governance.state.tables_lineage import lineage_event

_PAGE = 1_000
_EDGES = 50_000
_CONTEXT = {
    "prov": "http://www.w3.org/ns/prov#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "gov": "urn:gov:",
}


def graphml(graph: Graph, out: TextIO, *, as_of: datetime | None = None) -> int:
    """The column graph in force as GraphML; the number of edges. Nodes have `table` and `column`, edges how they are made."""
    keys = {"table": "node", "column": "node", "type": "edge", "subtype": "edge", "masking": "edge", "stage": "edge"}
    out.write('<?xml version="1.0" encoding="UTF-8"?>\n<graphml xmlns="http://graphml.graphdrawing.org/xmlns">\n')
    for name, of in keys.items():
        kind = "boolean" if name == "masking" else "string"
        out.write(f'<key id="{name}" for="{of}" attr.name="{name}" attr.type="{kind}"/>\n')
    out.write('<graph edgedefault="directed">\n')
    for number, table, column in _nodes(graph, as_of):
        out.write(f'<node id="n{number}">{_data("table", table)}{_data("column", column)}</node>\n')
    count = 0
    for source, target, (kind, subtype, masking), stage in _edges(graph, as_of):
        facts = {"type": kind, "subtype": subtype, "masking": str(masking).lower(), "stage": stage}
        told = "".join(_data(name, value) for name, value in facts.items())
        out.write(f'<edge id="e{count}" source="n{source}" target="n{target}">{told}</edge>\n')
        count += 1
    out.write("</graph>\n</graphml>\n")
    return count


def as_json(graph: Graph, out: TextIO, connection: Connection, *, as_of: datetime | None = None) -> int:
    """The column graph in force as one JSON document: `nodes` by `id`, `edges` between them, and why it may lack something."""
    loose = sorted(set(graph.table_names(graph.output[~graph.complete & _in_force(graph, as_of)])))
    cut = [*unseen(connection, as_of), *(f"{name}: not followed everywhere" for name in loose)]
    head = {"at": (as_of or datetime.now(UTC)).isoformat(), "complete": not cut, "cut": cut}
    out.write(json.dumps(head, ensure_ascii=False)[:-1] + ', "nodes": [')
    _listed(out, ({"id": n, "table": table, "column": column} for n, table, column in _nodes(graph, as_of)))
    out.write('\n], "edges": [')
    count = _listed(
        out,
        (
            {"source": s, "target": t, "type": how[0], "subtype": how[1], "masking": how[2], "stage": stage}
            for s, t, how, stage in _edges(graph, as_of)
        ),
    )
    out.write("\n]}\n")
    return count


def prov(connection: Connection, out: TextIO, *, as_of: datetime | None = None) -> int:
    """Every recorded run as PROV-O in JSON-LD: activities, the dataset versions that they used and generated, who answers for them; the
    number of runs.
    """
    out.write(json.dumps({"@context": _CONTEXT}, ensure_ascii=False)[:-1] + ', "@graph": [')
    count = _listed(out, (document for row in _runs(connection, as_of) for document in _prov(connection, row)))
    out.write("\n]}\n")
    return count


def openlineage(connection: Connection, out: TextIO) -> int:
    """Every event, our own and those received, one a line in the order in which they were recorded here; their number."""
    count, last = 0, 0
    while rows := _page(connection, outbox.c.id, outbox.c.event, last):
        out.writelines(f"{event}\n" for _, event in rows)
        count, last = count + len(rows), rows[-1][0]
    last = 0
    while rows := _page(connection, lineage_event.c.id, lineage_event.c.body, last):
        out.writelines(f"{event_body(body)}\n" for _, body in rows)
        count, last = count + len(rows), rows[-1][0]
    return count


def _page(connection: Connection, key: Any, value: Any, last: int) -> list[Any]:
    return list(connection.execute(select(key, value).where(key > last).order_by(key).limit(_PAGE)).all())


def _in_force(graph: Graph, as_of: datetime | None) -> Any:
    at = OPEN - 1 if as_of is None else instant(as_of)
    return (graph.begins <= at) & (graph.ends > at)


def _places(graph: Graph, as_of: datetime | None) -> Any:
    """Places of the edges in force, of `forward`."""
    return np.flatnonzero(_in_force(graph, as_of)[graph.forward.episode])


def _nodes(graph: Graph, as_of: datetime | None) -> Iterator[tuple[int, str, str]]:
    places = _places(graph, as_of)
    sources = np.searchsorted(graph.forward.starts, places, side="right") - 1
    used = np.unique(np.concatenate([sources, graph.forward.other[places]]))
    for start in range(0, len(used), _EDGES):
        part = used[start : start + _EDGES]
        for number, (table, column) in zip(part.tolist(), graph.names(part), strict=True):
            yield number, table, column


def _edges(graph: Graph, as_of: datetime | None) -> Iterator[tuple[int, int, tuple[str, str, bool], str]]:
    half, places = graph.forward, _places(graph, as_of)
    for start in range(0, len(places), _EDGES):
        part = places[start : start + _EDGES]
        sources = (np.searchsorted(half.starts, part, side="right") - 1).tolist()
        stages = graph.stage[half.episode[part]].tolist()
        for source, target, code, stage in zip(
            sources, half.other[part].tolist(), half.how[part].tolist(), stages, strict=True
        ):
            yield source, target, how_of(code), graph.stages[stage]


def _runs(connection: Connection, as_of: datetime | None) -> Iterator[Any]:
    last = 0
    while True:
        page = select(run).where(run.c.id > last).order_by(run.c.id).limit(_PAGE)
        rows = connection.execute(page if as_of is None else page.where(run.c.recorded_at <= as_of)).all()
        yield from rows
        if len(rows) < _PAGE:
            return
        last = rows[-1].id


def _prov(connection: Connection, row: Any) -> Iterator[dict[str, Any]]:
    """One run of one output: its activity, its agent, the version that it made and those that it read."""
    activity, agent = f"gov:run/{row.id}", f"gov:subject/{_part(row.subject)}"
    inputs = connection.execute(select(run_input).where(run_input.c.run_row == row.id)).all()
    read = [_version(one.input, one.snapshot) for one in inputs]
    made = _version(row.output, row.output_snapshot)
    ended = {"@value": row.recorded_at.isoformat(), "@type": "xsd:dateTime"}
    yield {
        "@id": activity,
        "@type": "prov:Activity",
        "rdfs:label": f"{row.stage} {row.output}: {row.outcome}",
        "prov:endedAtTime": ended,
        "prov:wasAssociatedWith": {"@id": agent},
        "prov:used": [{"@id": one["@id"]} for one in read],
    }
    yield {"@id": agent, "@type": "prov:Agent", "rdfs:label": row.subject}
    yield from read
    derived = [{"@id": one["@id"]} for one in read]
    yield {**made, "prov:wasGeneratedBy": {"@id": activity}, "prov:wasDerivedFrom": derived}


def _version(table: str, snapshot: int | None) -> dict[str, Any]:
    name = f"gov:dataset/{_part(table)}"
    place = name if snapshot is None else f"{name}/{snapshot}"
    entity = {"@id": place, "@type": "prov:Entity", "rdfs:label": table}
    return entity if snapshot is None else {**entity, "prov:specializationOf": {"@id": name}}


def _part(name: str) -> str:
    return quote(name, safe="")


def _data(key: str, value: str) -> str:
    return f'<data key="{key}">{escape(value)}</data>'


def _listed(out: TextIO, items: Iterator[dict[str, Any]]) -> int:
    count = 0
    for item in items:
        out.write(("\n" if not count else ",\n") + json.dumps(item, ensure_ascii=False))
        count += 1
    return count
