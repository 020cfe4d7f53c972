"""What is taken from an event: by the standard's schema, best knowledge first."""

from __future__ import annotations

import copy
import json

import pytest

from governance.lineage.edges import Edge
from governance.lineage.ingest_flows import COLUMNS, LINEAGE, WHOLE, NotTaken, node, read
from governance.lineage.standard import fault
from tests.lineage.openlineage import SPEC, columns, dataset, dataset_event, facet, field, run_event

IN = dataset("shop.orders")
TRANSFORMED = {"type": "INDIRECT", "subtype": "FILTER", "masking": False}


def entry(name="mart.daily", **content):
    return {"type": "DATASET", "namespace": "db", "name": name, **content}


def source(name="shop.orders", column=None, *how):
    found = {"type": "DATASET", "namespace": "db", "name": name}
    return {**found, **({"field": column} if column else {}), **({"transformations": list(how)} if how else {})}


def flows(event):
    return read(event, namespace="gov").flows


def test_columns_of_an_output_are_followed_with_their_transformations() -> None:
    lineage = columns(
        {"total": [field("shop.orders", "price", type="DIRECT", subtype="AGGREGATION", masking=True)]},
        [field("shop.orders", "day", type="INDIRECT", subtype="FILTER")],
    )
    (flow,) = flows(run_event("load", [IN], [dataset("mart.daily", columnLineage=lineage)]))
    assert (flow.output, flow.detail, flow.edges.complete) == ("db:mart.daily", COLUMNS, True)
    assert flow.edges.edges == (
        Edge("db:shop.orders", "day", "*", "INDIRECT", "FILTER"),
        Edge("db:shop.orders", "price", "total", "DIRECT", "AGGREGATION", True),
    )


def test_without_facets_every_input_makes_every_output_as_a_whole() -> None:
    found = flows(run_event("load", [IN, dataset("shop.lines")], [dataset("mart.daily"), dataset("mart.weekly")]))
    assert [(f.output, f.detail, f.edges.complete, len(f.edges.edges)) for f in found] == [
        ("db:mart.daily", WHOLE, False, 2),
        ("db:mart.weekly", WHOLE, False, 2),
    ]


def test_an_event_of_more_edges_than_a_commit_can_write_is_not_taken_before_they_are_made() -> None:
    many = [dataset(f"shop.t{n}") for n in range(501)]
    with pytest.raises(NotTaken, match="200,000 edges"):
        flows(run_event("load", many[:500], many))
    assert len(flows(run_event("load", many[:400], many[400:]))) == 101
    lineage = columns({"total": [field("shop.orders", "price")]})
    assert (
        len(flows(run_event("load", many, [dataset(f"mart.t{n}", columnLineage=lineage) for n in range(500)]))) == 500
    )


def test_the_lineage_facet_goes_before_column_lineage_and_inputs_times_outputs() -> None:
    stated = facet(
        "1-0-0/LineageJobFacet",
        entries=[
            entry(
                fields={"total": {"inputs": [source("shop.lines", "price")]}},
                inputs=[source("shop.lines", "day", TRANSFORMED)],
            )
        ],
    )
    old = columns({"total": [field("shop.orders", "price")]})
    (flow,) = flows(run_event("load", [IN], [dataset("mart.daily", columnLineage=old)], lineage=stated))
    assert flow.detail == LINEAGE
    assert {e.input for e in flow.edges.edges} == {"db:shop.lines"}
    assert {(e.input_column, e.output_column, e.kind) for e in flow.edges.edges} == {
        ("price", "total", "DIRECT"),
        ("day", "*", "INDIRECT"),
    }


def test_a_dataset_event_tells_its_own_lineage() -> None:
    stated = facet("1-0-0/LineageFacet", inputs=[source("shop.orders")])
    stated["_schemaURL"] = "https://openlineage.io/spec/facets/1-0-0/LineageFacet.json#/$defs/LineageDatasetFacet"
    (flow,) = flows(dataset_event(dataset("mart.daily", lineage=stated)))
    assert flow.edges.edges == (Edge("db:shop.orders", "*", "*", "DIRECT", "TRANSFORMATION"),)
    assert not flow.edges.complete, "known as a whole only"


def test_an_output_that_is_said_to_have_no_source_has_none() -> None:
    (flow,) = flows(
        run_event(
            "load", [IN], [dataset("mart.daily")], lineage=facet("1-0-0/LineageJobFacet", entries=[entry(inputs=[])])
        )
    )
    assert flow.edges.edges == ()
    assert flow.edges.complete


def test_tables_of_this_catalogue_are_read_by_others_and_made_by_nobody_else() -> None:
    (flow,) = flows(run_event("load", [dataset("curated.person", "gov")], [dataset("mart.daily")]))
    assert flow.edges.edges[0].input == "curated.person"
    for made in (dataset("curated.person", "gov"), dataset("police.residents", "landed")):
        with pytest.raises(NotTaken, match="own namespace"):
            flows(run_event("load", [IN], [made]))


def test_two_datasets_never_share_a_node() -> None:
    assert node({"namespace": "a", "name": "b:c"}) != node({"namespace": "a:b", "name": "c"})
    with pytest.raises(NotTaken, match="longer"):
        node({"namespace": "a", "name": "b" * 600})


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        (("eventTime",), "yesterday", "/eventTime: eventTime/format"),
        (("eventTime",), "9999-12-31T23:59:59.999999-14:00", "/eventTime: not an instant that can be kept"),
        (("schemaURL",), SPEC + "JobEvent", "/schemaURL: another kind of event than its parts"),
        (("eventType",), "DONE", "/eventType: eventType/enum"),
        (("run", "runId"), "7", "/run/runId: runId/format"),
        (("job", "name"), None, "/job/name: name/type"),
        (("producer",), None, "/producer: producer/type"),
        (
            ("outputs", 0, "facets", "columnLineage", "fields"),
            [],
            "/outputs/*/facets/columnLineage/fields: fields/type",
        ),
        (
            ("outputs", 0, "facets", "columnLineage", "_producer"),
            1,
            "/outputs/*/facets/columnLineage/_producer: _producer/type",
        ),
    ],
    ids=["time", "edge of time", "kind", "type", "run", "job", "producer", "facet", "base"],
)
def test_what_breaks_the_standard_is_not_taken_and_no_value_is_told(place, value, reason) -> None:
    event = run_event("load", [IN], [dataset("mart.daily", columnLineage=columns({"a": [field("shop.orders", "b")]}))])
    assert fault(event) is None
    broken = copy.deepcopy(event)
    held = broken
    for part in place[:-1]:
        held = held[part]
    held[place[-1]] = value
    with pytest.raises(NotTaken) as told:
        read(broken, namespace="gov")
    assert str(told.value) == reason


@pytest.mark.parametrize(
    "event", [None, 7, [], {}, {"run": {}}, {"run": [], "job": 1}, {"job": {"namespace": 1}}, {"dataset": 1}]
)
def test_rubbish_is_not_taken(event) -> None:
    with pytest.raises(NotTaken):
        read(event, namespace="gov")


def test_a_number_that_json_cannot_say_again_is_not_taken() -> None:
    own = {"_producer": "https://a", "_schemaURL": "https://a/b.json", "n": json.loads("1e999")}
    with pytest.raises(NotTaken, match="a number"):
        read(run_event("load", [], [dataset("mart.daily", x_own=own)]), namespace="gov")


def test_every_facet_is_kept_known_or_not() -> None:
    own = {
        "_producer": "https://etl.example",
        "_schemaURL": "https://etl.example/own.json",
        "deep": {"一": [1, 2.5, None]},
    }
    event = run_event("load", [IN], [dataset("mart.daily", etl_own=own)])
    assert json.loads(read(event, namespace="gov").body) == event
    turned = dict(reversed(event.items()))
    assert read(turned, namespace="gov").digest == read(event, namespace="gov").digest
