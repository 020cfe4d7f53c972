"""Constants that are values of a column's own type: comparing the column with one casts no column, and so cannot fail on a value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime

from sqlglot import exp

from governance.catalog.types import ColumnType
from governance.errors import Refused
from governance.use.conditions import Node

_OTHER = "a constant of another type"
_EXACT_DIGITS, _INT64 = 15, 2**63
_NUMBER = re.compile(r"-?([0-9]+)(?:\.([0-9]+))?")
_MOMENTS: Mapping[str, tuple[str, re.Pattern[str]]] = {
    "date": ("DATE", re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")),
    "timestamp": ("TIMESTAMP", re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?")),
}


def exact(node: Node, of: ColumnType) -> exp.Expr:
    """A constant that is a value of `of` itself: comparing a column with it casts no column, and is what DuckDB makes of the
    text. Raises Refused for any other.
    """
    if node.get("class") != "CAST":
        return _literal(node, of)
    kind = node.get("type_expr") or {}
    moment = _MOMENTS.get(of.kind)
    if moment is None or str(kind.get("type_name")).upper() != moment[0] or node.get("try_cast"):
        raise Refused(_OTHER)
    if kind.get("children") or kind.get("schema") or kind.get("catalog"):
        raise Refused(_OTHER)
    return _literal(node["child"], of)


def _literal(node: Node, of: ColumnType) -> exp.Expr:
    literal = node.get("literal")
    if node.get("class") != "CONSTANT" or not isinstance(literal, Mapping):
        raise Refused(_OTHER)
    text, said = literal.get("text"), literal.get("kind")
    if not isinstance(text, str) or not _is_exact(text, str(said), of):
        raise Refused(_OTHER)
    return exp.cast(exp.Literal.string(text), of.duckdb(), dialect="duckdb")


def _is_exact(text: str, said: str, of: ColumnType) -> bool:
    number = _NUMBER.fullmatch(text) if said in ("INTEGER", "NUMERIC") else None
    whole, places = (number[1].lstrip("0"), number[2] or "") if number is not None else ("", "")
    match of.kind:
        case "string":
            return said == "STRING"
        case "integer":
            return number is not None and said == "INTEGER" and not places and abs(int(text)) < _INT64
        case "decimal":
            precision, scale = of.precision or 0, of.scale or 0
            return number is not None and len(whole) <= precision - scale and len(places) <= scale
        case "double":
            return number is not None and len(whole) + len(places) <= _EXACT_DIGITS
        case "date" | "timestamp":
            return said == "STRING" and _MOMENTS[of.kind][1].fullmatch(text) is not None and _is_moment(text, of.kind)
        case _:
            return False


def _is_moment(text: str, kind: str) -> bool:
    try:
        date.fromisoformat(text) if kind == "date" else datetime.fromisoformat(text.partition(".")[0])
    except ValueError:
        return False
    return True
