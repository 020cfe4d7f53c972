"""Masks as SQL of each target: the same value for the same input as `policy/masks.py` gives in DuckDB, or Inexpressible.

PostgreSQL is held to that by a real server in the tests; for Trino and Databricks only forms are used whose meaning their
documentation settles, and every regular expression is free of backslashes, of `^` and `$` without a check of the length
(Java's `$` matches before a last line break), and of what differs between RE2 and Java.
"""

from __future__ import annotations

from collections.abc import Mapping

import sqlglot
from sqlglot import exp

from governance.catalog.types import ColumnType
from governance.policy.exports.dialect import Dialect, Name
from governance.policy.exports.model import Inexpressible
from governance.policy.masks import COUNTY_PATTERN, FIXED, NO_COUNTY_PATTERN, PERIODS, Mask

_ALPHANUM: Mapping[Name, str] = {
    "postgres": "regexp_replace(regexp_replace({0}, '[^0-9(),.@-]', 'x', 'g'), '[0-9]', 'n', 'g')",
    "trino": "regexp_replace(regexp_replace({0}, '[^0-9(),.@-]', 'x'), '[0-9]', 'n')",
    "databricks": "regexp_replace(regexp_replace({0}, '[^0-9(),.@-]', 'x'), '[0-9]', 'n')",
}
_MATCHES: Mapping[Name, str] = {
    "postgres": "{0} ~ '{1}'",
    "trino": "regexp_like({0}, '{1}')",
    "databricks": "{0} RLIKE '{1}'",
}
_LAST: Mapping[Name, str] = {"postgres": "right(_v, 4)", "trino": "substr(_v, -4)", "databricks": "substr(_v, -4)"}
_SHA256: Mapping[Name, str] = {
    "postgres": "encode(sha256(convert_to(_v, 'UTF8')), 'hex')",
    "trino": "lower(to_hex(sha256(to_utf8(_v))))",
    "databricks": "sha2(_v, 256)",
}
_DECADE: Mapping[Name, str] = {
    "trino": "date_add('year', -mod(year(_v), 10), date_trunc('year', _v))",
    "databricks": "make_date(year(_v) - pmod(year(_v), 10), 1, 1)",
}
_UP_TO_DATE = 15
"""Digits of a decimal that a double holds exactly, whoever converts."""


def masked(mask: Mask, column: exp.Expr, kind: ColumnType, dialect: Dialect) -> exp.Expr:
    """The masked value of `column`, of the column's own type; NULL stays NULL. Raises Inexpressible.

    >>> from governance.policy.exports.dialect import POSTGRES
    >>> masked(Mask("replace-with-null"), exp.column("a", quoted=True), ColumnType("date"), POSTGRES).sql("postgres")
    'CAST(NULL AS DATE)'
    """
    match mask.kind:
        case "token":
            raise Inexpressible("tokens are made with a key that does not leave the key custody")
        case "ff1":
            raise Inexpressible("ciphers are made with a key that does not leave the key custody")
        case "sha-256-query-local":
            raise Inexpressible("its salt is new for each query, which no view or mask of the target can be")
        case "replace-with-null":
            text = "NULL"
        case "mask-to-fixed-value":
            text = FIXED[kind.kind]
        case "truncate-to-year" | "truncate-to-month" | "date-decade":
            text = _period(mask.kind, dialect.name)
        case "number-bucket":
            text = _bucket(mask.width, kind, dialect)
        case _:
            text = _hidden(_string(mask.kind, dialect.name))
    tree = sqlglot.parse_one(text, dialect=dialect.name).transform(_filled, column)
    return dialect.cast(tree, kind)


def _string(mask: str, name: Name) -> str:
    alphanum = _ALPHANUM[name]
    match mask:
        case "mask-alphanum":
            return alphanum.format("_v")
        case "show-first-4":
            return f"substr(_v, 1, 4) || {alphanum.format('substr(_v, 5)')}"
        case "show-last-4":
            head = alphanum.format("substr(_v, 1, length(_v) - 4)")
            return f"CASE WHEN length(_v) > 4 THEN {head} || {_LAST[name]} ELSE _v END"
        case "sha-256-global":
            return _SHA256[name]
        case "chinese-name":
            return "CASE WHEN length(_v) >= 2 THEN substr(_v, 1, 1) || '**' ELSE '**' END"
        case "resident-number":
            long, short = (_MATCHES[name].format("_v", pattern) for pattern in ("^[0-9]{17}[0-9Xx]$", "^[0-9]{15}$"))
            whole = f"(length(_v) = 18 AND {long}) OR (length(_v) = 15 AND {short})"
            return f"CASE WHEN {whole} THEN substr(_v, 1, 6) || '************' ELSE '******************' END"
        case "phone":
            whole = f"length(_v) = 11 AND {_MATCHES[name].format('_v', '^[0-9]{11}$')}"
            return f"CASE WHEN {whole} THEN substr(_v, 1, 3) || '****' || {_LAST[name]} ELSE '***********' END"
        case "address-county" if name != "postgres":
            return _county(name)
        case "address-county":
            raise Inexpressible("PostgreSQL's regular expressions have another greediness")
    raise Inexpressible(f"{mask} has no counterpart")


def _county(name: Name) -> str:
    group = "" if name == "trino" else ", 0"
    county = f"coalesce(regexp_extract(_v, '{COUNTY_PATTERN}'{group}), '')"
    none = _MATCHES[name].format(county, NO_COUNTY_PATTERN)
    return f"CASE WHEN {none} THEN '***' ELSE {county} || '***' END"


def _period(mask: str, name: Name) -> str:
    if name == "postgres":  # a date would become an instant of the session's zone; before our era decades differ
        text = f"date_trunc('{PERIODS[mask]}', CAST(_v AS TIMESTAMP))"
        return f"CASE WHEN isfinite(_v) AND _v >= '0001-01-01' THEN {text} END"
    return _DECADE[name] if mask == "date-decade" else f"date_trunc('{PERIODS[mask]}', _v)"


def _bucket(width: int, kind: ColumnType, dialect: Dialect) -> str:
    assert width
    postgres = dialect.name == "postgres"
    if kind.kind == "integer":
        wide, own = ("NUMERIC", "BIGINT") if postgres else ("DECIMAL(38,0)", "BIGINT")
        n = f"CAST(_v AS {wide})"
        edge = f"({n} - mod(mod({n}, {width}) + {width}, {width}))"
        least = f"CAST('-9223372036854775808' AS {wide})"  # as a plain number Trino cannot read it
        return f"CASE WHEN {edge} >= {least} THEN CAST({edge} AS {own}) END"
    if kind.kind == "decimal":
        return _decimal_bucket(width, kind, dialect)
    if not dialect.nan_is_greatest or not postgres:
        raise Inexpressible("buckets of doubles differ at the edges of their range")
    finite = "_v NOT IN ('Infinity'::float8, '-Infinity'::float8, 'NaN'::float8)"
    ordinary = f"abs(_v) BETWEEN 1e-290 AND 1e308 THEN floor(_v / {width}::float8) * {width}::float8"
    tiny = f"abs(_v) < 1 THEN CASE WHEN _v < 0 THEN -{width}::float8 ELSE 0::float8 END"
    return f"CASE WHEN {finite} THEN CASE WHEN {ordinary} WHEN {tiny} END END"


def _decimal_bucket(width: int, kind: ColumnType, dialect: Dialect) -> str:
    assert kind.precision is not None
    assert kind.scale is not None
    places = kind.precision - kind.scale
    if dialect.name != "postgres":
        if kind.precision > _UP_TO_DATE:
            raise Inexpressible(f"buckets of decimals of more than {_UP_TO_DATE} digits round differently there")
        edge = f"(floor(CAST(_v AS DOUBLE) / {width}) * {width})"
        return f"CASE WHEN abs({edge}) < {10**places} THEN {edge} END"
    if kind.precision > 18:
        raise Inexpressible("buckets of decimals of more than 18 digits round differently there")
    unit = f"1{'0' * kind.scale}"
    whole = f"(_v * {unit})::float8 / {unit}::float8"
    parts = f"trunc(_v)::float8 + ((_v - trunc(_v)) * {unit})::float8 / {unit}::float8"
    exact = "TRUE" if kind.scale == 0 else f"abs(_v * {unit}) <= 9007199254740992"
    edge = f"(floor((CASE WHEN {exact} THEN {whole} ELSE {parts} END) / {width}::float8) * {width}::float8)"
    scaled = f"({edge} * {unit}::float8)"  # as DuckDB makes a decimal of a double, with what rounding adds
    back = f"0.{'0' * (kind.scale - 1)}1" if kind.scale else "1"
    return f"CASE WHEN abs({scaled}) < 1e{kind.precision}::float8 THEN {scaled}::bigint::numeric * {back} END"


def _hidden(text: str) -> str:
    return (
        f"CASE WHEN _v IS NULL THEN NULL WHEN ({text}) <> _v THEN ({text}) "
        "WHEN _v = 'XXXXXXXX' THEN '********' ELSE 'XXXXXXXX' END"
    )


def _filled(node: exp.Expr, column: exp.Expr) -> exp.Expr:
    return column.copy() if isinstance(node, exp.Column) and node.name == "_v" else node
