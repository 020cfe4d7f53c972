"""The diff of two access rules: who gains or loses what, and that it agrees with deciding each field by itself."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from itertools import product

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from governance.catalog.types import Catalogue, ColumnType, Field, Level
from governance.errors import DeclarationError
from governance.policy.access import parse_access
from governance.policy.compare import Sight, compare
from governance.policy.decide import Column, Decider
from governance.policy.diff import counted, diff, new_approvers
from governance.policy.restrictions import Policy, compile_restrictions
from tests.policy.conftest import curated

AT = datetime(2026, 3, 1, tzinfo=UTC)
RULES = """\
roles: [{id: clerk}, {id: doctor}]
purposes: [{id: care}, {id: counting}]
subjects:
  - {name: "user:a", roles: [clerk], clearance: L4, attributes: {places: ["1"]}}
  - {name: "user:b", roles: [clerk], clearance: L4, attributes: {places: ["1"]}}
  - {name: "user:c", roles: [doctor], clearance: L4}
approvers: [{subject: "user:c", public_key: "%s"}]
rules:
  - {id: open, roles: [clerk], purposes: [care], where: {levels: [L1, L2]}, action: raw}
  - {id: phones, roles: [clerk], purposes: [care], where: {tags: [phone]}, action: "mask:phone"}
""" % ("ab" * 32)


def access(text, catalogue):
    return parse_access(text, "access.yaml", catalogue)


def changes(old, new, catalogue):
    return diff(access(old, catalogue), access(new, catalogue), catalogue, at=AT)


def shown(found):
    return {(c.subject, f"{c.table}.{c.field}", c.direction, str(c.before), str(c.after)) for c in found}


def test_the_same_rules_change_nothing(catalogue):
    assert changes(RULES, RULES, catalogue) == ()


def test_a_rule_that_opens_is_a_gain_for_every_subject_that_it_speaks_of(catalogue):
    wider = RULES.replace("mask:phone", "raw")
    assert shown(changes(RULES, wider, catalogue)) == {
        (subject, "curated.person.phone", "gains", "mask:phone", "raw") for subject in ("user:a", "user:b")
    }


def test_the_other_way_round_it_is_a_loss_with_the_rules_of_both_sides(catalogue):
    wider = RULES.replace("mask:phone", "raw")
    found = changes(wider, RULES, catalogue)
    assert {(c.direction, c.widens, c.before.rules, c.after.rules) for c in found} == {
        ("loses", False, ("phones",), ("phones",))
    }


def test_masks_that_cannot_be_compared_count_as_widening(catalogue):
    found = changes(RULES, RULES.replace("mask:phone", "mask:mask-alphanum"), catalogue)
    assert {(c.direction, c.widens) for c in found} == {("differs", True)}


def test_a_row_filter_that_goes_is_a_gain_on_every_field_of_the_table(catalogue):
    bound = RULES.replace(
        "where: {levels: [L1, L2]}, action: raw",
        "where: {tables: [curated.person], levels: [L1, L2]}, action: raw, row_filter: {column: district, op: in, session: places}",
    )
    free = bound.replace(", row_filter: {column: district, op: in, session: places}", "")
    found = changes(bound, free, catalogue)
    assert {c.field for c in found} == {"district", "rank", "phone"}
    assert {c.direction for c in found} == {"gains"}


def test_a_place_more_is_a_gain_a_place_less_a_loss_and_another_place_cannot_be_compared(catalogue):
    one = RULES.replace(
        "where: {levels: [L1, L2]}, action: raw",
        "where: {tables: [curated.person], levels: [L1]}, action: raw, row_filter: {column: district, op: in, session: places}",
    )
    two = one.replace('places: ["1"]', 'places: ["1", "2"]')
    other = one.replace('places: ["1"]', 'places: ["3"]')
    assert {c.direction for c in changes(one, two, catalogue)} == {"gains"}
    assert {c.direction for c in changes(two, one, catalogue)} == {"loses"}
    assert {c.direction for c in changes(one, other, catalogue)} == {"differs"}


def test_a_duty_that_goes_is_a_gain(catalogue):
    bound = RULES.replace("action: raw}", "action: raw, obligations: {no_export: true, max_rows: 5}}")
    assert {c.direction for c in changes(bound, RULES, catalogue)} == {"gains"}
    assert {c.direction for c in changes(RULES, bound, catalogue)} == {"loses"}


def test_a_rule_of_next_year_is_reported_today_with_its_instant(catalogue):
    later = RULES.replace('action: "mask:phone"}', "action: raw, valid_from: 2027-01-01}")
    found = changes(RULES, later, catalogue)
    assert {(c.direction, c.since.year) for c in found} == {("loses", 2026), ("gains", 2027)}


def test_a_subject_that_leaves_loses_and_one_that_comes_gains(catalogue):
    gone = RULES.replace('  - {name: "user:b", roles: [clerk], clearance: L4, attributes: {places: ["1"]}}\n', "")
    assert {(c.subject, c.direction) for c in changes(RULES, gone, catalogue)} == {("user:b", "loses")}
    assert {(c.subject, c.direction) for c in changes(gone, RULES, catalogue)} == {("user:b", "gains")}


def test_a_new_approver_is_named(catalogue):
    old, new = access(RULES, catalogue), access(RULES.replace("ab" * 32, "cd" * 32), catalogue)
    assert (new_approvers(old, old), new_approvers(old, new)) == ((), ("user:c",))


def test_it_agrees_with_deciding_each_field_by_itself(catalogue):
    new = RULES.replace("[L1, L2]", "[L2, L3]").replace("phones, roles: [clerk]", "phones, roles: [doctor]")
    sides = access(RULES, catalogue), access(new, catalogue)
    expected = set()
    for subject in ("user:a", "user:b", "user:c"):
        for name, model in catalogue.models.items():
            columns = [Column.of(f) for f in model.contract.fields]
            before, after = (Decider(side).decide(subject, "care", name, columns, at=AT) for side in sides)
            outcomes = {c: (str(before[c].outcome), str(after[c].outcome)) for c in before}
            expected |= {(subject, name, c, *pair) for c, pair in outcomes.items() if pair[0] != pair[1]}
    found = diff(*sides, catalogue, at=AT)
    assert {(c.subject, c.table, c.field, str(c.before.outcome), str(c.after.outcome)) for c in found} == expected
    assert counted(found)["gains"] + counted(found)["loses"] + counted(found)["differs"] == len(found)


RULE = st.builds(
    lambda n, who, purpose, where, action, more: (
        f"  - {{id: r{n}, {who}, purposes: [{purpose}], where: {{{where}}}, action: {action}{more if action != 'none' else ''}}}"
    ),
    st.integers(0, 10**6),
    st.sampled_from(["roles: [clerk]", "roles: [doctor]", 'subjects: ["user:b"]', "roles: [clerk, doctor]"]),
    st.sampled_from(["care", "counting", "care, counting"]),
    st.sampled_from(
        [
            "levels: [L1, L2]",
            "levels: [L3]",
            "tags: [phone]",
            "levels: [L1, L2, L3], without_tags: [name]",
            "tables: [curated.person]",
        ]
    ),
    st.sampled_from(["raw", "none", '"mask:replace-with-null"', "aggregate_only(10)"]),
    st.sampled_from(
        [
            "",
            ", row_filter: {column: district, op: in, session: places}",
            ', row_filter: {column: district, op: "=", value: "2"}',
            ", obligations: {max_rows: 5}",
            ", obligations: {no_export: true}",
            ", valid_from: 2027-01-01",
        ]
    ),
)
HEAD = RULES.partition("rules:")[0] + "rules:\n"


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(RULE, min_size=1, max_size=5, unique_by=lambda rule: rule[:20]),
    st.lists(RULE, min_size=1, max_size=5, unique_by=lambda rule: rule[:20]),
)
def test_of_any_two_rules_it_says_what_the_restrictions_of_the_query_service_say(catalogue, old, new):
    sides = []
    for rules in (old, new):
        try:
            sides.append(access(HEAD + "\n".join(rules), catalogue))
        except DeclarationError:
            assume(False)
    expected = set()
    for subject, purpose, name in product(("user:a", "user:b", "user:c"), ("care", "counting"), catalogue.models):
        before, after = (restricted(side, subject, purpose, name, catalogue) for side in sides)
        expected |= {(subject, purpose, name, f, d) for f in before if (d := compare(before[f], after[f])) is not None}
    found = diff(*sides, catalogue, at=AT)
    assert {(c.subject, c.purpose, c.table, c.field, c.direction) for c in found if c.since == AT} == expected


def restricted(side, subject, purpose, table, catalogue):
    """Each field as the query service would restrict it, in the words of `compare`."""
    columns = tuple(Column.of(field) for field in catalogue.models[table].contract.fields)
    ids = {column.name: number for number, column in enumerate(columns, 1)}
    policy = Policy(Decider(side), columns, "hash")
    held = compile_restrictions(
        [policy], subject=subject, purpose=purpose, table=table, snapshot=1, field_ids=ids, at=AT
    )
    parts = held.row_filter.parts if held.row_filter else ()
    rows = frozenset(
        json.dumps(part.model_dump(mode="json", by_alias=True, exclude_defaults=True), ensure_ascii=False)
        for part in parts
    )
    duties = (rows, held.no_export, held.max_rows)
    return {c.name: Sight(c.outcome, (), *duties) if c.opened else Sight(c.outcome) for c in held.columns}


def test_ten_thousand_fields_and_a_hundred_subjects_take_seconds(catalogue):
    base = catalogue.models["curated.person"].contract.fields
    levels, tags = list(Level), ["phone", "name", "money", "birth"]
    models = {}
    for table in range(250):
        fields = tuple(
            Field(
                f"f{n}",
                ColumnType("string"),
                f"f{n}",
                classification=levels[(n + table) % 4],
                tags=(tags[n * table % 4],),
            )
            for n in range(40)
        )
        models[f"curated.t{table}"] = curated(f"curated.t{table}", fields)
    large = replace(catalogue, models={"curated.person": curated("curated.person", base), **models})
    assert isinstance(large, Catalogue)
    subjects = "".join(f'  - {{name: "user:s{n}", roles: [clerk], clearance: L4}}\n' for n in range(100))
    old = RULES.replace("approvers:", subjects + "approvers:").replace("mask:phone", "mask:mask-to-fixed-value")
    started = time.monotonic()
    found = changes(old, old.replace("mask:mask-to-fixed-value", "mask:replace-with-null"), large)
    assert len(found) > 100_000
    assert time.monotonic() - started < 30
