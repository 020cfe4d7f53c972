"""Masks: what a value becomes before it leaves the scanner. Each keeps the column's type and maps NULL to NULL (but
for the fixed value).

The first nine are the actions of Apache Iceberg's REST read-restrictions, as its functions define them, with one
difference: where a string would come back as it went in (`show-first-4` of a name of three characters), it becomes
`XXXXXXXX`. The others are ours:

    token                 keyed, by purpose: equal values are equal within one purpose and in no other; needs an
    identifier domain chinese-name          王小明 -> 王**
    resident-number       110101199003074514 -> 110101************
    phone                 13800138000 -> 138****8000
    address-county        北京市东城区景山前街4号 -> 北京市东城区***
    date-decade           1987-06-05 -> 1980-01-01
    number-bucket(1000)   1234 -> 1000, the lower edge of its bucket
    ff1                   13800138000 -> 40917733826: keyed, by purpose, of the same length and alphabet (`ff1.py`);
                          ff1(36) with capitals, ff1(62) with all letters

Strings count in code points, never in bytes or UTF-16 units. A value that has not the shape that a mask expects is
hidden whole.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import sqlglot
from sqlglot import exp

from governance.catalog.types import ColumnType, Field
from governance.policy.strength import weakness

_STRING = frozenset({"string"})
_DATES = frozenset({"date", "timestamp"})
_NUMBERS = frozenset({"integer", "decimal", "double"})
_ALL = _STRING | _DATES | _NUMBERS | {"boolean"}

_ALPHANUM = (
    "CASE WHEN regexp_full_match({0}, '[0-9]+') THEN repeat('n', length({0})) "
    "WHEN regexp_full_match({0}, '[^0-9(),.@-]+') THEN repeat('x', length({0})) "
    "ELSE translate(regexp_replace({0}, '[^0-9(),.@-]', 'x', 'g'), '0123456789', 'nnnnnnnnnn') END"
)
"""Digits to n, what is neither digit nor `(),.@-` to x; text of one kind, which is most of it, without a look at each
character.
"""
COUNTY_PATTERN = (
    "^(?:[^0-9A-Za-z路街号巷村镇乡弄栋楼室]{2,8}?(?:省|自治区|市))?"
    "(?:[^0-9A-Za-z路街号巷村镇乡弄栋楼室]{1,10}?(?:市|自治州|盟|地区))?"
    "[^0-9A-Za-z路街号巷村镇乡弄栋楼室]{1,8}?(?:县|区|旗|市)"
)
NO_COUNTY_PATTERN = "(小|社|园|厂|校)区$"
_COUNTY = f"regexp_extract(_v, '{COUNTY_PATTERN}')"

_STRINGS: Mapping[str, str] = {
    "mask-alphanum": _ALPHANUM.format("_v"),
    "show-first-4": f"left(_v, 4) || {_ALPHANUM.format('substr(_v, 5)')}",
    "show-last-4": "CASE WHEN length(_v) > 4 THEN "
    + _ALPHANUM.format("left(_v, length(_v) - 4)")
    + " || right(_v, 4) ELSE _v END",
    "sha-256-global": "sha256(_v)",
    "sha-256-query-local": "sha256(_salt || _v)",
    "chinese-name": "CASE WHEN length(_v) >= 2 THEN left(_v, 1) || '**' ELSE '**' END",
    "resident-number": "CASE WHEN regexp_full_match(_v, '[0-9]{17}[0-9Xx]|[0-9]{15}') "
    "THEN overlay(_v PLACING '************' FROM 7 FOR 12) ELSE '******************' END",
    "phone": "CASE WHEN regexp_full_match(_v, '[0-9]{11}') "
    "THEN overlay(_v PLACING '****' FROM 4 FOR 4) ELSE '***********' END",
    "address-county": f"CASE WHEN regexp_matches({_COUNTY}, '{NO_COUNTY_PATTERN}') "
    f"THEN '***' ELSE {_COUNTY} || '***' END",
}
"""mask -> DuckDB expression of the not-NULL string `_v`; hidden whole where the result equals `_v`."""

_MAY_COME_BACK: Mapping[str, str] = {
    "mask-alphanum": "regexp_full_match(_v, '[x(),.@-]*')",
    "show-first-4": "regexp_full_match(_v, '(?s).{0,4}[x(),.@-]*')",
    "show-last-4": "regexp_full_match(_v, '(?s)[x(),.@-]*.{0,4}')",
    "sha-256-global": "length(_v) = 64",
    "sha-256-query-local": "length(_v) = 64",
    "chinese-name": "length(_v) = 3 AND suffix(_v, '**')",
    "resident-number": "_v = '******************'",
    "phone": "_v = '***********'",
    "address-county": "suffix(_v, '***')",
}
"""mask -> what holds of every `_v` that its expression gives back as it is: of all others it need not be looked at twice."""

ICEBERG = (
    "mask-alphanum",
    "mask-to-fixed-value",
    "replace-with-null",
    "show-first-4",
    "show-last-4",
    "truncate-to-year",
    "truncate-to-month",
    "sha-256-global",
    "sha-256-query-local",
)

KINDS: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(_STRINGS, _STRING),
    "mask-to-fixed-value": _ALL,
    "replace-with-null": _ALL,
    "truncate-to-year": _DATES,
    "truncate-to-month": _DATES,
    "date-decade": _DATES,
    "number-bucket": _NUMBERS,
    "token": _STRING,
    "ff1": _STRING,
}
"""mask -> kinds of column that it takes."""

IN_BATCHES = frozenset({"token"})
"""Masks that are no expression of DuckDB's: the scanner makes them, under the purpose's key."""

FIXED: Mapping[str, str] = {
    "string": "'XXXXXXXX'",
    "integer": "0",
    "decimal": "0",
    "double": "0",
    "boolean": "FALSE",
    "date": "'1970-01-01'",
    "timestamp": "'1970-01-01 00:00:00'",
}
_BUCKETS: Mapping[str, str] = {
    "integer": "_v::HUGEINT - (((_v::HUGEINT % _width) + _width) % _width)",
    "decimal": "floor(_v::DOUBLE / _width) * _width",
    "double": "CASE WHEN isfinite(_v) THEN floor(_v / _width) * _width END",
}
PERIODS: Mapping[str, str] = {"truncate-to-year": "year", "truncate-to-month": "month", "date-decade": "decade"}


@dataclass(frozen=True, slots=True, order=True)
class Mask:
    """One mask; `width` only for number-bucket, and for ff1 the radix when it is not 10.

    >>> Mask.parse("number-bucket(1000)")
    Mask(kind='number-bucket', width=1000)
    >>> str(Mask("phone"))
    'phone'
    """

    kind: str
    width: int = 0

    def __str__(self) -> str:
        return f"{self.kind}({self.width})" if self.width else self.kind

    @classmethod
    def parse(cls, text: str) -> Mask:
        """Raises ValueError with what is allowed."""
        found = re.fullmatch(r"([a-z0-9-]+)(?:\(([0-9]{1,15})\))?", text)
        if found is None or found[1] not in KINDS:
            raise ValueError(f"not a mask; allowed: {', '.join(sorted(KINDS))}")
        width = int(found[2] or 0)
        if found[1] == "ff1":
            if found[2] is not None and width not in (36, 62):
                raise ValueError("ff1 (digits) takes no argument, ff1(36) has capitals too, ff1(62) all letters")
        elif (found[1] == "number-bucket") != (width >= 2):
            raise ValueError("number-bucket takes a width of at least 2, no other mask takes an argument")
        return cls(found[1], width)


def expression(mask: Mask, column: exp.Expr, kind: ColumnType, *, salt: str = "") -> exp.Expr:
    """The masked value of `column` as a DuckDB expression of the column's own type; never fails on a value.

    `salt` (hex, new for each query) is used by sha-256-query-local alone. A token is no expression: the scanner
    derives it from the token column. ff1 needs the function of `ff1.make_function`.

    >>> expression(Mask("replace-with-null"), exp.column("a", quoted=True), ColumnType("date")).sql("duckdb")
    'CAST(NULL AS DATE)'
    """
    if mask.kind == "token":
        raise ValueError("a token is derived by the scanner, not by an expression")
    if mask.kind == "sha-256-query-local" and len(salt) < 32:
        raise ValueError("sha-256-query-local needs a salt of at least 16 bytes")
    match mask.kind:
        case "replace-with-null":
            text = "NULL"
        case "mask-to-fixed-value":
            text = FIXED[kind.kind]
        case "ff1":
            text = f"gov_ff1(_v, {mask.width or 10})"
        case "number-bucket":
            text = _BUCKETS[kind.kind]
        case period if period in PERIODS:
            text = f"CASE WHEN _v >= '0001-01-01' AND _v < '10000-01-01' THEN date_trunc('{PERIODS[period]}', _v) END"
        case _:
            text = _hidden(_STRINGS[mask.kind], _MAY_COME_BACK[mask.kind])
    tree = sqlglot.parse_one(text, dialect="duckdb").transform(_filled, column, mask.width, salt)
    if mask.kind == "number-bucket":
        return exp.TryCast(this=exp.paren(tree), to=exp.DataType.build(kind.duckdb(), dialect="duckdb"))
    return exp.cast(tree, kind.duckdb(), dialect="duckdb")


def fault(mask: Mask, field: Field) -> str:
    """Why `mask` may not be used on `field`: wrong type, or too weak for what it holds; empty when it may.

    >>> fault(Mask("phone"), Field("n", ColumnType("integer"), "n"))
    'phone does not take integer'
    """
    if field.type.kind not in KINDS[mask.kind]:
        return f"{mask.kind} does not take {field.type.kind}"
    if mask.kind == "token" and field.domain is None:
        return "token needs a field with an identifier domain"
    return weakness(mask, field)


def coarser(left: Mask, right: Mask) -> Literal[-1, 0, 1] | None:
    """-1 when `left` tells no more than `right`, 1 when it is the other way round, 0 when equal, None when they
    cannot be compared.

    >>> coarser(Mask("truncate-to-year"), Mask("truncate-to-month")), coarser(Mask("phone"), Mask("token"))
    (-1, None)
    """
    if left == right:
        return 0
    if _tells_no_more(left, right):
        return -1
    return 1 if _tells_no_more(right, left) else None


_CHAINS = (
    ("replace-with-null", "mask-to-fixed-value"),
    ("date-decade", "truncate-to-year", "truncate-to-month"),
    ("mask-alphanum", "show-first-4"),
    ("mask-alphanum", "show-last-4"),
)


def _tells_no_more(left: Mask, right: Mask) -> bool:
    if left.kind in ("replace-with-null", "mask-to-fixed-value"):
        return not (left.kind == "mask-to-fixed-value" and right.kind == "replace-with-null")
    if left.kind == right.kind == "number-bucket":
        return left.width % right.width == 0
    return any(
        left.kind in chain and right.kind in chain and chain.index(left.kind) < chain.index(right.kind)
        for chain in _CHAINS
    )


def _hidden(masked: str, may_come_back: str) -> str:
    return (
        f"CASE WHEN _v IS NULL THEN NULL WHEN NOT ({may_come_back}) OR ({masked}) IS DISTINCT FROM _v THEN ({masked}) "
        "WHEN _v = 'XXXXXXXX' THEN '********' ELSE 'XXXXXXXX' END"
    )


def _filled(node: exp.Expr, column: exp.Expr, width: int, salt: str) -> exp.Expr:
    if isinstance(node, exp.Column):
        match node.name:
            case "_v":
                return column.copy()
            case "_width":
                return exp.Literal.number(width)
            case "_salt":
                return exp.Literal.string(salt)
    return node
