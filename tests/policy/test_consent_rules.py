"""Rules that ask for consent: what they open, what the document says, and that nothing reads them as open."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from governance.catalog.types import ColumnType
from governance.errors import Refused
from governance.policy import filters
from governance.policy.access import Rule, parse_access
from governance.policy.decide import Column, Decider
from governance.policy.diff import diff
from governance.policy.exports.dialect import POSTGRES, condition
from governance.policy.exports.model import Inexpressible
from governance.policy.filters import And, Consented
from governance.policy.restrictions import Policy, compile_restrictions
from tests.policy.test_access import faults

NOW = datetime(2026, 6, 1, tzinfo=UTC)
WITHOUT = """\
roles: [{id: scholar}]
purposes: [{id: research}]
subjects: [{name: "user:he", roles: [scholar], clearance: L3}]
rules:
  - {id: clear, roles: [scholar], purposes: [research], where: {levels: [L1]}, action: raw}
"""
COHORT = (
    "  - {id: cohort, roles: [scholar], purposes: [research], where: {tags: [birth]}, action: raw, consent: cohort}\n"
)


def access(text, catalogue):
    return parse_access(text, "catalog/access.yaml", catalogue)


def columns_of(catalogue):
    return tuple(Column.of(field) for field in catalogue.models["curated.person"].contract.fields)


def restricted(catalogue, columns, consents=None, tokens=True):
    names = [column.name for column in columns] + (["id_number__token"] if tokens else [])
    whole = (*columns, *([Column("id_number__token", ColumnType("string"), None)] if tokens else []))
    return compile_restrictions(
        [Policy(Decider(access(WITHOUT + COHORT, catalogue)), whole, "h")],
        subject="user:he",
        purpose="research",
        table="curated.person",
        snapshot=7,
        field_ids={name: at for at, name in enumerate(names, 1)},
        at=NOW,
        consents=consents,
    )


def test_the_document_names_scope_domain_version_and_the_token_column(catalogue):
    made = restricted(catalogue, columns_of(catalogue), {("cohort", "person"): "v1"})
    assert [column.name for column in made.visible] == ["born", "district"]
    assert made.document["read-restrictions"]["required-row-filter"] == {
        "type": "gov:consented",
        "term": {"type": "reference", "id": 9},
        "scope": "cohort",
        "domain": "person",
        "version": "v1",
    }
    [asked] = made.consents
    assert asked.relation == "consent:person:cohort:v1"
    assert made.decision_hash != restricted(catalogue, columns_of(catalogue)).decision_hash


def test_a_rule_opens_no_table_in_which_the_person_of_a_row_is_not_one(catalogue):
    columns = columns_of(catalogue)
    nobody = tuple(replace(column, domain=None) for column in columns)
    two = tuple(replace(column, domain="person") if column.name == "name" else column for column in columns)
    for other in (nobody, two):
        assert [column.name for column in restricted(catalogue, other).visible] == ["district"]


def test_a_table_that_was_stored_without_tokens_is_refused(catalogue):
    with pytest.raises(Refused, match="has no column id_number__token"):
        restricted(catalogue, columns_of(catalogue), tokens=False)


def test_a_rule_that_no_table_can_answer_is_a_fault(catalogue):
    for consent, tables in [
        ("{scope: cohort, domain: firm}", ""),
        ("cohort", ", tables: [curated.firm]"),
        ('"no way"', ""),
        ("{scope: cohort, colour: red}", ""),
    ]:
        where = "{tags: [birth]" + tables + "}"
        rule = COHORT.replace("{tags: [birth]}", where).replace("consent: cohort", f"consent: {consent}")
        found = faults(WITHOUT + rule, catalogue)
        assert any(fault.startswith("catalog/access.yaml:6: rules.1.consent") for fault in found), found
    closing = COHORT.replace("action: raw", "action: none")
    assert "takes no row_filter and no consent" in faults(WITHOUT + closing, catalogue)[0]


def test_nobody_writes_a_consented_filter_in_the_rules():
    asked = {"scope": "cohort", "domain": "person", "column": "t"}
    for row_filter in (asked, {"and": [asked]}, {"not": asked}):
        with pytest.raises(ValidationError):
            Rule.model_validate(
                {"id": "a", "roles": ["b"], "purposes": ["c"], "where": {"levels": ["L1"]}, "action": "raw",
                 "row_filter": row_filter}
            )  # fmt: skip


def test_policy_diff_sees_a_rule_with_consent_come_and_its_consent_go(catalogue):
    sides = [
        access(text, catalogue)
        for text in (WITHOUT, WITHOUT + COHORT, WITHOUT + COHORT.replace(", consent: cohort", ""))
    ]
    found = diff(sides[0], sides[1], catalogue, at=NOW)
    assert [(c.field, c.direction) for c in found if c.field == "born"] == [("born", "gains")]
    assert {str(c.after) for c in found if c.field == "born"} == {"raw, rows where the person consents to cohort"}
    gone = diff(sides[1], sides[2], catalogue, at=NOW)
    assert {c.direction for c in gone if c.field == "born"} == {"gains"}


def test_an_export_has_no_words_for_it(catalogue):
    asked = Consented(scope="cohort", domain="person", column="id_number__token")
    with pytest.raises(Inexpressible):
        condition(And.model_construct(parts=(asked,)), {}, POSTGRES)


def test_binding_and_counting_leave_it_as_it_is():
    asked = Consented(scope="cohort", domain="person", column="t")
    assert filters.bind(asked, {}, {}) == asked
    assert (list(filters.comparisons(asked)), filters.depth(asked)) == ([], 1)
