"""Row filters and masks again, a row at a time in Python, written from their description alone."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from governance.policy.masks import Mask

Condition = tuple[Any, ...]
"""("and" | "or", condition, condition), ("not", condition), ("is_null" | "not_null", column), (op, column, value, ...)."""

REFERENCED = (
    *("mask-alphanum", "mask-to-fixed-value", "replace-with-null", "show-first-4", "show-last-4", "truncate-to-year"),
    *(
        "truncate-to-month",
        "sha-256-global",
        "sha-256-query-local",
        "token",
        "chinese-name",
        "resident-number",
        "phone",
    ),
    *("address-county", "date-decade", "number-bucket"),
)
_NOT_A_NAME = "[^0-9A-Za-z路街号巷村镇乡弄栋楼室]"
_COUNTY = re.compile(
    f"(?:{_NOT_A_NAME}{{2,8}}?(?:省|自治区|市))?(?:{_NOT_A_NAME}{{1,10}}?(?:市|自治州|盟|地区))?{_NOT_A_NAME}{{1,8}}?(?:县|区|旗|市)"
)
_FIXED = {
    str: "XXXXXXXX",
    bool: False,
    int: 0,
    float: 0.0,
    Decimal: Decimal(0),
    date: date(1970, 1, 1),
    datetime: datetime(1970, 1, 1),
}
ANYTHING = object()
"""What a mask gives whatever the value: its constant, of the column's type."""


def holds(condition: Condition, row: Mapping[str, Any]) -> bool:
    """A NULL satisfies neither a comparison nor `not` of it."""
    return _truth(condition, row) is True


def _truth(condition: Condition, row: Mapping[str, Any]) -> bool | None:
    kind, *rest = condition
    match kind:
        case "and" | "or":
            parts = [_truth(part, row) for part in rest]
            deciding = kind == "or"
            return deciding if deciding in parts else None if None in parts else not deciding
        case "not":
            part = _truth(rest[0], row)
            return None if part is None else not part
        case "is_null":
            return row[rest[0]] is None
        case "not_null":
            return row[rest[0]] is not None
    value, given = row[rest[0]], rest[1:]
    if value is None:
        return None
    match kind:
        case "in":
            return value in given
        case "not_in":
            return value not in given
        case "=":
            return bool(value == given[0])
        case "!=":
            return bool(value != given[0])
    if isinstance(value, str):  # DuckDB compares bytes of UTF-8
        value, given = value.encode(), [given[0].encode()]
    return bool({"<": value < given[0], "<=": value <= given[0], ">": value > given[0], ">=": value >= given[0]}[kind])


def written(condition: Condition) -> str:
    """The condition in the grammar of access.yaml, as JSON."""
    return json.dumps(_document(condition), ensure_ascii=False)


def _document(condition: Condition) -> dict[str, Any]:
    kind, *rest = condition
    if kind in ("and", "or"):
        return {kind: [_document(part) for part in rest]}
    if kind == "not":
        return {"not": _document(rest[0])}
    if kind in ("is_null", "not_null"):
        return {"column": rest[0], "op": kind}
    if kind in ("in", "not_in"):
        return {"column": rest[0], "op": kind, "values": [_literal(value) for value in rest[1:]]}
    return {"column": rest[0], "op": kind, "value": _literal(rest[1])}


def _literal(value: Any) -> Any:
    if isinstance(value, (bool, int, str)):
        return value
    return value.isoformat() if isinstance(value, date) else str(value)


def masked(mask: Mask, value: Any, salt: str) -> Any:
    """The masked value; of a token only whether it is there, of a constant that it is one."""
    if mask.kind == "replace-with-null":
        return None
    if mask.kind == "mask-to-fixed-value":
        return ANYTHING
    if value is None:
        return None
    if mask.kind == "token":
        return True
    if mask.kind == "number-bucket":
        return type(value)(math.floor(value / mask.width) * mask.width)
    if isinstance(value, date):
        return _period(mask.kind, value)
    made = _text(mask.kind, value, salt)
    if made != value:
        return made
    return "********" if value == "XXXXXXXX" else "XXXXXXXX"


def _period(kind: str, value: date) -> date:
    year = value.year // 10 * 10 if kind == "date-decade" else value.year
    month = value.month if kind == "truncate-to-month" else 1
    return datetime(year, month, 1) if isinstance(value, datetime) else date(year, month, 1)


def _text(kind: str, value: str, salt: str) -> str:
    match kind:
        case "mask-alphanum":
            return _classes(value)
        case "show-first-4":
            return value[:4] + _classes(value[4:])
        case "show-last-4":
            return _classes(value[:-4]) + value[-4:] if len(value) > 4 else value
        case "sha-256-global":
            return hashlib.sha256(value.encode()).hexdigest()
        case "sha-256-query-local":
            return hashlib.sha256((salt + value).encode()).hexdigest()
        case "chinese-name":
            return value[0] + "**" if len(value) >= 2 else "**"
        case "resident-number":
            return value[:6] + "*" * 12 if re.fullmatch("[0-9]{17}[0-9Xx]|[0-9]{15}", value) else "*" * 18
        case "phone":
            return value[:3] + "****" + value[-4:] if re.fullmatch("[0-9]{11}", value) else "*" * 11
        case "address-county":
            found = _COUNTY.match(value)
            shown = found[0] if found else ""
            return "***" if re.search("(小|社|园|厂|校)区$", shown) else shown + "***"
    raise ValueError(kind)


def _classes(text: str) -> str:
    return "".join("n" if c in "0123456789" else c if c in "(),.@-" else "x" for c in text)


def same(expected: Any, given: Any) -> bool:
    """Whether a cell is what the reference says; a token is hex text of 24 digits."""
    if expected is ANYTHING:
        return given is not None and bool(given == _FIXED[type(given)])
    if expected is True and isinstance(given, str):
        return re.fullmatch("[0-9a-f]{24}", given) is not None
    return type(expected) is type(given) and expected == given
