"""How each target writes types, names, literals and row filters, exactly or not at all."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, assert_never, get_args

import sqlglot
from sqlglot import exp

from governance.catalog.types import ColumnType
from governance.policy.exports.model import Inexpressible
from governance.policy.filters import COMPARES, And, Compare, Consented, Membership, Not, Or, RowFilter

Name = Literal["postgres", "trino", "databricks"]
_NUMBER = re.compile(r"-?[0-9]{1,60}(\.[0-9]{1,60})?")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INSTANT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[ T]([0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?)")


@dataclass(frozen=True, slots=True)
class Dialect:
    """One engine's SQL: sqlglot's name for it, its types, and what its client replaces in a text before it parses it."""

    name: Name
    types: Mapping[str, str]
    instant: str
    """A condition that holds until the instant `{}` (ISO 8601, UTC)."""
    replaced: tuple[str, ...] = ()
    nan_is_greatest: bool = True
    """As DuckDB has it; elsewhere a filter over doubles is another filter."""

    def type_of(self, kind: ColumnType) -> str:
        return (
            f"{self.types['decimal']}({kind.precision},{kind.scale})"
            if kind.kind == "decimal"
            else self.types[kind.kind]
        )

    def cast(self, tree: exp.Expr, kind: ColumnType) -> exp.Expr:
        return exp.cast(tree, exp.DataType.build(self.type_of(kind), dialect=self.name))

    def column(self, name: str) -> exp.Expr:
        return exp.column(exp.to_identifier(name, quoted=True))

    def identifier(self, *names: str) -> str:
        """A quoted, dotted name."""
        return ".".join(exp.to_identifier(name, quoted=True).sql(self.name) for name in names)

    def text(self, value: str) -> str:
        """A string literal."""
        return exp.Literal.string(value).sql(self.name)

    def sayable(self, *texts: str) -> None:
        """Raises Inexpressible when a name or literal holds what the engine or its clients would not take as it is."""
        for text in texts:
            if any(ord(sign) < 32 or ord(sign) == 127 or "\ud800" <= sign <= "\udfff" for sign in text):
                raise Inexpressible("a name or value holds a control character")
            if any(mark in text for mark in self.replaced):
                raise Inexpressible(f"a name or value holds what the target replaces ({' '.join(self.replaced)})")


POSTGRES = Dialect(
    "postgres",
    {
        "string": "TEXT",
        "integer": "BIGINT",
        "decimal": "NUMERIC",
        "double": "DOUBLE PRECISION",
        "boolean": "BOOLEAN",
        "date": "DATE",
        "timestamp": "TIMESTAMP",
    },
    instant="pg_catalog.statement_timestamp() < CAST('{}' AS TIMESTAMPTZ)",
)
TRINO = Dialect(
    "trino",
    {
        "string": "VARCHAR",
        "integer": "BIGINT",
        "decimal": "DECIMAL",
        "double": "DOUBLE",
        "boolean": "BOOLEAN",
        "date": "DATE",
        "timestamp": "TIMESTAMP(6)",
    },
    instant="CURRENT_TIMESTAMP < FROM_ISO8601_TIMESTAMP('{}')",
    nan_is_greatest=False,
)
DATABRICKS = Dialect(
    "databricks",
    {
        "string": "STRING",
        "integer": "BIGINT",
        "decimal": "DECIMAL",
        "double": "DOUBLE",
        "boolean": "BOOLEAN",
        "date": "DATE",
        "timestamp": "TIMESTAMP_NTZ",
    },
    instant="CURRENT_TIMESTAMP() < CAST('{}' AS TIMESTAMP)",
    replaced=("${", "{{"),
)


def condition(row_filter: RowFilter, types: Mapping[str, ColumnType], dialect: Dialect) -> exp.Expr:
    """A bound filter as a condition that is TRUE or FALSE, never NULL, on the same rows as in DuckDB.

    Raises Inexpressible.
    """
    match row_filter:
        case Compare():
            return _comparison(row_filter, types[row_filter.column], dialect)
        case And():
            return exp.and_(*(condition(part, types, dialect) for part in row_filter.parts))
        case Or():
            return exp.or_(*(condition(part, types, dialect) for part in row_filter.parts))
        case Not():
            return exp.not_(condition(row_filter.part, types, dialect))
        case Consented():
            raise Inexpressible("rows depend on consents, which end at once when they are withdrawn")
        case _:
            assert_never(row_filter)


def before(until: datetime, dialect: Dialect) -> exp.Expr:
    """A condition that holds until `until`."""
    written = until.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f").zfill(26) + "Z"
    return sqlglot.parse_one(dialect.instant.format(written), dialect=dialect.name)


def _comparison(compare: Compare, kind: ColumnType, dialect: Dialect) -> exp.Expr:
    dialect.sayable(compare.column)
    column = dialect.column(compare.column)
    if compare.op == "is_null":
        return exp.Is(this=column, expression=exp.null())
    if compare.op == "not_null":
        return exp.not_(exp.Is(this=column, expression=exp.null()))
    if kind.kind == "double" and not dialect.nan_is_greatest:
        raise Inexpressible(f"the row filter compares {compare.column}, a double: NaN counts differently there")
    column = bytewise(column, kind, dialect)
    if compare.op in get_args(Membership):
        inside: exp.Expr = exp.In(this=column, expressions=[_literal(value, kind, dialect) for value in compare.values])
        made: exp.Expr = inside if compare.op == "in" else exp.not_(inside)
    else:
        made = COMPARES[compare.op](this=column, expression=_literal(compare.value, kind, dialect))
    return exp.Coalesce(this=exp.paren(made), expressions=[exp.false()])


def bytewise(column: exp.Expr, kind: ColumnType, dialect: Dialect) -> exp.Expr:
    """Text under the collation that compares bytes, as DuckDB does; PostgreSQL's default is the database's."""
    if dialect.name != "postgres" or kind.kind != "string":
        return column
    return exp.paren(exp.Collate(this=column, expression=exp.to_identifier("C", quoted=True)))


def _literal(value: object, kind: ColumnType, dialect: Dialect) -> exp.Expr:
    """A literal of the column's type that means in the target what it means in DuckDB."""
    if isinstance(value, bool):
        return exp.true() if value else exp.false()
    text = str(value)
    dialect.sayable(text)
    match kind.kind:
        case "string":
            return exp.Literal.string(text)
        case "integer":
            return dialect.cast(exp.Literal.string(_integer(text)), kind)
        case "decimal":
            return dialect.cast(exp.Literal.string(_decimal(text, kind)), kind)
        case "double" if _NUMBER.fullmatch(text) and len(text) <= 300:
            return dialect.cast(exp.Literal.string(text), kind)
        case "date" if _DAY.fullmatch(text):
            return dialect.cast(exp.Literal.string(text), kind)
        case "timestamp" if _DAY.fullmatch(text):
            return dialect.cast(exp.Literal.string(f"{text} 00:00:00"), kind)
        case "timestamp" if found := _INSTANT.fullmatch(text):
            return dialect.cast(exp.Literal.string(f"{found[1]} {found[2]}{'' if found[3] else ':00'}"), kind)
    raise Inexpressible(f"a value of the row filter is not written in the plain form of a {kind.kind}")


def _integer(text: str) -> str:
    if not -(2**63) <= int(text) < 2**63:
        raise Inexpressible("a value of the row filter is outside of 64 bits")
    return text


def _decimal(text: str, kind: ColumnType) -> str:
    assert kind.precision is not None
    assert kind.scale is not None
    if not _NUMBER.fullmatch(text):
        raise Inexpressible("a value of the row filter is not written in the plain form of a decimal")
    whole, _, fraction = text.lstrip("-").partition(".")
    if len(fraction.rstrip("0")) > kind.scale or len(whole.lstrip("0")) > kind.precision - kind.scale:
        raise Inexpressible("a value of the row filter does not fit the decimal exactly")
    return text
