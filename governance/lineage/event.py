"""One OpenLineage COMPLETE event as plain JSON values: core 2-0-2, the facets that our facts fill. Pure.

A run of ours may make several outputs (one stage, many datasets), while an OpenLineage run belongs to one job: each
output's event has a run id of its own, derived from (run, job, batch), and names our run as its parent. The same
facts give the same id, so a retry is not a second run to those who listen.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from governance.lineage.edges import Edge, EdgeSet
from governance.state.values import Actor

PRODUCER = "https://github.com/governance-pipeline/governance"
SPEC = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/"
FACETS = "https://openlineage.io/spec/facets/"
_RUNS = uuid.UUID("5b0f6f3e-3c0f-5b8f-9d8a-6a1c2f6c7b10")


@dataclass(frozen=True, slots=True)
class Assertion:
    """One quality assertion on the output: counts only, never a cell value."""

    name: str
    assertion: str
    success: bool
    column: str | None = None
    severity: str | None = None
    expected: str | None = None
    actual: str | None = None


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What one stage's run says of one output; `inputs` maps a dataset to the snapshot that was read (None: it has
    none)."""

    actor: Actor
    stage: str
    batch: str | None
    output: str
    output_snapshot: int | None
    outcome: str
    counts: Mapping[str, int]
    versions: Mapping[str, str]
    inputs: Mapping[str, int | None]
    edges: EdgeSet | None
    at: datetime
    assertions: tuple[Assertion, ...] = ()


def event_run_id(run: str, job: str, batch: str | None) -> str:
    """The OpenLineage run id of one output of one run.

    >>> event_run_id("r", "store.tax.invoices", None) == event_run_id("r", "store.tax.invoices", None)
    True
    """
    return str(uuid.uuid5(_RUNS, "\n".join((run, job, batch or ""))))


def complete_event(facts: RunFacts, *, namespace: str) -> dict[str, Any]:
    """The event of `facts`: job `<namespace>`/`<stage>.<output>`."""
    job = f"{facts.stage}.{facts.output}"
    return {
        "eventType": "COMPLETE",
        "eventTime": facts.at.astimezone(UTC).isoformat(timespec="microseconds"),
        "producer": PRODUCER,
        "schemaURL": SPEC + "RunEvent",
        "run": {"runId": event_run_id(facts.actor.run, job, facts.batch), "facets": _run_facets(facts, namespace)},
        "job": {"namespace": namespace, "name": job, "facets": {"jobType": _job_type()}},
        "inputs": _inputs(facts, namespace),
        "outputs": [_output(facts, namespace)],
    }


def _run_facets(facts: RunFacts, namespace: str) -> dict[str, Any]:
    own = {
        "subject": facts.actor.subject,
        "purpose": facts.actor.purpose,
        "batch": facts.batch,
        "outcome": facts.outcome,
        "counts": dict(facts.counts),
        "versions": dict(facts.versions),
    }
    parent = {
        "run": {"runId": _as_uuid(facts.actor.run)},
        "job": {"namespace": namespace, "name": facts.actor.purpose},
    }
    return {"parent": _facet("1-2-0/ParentRunFacet", parent), "gov_run": _own_facet("RunFacet", own)}


def _job_type() -> dict[str, Any]:
    return _facet("2-0-4/JobTypeJobFacet", {"processingType": "BATCH", "integration": "GOV", "jobType": "STAGE"})


def _inputs(facts: RunFacts, namespace: str) -> list[dict[str, Any]]:
    """Inputs by name; the judged output stands among them when there are assertions: the standard keeps results on
    inputs."""
    names = dict(facts.inputs)
    if facts.assertions:
        names.setdefault(facts.output, facts.output_snapshot)
    datasets = []
    for name, snapshot in sorted(names.items()):
        entry: dict[str, Any] = {"namespace": namespace, "name": name, "facets": _version(snapshot), "inputFacets": {}}
        if facts.assertions and name == facts.output:
            entry["inputFacets"]["dataQualityAssertions"] = _assertions(facts.assertions)
        datasets.append(entry)
    return datasets


def _output(facts: RunFacts, namespace: str) -> dict[str, Any]:
    facets = _version(facts.output_snapshot)
    if facts.edges is not None:
        facets["columnLineage"] = _column_lineage(facts.edges, namespace)
    output_facets: dict[str, Any] = {}
    rows = facts.counts.get("rows", facts.counts.get("passed"))
    if rows is not None:
        output_facets["outputStatistics"] = _facet("1-0-2/OutputStatisticsOutputDatasetFacet", {"rowCount": rows})
    return {"namespace": namespace, "name": facts.output, "facets": facets, "outputFacets": output_facets}


def _version(snapshot: int | None) -> dict[str, Any]:
    if snapshot is None:
        return {}
    return {"version": _facet("1-0-1/DatasetVersionDatasetFacet", {"datasetVersion": str(snapshot)})}


def _column_lineage(edges: EdgeSet, namespace: str) -> dict[str, Any]:
    """`fields` by output column; edges on the whole output ('*') in `dataset`, as the facet has it since 1-2-0."""
    fields = {}
    whole: list[dict[str, Any]] = []
    for column, group in groupby(
        sorted(edges.edges, key=lambda e: (e.output_column, e)), key=lambda e: e.output_column
    ):
        entries = _input_fields(group, namespace)
        if column == "*":
            whole = entries
        else:
            fields[column] = {"inputFields": entries}
    return _facet("1-2-0/ColumnLineageDatasetFacet", {"fields": fields, "dataset": whole})


def _input_fields(edges: Iterable[Edge], namespace: str) -> list[dict[str, Any]]:
    entries = []
    for (table, column), group in groupby(edges, key=lambda e: (e.input, e.input_column)):
        transformations = [
            {"type": e.kind, "subtype": e.subtype, "description": "", "masking": e.masking} for e in group
        ]
        entries.append({"namespace": namespace, "name": table, "field": column, "transformations": transformations})
    return entries


def _assertions(assertions: Iterable[Assertion]) -> dict[str, Any]:
    entries = []
    for a in assertions:
        values = {
            "assertion": a.assertion,
            "success": a.success,
            "column": a.column,
            "severity": a.severity,
            "name": a.name,
            "expected": a.expected,
            "actual": a.actual,
        }
        entries.append({key: value for key, value in values.items() if value is not None})
    return _facet("1-1-0/DataQualityAssertionsDatasetFacet", {"assertions": entries})


def _facet(schema: str, content: Mapping[str, Any]) -> dict[str, Any]:
    name = schema.partition("/")[2]
    return {"_producer": PRODUCER, "_schemaURL": f"{FACETS}{schema}.json#/$defs/{name}", **content}


def _own_facet(base: str, content: Mapping[str, Any]) -> dict[str, Any]:
    return {"_producer": PRODUCER, "_schemaURL": SPEC + base, **content}


def _as_uuid(run: str) -> str:
    try:
        return str(uuid.UUID(run))
    except ValueError:
        return str(uuid.uuid5(_RUNS, run))
