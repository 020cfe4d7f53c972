"""The linter of masks: what is refused on which field, and that the documented table names every mask."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.catalog.types import ColumnType, Field, Level
from governance.policy.masks import KINDS, Mask, fault
from governance.policy.strength import SHOWN_OF

STRING, DATE, MONEY = ColumnType("string"), ColumnType("date"), ColumnType("decimal", 12, 2)
L1, L3, L4 = Level.L1, Level.L3, Level.L4


def field(kind=STRING, level=L3, **given):
    return Field("f", kind, "f", classification=level, **given)


REFUSED = [
    ("sha-256-global", field(check="resident_number"), "unkeyed hash"),
    ("sha-256-global", field(level=L1, domain="person"), "unkeyed hash"),
    ("sha-256-global", field(level=L1, max_length=11), "unkeyed hash"),
    ("sha-256-global", field(level=L1, pattern="^[0-9]+$"), "unkeyed hash"),
    ("sha-256-global", field(level=L1, code_set="divisions"), "unkeyed hash"),
    ("sha-256-global", field(), "unkeyed hash"),
    ("sha-256-global", field(min_length=8), "unkeyed hash"),
    ("sha-256-global", field(level=None), "unkeyed hash"),
    ("show-first-4", field(), "shorter than 12"),
    ("show-last-4", field(min_length=11), "shorter than 12"),
    ("show-last-4", field(domain="person"), "shorter than 12"),
    ("show-first-4", field(level=None), "shorter than 12"),
    ("truncate-to-year", field(DATE, L4), "too exact for L4"),
    ("truncate-to-month", field(DATE, L4), "too exact for L4"),
    ("truncate-to-month", field(DATE, None), "too exact for L4"),
    ("phone", field(level=L4), "7 of 11 digits"),
    ("number-bucket(9)", field(MONEY, L3), "narrower than 10"),
    ("number-bucket(99)", field(MONEY, L4), "narrower than 100"),
    ("ff1", field(code_set="divisions"), "frequencies of a code set"),
    ("ff1", field(check="resident_number"), "may be a letter"),
    ("ff1", field(max_length=5), "too short"),
    ("ff1(36)", field(max_length=3), "too short"),
    ("ff1", field(MONEY), "does not take decimal"),
    ("token", field(), "identifier domain"),
    ("phone", field(DATE), "does not take date"),
]


@pytest.mark.parametrize(("mask", "of", "why"), REFUSED)
def test_a_mask_that_is_too_weak_for_its_field_is_refused(mask, of, why):
    assert why in fault(Mask.parse(mask), of)


ALLOWED = [
    ("sha-256-global", field(level=L1)),
    ("sha-256-global", field(min_length=32)),
    ("sha-256-query-local", field(check="resident_number")),
    ("show-last-4", field(check="resident_number")),
    ("show-first-4", field(check="credit_code,other")),
    ("show-first-4", field(min_length=12)),
    ("show-first-4", field(level=L1)),
    ("truncate-to-year", field(DATE, L3)),
    ("date-decade", field(DATE, L4)),
    ("phone", field()),
    ("resident-number", field(level=L4, check="resident_number")),
    ("chinese-name", field()),
    ("number-bucket(10)", field(MONEY, L3)),
    ("number-bucket(2)", field(MONEY, L1)),
    ("ff1", field(level=L4, max_length=11)),
    ("ff1(36)", field(level=L4, check="resident_number")),
    ("ff1(36)", field(max_length=4)),
    ("token", field(domain="person")),
    ("replace-with-null", field(DATE, L4)),
    ("mask-to-fixed-value", field(MONEY, None)),
]


@pytest.mark.parametrize(("mask", "of"), ALLOWED)
def test_a_mask_that_is_strong_enough_may_be_used(mask, of):
    assert fault(Mask.parse(mask), of) == ""


@given(
    kind=st.sampled_from(sorted(KINDS)),
    level=st.sampled_from([*Level, None]),
    shortest=st.none() | st.integers(0, 40),
    longest=st.none() | st.integers(1, 40),
    domain=st.none() | st.just("person"),
    code_set=st.none() | st.just("codes"),
)
def test_what_a_mask_leaves_is_at_most_a_third_and_never_gets_worse_with_the_level(
    kind, level, shortest, longest, domain, code_set
):
    mask = Mask(kind, 1000 if kind == "number-bucket" else 0)
    of_type = ColumnType("string" if "string" in KINDS[kind] else "date" if "date" in KINDS[kind] else "integer")
    facts = {"min_length": shortest, "max_length": longest, "domain": domain, "code_set": code_set}
    why = fault(mask, field(of_type, level, **facts))
    if kind in ("show-first-4", "show-last-4") and level in (L3, L4, None):
        assert bool(why) == ((shortest or 0) < SHOWN_OF)
    if why and level is not None:
        assert fault(mask, field(of_type, L4, **facts))
    if not fault(mask, field(of_type, L4, **facts)):
        assert not why


def test_the_documented_table_names_every_mask():
    text = (Path(__file__).parents[2] / "docs" / "POLICY.md").read_text(encoding="utf-8")
    table = text.partition("## Masks, and where they are too weak")[2].partition("\n## ")[0]
    assert not [kind for kind in KINDS if f"`{kind}" not in table]
