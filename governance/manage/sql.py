"""Small builders of sqlglot trees for DuckDB: columns, literals at a contract's type, and what rules are made of.

No text is ever pasted: a value of a contract or suite becomes a literal node.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal, InvalidOperation

from sqlglot import exp

from governance.catalog.types import ColumnType, Field

Node = exp.Expression

_MOST = sys.float_info.max
_NUMERIC = frozenset({"integer", "decimal", "double"})


class Unfit(Exception):
    """Something that cannot be compiled; becomes a Fault where the place is known."""

    def __init__(self, found: str, allowed: str = "", do: str = "correct it") -> None:
        self.found, self.allowed, self.do = found, allowed, do
        super().__init__(found)


def render(node: Node) -> str:
    """The DuckDB text of a tree.

    >>> render(exp.EQ(this=column("a b"), expression=text("it's")))
    '"a b" = \\'it\\'\\'s\\''
    """
    return node.sql(dialect="duckdb")


def column(name: str) -> Node:
    return exp.column(name, quoted=True)


def quoted(name: str) -> str:
    """The DuckDB text of a column's name."""
    return render(column(name))


def bad(name: str) -> Node:
    """The flag of the store pass: a value was there and did not convert to the contract's type."""
    return exp.column(f"{name}__bad", quoted=True)


def text(value: str) -> Node:
    return exp.Literal.string(value)


def number(value: int | float | Decimal) -> Node:
    """A numeric literal; DuckDB reads 1.5 as DECIMAL, so that comparisons with decimals stay exact."""
    literal = exp.Literal(this=str(abs(value)), is_string=False)
    return exp.Neg(this=literal) if value < 0 else literal


def call(name: str, *arguments: Node) -> Node:
    """A DuckDB function by its own name, printed as it is."""
    return exp.Anonymous(this=name, expressions=list(arguments))


def cast(node: Node, duckdb_type: str) -> Node:
    return exp.Cast(this=node, to=exp.DataType.build(duckdb_type, dialect="duckdb"))


def negate(node: Node) -> Node:
    return exp.Not(this=exp.paren(node))


def is_null(node: Node) -> Node:
    return exp.Is(this=node, expression=exp.null())


def not_null(node: Node) -> Node:
    return exp.Not(this=is_null(node))


def all_of(nodes: Sequence[Node]) -> Node:
    joined: Node = exp.and_(*nodes, dialect="duckdb")  # type: ignore[assignment]
    return joined


def any_of(nodes: Sequence[Node]) -> Node:
    joined: Node = exp.or_(*nodes, dialect="duckdb")  # type: ignore[assignment]
    return joined


def only(condition: Node | None, node: Node) -> Node:
    """`node` where `condition` holds; without a condition the node itself."""
    return node if condition is None else all_of([condition, node])


def literal(value: object, kind: ColumnType) -> Node:
    """`value`, as read from JSON or YAML, as a literal that compares with a column of type `kind`.

    Raises Unfit when a value of that kind can never be in such a column.

    >>> render(literal("2024-02-29", ColumnType("date")))
    "CAST('2024-02-29' AS DATE)"
    >>> render(literal(-1.5, ColumnType("decimal", 9, 2)))
    '-1.5'
    """
    if kind.kind == "string" and isinstance(value, str):
        return text(value)
    if kind.kind == "boolean" and isinstance(value, bool):
        return exp.true() if value else exp.false()
    if kind.kind in _NUMERIC and isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        if not -_MOST <= value <= _MOST:
            raise Unfit("a number that is not finite", _fits(kind))
        return cast(number(value), "DOUBLE") if kind.kind == "double" else number(value)
    if kind.kind in ("date", "timestamp") and isinstance(value, str | date):
        return _instant(value, kind)
    raise Unfit(f"a {type(value).__name__} does not compare with a column of type {kind.kind}", _fits(kind))


def bound(value: str, kind: ColumnType) -> object:
    """A contract's minimum or maximum, kept as text there, as the JSON value that `literal` takes."""
    if kind.kind not in _NUMERIC:
        return value
    try:
        exact = Decimal(value)
    except InvalidOperation:
        raise Unfit(f"'{value}' is not a number", _fits(kind)) from None
    if not exact.is_finite():
        raise Unfit(f"'{value}' is not a finite number", _fits(kind))
    return int(exact) if exact == exact.to_integral_value() else float(exact)


def between(
    field: Field, low: object, high: object, *, strict_low: bool = False, strict_high: bool = False
) -> tuple[Node, Node]:
    """(outside, inside) of the interval for a column; NULL where the column is NULL. None leaves a side open."""
    outside: list[Node] = []
    inside: list[Node] = []
    if low is not None:
        args = {"this": column(field.name), "expression": literal(low, field.type)}
        outside.append(exp.LTE(**args) if strict_low else exp.LT(**args))
        inside.append(exp.GT(**args) if strict_low else exp.GTE(**args))
    if high is not None:
        args = {"this": column(field.name), "expression": literal(high, field.type)}
        outside.append(exp.GTE(**args) if strict_high else exp.GT(**args))
        inside.append(exp.LT(**args) if strict_high else exp.LTE(**args))
    if not outside:
        raise Unfit("neither a minimum nor a maximum", "at least one of them")
    return any_of([n.copy() for n in outside]), all_of([n.copy() for n in inside])


def needs_string(field: Field) -> Node:
    """The column, when it holds text; else Unfit."""
    if field.type.kind != "string":
        raise Unfit(f"column '{field.name}' is of type {field.type.kind}", "a column of type string")
    return column(field.name)


def needs_order(field: Field) -> Node:
    """The column, when GX takes bounds for it: numbers, dates and timestamps; else Unfit."""
    if field.type.kind in ("string", "boolean"):
        raise Unfit(
            f"column '{field.name}' is of type {field.type.kind}, which has no bounds", "a column of numbers or dates"
        )
    return column(field.name)


def needs_number(field: Field) -> Node:
    """The column, when it holds numbers; else Unfit."""
    if field.type.kind not in _NUMERIC:
        raise Unfit(
            f"column '{field.name}' is of type {field.type.kind}", "a column of type integer, decimal or double"
        )
    return column(field.name)


def _instant(value: str | date, kind: ColumnType) -> Node:
    raw = value if isinstance(value, str) else value.isoformat()
    if not re.match(r"\d{4}-\d{2}-\d{2}", raw, re.ASCII):  # others are ISO 8601 too, and a number to GX
        raise Unfit(f"'{raw}' is not a date as YYYY-MM-DD", _fits(kind))
    try:
        parsed = datetime.fromisoformat(raw)
    except ValueError:
        raise Unfit(f"'{raw}' is not an ISO 8601 date", _fits(kind)) from None
    if parsed.tzinfo is not None:
        raise Unfit(f"'{raw}' has a time zone, the column has none", _fits(kind))
    if kind.kind == "date" and parsed == datetime(parsed.year, parsed.month, parsed.day):
        return cast(text(parsed.date().isoformat()), "DATE")
    return cast(text(parsed.isoformat(sep=" ")), "TIMESTAMP")


def _fits(kind: ColumnType) -> str:
    match kind.kind:
        case "string":
            return "text"
        case "boolean":
            return "true, false"
        case "integer" | "decimal" | "double":
            return "a number"
        case "date":
            return "an ISO date such as 2024-02-29"
        case "timestamp":
            return "an ISO timestamp such as 2024-02-29T12:00:00"
