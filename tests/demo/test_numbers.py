"""Check characters against python-stdnum, an independent implementation of both standards."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from stdnum.cn import ric, uscc

from governance.demo import calendar
from governance.demo.numbers import credit_codes, money, padded, resident_numbers


@given(st.integers(110101, 659009), st.dates(), st.integers(1, 999))
def test_the_check_character_of_a_resident_number_is_that_of_stdnum(division: int, born: object, sequence: int) -> None:
    day = int(str(born).replace("-", ""))
    (number,) = resident_numbers(np.array([division]), np.array([day]), np.array([sequence])).to_pylist()
    assert ric.calc_check_digit(number) == number[-1]
    assert number[:6] == str(division)


@given(st.sampled_from([1, 2]), st.integers(110101, 659009), st.integers(0, 10**7))
def test_a_credit_code_is_valid_for_stdnum(category: int, division: int, serial: int) -> None:
    (code,) = credit_codes(np.array([category]), np.array([division]), np.array([serial])).to_pylist()
    assert uscc.validate(code) == code


def test_different_serials_give_different_credit_codes() -> None:
    rows = 200_000
    codes = credit_codes(np.ones(rows, np.int64), np.full(rows, 440106), np.arange(rows))
    assert len(codes.unique()) == rows


def test_dates_are_those_of_the_calendar() -> None:
    days = np.array([calendar.day(1999, 12, 31), calendar.day(2000, 2, 29), calendar.day(1912, 1, 1)])
    assert calendar.compact(days).tolist() == [19991231, 20000229, 19120101]
    assert calendar.iso(days, np.array([True, False, True])).to_pylist() == ["1999-12-31", None, "1912-01-01"]


def test_amounts_and_padded_numbers_keep_their_zeros() -> None:
    assert money(np.array([0, 7, 100, 123405])).to_pylist() == ["0.00", "0.07", "1.00", "1234.05"]
    assert padded("", np.array([3]), 2).to_pylist() == ["03"]
