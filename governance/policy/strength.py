"""The linter of masks: why one is too weak for a field, by what the contract says of the field.

What a mask leaves must not tell the value to somebody who can list the candidates. Identifiers, short values, patterns
and code sets can be listed; keyed masks (token, ff1, sha-256-query-local) stand against it, an unkeyed hash does not.
docs/POLICY.md has the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from governance.catalog.types import Field, Level

if TYPE_CHECKING:
    from governance.policy.masks import Mask

SHOWN_OF = 12
"""show-first-4 and show-last-4 leave a third of a value of this length; of a shorter one too much."""
HASHED_FROM = 32
"""Free text of this length is not listed."""
NARROWEST: Mapping[Level | None, int] = {Level.L3: 10, Level.L4: 100, None: 100}
"""The least width of a number-bucket by level."""
_LENGTHS: Mapping[str, int] = {"resident_number": 15, "credit_code": 18}


def weakness(mask: Mask, field: Field) -> str:
    """Why `mask` gives too much of `field` away, or nothing of it; empty when it does not. Its type is not looked at.

    >>> from governance.catalog.types import ColumnType
    >>> from governance.policy.masks import Mask
    >>> weakness(Mask("truncate-to-year"), Field("born", ColumnType("date"), "born", classification=Level.L4))
    'truncate-to-year is too exact for L4; use date-decade or replace-with-null'
    """
    severe = field.classification in (Level.L4, None)
    match mask.kind:
        case "sha-256-global" if field.encrypted or _listable(field):
            if _listable(field) or (field.min_length or 0) < HASHED_FROM:
                return (
                    "an unkeyed hash of values that can be enumerated gives them away; use token or sha-256-query-local"
                )
        case "show-first-4" | "show-last-4" if field.encrypted and _shortest(field) < SHOWN_OF:
            return (
                f"{mask.kind} shows most of a value shorter than {SHOWN_OF}; "
                f"declare a minLength of {SHOWN_OF} or use another mask"
            )
        case "truncate-to-year" | "truncate-to-month" if severe:
            return f"{mask.kind} is too exact for L4; use date-decade or replace-with-null"
        case "phone" if severe:
            return "phone shows 7 of 11 digits, too many for L4; use token, ff1 or replace-with-null"
        case "number-bucket" if mask.width < NARROWEST.get(field.classification, 0):
            return f"a bucket narrower than {NARROWEST[field.classification]} shows the value nearly; widen it"
        case "ff1":
            return _cipher(mask.width or 10, field)
    return ""


def _listable(field: Field) -> bool:
    """Whether somebody can try all values that the field may have."""
    short = field.max_length is not None and field.max_length <= 20
    return short or any(part is not None for part in (field.domain, field.check, field.pattern, field.code_set))


def _shortest(field: Field) -> int:
    """The length that every value has at least, by the contract."""
    checked = [_LENGTHS.get(part.strip().partition(":")[0], 0) for part in (field.check or "").split(",")]
    return max([field.min_length or 0, *checked])


def _cipher(radix: int, field: Field) -> str:
    names = {part.strip().partition(":")[0] for part in (field.check or "").split(",")}
    if field.code_set is not None:
        return "ff1 keeps the frequencies of a code set, which tell the codes; use replace-with-null"
    if radix == 10 and names.intersection(_LENGTHS):
        return "ff1 takes digits only, and a check character may be a letter; use ff1(36)"
    if field.max_length is not None and radix**field.max_length < 1_000_000:
        return f"every value of at most {field.max_length} characters is too short for it and would be NULL"
    return ""
