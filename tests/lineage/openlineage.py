"""OpenLineage events of other producers, for tests and measures."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

SPEC = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/"
FACETS = "https://openlineage.io/spec/facets/"
RUN = "0b0f6f3e-3c0f-4b8f-9d8a-6a1c2f6c7b10"
Json = dict[str, Any]


def facet(schema: str, **content: Any) -> Json:
    """A facet of the standard: `1-2-0/ColumnLineageDatasetFacet` and what it holds."""
    name = schema.partition("/")[2]
    return {"_producer": "https://etl.example", "_schemaURL": f"{FACETS}{schema}.json#/$defs/{name}", **content}


def dataset(name: str, namespace: str = "db", **facets: Json) -> Json:
    return {"namespace": namespace, "name": name, "facets": facets}


def field(name: str, column: str, namespace: str = "db", **how: Any) -> Json:
    found = {"namespace": namespace, "name": name, "field": column}
    return {**found, "transformations": [{"type": "DIRECT", "subtype": "IDENTITY", **how}]}


def columns(fields: Mapping[str, list[Json]], whole: list[Json] | None = None) -> Json:
    made = {column: {"inputFields": sources} for column, sources in fields.items()}
    return facet("1-2-0/ColumnLineageDatasetFacet", fields=made, dataset=whole or [])


def run_event(
    job: str = "load",
    inputs: list[Json] | None = None,
    outputs: list[Json] | None = None,
    *,
    run: str = RUN,
    kind: str = "COMPLETE",
    at: str = "2026-01-02T03:04:05Z",
    **job_facets: Json,
) -> Json:
    return {
        "eventType": kind,
        "eventTime": at,
        "producer": "https://etl.example/1.0",
        "schemaURL": SPEC + "RunEvent",
        "run": {"runId": run, "facets": {}},
        "job": {"namespace": "etl", "name": job, "facets": job_facets},
        "inputs": inputs or [],
        "outputs": outputs or [],
    }


def dataset_event(of: Json, at: str = "2026-01-02T03:04:05Z") -> Json:
    return {"eventTime": at, "producer": "https://etl.example/1.0", "schemaURL": SPEC + "DatasetEvent", "dataset": of}


def numbered(number: int) -> Json:
    """A run of its own that makes one of a hundred tables from three others, twelve columns: some 4 kB."""
    table = number % 100
    fields = {f"c{n}": [field(f"shop.source_{table}_{n % 3}", f"s{n}")] for n in range(12)}
    inputs = [dataset(f"shop.source_{table}_{n}", "postgres://db:5432") for n in range(3)]
    output = dataset(f"mart.table_{table}", "postgres://db:5432", columnLineage=columns(fields))
    run = str(uuid.UUID(int=number, version=4))
    return run_event(
        f"load_{table}", inputs, [output], run=run, at=f"2026-01-02T03:{number // 60 % 60:02}:{number % 60:02}Z"
    )
