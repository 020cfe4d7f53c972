"""Values that a row filter may compare a column with: literals of access.yaml and attributes of subjects.

A comparison is exact, in DuckDB, in Iceberg and wherever the policy is exported. A value that looks like one of the
column's and is not would therefore exclude nobody (`not_in`, `!=`): a blank around it, an invisible character, a letter
composed in another way, a day in another form, more decimals than the column has. So such a value fits no column.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from governance.catalog.types import ColumnType

_LARGEST = 2**63 - 1
_DECIMALS = 38
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")


def fits(value: object, kind: ColumnType) -> bool:
    """Whether a value of the policy may be compared with a column of this type, and casts to it without a change.

    >>> fits("2026-01-31", ColumnType("date")), fits("20260131", ColumnType("date")), fits(True, ColumnType("integer"))
    (True, False, False)
    >>> fits("110101", ColumnType("string")), fits("110101 ", ColumnType("string"))
    (True, False)
    """
    match kind.kind:
        case "string":
            return isinstance(value, str) and is_plain(value)
        case "boolean":
            return isinstance(value, bool)
        case "date":
            return isinstance(value, str) and _parses(date, value) and date.fromisoformat(value).isoformat() == value
        case "timestamp":
            return isinstance(value, str) and _parses(datetime, value)
        case "integer":
            return _whole(value) and -_LARGEST <= int(str(value)) <= _LARGEST
        case "decimal":
            return _number(value) and _exact(Decimal(str(value)), kind.precision or _DECIMALS, kind.scale or 0)
        case "double":
            return _number(value) and abs(Decimal(str(value))) <= Decimal("1e308")


def is_plain(text: str) -> bool:
    """Whether a text is in its one form: NFC, no white space around it, nothing that cannot be seen in it.

    >>> is_plain("北京 1"), is_plain("a\\u200b"), is_plain("e\\u0301"), is_plain(" a")
    (True, False, False, False)
    """
    return text == unicodedata.normalize("NFC", text).strip() and text.isprintable()


def says_something(value: object) -> bool:
    """Whether an attribute of a subject is there: empty text, blank text and None are not.

    >>> says_something("a"), says_something(0), says_something(""), says_something(None)
    (True, True, False, False)
    """
    return value is not None and (not isinstance(value, str) or bool(value.strip()))


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: object) -> bool:
    return _whole(value) or (isinstance(value, str) and _NUMBER.fullmatch(value) is not None)


def _exact(number: Decimal, precision: int, scale: int) -> bool:
    """Whether the decimal type holds the number without rounding it."""
    digits = number.normalize()
    exponent = digits.as_tuple().exponent
    assert isinstance(exponent, int)  # it is finite: the pattern of numbers knows no NaN
    return exponent >= -scale and (not digits or digits.adjusted() < precision - scale)


def _parses(kind: Any, text: str) -> bool:
    try:
        kind.fromisoformat(text)
    except ValueError:
        return False
    return True
