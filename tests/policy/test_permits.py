"""Approved requests and break-glasses beside the rules: what they open, what stays closed, and that the hash covers them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from governance.policy.access import parse_access
from governance.policy.decide import Column, Decider
from governance.policy.diff import wider_break_glass
from governance.policy.lattice import RAW, Outcome, meet
from governance.policy.permits import Permit
from governance.policy.restrictions import Policy, compile_restrictions
from tests.policy.test_access import faults

NOW = datetime(2026, 6, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
ACCESS = """\
roles: [{id: clerk}]
purposes: [{id: research}, {id: benefits}]
subjects:
  - {name: "user:he", clearance: L3}
  - {name: "user:zhao", roles: [clerk], clearance: L2, attributes: {districts: ["110101"]}}
  - {name: "user:wang"}
approvers: [{subject: "user:wang", public_key: "3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29"}]
break_glass: {roles: [clerk], purposes: [benefits], max_level: L3, max_hours: 4}
rules:
  - {id: years, subjects: ["user:he"], purposes: [research], where: {tags: [birth]}, action: "mask:truncate-to-year"}
  - {id: no-money, subjects: ["user:he", "user:zhao"], purposes: [research, benefits], where: {tags: [money]}, action: none}
  - {id: names, roles: [clerk], purposes: [benefits], where: {tags: [name]}, action: "mask:chinese-name"}
  - id: own
    roles: [clerk]
    purposes: [benefits]
    where: {levels: [L1]}
    action: raw
    row_filter: {column: district, op: in, session: districts}
"""


@pytest.fixture
def decider(catalogue):
    return Decider(parse_access(ACCESS, "catalog/access.yaml", catalogue))


@pytest.fixture
def columns(catalogue):
    return tuple(Column.of(field) for field in catalogue.models["curated.person"].contract.fields)


def permit(*fields, subject="user:he", purpose="research", action=RAW, emergency=False, hours=1, request="ab" * 32):
    return Permit(
        request, "c" * 64, subject, purpose, "curated.person", fields, action, NOW, NOW + hours * HOUR, emergency
    )


def decided(decider, columns, *permits, subject="user:he", purpose="research", at=NOW):
    return decider.with_permits(permits).decide(subject, purpose, "curated.person", columns, at=at)


def outcomes(*given, **who):
    return {name: str(own.outcome) for name, own in decided(*given, **who).items() if own.outcome.kind != "none"}


def test_a_permit_opens_what_no_rule_opens_and_nothing_else(decider, columns):
    found = decided(decider, columns, permit("phone", "rank"))
    assert found["phone"].outcome == RAW
    assert found["phone"].rules == ("request:abababababababab",)
    assert found["phone"].reason == "raw by request:abababababababab"
    assert outcomes(decider, columns, permit("phone", "rank")) == {
        "phone": "raw",
        "rank": "raw",
        "born": "mask:truncate-to-year",
    }


def test_a_permit_is_met_with_the_rules_by_the_most_restrictive(decider, columns):
    assert outcomes(decider, columns, permit("born"))["born"] == "mask:truncate-to-year"
    decade = permit("born", action=Outcome.parse("mask:date-decade"))
    assert outcomes(decider, columns, decade)["born"] == "mask:date-decade"


def test_a_permit_never_opens_what_a_rule_closes_nor_raw_above_the_clearance_nor_what_nobody_classified(
    decider, columns
):
    everything = permit("income", "id_number", "note", "id_number__token", "_row")
    assert set(outcomes(decider, columns, everything)) == {"born"}
    assert decided(decider, columns, everything)["income"].reason == "closed by no-money"
    token = permit("id_number", action=Outcome.parse("mask:token"))
    assert outcomes(decider, columns, token)["id_number"] == "mask:token"


@pytest.mark.parametrize("who", [{"subject": "user:zhao"}, {"purpose": "benefits"}, {"subject": "user:nobody"}])
def test_a_permit_is_for_one_subject_and_one_purpose(decider, columns, who):
    assert "phone" not in outcomes(decider, columns, permit("phone"), **who)


def test_a_permit_holds_from_its_first_instant_until_before_its_last(decider, columns):
    for at, open_ in [(NOW - HOUR / 60, False), (NOW, True), (NOW + HOUR * 0.999, True), (NOW + HOUR, False)]:
        assert ("phone" in outcomes(decider, columns, permit("phone"), at=at)) is open_


def test_a_permit_is_for_its_table_alone(decider, columns):
    other = decider.with_permits([permit("phone")]).decide("user:he", "research", "curated.firm", columns, at=NOW)
    assert other["phone"].outcome.kind == "none"


ZHAO = {"subject": "user:zhao", "purpose": "benefits"}


def test_a_break_glass_gives_raw_past_masks_and_clearance_up_to_its_level(decider, columns):
    broken = permit("name", "phone", "id_number", "income", emergency=True, **ZHAO)
    assert outcomes(decider, columns, broken, **ZHAO) == {"name": "raw", "phone": "raw", "district": "raw"}
    assert decided(decider, columns, broken, **ZHAO)["name"].rules == ("break-glass:abababababababab", "names")


def test_a_break_glass_counts_only_under_rules_that_provide_for_it(catalogue, columns):
    broken = permit("phone", emergency=True, hours=4, **ZHAO)
    for text, open_ in [
        (ACCESS, True),
        (ACCESS.replace("max_hours: 4", "max_hours: 3"), False),
        (ACCESS.replace("max_level: L3", "max_level: L2"), False),
        (ACCESS.replace("break_glass: {roles: [clerk], purposes: [benefits]", "break_glass: {roles: [clerk], purposes: [research]"), False),
        ("".join(line for line in ACCESS.splitlines(True) if not line.startswith("break_glass")), False),
        (ACCESS.replace('"user:zhao", roles: [clerk]', '"user:zhao"'), False),
    ]:  # fmt: skip
        decider = Decider(parse_access(text, "catalog/access.yaml", catalogue))
        assert ("phone" in outcomes(decider, columns, broken, **ZHAO)) is open_, text


def restricted(columns, *deciders, **who):
    policies = [Policy(decider, columns, "h") for decider in deciders]
    field_ids = {column.name: at for at, column in enumerate(columns, start=1)}
    who = who or {"subject": "user:he", "purpose": "research"}
    return compile_restrictions(policies, **who, table="curated.person", snapshot=7, field_ids=field_ids, at=NOW)


def test_the_decision_hash_covers_the_permit(decider, columns):
    own = permit("phone")
    plain, with_it = restricted(columns, decider), restricted(columns, decider.with_permits([own]))
    assert plain.document["permits"] == []
    assert with_it.document["permits"] == ["c" * 64]
    assert with_it.permits == (own,)
    assert plain.decision_hash != with_it.decision_hash
    idle = restricted(columns, decider.with_permits([permit("income")]))
    assert idle.decision_hash == plain.decision_hash


def test_a_permit_that_one_of_the_policies_does_not_have_opens_nothing(decider, columns):
    made = restricted(columns, decider, decider.with_permits([permit("phone")]))
    assert [column.name for column in made.visible] == ["born"]


def test_what_a_break_glass_shows_may_not_be_exported_and_row_filters_still_hold(decider, columns):
    broken = permit("phone", emergency=True, **ZHAO)
    made = restricted(columns, decider.with_permits([broken]), **ZHAO)
    assert made.no_export
    assert made.row_filter is not None


def test_faults_of_the_break_glass_section_have_their_line(catalogue):
    text = ACCESS.replace("roles: [clerk], purposes: [benefits], max_level: L3, max_hours: 4", "{}")
    for section, expected in [
        ("roles: [nobody], purposes: [benefits], max_level: L3", "break_glass.roles.0"),
        ("roles: [clerk], purposes: [gossip], max_level: L3", "unknown purpose gossip"),
        ("roles: [clerk], purposes: [benefits], max_level: L3, max_hours: 9", "max_hours"),
        ("roles: [clerk], purposes: [benefits], max_level: L3, minutes: 9", "unknown key"),
        ("roles: [clerk], purposes: [benefits]", "is missing"),
        ("roles: [], purposes: [benefits], max_level: L3", "break_glass.roles"),
    ]:
        [found] = faults(text.replace("{{}}", f"{{{section}}}"), catalogue)
        assert found.startswith("catalog/access.yaml:8: ")
        assert expected.partition(".")[0] in found
    unreviewed = "".join(line for line in ACCESS.splitlines(True) if not line.startswith("approvers"))
    assert "nobody can review it" in faults(unreviewed, catalogue)[0]


KEYED = ACCESS.replace('"user:zhao", ', f'"user:zhao", public_key: "{"ab" * 32}", ')
KEYED = KEYED.replace('"user:he", clearance', f'"user:he", public_key: "{"cd" * 32}", clearance')


def test_policy_diff_tells_who_may_break_the_glass_further(catalogue):
    old = parse_access(KEYED, "catalog/access.yaml", catalogue)
    for change, expected in [
        (("max_hours: 4", "max_hours: 2"), False),
        (("max_level: L3", "max_level: L1"), False),
        (("max_level: L3", "max_level: L4"), True),
        (("max_hours: 4", "max_hours: 8"), True),
        (("max_hours: 4", "max_hours: 4, review_days: 9"), True),
        (("purposes: [benefits], max", "purposes: [research], max"), True),
        (('name: "user:he",', 'name: "user:he", roles: [clerk],'), True),
    ]:
        new = parse_access(KEYED.replace(*change), "catalog/access.yaml", catalogue)
        assert bool(wider_break_glass(old, new)) is expected, change
    without = parse_access(KEYED.replace("break_glass: {", "# {"), "catalog/access.yaml", catalogue)
    assert wider_break_glass(old, without) == ()
    [line] = wider_break_glass(without, old)
    assert line == "user:zhao may break the glass for benefits up to L3, for 4 hours, with a review within 3 days"


def test_who_has_no_key_breaks_no_glass_until_one_is_registered(catalogue):
    keyless = parse_access(ACCESS, "catalog/access.yaml", catalogue)
    without = parse_access(ACCESS.replace("break_glass: {", "# {"), "catalog/access.yaml", catalogue)
    assert wider_break_glass(without, keyless) == ()
    [line] = wider_break_glass(keyless, parse_access(KEYED, "catalog/access.yaml", catalogue))
    assert line.startswith("user:zhao may break the glass")


FIELDS = ("id_number", "name", "phone", "born", "income", "district", "rank", "note")
RULES = [
    "{id: a, roles: [clerk], purposes: [research], where: {levels: [L1, L2]}, action: raw}",
    '{id: b, roles: [clerk], purposes: [research], where: {tags: [birth]}, action: "mask:truncate-to-month"}',
    '{id: c, roles: [clerk], purposes: [research], where: {levels: [L3]}, action: "mask:replace-with-null"}',
    "{id: d, roles: [clerk], purposes: [research], where: {tags: [phone, birth]}, action: none}",
    "{id: e, roles: [clerk], purposes: [research], where: {tags: [name]}, action: raw}",
    "{id: f, roles: [clerk], purposes: [research], where: {tags: [money]}, action: aggregate_only(5)}",
]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from(RULES), unique=True),
    st.sets(st.sampled_from(FIELDS), min_size=1),
    st.sampled_from(["raw", "mask:replace-with-null", "aggregate_only(9)"]),
    st.sampled_from(["L1", "L2", "L3", "L4"]),
)
def test_a_permit_changes_its_fields_alone_and_each_to_the_meet(catalogue, columns, rules, names, action, clearance):
    text = f"roles: [{{id: clerk}}]\npurposes: [{{id: research}}]\nrules: [{', '.join(rules)}]\n"
    text += f'subjects: [{{name: "user:he", roles: [clerk], clearance: {clearance}}}]\n'
    decider = Decider(parse_access(text, "catalog/access.yaml", catalogue))
    before = decided(decider, columns)
    given_action = Outcome.parse(action)
    after = decided(decider, columns, permit(*sorted(names), action=given_action))
    for column in columns:
        was, becomes = before[column.name], after[column.name]
        closed = column.level is None or (RULES[3] in rules and not {"phone", "birth"}.isdisjoint(column.tags))
        beyond = action == "raw" and column.level is not None and column.level > clearance
        if column.name not in names or closed or beyond:
            assert becomes.outcome == was.outcome
        else:
            assert becomes.outcome == (meet((was.outcome, given_action)) if was.rules else given_action)
