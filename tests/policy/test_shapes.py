"""Faults of shape in access.yaml: one a mistake, in words, and none hides another."""

from __future__ import annotations

import pytest

from governance.errors import DeclarationError
from governance.policy.access import parse_access

RULE = "{{id: {id}, roles: [{role}], purposes: [p], where: {{levels: [L1]}}, action: raw{more}}}"
HEAD = "roles: [{id: a}]\npurposes: [{id: p}]\nsubjects: [{name: 'user:x', roles: [a]}]\nrules:\n"


def rules(*given):
    made = [RULE.format(**{"id": f"r{at}", "role": "a", "more": "", **each}) for at, each in enumerate(given)]
    return HEAD + "".join(f"  - {rule}\n" for rule in made)


def faults(text, catalogue):
    with pytest.raises(DeclarationError) as caught:
        parse_access(text, "access.yaml", catalogue)
    return [(fault.line, fault.path, fault.found, fault.allowed) for fault in caught.value.faults]


ONE_A_MISTAKE = {
    "an operator": (
        {"more": ", row_filter: {column: c, op: within, session: s}"},
        (
            "rules.0.row_filter.op",
            "'within'",
            "'=', '!=', '<', '<=', '>', '>=', 'in', 'not_in', 'is_null' or 'not_null'",
        ),
    ),
    "a form of a filter": (
        {"more": ", row_filter: {and: [{column: c, op: is_null}, {or: []}]}"},
        ("rules.0.row_filter.and.1.or", "0 of them", "at least 1 of them"),
    ),
    "operands": (
        {"more": ", row_filter: {not: {column: c, op: in, value: 1}}"},
        ("rules.0.row_filter.not", "in takes values or session", ""),
    ),
    "a value": (
        {"more": ", row_filter: {column: c, op: '=', value: 1.5}"},
        ("rules.0.row_filter.value", "the wrong type", "text, a whole number, true, false"),
    ),
    "a bound": ({"more": ", obligations: {max_rows: 0}"}, ("rules.0.obligations.max_rows", "0", "at least 1")),
}


@pytest.mark.parametrize("name", ONE_A_MISTAKE)
def test_a_mistake_is_one_fault_in_words(name, catalogue):
    given, expected = ONE_A_MISTAKE[name]
    assert faults(rules(given), catalogue) == [(5, *expected)]


def test_a_fault_of_shape_hides_no_fault_of_meaning_and_lines_stay_true(catalogue):
    text = rules({"more": ", colour: red"}, {"role": "nobody"}, {"id": "r1"}, {"more": ", obligations: {max_rows: 0}"})
    assert [(line, path) for line, path, *_ in faults(text, catalogue)] == [
        (5, "rules.0.colour"),
        (6, "rules.1.roles"),
        (7, "rules.2.id"),
        (8, "rules.3.obligations.max_rows"),
    ]


@pytest.mark.parametrize("wrong", ["roles: [{id: a, colour: red}]", "roles: a", "roles: [{id: 3}]"])
def test_what_others_name_is_not_said_to_be_unknown_because_it_has_a_fault(wrong, catalogue):
    found = faults(rules({}).replace("roles: [{id: a}]", wrong), catalogue)
    assert {path.split(".")[0] for _, path, *_ in found} == {"roles"}


def test_a_section_of_the_wrong_shape_hides_no_other(catalogue):
    found = faults(rules({"role": "nobody"}) + "administrators: [x]\nelse: 1\n", catalogue)
    assert [path for _, path, *_ in found] == ["rules.0.roles", "administrators", "else"]
