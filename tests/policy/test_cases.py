"""Stewards' cases: what holds is silent, what does not is named with its line."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from governance.catalog.load import load_catalogue
from governance.config import load_settings
from governance.errors import DeclarationError
from governance.policy.access import parse_access
from governance.policy.cases import FILE, failures, parse_cases

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 3, 1, tzinfo=UTC)
RULES = """\
roles: [{id: clerk}]
purposes: [{id: care}]
subjects: [{name: "user:a", roles: [clerk], clearance: L4, attributes: {places: ["1"]}}]
rules:
  - {id: open, roles: [clerk], purposes: [care], where: {levels: [L1]}, action: raw, valid_to: 2027-01-01}
  - id: phones
    roles: [clerk]
    purposes: [care]
    where: {tables: [curated.person], tags: [phone]}
    action: "mask:phone"
    row_filter: {column: district, op: in, session: places}
"""


@pytest.fixture
def failed(catalogue):
    access = parse_access(RULES, "access.yaml", catalogue)
    return lambda *cases: failures("cases:\n" + "\n".join(cases), "c.yaml", access, catalogue, now=NOW)


def case(field="curated.person.phone", expect="mask:phone", more="", subject="user:a", purpose="care"):
    return f'  - {{subject: "{subject}", purpose: {purpose}, field: {field}, expect: "{expect}"{more}}}'


def test_cases_that_hold_are_silent(failed):
    assert failed(case(), case("curated.person.name", "none"), case("curated.firm.code", "raw", ", rows: all")) == ()


def test_every_case_that_does_not_hold_is_named_with_its_line_and_what_it_met(failed):
    found = failed(case(), case(expect="raw"), case("curated.person.name", "raw", ", because: the law says so"))
    assert [fault.line for fault in found] == [3, 4]
    assert found[0].found == "user:a for care gets mask:phone of curated.person.phone (mask:phone by phones)"
    assert found[0].allowed == "raw"
    assert "the law says so" in found[1].do


def test_a_row_filter_that_is_missing_or_too_many_is_a_failure(failed):
    assert failed(case(more=", rows: some")) == ()
    assert [fault.allowed for fault in failed(case(more=", rows: all"))] == ["all"]


def test_a_case_speaks_of_its_instant(failed):
    assert failed(case("curated.firm.code", "none", ", at: 2027-01-01")) == ()
    assert len(failed(case("curated.firm.code", "raw", ", at: 2027-01-01"))) == 1


def test_unknown_names_are_faults_even_where_none_is_expected(failed):
    found = failed(
        case(expect="none", subject="user:nobody"),
        case(expect="none", purpose="fun"),
        case("curated.person.nose", "none"),
    )
    assert [fault.path for fault in found] == ["cases.0.subject", "cases.1.purpose", "cases.2.field"]


def test_a_file_of_the_wrong_form_is_a_fault_with_its_line(failed):
    assert next((f.line, f.path) for f in failed(case(expect="loud"), "  - {subject: x}")) == (2, "cases.0.expect")
    with pytest.raises(DeclarationError):
        parse_cases("cases: [{extra: 1}]", "c.yaml")


def test_a_case_of_the_wrong_shape_hides_no_unknown_name(failed):
    found = failed(
        case(expect="loud", subject="user:nobody"),
        case("curated.person.nose", "none"),
        case(expect="raw"),
        "  - {subject: [a], purpose: fun, field: curated.person.phone, expect: none}",
    )
    assert [(fault.line, fault.path) for fault in found] == [
        (2, "cases.0.expect"),
        (2, "cases.0.subject"),
        (3, "cases.1.field"),
        (4, "cases.2.expect"),
        (5, "cases.3.purpose"),
        (5, "cases.3.subject"),
    ]


def test_no_file_is_no_case(catalogue):
    assert failures("", "c.yaml", parse_access(RULES, "access.yaml", catalogue), catalogue, now=NOW) == ()


def test_the_cases_of_the_demo_city_hold():
    catalogue = load_catalogue(load_settings(ROOT))
    access = parse_access(catalogue.access_text, catalogue.access_file, catalogue)
    text = (ROOT / "catalog" / FILE).read_text(encoding="utf-8")
    assert failures(text, FILE, access, catalogue, now=NOW) == ()
    assert len(parse_cases(text, FILE)[1].cases) > 20
