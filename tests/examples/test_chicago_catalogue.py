"""The declarations of examples/chicago, without data: no fault, the right sources, and names that one role sees."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from governance.catalog.load import load_catalogue
from governance.catalog.types import Catalogue, FileSource, HttpSource
from governance.config import Settings, load_settings
from governance.develop.analyse import analyse, analyse_check
from governance.manage.compile import compile_rules
from governance.policy.access import parse_access
from governance.policy.decide import Column, Decider

HOME = Path(__file__).parents[2] / "examples" / "chicago"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The example's settings; what loading keeps is kept elsewhere."""
    return replace(load_settings(HOME), var=tmp_path_factory.mktemp("var"))


@pytest.fixture(scope="module")
def catalogue(settings: Settings) -> Catalogue:
    return load_catalogue(settings)


def test_every_dataset_reads_a_file_of_the_folder(catalogue: Catalogue) -> None:
    sources = {name: dataset.source for name, dataset in catalogue.datasets.items()}
    data = (HOME / "data").resolve()  # a link, when somebody has followed the example's README
    assert {name: source.location for name, source in sources.items() if isinstance(source, FileSource)} == {
        "business_affairs.licenses": str(data / "business_affairs_licenses.csv.gz"),
        "public_health.food_inspections": str(data / "health_food_inspections.csv.gz"),
        "public_health.violation_counts": str(data / "health_violation_counts.csv.gz"),
        "streets_sanitation.complaints": str(data / "streets_sanitation_complaints.csv.gz"),
    }


def test_without_a_folder_three_of_them_read_the_citys_portal(settings: Settings) -> None:
    datasets = load_catalogue(replace(settings, sources={})).datasets.values()
    portal = {d.name: d.source.location for d in datasets if isinstance(d.source, HttpSource)}
    assert sorted(portal) == [
        "business_affairs.licenses",
        "public_health.food_inspections",
        "streets_sanitation.complaints",
    ]
    assert all(address.startswith("https://data.cityofchicago.org/resource/") for address in portal.values())


def test_the_portals_columns_are_those_that_the_contract_names(settings: Settings) -> None:
    for dataset in load_catalogue(replace(settings, sources={})).datasets.values():
        if isinstance(dataset.source, HttpSource):
            select = dataset.source.location.partition("$select=")[2].partition("&")[0]
            names = [column.rpartition(" AS ")[2] for column in select.split(",")]
            assert sorted(names) == sorted(field.source_name.lower() for field in dataset.fields)


def test_rules_and_models_have_no_fault_and_names_take_one_key(catalogue: Catalogue) -> None:
    for dataset in catalogue.datasets.values():
        compile_rules(dataset, catalogue.suites.get(dataset.name), catalogue.code_sets)
    for model in catalogue.models.values():
        compile_rules(model.contract, catalogue.suites.get(model.name), catalogue.code_sets)
        analysis = analyse(model, catalogue)
        assert analysis.faults == ()
        assert {str(key) for key in analysis.keys} == {
            "business_affairs/business_affairs.licenses/L3/1",
            "business_affairs/business_affairs.licenses/footer/1",
        }
        assert [fault for check in model.checks for fault in analyse_check(check, catalogue).faults] == []


def test_legal_names_are_clear_to_one_role_alone(catalogue: Catalogue) -> None:
    access = parse_access(catalogue.access_text, catalogue.access_file, catalogue)
    decider = Decider(access)
    columns = [Column.of(field) for field in catalogue.table("curated.enterprise").fields]
    at = datetime(2026, 1, 1, tzinfo=UTC)
    seen = {
        (subject.name, purpose.id): decider.decide(subject.name, purpose.id, "curated.enterprise", columns, at=at)
        for subject in access.subjects
        for purpose in access.purposes
    }
    outcomes = {key: str(decisions["legal_name"].outcome) for key, decisions in seen.items()}
    assert {key: outcome for key, outcome in outcomes.items() if outcome != "none"} == {
        ("user:ana", "statistics"): "mask:mask-alphanum",
        ("user:ivan", "enforcement"): "raw",
        ("user:steward", "data_quality"): "mask:replace-with-null",
    }
    assert str(seen["user:visitor", "open_data"]["inspections"].outcome) == "raw"
