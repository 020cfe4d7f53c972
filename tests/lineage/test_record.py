"""Recording a run: transactional, edges once, and an event that OpenLineage's own client classes accept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from openlineage.client import event_v2, facet_v2
from sqlalchemy import func, select

from governance.lineage.edges import Edge, EdgeSet
from governance.lineage.event import Assertion
from governance.lineage.record import record_run
from governance.state.database import Database
from governance.state.tables import edge, edge_set, outbox, run, run_input
from governance.state.values import Actor

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ACTOR = Actor("service:build@curated", "pipeline.develop", "0b0f6f3e-3c0f-4b8f-9d8a-6a1c2f6c7b10")
EDGES = EdgeSet(
    "curated.person",
    "develop",
    (
        Edge("police.residents", "id_number", "id_number", "DIRECT", "IDENTITY"),
        Edge("police.residents", "id_number__token", "*", "INDIRECT", "JOIN", True),
        Edge("social.insured", "amount", "total", "DIRECT", "AGGREGATION"),
    ),
)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'state.sqlite'}")
    database.create()
    yield database
    database.close()


def record(tx: Any, **changes: Any) -> None:
    values: dict[str, Any] = {
        "actor": ACTOR,
        "stage": "develop",
        "batch": None,
        "output": "curated.person",
        "output_snapshot": 7,
        "outcome": "go",
        "counts": {"rows": 12},
        "versions": {"model": "abc"},
        "inputs": {"police.residents": 3, "social.insured": None},
        "edges": EDGES,
        "at": AT,
        "namespace": "gov",
    }
    record_run(tx, **{**values, **changes})


def count(database: Database, table: Any) -> int:
    with database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def test_a_run_is_recorded_with_its_inputs_edges_and_event(database: Database) -> None:
    with database.unit_of_work() as tx:
        record(tx)
    assert [count(database, t) for t in (run, run_input, edge_set, edge, outbox)] == [1, 2, 1, 3, 1]
    with database.read() as connection:
        row = connection.execute(select(run)).one()
    assert (row.output, row.output_snapshot, row.edge_set, row.recorded_at) == ("curated.person", 7, EDGES.id, AT)


def test_equal_edges_are_stored_once_and_pointed_at_by_every_run(database: Database) -> None:
    for _ in range(2):
        with database.unit_of_work() as tx:
            record(tx)
    assert [count(database, t) for t in (run, edge_set, edge, outbox)] == [2, 1, 3, 2]


def test_nothing_is_recorded_when_the_callers_commit_fails(database: Database) -> None:
    def refused() -> None:
        with database.unit_of_work() as tx:
            record(tx)
            raise RuntimeError("swap refused")

    with pytest.raises(RuntimeError, match="swap refused"):
        refused()
    assert [count(database, t) for t in (run, run_input, edge_set, edge, outbox)] == [0, 0, 0, 0, 0]


def test_the_event_satisfies_the_classes_of_the_standards_client(database: Database) -> None:
    with database.unit_of_work() as tx:
        record(tx, assertions=(Assertion("required:name", "not_null", False, "name", "warn", actual="3"),))
    with database.read() as connection:
        event = json.loads(connection.execute(select(outbox.c.event)).scalar_one())
    classes = {
        "columnLineage": facet_v2.column_lineage_dataset.ColumnLineageDatasetFacet,
        "version": facet_v2.dataset_version_dataset.DatasetVersionDatasetFacet,
        "outputStatistics": facet_v2.output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet,
        "dataQualityAssertions": facet_v2.data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet,
        "jobType": facet_v2.job_type_job.JobTypeJobFacet,
        "parent": facet_v2.parent_run.ParentRunFacet,
    }
    owners = [event["run"], event["job"], *event["inputs"], *event["outputs"]]
    facets = [f for o in owners for key in ("facets", "inputFacets", "outputFacets") for f in o.get(key, {}).items()]
    assert {name for name, _ in facets} == {*classes, "gov_run"}
    for name, content in facets:
        assert {"_producer", "_schemaURL"} <= set(content)
        if name in classes:
            body = {k: v for k, v in content.items() if not k.startswith("_")}
            assert classes[name](**body)._get_schema() == content["_schemaURL"]
    event_v2.RunEvent(
        eventTime=event["eventTime"],
        eventType=event_v2.RunState(event["eventType"]),
        producer=event["producer"],
        run=event_v2.Run(event["run"]["runId"]),
        job=event_v2.Job(event["job"]["namespace"], event["job"]["name"]),
        inputs=[event_v2.InputDataset(d["namespace"], d["name"]) for d in event["inputs"]],
        outputs=[event_v2.OutputDataset(d["namespace"], d["name"]) for d in event["outputs"]],
    )
    assert event["job"] == {**event["job"], "namespace": "gov", "name": "develop.curated.person"}
    lineage = event["outputs"][0]["facets"]["columnLineage"]
    assert lineage["fields"]["total"]["inputFields"][0]["transformations"][0]["subtype"] == "AGGREGATION"
    assert lineage["dataset"][0]["transformations"] == [
        {"type": "INDIRECT", "subtype": "JOIN", "description": "", "masking": True}
    ]
    assert event["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] == 12


def test_a_retry_sends_the_same_run_id(database: Database) -> None:
    for _ in range(2):
        with database.unit_of_work() as tx:
            record(tx)
    with database.read() as connection:
        events = [json.loads(e) for e in connection.execute(select(outbox.c.event)).scalars()]
    assert events[0]["run"]["runId"] == events[1]["run"]["runId"]
