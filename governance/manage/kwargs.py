"""What each kwarg of an expectation must be, in one table. Judged before anything is compiled: what makes no sense is a fault of the suite,
never an error while it is judged, and never a rule that no row can meet by mistake. Pure.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from governance.manage.sql import Unfit


@dataclass(frozen=True, slots=True)
class Form:
    """What a kwarg must be, in words too. `optional`: it may be absent; `null`: null stands for its absence, as in GX."""

    fits: Callable[[object], bool]
    allowed: str
    optional: bool = False
    null: bool = False


def is_number(value: object) -> bool:
    """A finite number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def is_count(value: object) -> bool:
    """A whole number from 0; 3.0 is one."""
    return isinstance(value, int | float) and is_number(value) and value >= 0 and value == int(value)


def is_share(value: object) -> bool:
    return isinstance(value, int | float) and is_number(value) and 0 <= value <= 1


def _is_text(value: object) -> bool:
    return isinstance(value, str) and "\0" not in value


def _is_time_format(value: object) -> bool:
    """GX's own condition."""
    try:
        return isinstance(value, str) and bool(datetime.strptime(_SOME_DAY.strftime(value), value))
    except ValueError:
        return False


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_text, value))


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_value(value: object) -> bool:
    return value is None or isinstance(value, bool) or _is_text(value) or is_number(value)


def _are_values(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_value, value))


def _are_pairs(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(_are_values(pair) and len(pair) == 2 for pair in value)


def _is_range(value: object) -> bool:
    if not isinstance(value, list) or len(value) != 2:
        return False
    low, high = value
    open_or_number = all(bound is None or is_number(bound) for bound in value)
    return open_or_number and (low is None or high is None or low <= high)


def _are_quantile_ranges(value: object) -> bool:
    if not isinstance(value, dict) or set(value) != {"quantiles", "value_ranges"}:
        return False
    points, ranges = value["quantiles"], value["value_ranges"]
    if not isinstance(points, list) or not isinstance(ranges, list) or not points or len(points) != len(ranges):
        return False
    return all(map(is_share, points)) and all(map(_is_range, ranges))


_SOME_DAY = datetime(2024, 2, 29, 12, 30)

_TEXT = Form(_is_text, "text")
_TEXTS = Form(_are_texts, "a list of texts, at least one")
_FLAG = Form(_is_flag, "true, false", optional=True)
_FLAG_OR_NULL = Form(_is_flag, "true, false", optional=True, null=True)
_VALUE = Form(_is_value, "a number or an ISO date", optional=True, null=True)

NUMBER = Form(is_number, "a finite number", optional=True, null=True)
COUNT = Form(is_count, "a whole number from 0", optional=True, null=True)
SHARE = Form(is_share, "a number from 0 to 1", optional=True, null=True)

FORMS: Mapping[str, Form] = {
    "column": _TEXT,
    "column_A": _TEXT,
    "column_B": _TEXT,
    "column_list": _TEXTS,
    "column_set": _TEXTS,
    "column_index": COUNT,
    "exact_match": _FLAG_OR_NULL,
    "type_": _TEXT,
    "type_list": _TEXTS,
    "mostly": Form(is_share, "a number from 0 to 1", optional=True),
    "min_value": _VALUE,
    "max_value": _VALUE,
    "strict_min": _FLAG,
    "strict_max": _FLAG,
    "value": Form(is_count, "a whole number from 0"),
    "value_set": Form(_are_values, "a list of numbers, texts, true or false, at least one"),
    "value_pairs_set": Form(_are_pairs, "a list of [A, B], at least one"),
    "regex": _TEXT,
    "regex_list": _TEXTS,
    "like_pattern": _TEXT,
    "like_pattern_list": _TEXTS,
    "escape": Form(lambda value: _is_text(value) and len(str(value)) == 1, "one character", optional=True, null=True),
    "match_on": Form(lambda value: value in ("any", "all"), "any, all", optional=True),
    "strftime_format": Form(_is_time_format, "a format that strptime reads again, such as %Y-%m-%d"),
    "ignore_row_if": Form(
        _is_text,
        "both_values_are_missing, either_value_is_missing, neither of a pair; all_values_are_missing, any_value_is_missing, never of more",
        optional=True,
    ),
    "or_equal": _FLAG_OR_NULL,
    "sum_total": Form(is_number, "a finite number"),
    "quantile_ranges": Form(
        _are_quantile_ranges,
        "{quantiles: [numbers from 0 to 1], value_ranges: [[low, high], one for each quantile; null is open]}",
    ),
    "allow_relative_error": Form(lambda value: value is False, "false: quantiles are exact here", optional=True),
    "ties_okay": _FLAG_OR_NULL,
}
"""A test holds these names against those of `registry.SUPPORTED`."""

BOUNDS = frozenset({"min_value", "max_value"})


def check_kwargs(kwargs: Mapping[str, object], taken: frozenset[str], bounds: Form | None) -> None:
    """Unfit for the first kwarg that is missing, or not what it must be. `taken` are those of the type; `bounds` is what its min_value and
    max_value are, where that is more than a value of the column."""
    for key in sorted(taken - set(kwargs)):
        if not FORMS[key].optional:
            raise Unfit(f"{key} is missing", FORMS[key].allowed, "add it")
    if taken >= BOUNDS and all(kwargs.get(key) is None for key in BOUNDS):
        raise Unfit("neither min_value nor max_value", "at least one of them", "add one")
    for key, value in kwargs.items():
        form = bounds if bounds is not None and key in BOUNDS else FORMS.get(key)
        if form is None or (value is None and form.null) or form.fits(value):
            continue
        if isinstance(value, dict) and "$PARAMETER" in value:
            raise Unfit(f"{key} is a suite parameter", "a value", "write the value")
        raise Unfit(f"{key} is not what it must be", form.allowed)
    if bounds is not None:
        check_order(kwargs)


def check_order(kwargs: Mapping[str, object], *, instants: bool = False) -> None:
    """Unfit when nothing is between min_value and max_value. `instants`: they are ISO dates, whose text alone does not order them."""
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    if low is None or high is None:
        return
    if instants:
        low, high = datetime.fromisoformat(str(low)), datetime.fromisoformat(str(high))
    if low > high:  # type: ignore[operator]
        raise Unfit("min_value is greater than max_value", "min_value <= max_value")
    if low == high and (kwargs.get("strict_min") or kwargs.get("strict_max")):
        raise Unfit("nothing is between min_value and max_value", "min_value < max_value, or neither strict")
