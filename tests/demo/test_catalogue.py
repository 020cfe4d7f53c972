"""The repository's own catalogue loads, compiles and governs what the demo city delivers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from governance.catalog.load import load_catalogue
from governance.catalog.types import Catalogue, Level
from governance.config import load_settings
from governance.demo.kinds import INJECTIONS, RULES, Kind
from governance.manage import compile_rules
from governance.policy.access import parse_access

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue(load_settings(ROOT))


def test_five_departments_and_four_curated_tables(catalogue: Catalogue) -> None:
    assert catalogue.departments == ("housing_fund", "market_supervision", "public_security", "social_insurance", "tax")
    assert set(catalogue.models) == {"curated.person", "curated.family", "curated.enterprise", "curated.county_month"}


def test_every_field_is_classified(catalogue: Catalogue) -> None:
    tables = [*catalogue.datasets.values(), *(m.contract for m in catalogue.models.values())]
    assert [f"{t.name}.{f.name}" for t in tables for f in t.fields if f.classification is None] == []
    assert all(f.classification is Level.L4 for t in tables for f in t.fields if "resident_number" in f.tags)


def test_every_injected_fault_has_a_rule_that_finds_it(catalogue: Catalogue) -> None:
    found = {
        name: compile_rules(dataset, catalogue.suites.get(name), catalogue.code_sets).ids
        for name, dataset in catalogue.datasets.items()
    }
    for injection in INJECTIONS:
        if injection.kind in (Kind.CONTRADICTION, Kind.UNPARSABLE_LINE):
            continue
        assert _names(injection.kind, injection.column, found[injection.dataset]), injection


def test_the_statistics_hold_no_personal_field(catalogue: Catalogue) -> None:
    fields = catalogue.models["curated.county_month"].contract.fields
    assert all("personal" not in f.tags and not f.encrypted for f in fields)


def test_the_access_rules_parse_and_name_the_demo_steward(catalogue: Catalogue) -> None:
    access = parse_access(catalogue.access_text, catalogue.access_file, catalogue)
    assert {role.id for role in access.roles} == {"statistician", "caseworker", "auditor", "researcher", "steward"}
    assert [approver.subject for approver in access.approvers] == ["user:steward"]


def _names(kind: Kind, column: str, ids: tuple[str, ...]) -> bool:
    patterns: Mapping[Kind, tuple[str, ...]] = RULES
    heads = {pattern.partition("*")[0] for pattern in patterns[kind]}
    return any(i.startswith(head) and (not column or column in i) for head in heads for i in ids)
