"""Exports are read by parsers that are not ours, and say the same as our answers."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import networkx
import pytest
import rdflib
from click.testing import CliRunner

from governance.cli.main import group
from governance.lineage import export
from governance.lineage.index import Index
from governance.lineage.ingest import keep
from governance.lineage.ingest_flows import read
from governance.lineage.standard import fault
from governance.state.database import Database
from tests.lineage.openlineage import columns, dataset, field, run_event
from tests.lineage.test_graph import PERSON, YEARLY, put

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:rdflib")  # of its own JSON-LD parser
PROV = rdflib.Namespace("http://www.w3.org/ns/prov#")
GOV = rdflib.Namespace("urn:gov:")
LATER = datetime(2026, 1, 3, tzinfo=UTC)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Database]]:
    folder = tmp_path_factory.mktemp("export")
    (folder / "gov.toml").write_text("", encoding="utf-8")
    database = Database(f"sqlite:///{folder / 'var' / 'state.sqlite'}", clock=lambda: LATER)
    database.create()
    put(database, PERSON, "develop", "curated.person")
    put(database, YEARLY, "develop", "curated.yearly")
    made = dataset("board <&>", columnLineage=columns({"总数": [field("curated.yearly", "sum", "gov")]}))
    with database.unit_of_work() as tx:
        keep(tx, [read(run_event("bi", [], [made]), namespace="gov")], subject="service:bi", at=database.clock())
    yield folder, database
    database.close()


def test_graphml_has_the_nodes_and_links_that_answers_have(home: tuple[Path, Database]) -> None:
    _, database = home
    with database.read() as connection:
        out = io.StringIO()
        number = export.graphml(Index().graph(connection), out)
        answer = Index().upstream(connection, "db:board <&>", "总数")
    graph = networkx.parse_graphml(out.getvalue())
    names = {n: (facts["table"], facts["column"]) for n, facts in graph.nodes(data=True)}
    links = {(names[a], names[b], facts["subtype"]) for a, b, facts in graph.edges(data=True)}
    assert len(links) == number == 7
    assert {(tuple(link.source), tuple(link.target), link.subtype) for link in answer.links} <= links


def test_json_says_as_of_when_and_whether_it_is_all(home: tuple[Path, Database]) -> None:
    folder, _ = home
    for at, nodes in ((None, 1), (LATER - timedelta(hours=1), 0)):
        asked = ["--home", str(folder), "lineage", "export", *(["--as-of", at.isoformat()] if at else [])]
        done = CliRunner().invoke(group, asked, catch_exceptions=False)
        found = json.loads(done.output)
        assert sum(node["table"] == "db:board <&>" for node in found["nodes"]) == nodes
        assert {edge["source"] for edge in found["edges"]} <= {node["id"] for node in found["nodes"]}
        assert found["complete"] is True


def test_prov_is_rdf_and_says_what_each_run_used_and_made(home: tuple[Path, Database]) -> None:
    _, database = home
    with database.read() as connection:
        out = io.StringIO()
        export.prov(connection, out)
    graph = rdflib.Graph().parse(data=out.getvalue(), format="json-ld")
    activities = set(graph.subjects(rdflib.RDF.type, PROV.Activity))
    assert len(activities) == 2
    version = GOV["dataset/curated.yearly/1"]
    (activity,) = graph.objects(version, PROV.wasGeneratedBy)
    assert activity in activities
    assert graph.value(version, PROV.specializationOf) == GOV["dataset/curated.yearly"]
    (agent,) = graph.objects(activity, PROV.wasAssociatedWith)
    assert str(graph.value(agent, rdflib.RDFS.label)) == "service:build@curated"
    assert graph.value(activity, PROV.endedAtTime).datatype == rdflib.XSD.dateTime


def test_openlineage_has_every_event_ours_and_others_by_the_standard(
    home: tuple[Path, Database], tmp_path: Path
) -> None:
    folder, _ = home
    out = tmp_path / "events.jsonl"
    asked = ["--home", str(folder), "lineage", "export", "--format", "openlineage", "--out", str(out), "--json"]
    done = CliRunner().invoke(group, asked, catch_exceptions=False)
    events = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert json.loads(done.output)["items"] == len(events) == 3
    assert [fault(event) for event in events] == [None] * 3
    assert {event["job"]["name"] for event in events} == {"develop.curated.person", "develop.curated.yearly", "bi"}
