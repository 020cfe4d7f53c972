"""Days as integers since 1970-01-01 and what they look like in the sources; months of the demo as numbers from 1. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from governance.errors import GovernanceError

Ints = npt.NDArray[np.int64]

FIRST_YEAR, MONTHS = 2026, 36
"""The demo begins in January 2026 and can be carried on for three years."""


@dataclass(frozen=True, slots=True)
class Month:
    """A month of the demo: `number` from 1, its first day and the day after its last, and `text` as YYYY-MM."""

    number: int
    first: int
    end: int
    text: str


def month_of(text: str) -> Month:
    """The month that YYYY-MM names. Raises GovernanceError outside the demo's three years.

    >>> month_of("2026-02").number, month_of("2027-01").number
    (2, 13)
    """
    match = re.fullmatch(r"(\d{4})-(\d{2})", text)
    number = (int(match[1]) - FIRST_YEAR) * 12 + int(match[2]) if match and 1 <= int(match[2]) <= 12 else 0
    if not 1 <= number <= MONTHS:
        raise GovernanceError(
            f"{text!r} is not a month of the demo", allowed="2026-01 to 2028-12", do="choose one of them"
        )
    return Month(number, *bounds(number), text)


def bounds(number: int) -> tuple[int, int]:
    """First day of month `number` and the first day of the next."""
    return tuple(day(FIRST_YEAR + n // 12, n % 12 + 1, 1) for n in (number - 1, number))  # type: ignore[return-value]


def day(year: int, month: int, of_month: int) -> int:
    return (date(year, month, of_month) - date(1970, 1, 1)).days


def first_days() -> Ints:
    """First day of each month of the demo, index 0 unused, one more at the end."""
    return np.array([0, *(bounds(n)[0] for n in range(1, MONTHS + 2))], dtype=np.int64)


def compact(days: Ints) -> Ints:
    """yyyymmdd as an integer.

    >>> compact(np.array([day(1990, 3, 7)])).tolist()
    [19900307]
    """
    dates = days.astype("datetime64[D]")
    months = dates.astype("datetime64[M]")
    years = months.astype("datetime64[Y]").astype(np.int64) + 1970
    result: Ints = years * 10000 + (months.astype(np.int64) % 12 + 1) * 100 + (dates - months).astype(np.int64) + 1
    return result


def iso(days: Ints, where: npt.NDArray[np.bool_] | None = None) -> pa.StringArray:
    """ISO dates as text, NULL where `where` is false.

    >>> iso(np.array([0])).to_pylist()
    ['1970-01-01']
    """
    return pa.array(days.astype(np.int32), mask=None if where is None else ~where).cast(pa.date32()).cast(pa.string())
