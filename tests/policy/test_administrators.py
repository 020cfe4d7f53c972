"""The three administrators in the rules: nobody is two, none approves, none reads a sensitive field, whatever opens it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from governance.catalog.types import SENSITIVE
from governance.errors import DeclarationError
from governance.policy.access import parse_access
from governance.policy.administrators import Administrators
from governance.policy.decide import Column, Decider
from governance.policy.lattice import RAW
from governance.policy.permits import Permit

NOW = datetime(2026, 6, 1, tzinfo=UTC)
THREE = "administrators: {system: [user:zhang], security: [user:qian, service:keys], audit: [user:sun]}\n"
RULES = """\
roles: [{id: clerk}, {id: watch}]
purposes: [{id: p}]
subjects:
  - {name: "user:li", roles: [clerk], clearance: L4}
  - {name: "user:sun", roles: [watch], clearance: L4}
  - {name: "user:zhang", roles: [], clearance: L4}
approvers: [{subject: "user:li", public_key: "KEY"}]
rules:
  - {id: names, roles: [clerk], purposes: [p], where: {tags: [name]}, action: raw}
  - {id: open, roles: [clerk, watch], purposes: [p], where: {levels: [L1, L2]}, action: raw}
""".replace("KEY", "ab" * 32)


def faults(text, catalogue):
    with pytest.raises(DeclarationError) as caught:
        parse_access(text, "catalog/access.yaml", catalogue)
    return [str(fault) for fault in caught.value.faults]


def test_three_apart_have_no_fault(catalogue):
    access = parse_access(RULES + THREE, "catalog/access.yaml", catalogue)
    assert [access.office(name) for name in ("user:zhang", "service:keys", "user:sun", "user:li")] == [
        "system",
        "security",
        "audit",
        None,
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("audit: [user:sun]", "audit: [user:sun, user:qian]", "user:qian is the security administrator already"),
        ("system: [user:zhang]", "system: [user:zhang, user:zhang]", "user:zhang is the system administrator already"),
        ("audit: [user:sun]", "audit: []", "administrators.audit"),
        (", audit: [user:sun]", "", "administrators.audit: is missing"),
        ("[user:zhang]", "[zhang]", "administrators.system.0"),
        ("audit: [user:sun]", "audit: [user:li]", "an administrator approves nothing"),
        ("roles: [watch]", "roles: [watch, clerk]", "rules.0: opens curated.person.name to user:sun, the audit"),
        ("where: {levels: [L1, L2]}", "where: {levels: [L1, L2, L3]}", "rules.1: opens curated.person.name to user:sun"),
        ("action: raw}\n  - {id: open", "action: 'mask:chinese-name', subjects: ['user:zhang']}\n  - {id: open",
         "opens curated.person.name to user:zhang, the system"),
        ("administrators:", "break_glass: {roles: [watch], purposes: [p], max_level: L3}\nadministrators:",
         "user:sun, the audit administrator, might break the glass"),
    ],
)  # fmt: skip
def test_two_in_one_hand_and_whatever_would_open_a_sensitive_field_is_a_fault(old, new, expected, catalogue):
    text = RULES + THREE
    assert old in text
    assert any(expected in fault for fault in faults(text.replace(old, new), catalogue))


def test_a_rule_that_closes_is_no_fault(catalogue):
    closing = (
        RULES + "  - {id: closed, roles: [watch], purposes: [p], where: {levels: [L3, L4]}, action: none}\n" + THREE
    )
    parse_access(closing, "catalog/access.yaml", catalogue)


@pytest.mark.parametrize("emergency", [False, True])
def test_no_decision_opens_one_whatever_was_approved(catalogue, emergency):
    """The rules are parsed without the section, so that nothing but the decision stands in the way."""
    access = parse_access(
        RULES.replace("roles: [clerk, watch]", "roles: [clerk, watch]").replace("[L1, L2]", "[L1, L2, L3, L4]")
        + "break_glass: {roles: [watch], purposes: [p], max_level: L4}\n",
        "catalog/access.yaml",
        catalogue,
    )
    contract = catalogue.models["curated.person"].contract
    columns = tuple(map(Column.of, contract.fields))
    sensitive = {field.name for field in contract.fields if field.classification in SENSITIVE}
    given = Permit("ab" * 32, "cd" * 32, "user:sun", "p", "curated.person", tuple(sorted(sensitive)), RAW, NOW,
                   NOW + timedelta(hours=1), emergency=emergency)  # fmt: skip
    named = Administrators(system=("user:zhang",), security=("user:qian",), audit=("user:sun",))
    for section, expected in ((None, sensitive), (named, set())):
        decider = Decider(access.model_copy(update={"administrators": section})).with_permits([given])
        decided = decider.decide("user:sun", "p", "curated.person", columns, at=NOW)
        assert {name for name in sensitive if decided[name].outcome == RAW} == expected
        assert decided["district"].outcome == RAW
    assert "audit administrator reads nothing sensitive" in decided["name"].reason
