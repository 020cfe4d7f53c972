from __future__ import annotations

from datetime import date

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stdnum import luhn
from stdnum.cn import ric, uscc

from governance.catalog.rules import CodeSetRule, RowRule
from governance.catalog.types import CodeSet
from governance.errors import DeclarationError
from governance.manage import compile_rules
from tests.manage.tables import dataset, field, flags

DIVISIONS = {"divisions": CodeSet("divisions", "f", "h", ("110101",))}
FEW = settings(max_examples=40, deadline=None)

DIGITS = st.text("0123456789", min_size=3, max_size=3)
DATES = st.dates(date(1900, 1, 1), date(2025, 12, 31))
RESIDENTS = st.builds(
    lambda born, serial: (lambda body: body + ric.calc_check_digit(body + "0"))(f"110101{born:%Y%m%d}{serial}"),
    DATES,
    DIGITS,
)
CREDIT_BODIES = st.builds(
    lambda kind, division, rest: kind + division + rest,
    st.sampled_from(["91", "92", "11", "52"]),
    st.text("0123456789", min_size=6, max_size=6),
    st.text("0123456789ABCDEFGHJKLMNPQRTUWXY", min_size=9, max_size=9),
)
CREDITS = CREDIT_BODIES.map(lambda body: body + uscc.calc_check_digit(body))
CARDS = st.text("0123456789", min_size=11, max_size=18).map(lambda body: body + luhn.calc_check_digit(body))
CORRUPTED = st.integers(0, 17), st.sampled_from("0123456789XAZ")


def corrupt(value: str, at: int, to: str) -> str:
    at %= len(value)
    return value[:at] + to + value[at + 1 :]


def unexpected(check: str, values: list[str | None], **others: tuple[str, list[object]]) -> list[bool | None]:
    """What the check says of each value; other columns by name as (kind, values)."""
    kinds = {name: kind for name, (kind, _) in others.items()}
    target = check.partition(":")[0] in ("birth_date_of", "sex_of")
    fields = [field("v", kinds.pop("v", "string") if target else "string", check=check)]
    of = dataset(*fields, *(field(name, kind) for name, kind in kinds.items()))
    rule = next(r for r in compile_rules(of, None, DIVISIONS).rules if r.id.startswith("check:"))
    assert isinstance(rule, RowRule)
    columns = {"v": others["v"][1] if "v" in others else values, **{n: v for n, (_, v) in others.items() if n != "v"}}
    if "v" in others:
        columns["number"] = values
    return list(flags(pa.table(columns), rule.unexpected))


@FEW
@given(st.lists(RESIDENTS, min_size=1, max_size=20), *CORRUPTED)
def test_resident_numbers_agree_with_stdnum(numbers: list[str], at: int, to: str) -> None:
    given_values = numbers + [corrupt(n, at, to) for n in numbers]
    found = unexpected("resident_number", [*given_values, None])
    for value, broken in zip(given_values, found, strict=False):
        try:
            ric.compact(value)
            born = ric.get_birth_date(value)
            valid = value[:17].isdigit() and value[0] != "0" and ric.calc_check_digit(value) == value[-1] and bool(born)
        except Exception:
            valid = False
        assert broken is not valid, value
    assert not found[-1]


@FEW
@given(st.lists(CREDITS, min_size=1, max_size=20), *CORRUPTED)
def test_credit_codes_agree_with_stdnum(codes: list[str], at: int, to: str) -> None:
    given_values = codes + [corrupt(c, at, to) for c in codes]
    found = unexpected("credit_code", [*given_values, None])
    assert found[:-1] == [not uscc.is_valid(c) for c in given_values]


@FEW
@given(st.lists(CARDS, min_size=1, max_size=20), *CORRUPTED)
def test_bank_cards_agree_with_stdnum(cards: list[str], at: int, to: str) -> None:
    given_values = cards + [corrupt(c, at, to) for c in cards]
    assert unexpected("bank_card", list(given_values)) == [not luhn.is_valid(c) for c in given_values]


def test_a_phone_is_a_mobile_number_with_or_without_country_code() -> None:
    good, bad = ["13812345678", "+8613812345678", "86-19912345678"], ["12812345678", "1381234567", "138123456789", ""]
    assert unexpected("phone", [*good, *bad, None]) == [False] * 3 + [True] * 4 + [None]


def number(born: str, serial: str = "001") -> str:
    body = f"110101{born}{serial}"
    return body + ric.calc_check_digit(body + "0")


def test_a_birth_date_is_held_against_a_number_that_is_right_itself() -> None:
    right, wrong_digit = number("19900229"[:8].replace("0229", "0228")), corrupt(number("19900228"), 17, "Z")
    born = [date(1990, 2, 28), date(1990, 2, 27), date(1990, 2, 27), None]
    found = unexpected(
        "birth_date_of:number", [right, right, wrong_digit, right], v=("date", born), number=("string", [])
    )
    assert [bool(f) for f in found] == [False, True, False, False]


def test_a_sex_code_is_held_against_the_numbers_seventeenth_digit() -> None:
    male, female = number("19900228", "001"), number("19900228", "002")
    found = unexpected(
        "sex_of:number",
        [male, male, female, female, male],
        v=("string", ["1", "2", "男", "女", "9"]),
        number=("string", []),
    )
    assert found == [False, True, True, False, False]


@pytest.mark.parametrize(
    ("check", "value", "key"),
    [
        ("resident_number, division_valid_at:day", number("19900228"), "110101"),
        ("resident_number, division_valid_at:day", corrupt(number("19900228"), 17, "Z"), None),
        ("credit_code, division_valid_at:day", "91110101" + "MA0000001" + uscc.calc_check_digit("91110101MA0000001"), "110101"),
        ("division_valid_at:day", "110101001", "110101"),
    ],
)  # fmt: skip
def test_the_division_is_looked_up_at_its_date_when_its_number_is_right(
    check: str, value: str, key: str | None
) -> None:
    of = dataset(field("v", "string", check=check, code_set="divisions"), field("day", "date"))
    rules = {r.id: r for r in compile_rules(of, None, DIVISIONS).rules}
    rule = rules["check:v:division_valid_at"]
    assert isinstance(rule, CodeSetRule)
    assert (rule.code_set, rule.valid_at, rule.columns) == ("divisions", "day", ("v", "day"))
    assert "codeSet:v" not in rules
    assert list(flags(pa.table({"v": [value], "day": [date(2000, 1, 1)]}), rule.key)) == [key]


@pytest.mark.parametrize(
    "check", ["nobody", "resident_number:x", "birth_date_of", "birth_date_of:gone", "division_valid_at:v"]
)
def test_a_check_that_cannot_be_is_a_fault(check: str) -> None:
    with pytest.raises(DeclarationError):
        compile_rules(dataset(field("v", "string", check=check)), None, DIVISIONS)
