"""access.yaml: what it says, and every fault of it with its line."""

from __future__ import annotations

import textwrap
from datetime import UTC, datetime

import pytest

from governance.catalog.types import Level
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
