"""What a few aggregates say of a column, as `suggest` needs it: how full, how distinct, of which form, how spread. No value leaves but of numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import duckdb

from governance.catalog.types import Field
from governance.manage.sql import quoted, render, text

CLASSES: Mapping[str, str] = {
    "^[0-9]+$": "digits",
    "^[0-9A-Z]+$": "digits and capitals",
    "^[0-9A-Za-z]+$": "digits and letters",
    r"^[0-9A-Za-z.+-]+@[0-9A-Za-z.-]+$": "an e-mail address",
}


@dataclass(frozen=True, slots=True)
class Column:
    """What the aggregates say of one column."""

    field: Field
    rows: int
    present: int
    distinct: int
    shortest: int | None = None
    longest: int | None = None
    classes: Mapping[str, int] | None = None
    low: float | None = None
    high: float | None = None
    first: float | None = None
    third: float | None = None
    least: float | None = None


def profile(con: duckdb.DuckDBPyConnection, field: Field) -> Column:
    """The column `field` of the relation `rows` of `con`."""
    name, kind = quoted(field.name), field.type.kind
    parts = ["count(*)", f"count({name})", f"count(DISTINCT {name})"]
    if kind == "string":
        classes = [f"count_if(regexp_full_match({name}, {render(text(pattern))}))" for pattern in CLASSES]
        parts += [f"min(length({name}))", f"max(length({name}))", *classes]
    elif kind in ("integer", "decimal", "double"):
        number = f"CAST({name} AS DOUBLE)"
        parts += [f"quantile_cont({number}, {share})" for share in (0.01, 0.99, 0.25, 0.75)] + [f"min({number})"]
    row = con.execute(f"SELECT {', '.join(parts)} FROM rows").fetchone()  # noqa: S608 - quoted names and constants
    assert row is not None
    column = Column(field, *row[:3])
    if kind == "string":
        return replace(column, shortest=row[3], longest=row[4], classes=dict(zip(CLASSES, row[5:], strict=True)))
    if kind in ("integer", "decimal", "double"):
        return replace(column, low=row[3], high=row[4], first=row[5], third=row[6], least=row[7])
    return column
