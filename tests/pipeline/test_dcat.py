"""The catalogue as DCAT-AP, read by a parser that is not ours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import rdflib
from click.testing import CliRunner
from rdflib.namespace import DCAT, DCTERMS, FOAF, RDF

from governance.catalog.load import load_catalogue
from governance.cli.main import group
from governance.config import load_settings
from governance.pipeline.dcat import dcat
from tests.pipeline.home import ACCOUNTS, METERS, SUPPLY, SUPPLY_SQL, Home, empty_home

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:rdflib")  # of its own JSON-LD parser
BASE = "https://data.example"
RIGHTS = "http://publications.europa.eu/resource/authority/access-right/"
MANDATORY = {
    DCAT.Catalog: (DCTERMS.title, DCTERMS.description, DCTERMS.publisher),
    DCAT.Dataset: (DCTERMS.title, DCTERMS.description),
    DCAT.Distribution: (DCAT.accessURL,),
    DCAT.DataService: (DCTERMS.title, DCAT.endpointURL),
    FOAF.Agent: (FOAF.name,),
}
"""What DCAT-AP 3 demands of each class."""


def home_of(folder: Path) -> Home:
    home = empty_home(folder)
    home.declare("water.meters", METERS)
    home.declare("power.accounts", ACCOUNTS)
    home.declare("curated.supply", SUPPLY, sql=SUPPLY_SQL)
    home.declare("water.rivers", {"名": {"logicalType": "string", "classification": "L1"}})
    return home


def test_every_table_is_a_dataset_with_all_that_dcat_ap_demands(tmp_path: Path) -> None:
    home = home_of(tmp_path / "home")
    done = CliRunner().invoke(
        group, ["--home", str(home.folder), "catalogue", "export", "--base", BASE, "--json"], catch_exceptions=False
    )
    graph = rdflib.Graph().parse(data=done.output, format="json-ld")
    names = {str(graph.value(d, DCTERMS.identifier)) for d in graph.subjects(RDF.type, DCAT.Dataset)}
    assert names == {"water.meters", "power.accounts", "curated.supply", "water.rivers"}
    catalogue = rdflib.URIRef(f"{BASE}/catalogue")
    assert len(set(graph.objects(catalogue, DCAT.dataset))) == 4
    for kind, demanded in MANDATORY.items():
        for place in graph.subjects(RDF.type, kind):
            assert all(graph.value(place, name) is not None for name in demanded), (kind, place)
    rights = {
        str(graph.value(d, DCTERMS.identifier)): str(graph.value(d, DCTERMS.accessRights))
        for d in graph.subjects(RDF.type, DCAT.Dataset)
    }
    assert rights["water.meters"] == RIGHTS + "NON_PUBLIC"
    assert rights["water.rivers"] == RIGHTS + "RESTRICTED"


def test_what_is_published_is_served_somewhere(tmp_path: Path) -> None:
    catalogue = load_catalogue(load_settings(home_of(tmp_path / "home").folder))
    document = dcat(catalogue, base=BASE + "/", title="市", published=["curated.supply"])
    graph = rdflib.Graph().parse(data=json.dumps(document), format="json-ld")
    (distribution,) = graph.subjects(RDF.type, DCAT.Distribution)
    assert str(graph.value(distribution, DCAT.accessURL)) == f"{BASE}/v1/tables/curated.supply"
    (service,) = graph.subjects(RDF.type, DCAT.DataService)
    assert [str(d) for d in graph.objects(service, DCAT.servesDataset)] == [f"{BASE}/dataset/curated.supply"]
    for kind, demanded in MANDATORY.items():
        for place in graph.subjects(RDF.type, kind):
            assert all(graph.value(place, name) is not None for name in demanded), (kind, place)
