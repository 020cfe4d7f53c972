"""Decisions and restrictions: the access matrix, the lattice, clearance, time, filters, release met with current
policy.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from governance.policy.access import parse_access
from governance.policy.decide import Column, Decider
from governance.policy.restrictions import Policy, compile_restrictions

NOW = datetime(2026, 6, 1, tzinfo=UTC)
ACCESS = """\
roles: [{id: statistician}, {id: caseworker}, {id: auditor}]
purposes: [{id: statistics}, {id: benefits}]
subjects:
  - {name: "user:li", roles: [statistician], clearance: L3}
  - {name: "user:zhao", roles: [caseworker], clearance: L3, attributes: {districts: ["110101", "110102"]}}
  - {name: "user:both", roles: [caseworker, statistician], clearance: L4, attributes: {districts: ["110101"]}}
  - {name: "user:lost", roles: [caseworker], clearance: L4}
  - {name: "user:idle"}
rules:
  - {id: clear, roles: [statistician], purposes: [statistics], where: {levels: [L1, L2]}, action: raw}
  - {id: names, roles: [statistician], purposes: [statistics], where: {tags: [name]}, action: "mask:chinese-name"}
  - {id: births, roles: [statistician], purposes: [statistics], where: {tags: [birth]}, action: "mask:truncate-to-year"}
  - {id: tokens, roles: [statistician], purposes: [statistics], where: {tags: [identifier]}, action: "mask:token"}
  - {id: money, roles: [statistician], purposes: [statistics], where: {tags: [money]}, action: aggregate_only(10)}
  - id: cases
    roles: [caseworker]
    purposes: [benefits, statistics]
    where: {levels: [L1, L2, L3, L4], tables: [curated.person]}
    action: raw
    row_filter: {column: district, op: in, session: districts}
    valid_from: 2026-01-01
    valid_to: 2027-01-01
    obligations: {no_export: true, max_rows: 100}
  - {id: no-phones, roles: [caseworker], purposes: [statistics], where: {tags: [phone]}, action: none}
"""


@pytest.fixture
def decider(catalogue):
    return Decider(parse_access(ACCESS, "catalog/access.yaml", catalogue))


@pytest.fixture
def columns(catalogue):
    return tuple(Column.of(field) for field in catalogue.models["curated.person"].contract.fields)


def outcomes(decider, columns, subject, purpose, at=NOW):
    decisions = decider.decide(subject, purpose, "curated.person", columns, at=at)
    return {name: str(decision.outcome) for name, decision in decisions.items()}


NOTHING = dict.fromkeys(("id_number", "name", "phone", "born", "income", "district", "rank", "note"), "none")
MATRIX = {
    ("user:li", "statistics"): {
        **NOTHING,
        "id_number": "mask:token",
        "name": "mask:chinese-name",
        "born": "mask:truncate-to-year",
        "income": "aggregate_only(10)",
        "district": "raw",
        "rank": "raw",
    },
    ("user:li", "benefits"): NOTHING,
    ("user:zhao", "benefits"): {**dict.fromkeys(NOTHING, "raw"), "id_number": "none", "note": "none"},
    ("user:zhao", "statistics"): {
        **dict.fromkeys(NOTHING, "raw"),
        "id_number": "none",
        "phone": "none",
        "note": "none",
    },
    ("user:both", "statistics"): {
        "id_number": "mask:token",
        "name": "mask:chinese-name",
        "phone": "none",
        "born": "mask:truncate-to-year",
        "income": "aggregate_only(10)",
        "district": "raw",
        "rank": "raw",
        "note": "none",
    },
    ("user:lost", "benefits"): NOTHING,
    ("user:idle", "statistics"): NOTHING,
    ("user:nobody", "statistics"): NOTHING,
    ("user:li", "gossip"): NOTHING,
}


@pytest.mark.parametrize(("who", "expected"), MATRIX.items())
def test_the_access_matrix(decider, columns, who, expected):
    assert outcomes(decider, columns, *who) == expected


def test_a_rule_holds_from_its_first_instant_until_before_its_last(decider, columns):
    for at, expected in [
        (datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC), "none"),
        (datetime(2026, 1, 1, tzinfo=UTC), "raw"),
        (datetime(2027, 1, 1, tzinfo=UTC), "none"),
    ]:
        assert outcomes(decider, columns, "user:zhao", "benefits", at)["name"] == expected


def test_every_decision_says_why(decider, columns):
    li = decider.decide("user:li", "statistics", "curated.person", columns, at=NOW)
    assert li["name"].reason == "mask:chinese-name by names"
    assert li["phone"].reason == "no rule opens it"
    assert li["note"].reason == "not classified"
    zhao = decider.decide("user:zhao", "statistics", "curated.person", columns, at=NOW)
    assert zhao["phone"].reason == "closed by no-phones"
    assert zhao["id_number"].reason == "no rule opens it to the clearance L3"
    lost = decider.decide("user:lost", "benefits", "curated.person", columns, at=NOW)
    assert "districts is missing" in lost["name"].reason


def test_token_columns_and_columns_of_the_lake_are_nobodys(decider, columns):
    extra = (*columns, *(Column(name, columns[0].type, columns[5].level) for name in ("id_number__token", "_row")))
    found = outcomes(decider, extra, "user:li", "statistics")
    assert (found["id_number__token"], found["_row"]) == ("none", "none")


def test_names_with_quotes_cannot_write_policy(catalogue, columns):
    evil = 'x"] || true || principal in [Role::"y'
    text = (
        f"roles: [{{id: '{evil}'}}]\npurposes: [{{id: p}}]\nsubjects: [{{name: 'user:li', clearance: L4}}]\n"
        f"rules: [{{id: a, roles: ['{evil}'], purposes: [p], where: {{levels: [L1, L4]}}, action: raw}}]\n"
    )
    decider = Decider(parse_access(text, "catalog/access.yaml", catalogue))
    assert set(outcomes(decider, columns, "user:li", "p").values()) == {"none"}


def restricted(policies, subject="user:zhao", purpose="benefits"):
    field_ids = {column.name: at for at, column in enumerate(policies[0].columns, start=1)}
    return compile_restrictions(
        policies, subject=subject, purpose=purpose, table="curated.person", snapshot=7, field_ids=field_ids, at=NOW
    )


def test_restrictions_are_icebergs_document_by_field_id(decider, columns):
    made = restricted([Policy(decider, columns, "h")])
    assert made.document["read-restrictions"] == {
        "required-column-projections": [{"field-id": 1, "action": "deny"}, {"field-id": 8, "action": "deny"}],
        "required-row-filter": {
            "type": "in",
            "term": {"type": "reference", "id": 6},
            "values": ["110101", "110102"],
        },
    }
    assert (made.no_export, made.max_rows) == (True, 100)
    assert restricted([Policy(decider, columns, "h")]).decision_hash == made.decision_hash
    masks = restricted([Policy(decider, columns, "h")], "user:li", "statistics").document["read-restrictions"]
    assert {"field-id": 4, "action": "truncate-to-year"} in masks["required-column-projections"]
    assert {"field-id": 2, "action": "gov:chinese-name"} in masks["required-column-projections"]
    assert {"field-id": 5, "action": "deny"} in masks["required-column-projections"]


def test_an_access_is_never_wider_than_the_release_nor_than_the_current_policy(catalogue, decider, columns):
    narrow = Decider(
        parse_access(ACCESS.replace("levels: [L1, L2, L3, L4], tables", "levels: [L1], tables"), "a", catalogue)
    )
    for pair in ((decider, narrow), (narrow, decider)):
        made = restricted([Policy(pair[0], columns, "a"), Policy(pair[1], columns, "b")])
        assert [column.name for column in made.visible] == ["district"]


def test_a_column_that_the_release_did_not_have_is_closed(decider, columns):
    made = restricted([Policy(decider, columns[:2], "a"), Policy(decider, columns, "b")])
    assert [column.name for column in made.visible] == []
    field_ids = {column.name: at for at, column in enumerate(columns, start=1)}
    made = compile_restrictions(
        [Policy(decider, columns[5:6], "a"), Policy(decider, columns, "b")],
        subject="user:zhao",
        purpose="benefits",
        table="curated.person",
        snapshot=7,
        field_ids=field_ids,
        at=NOW,
    )
    assert [column.name for column in made.visible] == ["district"]
