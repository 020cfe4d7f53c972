"""Events as producers send them: those of a run of Airflow 3.3.2 with its own OpenLineage provider 2.20.3 (a task that says assets, one that reads
a table of ours, one that says columns, a mapped one, one that failed, and the run), and what Spark's integration calls a source."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from governance.lineage.ingest_flows import COLUMNS, WHOLE, Flow, read
from tests.lineage.openlineage import dataset, facet, run_event

EVENTS = [json.loads(line) for line in Path(__file__).with_name("airflow_events.jsonl").read_text("utf-8").splitlines()]
DAILY = "postgres://db.example:5432:shop.public.daily"


def flows(job: str) -> tuple[Flow, ...]:
    return next(read(event, namespace="gov").flows for event in EVENTS if event["job"]["name"] == f"gov_probe{job}")


@pytest.mark.parametrize("number", range(len(EVENTS)))
def test_every_event_of_airflows_provider_is_kept_whole(number: int) -> None:
    told = read(EVENTS[number], namespace="gov")
    assert (told.kind, json.loads(told.body)) == ("run", EVENTS[number])


def test_what_airflows_tasks_say_is_in_the_graph() -> None:
    (made,) = flows(".make")
    assert (made.output, made.detail) == ("file:/data/daily.parquet", WHOLE)
    (people,) = flows(".read")
    assert {edge.input for edge in people.edges.edges} == {"curated.person"}
    (daily,) = flows(".daily")
    assert (daily.output, daily.detail) == (DAILY, COLUMNS)
    assert {edge.output_column: edge.input_column for edge in daily.edges.edges} == {"day": "day", "total": "amount"}
    assert flows("") == ()


def test_a_source_may_be_called_by_a_word_where_the_standard_has_an_address() -> None:
    named = facet("1-0-1/DatasourceDatasetFacet", name="file", uri="file")
    assert read(run_event("load", [dataset("a")], [dataset("b", dataSource=named)]), namespace="gov").flows
