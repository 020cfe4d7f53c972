"""One OpenLineage event of somebody else -> what is kept of it: its canonical bytes, and which outputs it says were made from what. Pure.

What makes an output, best knowledge first: the `lineage` facet (of the job, or of the output), `columnLineage`, else every input as a
whole makes every output as a whole. A dataset is the node `<namespace>:<name>` (a colon or percent sign of the name is escaped, so
that two datasets never share a node); in our own namespace it is the table of that name.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, get_args

from governance.lineage import standard
from governance.lineage.edges import Edge, EdgeSet, Kind, Subtype

STAGE = "openlineage"
ROWS = "*"
LINEAGE, COLUMNS, WHOLE = 3, 2, 1
"""How much is known of a flow."""
NODE_CHARACTERS, NAME_CHARACTERS = 512, 255
MOST_EDGES = 200_000
"""Of one event: inputs times outputs are soon more than anybody asks for, and a commit that writes them holds up all others."""
_REMEMBERED, _PIECE = 10_000, 2_000
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
_SUBTYPES: Final[Mapping[str | None, Subtype]] = {name: name for name in get_args(Subtype)}


@dataclass(frozen=True, slots=True)
class Flow:
    """What one output is made from, as one event says it, and in how much `detail`. `edge_set` is the id of `edges`."""

    output: str
    detail: int
    edges: EdgeSet
    edge_set: str


@dataclass(frozen=True, slots=True)
class Told:
    """One event that keeps the standard. `run` and `event_type` are empty where it has none, `job` for a DatasetEvent."""

    digest: bytes
    kind: standard.Kind
    job: str
    run: str
    event_type: str
    event_time: datetime
    datasets: int
    body: bytes
    flows: tuple[Flow, ...]


class NotTaken(ValueError):
    """Why an event is not taken: a place and a rule, never a value."""


class Reader:
    """Reads events of one home. What jobs say again and again is worked out once: flows are remembered by the text that told of them."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._known: OrderedDict[bytes, tuple[Flow, ...]] = OrderedDict()

    def read(self, event: Any) -> Told:
        """What is kept of an event. Raises NotTaken for one that breaks the standard, is too large to name, or claims to have made a
        table of ours.
        """
        try:
            if reason := standard.fault(event):
                raise NotTaken(reason)
            parts = {key: _canonical(value) for key, value in event.items()}
            body = ("{" + ",".join(f"{_canonical(key)}:{parts[key]}" for key in sorted(parts)) + "}").encode("utf-8")
        except (UnicodeEncodeError, RecursionError):
            raise NotTaken("not text that can be kept") from None
        except ValueError as error:
            if isinstance(error, NotTaken):
                raise
            raise NotTaken("a number beyond what can be kept") from None
        kind = standard.kind_of(event)
        assert kind is not None
        datasets = 1 if kind == "dataset" else len(event.get("inputs") or ()) + len(event.get("outputs") or ())
        return Told(
            digest=_digest(body),
            kind=kind,
            job=node(event["job"]) if "job" in event else "",
            run=event["run"]["runId"].lower() if kind == "run" else "",
            event_type=event.get("eventType", "") if kind == "run" else "",
            event_time=_instant(event["eventTime"]),
            datasets=datasets,
            body=body,
            flows=self._flows(event, kind, parts),
        )

    def _flows(self, event: Mapping[str, Any], kind: standard.Kind, parts: Mapping[str, str]) -> tuple[Flow, ...]:
        told = "\n".join(parts.get(key, "") for key in ("job", "inputs", "outputs", "dataset"))
        name = _digest(told.encode("utf-8"))
        if name not in self._known:
            outputs = [event["dataset"]] if kind == "dataset" else event.get("outputs") or ()
            flows = tuple(_flows(event, event.get("inputs") or (), outputs, self._namespace))
            _require_few(sum(len(flow.edges.edges) for flow in flows))
            self._known[name] = flows
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return self._known[name]


def read(event: Any, *, namespace: str) -> Told:
    """What is kept of one event; as `Reader.read`."""
    return Reader(namespace).read(event)


def node(named: Mapping[str, Any], own: str | None = None) -> str:
    """The node of a dataset (or job) by its namespace and name; just its name in the namespace `own`.

    >>> node({"namespace": "postgres://db:5432", "name": "shop.orders"}), node({"namespace": "gov", "name": "a.b"}, "gov")
    ('postgres://db:5432:shop.orders', 'a.b')
    """
    namespace, name = named["namespace"], named["name"]
    found = name if namespace == own else f"{namespace}:{name.replace('%', '%25').replace(':', '%3A')}"
    if not found.isprintable() or len(found) > NODE_CHARACTERS:
        raise NotTaken(f"a name that is not printable or longer than {NODE_CHARACTERS} characters")
    return str(found)


def outputs_of(event: Mapping[str, Any]) -> set[str]:
    """The nodes of which an event that was taken tells what made them."""
    made = [event["dataset"]] if "dataset" in event else event.get("outputs") or ()
    return {node(one) for one in made} | {node({"namespace": n, "name": name}) for n, name in _entries(event)}


def _require_few(edges: int) -> None:
    if edges > MOST_EDGES:
        raise NotTaken(
            f"more than {MOST_EDGES:,} edges in one event: send a lineage or columnLineage facet, or an event for each output"
        )


def _flows(event: Mapping[str, Any], inputs: Sequence[Any], outputs: Sequence[Any], own: str) -> Iterator[Flow]:
    entries = _entries(event)
    untold = (o for o in outputs if (o["namespace"], o["name"]) not in entries and not _says_columns(o))
    _require_few(sum(len(inputs) for _ in untold))
    seen = set()
    for output in outputs:
        target = node(output, own)
        seen.add(target)
        facets = output.get("facets") or {}
        stated = [*entries.get((output["namespace"], output["name"]), ())]
        stated += [facets["lineage"]] if _there(facets, "lineage") else []
        if stated:
            yield _flow(target, LINEAGE, [edge for one in stated for edge in _stated(one, own)], own)
        elif _there(facets, "columnLineage"):
            yield _flow(target, COLUMNS, _columns(facets["columnLineage"], own), own)
        elif inputs:
            whole = [Edge(node(one, own), ROWS, ROWS, "DIRECT", "TRANSFORMATION") for one in inputs]
            yield _flow(target, WHOLE, whole, own)
    for (namespace, name), stated in entries.items():
        target = node({"namespace": namespace, "name": name}, own)
        if target not in seen:
            yield _flow(target, LINEAGE, [edge for one in stated for edge in _stated(one, own)], own)


def _flow(output: str, detail: int, edges: Iterable[Edge], own: str) -> Flow:
    if ":" not in output or output.startswith("landed:"):
        raise NotTaken("an output in this catalogue's own namespace: only its pipeline tells what it made")
    found = tuple(
        sorted(edge for edge in set(edges) if (edge.input, edge.input_column) != (output, edge.output_column))
    )
    for edge in found:
        if max(len(edge.input_column), len(edge.output_column)) > NAME_CHARACTERS:
            raise NotTaken(f"a field's name longer than {NAME_CHARACTERS} characters")
        if not (edge.input_column.isprintable() and edge.output_column.isprintable()):
            raise NotTaken("a field's name that is not printable")
    known = not any(edge.input_column == edge.output_column == ROWS for edge in found)
    edge_set = EdgeSet(output, STAGE, found, complete=known)
    return Flow(output, detail, edge_set, edge_set.id)


def _entries(event: Mapping[str, Any]) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
    """Targets of the job's `lineage` facet; entries whose target is a job say nothing of a dataset."""
    facets = event.get("job", {}).get("facets") or {}
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    if _there(facets, "lineage"):
        for entry in facets["lineage"].get("entries", ()):
            if entry["type"] == "DATASET":
                found.setdefault((entry["namespace"], entry["name"]), []).append(entry)
    return found


def _says_columns(output: Mapping[str, Any]) -> bool:
    facets = output.get("facets") or {}
    return _there(facets, "lineage") or _there(facets, "columnLineage")


def _there(facets: Mapping[str, Any], key: str) -> bool:
    return key in facets and not facets[key].get("_deleted")


def _stated(entry: Mapping[str, Any], own: str) -> Iterator[Edge]:
    """Edges of a `lineage` facet or entry; sources that are jobs are no columns."""
    for source in entry.get("inputs") or ():
        yield from _from(source, ROWS, own)
    for column, field in (entry.get("fields") or {}).items():
        for source in field["inputs"]:
            yield from _from(source, column, own)


def _from(source: Mapping[str, Any], column: str, own: str) -> Iterator[Edge]:
    if source["type"] == "DATASET":
        yield from _edges(source, source.get("field") or ROWS, column, own)


def _columns(facet: Mapping[str, Any], own: str) -> Iterator[Edge]:
    for column, field in facet["fields"].items():
        old = field.get("transformationType")
        for source in field["inputFields"]:
            if old and not source.get("transformations"):
                subtype: Subtype = "IDENTITY" if old == "IDENTITY" else "TRANSFORMATION"
                yield Edge(node(source, own), source["field"], column, "DIRECT", subtype, old == "MASKED")
            else:
                yield from _edges(source, source["field"], column, own)
    for source in facet.get("dataset") or ():
        yield from _edges(source, source["field"], ROWS, own)


def _edges(source: Mapping[str, Any], field: str, column: str, own: str) -> Iterator[Edge]:
    """One edge for each transformation; a kind or subtype that the standard does not know is the widest of its sort."""
    name = node(source, own)
    for how in source.get("transformations") or ({"type": "INDIRECT" if column == ROWS != field else "DIRECT"},):
        kind: Kind = "INDIRECT" if how["type"] == "INDIRECT" else "DIRECT"
        widest: Subtype = "CONDITIONAL" if kind == "INDIRECT" else "TRANSFORMATION"
        subtype = _SUBTYPES.get(how.get("subtype"), widest)
        yield Edge(name, field, column, kind, subtype, bool(how.get("masking")))


def _canonical(value: Any) -> str:
    return _ENCODER.encode(value)


def _digest(data: bytes) -> bytes:
    """SHA-256, in pieces for which Python keeps its lock: giving it up and waiting for it costs more than the hash.

    >>> _digest(b"a" * 5000) == hashlib.sha256(b"a" * 5000).digest()
    True
    """
    hashed = hashlib.sha256()
    for start in range(0, len(data), _PIECE):
        hashed.update(data[start : start + _PIECE])
    return hashed.digest()


def _instant(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise NotTaken("/eventTime: not an instant that can be kept") from None
