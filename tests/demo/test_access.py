"""The demo's access matrix: what each role gets of the fields of one person."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from governance.catalog.load import load_catalogue
from governance.config import load_settings
from governance.policy.access import parse_access
from governance.policy.decide import Column, Decider

ROOT = Path(__file__).parents[2]
ROLES = {
    "statistician": ("user:li", "statistics"),
    "caseworker": ("user:wang", "benefits"),
    "auditor": ("user:zhou", "audit"),
    "researcher": ("user:he", "research"),
    "steward": ("user:steward", "data_quality"),
}
EXPECTED = {
    "resident_no": ("none", "mask:resident-number", "mask:token", "mask:token", "mask:resident-number"),
    "name": ("none", "raw", "mask:replace-with-null", "none", "raw"),
    "birth_date": ("mask:date-decade", "raw", "mask:replace-with-null", "mask:truncate-to-year", "raw"),
    "division_code": ("raw", "raw", "mask:replace-with-null", "raw", "raw"),
    "address": ("mask:address-county", "raw", "mask:replace-with-null", "none", "raw"),
    "phone": ("none", "mask:phone", "mask:replace-with-null", "none", "raw"),
    "employer_code": ("raw", "raw", "mask:token", "mask:token", "raw"),
    "fund_balance": ("mask:number-bucket(1000)", "raw", "mask:replace-with-null", "mask:number-bucket(100)", "raw"),
}


@pytest.fixture(scope="module")
def matrix() -> dict[str, dict[str, str]]:
    catalogue = load_catalogue(load_settings(ROOT))
    decider = Decider(parse_access(catalogue.access_text, catalogue.access_file, catalogue))
    columns = [Column.of(field) for field in catalogue.table("curated.person").fields]
    at = datetime(2026, 3, 1, tzinfo=UTC)
    found = {}
    for role, (subject, purpose) in ROLES.items():
        decisions = decider.decide(subject, purpose, "curated.person", columns, at=at)
        found[role] = {name: str(decision.outcome) for name, decision in decisions.items()}
    return found


@pytest.mark.parametrize("field", EXPECTED)
def test_a_field_is_to_each_role_what_the_rules_say(matrix: dict[str, dict[str, str]], field: str) -> None:
    assert tuple(matrix[role][field] for role in ROLES) == EXPECTED[field]


def test_no_role_reads_a_resident_number_raw(matrix: dict[str, dict[str, str]]) -> None:
    assert "raw" not in {matrix[role]["resident_no"] for role in ROLES}


def test_every_role_sees_another_person(matrix: dict[str, dict[str, str]]) -> None:
    views = [tuple(view.items()) for view in matrix.values()]
    assert len(set(views)) == len(views)


def test_a_purpose_that_is_not_the_roles_own_opens_nothing() -> None:
    catalogue = load_catalogue(load_settings(ROOT))
    decider = Decider(parse_access(catalogue.access_text, catalogue.access_file, catalogue))
    columns = [Column.of(field) for field in catalogue.table("curated.person").fields]
    decisions = decider.decide("user:wang", "research", "curated.person", columns, at=datetime(2026, 3, 1, tzinfo=UTC))
    assert {str(decision.outcome) for decision in decisions.values()} == {"none"}
