"""Service levels of a contract (ODCS `slaProperties`): how often data comes (`frequency`, fy) and how long after its window (`latency`, ly). Pure."""

from __future__ import annotations

import calendar
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

Unit = Literal["minute", "hour", "day", "week", "month", "year"]
UNITS: tuple[Unit, ...] = get_args(Unit)

_WORDS: Mapping[str, Unit] = {
    **dict.fromkeys(("min", "mins", "minute", "minutes"), "minute"),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours", "hourly", "@hourly"), "hour"),
    **dict.fromkeys(("d", "day", "days", "daily", "@daily"), "day"),
    **dict.fromkeys(("w", "wk", "week", "weeks", "weekly", "@weekly"), "week"),
    **dict.fromkeys(("m", "mo", "month", "months", "monthly", "@monthly"), "month"),
    **dict.fromkeys(("y", "yr", "year", "years", "yearly", "annually", "@yearly", "@annually"), "year"),
}
_ELEMENTS = {"frequency": ("frequency", "fy"), "latency": ("latency", "ly")}


@dataclass(frozen=True, slots=True)
class Period:
    """`count` calendar units.

    >>> str(Period(1, "day")), str(Period(3, "month"))
    ('1 day', '3 months')
    """

    count: float
    unit: Unit

    def __str__(self) -> str:
        return f"{self.count:g} {self.unit}{'' if self.count == 1 else 's'}"

    def after(self, at: datetime) -> datetime:
        """The instant one period later; the last day of a month that is too short stands for the day.

        >>> Period(1, "month").after(datetime(2026, 1, 31)), Period(1.5, "hour").after(datetime(2026, 1, 1))
        (datetime.datetime(2026, 2, 28, 0, 0), datetime.datetime(2026, 1, 1, 1, 30))
        """
        match self.unit:
            case "month" | "year":
                months = at.month - 1 + round(self.count * (12 if self.unit == "year" else 1))
                year, month = at.year + months // 12, months % 12 + 1
                return at.replace(year=year, month=month, day=min(at.day, calendar.monthrange(year, month)[1]))
            case _:
                return at + self.count * timedelta(**{f"{self.unit}s": 1})


def period_of(value: object, unit: object = None) -> Period | None:
    """A period from a value and unit of the standard, or a word; None when it says none (a cron line, say).

    >>> period_of(2, "d"), period_of("daily"), period_of("P1D"), period_of(0, "h")
    (Period(count=2.0, unit='day'), Period(count=1.0, unit='day'), None, None)
    """
    if isinstance(value, str):
        word = _WORDS.get(value.strip().lower())
        if word:
            return Period(1.0, word)
        number, _, rest = value.strip().partition(" ")
        try:
            value = float(number)
        except ValueError:
            return None
        unit = rest or unit
    found = _WORDS.get(str(unit or "d").strip().lower())
    if isinstance(value, bool) or not isinstance(value, int | float) or found is None or not 0 < value < 1e6:
        return None
    return Period(float(value), found)


def entries(agreed: Any, table: str, name: Literal["frequency", "latency"]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Places and entries of `slaProperties` of that name that speak of the table: those that name it, or name nothing."""
    for index, entry in enumerate(agreed):
        elements = [e.strip().partition(".")[0] for e in str(entry.get("element") or table).split(",")]
        if entry["property"] in _ELEMENTS[name] and entry["value"] is not None and table in elements:
            yield index, entry
