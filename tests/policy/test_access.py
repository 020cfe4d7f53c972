"""access.yaml: what it says, and every fault of it with its line."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from governance.catalog.types import CodeSet, Level
from governance.errors import DeclarationError
from governance.policy import access as access_module
from governance.policy.access import parse_access
from governance.policy.masks import Mask


def documented_example():
    text = access_module.__doc__
    return textwrap.dedent(text[text.index("    version: 1") : text.index("A rule with a row filter")])


def faults(text, catalogue):
    with pytest.raises(DeclarationError) as caught:
        parse_access(text, "catalog/access.yaml", catalogue)
    return [str(fault) for fault in caught.value.faults]


def test_the_documented_example_has_no_fault(catalogue):
    access = parse_access(documented_example(), "catalog/access.yaml", catalogue)
    li = access.subject("user:li")
    assert li.clearance is Level.L3
    assert li.session == {"districts": ("110101", "110102"), "name": "user:li", "department": "bureau_of_statistics"}
    assert access.rule("statistics-names").action.mask == Mask("chinese-name")
    assert access.rule("case-district").valid_from == datetime(2026, 1, 1, tzinfo=UTC)


def test_an_empty_file_opens_nothing(catalogue):
    assert parse_access("", "catalog/access.yaml", catalogue).rules == ()


def test_every_fault_of_shape_is_reported_with_its_line(catalogue):
    found = faults(
        """\
roles:
  - {id: a, colour: red}
purposes: []
rules:
  - id: one
    roles: [a]
    purposes: []
    where: {levels: [L9]}
    action: mask:hsh
""",
        catalogue,
    )
    assert [fault.split(": ")[0] for fault in found] == [f"catalog/access.yaml:{line}" for line in (2, 7, 8, 9)]
    assert "unknown key" in found[0]
    assert "chinese-name" in found[3]


def test_every_unknown_name_is_a_fault_with_its_line(catalogue):
    found = faults(
        """\
roles: [{id: a}]
purposes: [{id: p}]
subjects:
  - {name: "user:li", roles: [b]}
approvers:
  - {subject: "user:wang", public_key: "0000000000000000000000000000000000000000000000000000000000000000"}
rules:
  - id: one
    roles: [c]
    subjects: [user:nobody]
    purposes: [q]
    where: {tags: [nothing], tables: [curated.absent], levels: [L1]}
    action: raw
  - {id: one, roles: [a], purposes: [p], where: {levels: [L1]}, action: raw}
""",
        catalogue,
    )
    text = "\n".join(found)
    for word in (
        "role b",
        "subject user:wang",
        "role c",
        "subject user:nobody",
        "purpose q",
        "tag nothing",
        "table curated.absent",
    ):
        assert f"unknown {word}" in text
    assert "14: rules.1.id: one is declared twice" in text


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("{where: {tags: [birth]}, action: 'mask:phone'}", "phone does not take date"),
        ("{where: {tags: [identifier]}, action: 'mask:sha-256-global'}", "enumerated"),
        ("{where: {tags: [name]}, action: 'mask:show-first-4'}", "shorter than 12"),
        ("{where: {tags: [name]}, action: 'mask:token'}", "identifier domain"),
        ("{where: {tags: [money]}, action: 'mask:number-bucket'}", "width of at least 2"),
        ("{where: {}, action: raw}", "names nothing"),
        ("{where: {levels: [L1]}, action: 'aggregate_only(1)'}", "k >= 2"),
        ("{where: {levels: [L1]}, action: raw, row_filter: {column: absent, op: is_null}}", "no column absent"),
        ("{where: {levels: [L1]}, action: raw, row_filter: {column: rank, op: '=', value: x}}", "does not fit rank"),
        ("{where: {levels: [L1]}, action: raw, row_filter: {column: rank, op: like, value: x}}", "row_filter"),
        ("{where: {levels: [L1]}, action: raw, row_filter: {column: rank, op: '='}}", "exactly one of"),
        ("{where: {levels: [L1]}, action: raw, valid_from: 2026-02-01, valid_to: 2026-01-01}", "ends before"),
        (
            "{where: {levels: [L1]}, action: raw, row_filter: {column: district, op: in, session: absent}}",
            "attribute absent",
        ),
    ],
)
def test_a_rule_that_cannot_be_meant_is_a_fault(rule, expected, catalogue):
    text = (
        "roles: [{id: a}]\npurposes: [{id: p}]\nsubjects: [{name: 'user:li', roles: [a]}]\nrules:\n"
        f"  - {{id: one, roles: [a], purposes: [p], {rule[1:]}\n"
    )
    found = faults(text, catalogue)
    assert any(expected in fault for fault in found), found
    assert all(fault.startswith("catalog/access.yaml:5:") for fault in found)


def test_a_key_that_comes_twice_is_a_fault(catalogue):
    assert "stands twice" in faults("roles: []\nroles: []\n", catalogue)[0]


def test_a_filter_that_is_nested_too_deeply_is_a_fault(catalogue):
    nested = "{column: rank, op: is_null}"
    for _ in range(9):
        nested = f"{{not: {nested}}}"
    rule = f"{{id: x, roles: [a], purposes: [p], where: {{levels: [L1]}}, action: raw, row_filter: {nested}}}"
    text = f"roles: [{{id: a}}]\npurposes: [{{id: p}}]\nrules:\n  - {rule}\n"
    assert any("too deeply" in fault for fault in faults(text, catalogue))


@pytest.mark.parametrize(
    ("row_filter", "attribute", "expected"),
    [
        ("{column: district, op: not_in, values: ['110101 ']}", "x", "a value does not fit district"),
        ('{not: {column: district, op: in, values: ["1\\u200b"]}}', "x", "a value does not fit district"),
        ("{column: district, op: not_in, values: ['110109']}", "x", "is no code of districts"),
        ("{column: district, op: not_in, session: places}", "110101 ", "subjects.0.attributes.places: a value"),
        ("{column: district, op: not_in, session: places}", "110109", "is no code of districts"),
        ("{column: district, op: not_in, session: places}", "110101", ""),
        ("{column: district, op: not_in, session: places}", "", ""),
    ],
)
def test_a_value_that_can_exclude_nobody_is_a_fault(row_filter, attribute, expected, catalogue):
    """An empty attribute is none: taking the last one away from somebody must not make the rules faulty for all."""
    person = catalogue.models["curated.person"]
    fields = tuple(replace(f, code_set="districts") if f.name == "district" else f for f in person.contract.fields)
    models = {**catalogue.models, person.name: replace(person, contract=replace(person.contract, fields=fields))}
    codes = CodeSet("districts", "catalog/standards/districts.csv", "0" * 64, ("110101", "110102"))
    own = replace(catalogue, models=models, code_sets={"districts": codes})
    text = (
        "roles: [{id: a}]\npurposes: [{id: p}]\n"
        f"subjects: [{{name: 'user:li', roles: [a], attributes: {{places: '{attribute}'}}}}]\nrules:\n"
        f"  - {{id: one, roles: [a], purposes: [p], where: {{tables: [curated.person]}}, action: raw, row_filter: {row_filter}}}\n"
    )
    if expected:
        assert expected in faults(text, own)[0]
    else:
        parse_access(text, "catalog/access.yaml", own)
