"""What a database says of a table by itself: counts and sums, and on PostgreSQL a checksum of its rows, so that no row leaves it.

A checksum is the sum of the first 60 bits of MD5 of the salted text of each row at the contract's types, so order does not matter.
`store.compare.pushed_sql` makes the same of what was landed. What is compared here may still be equal when it looks different (a number
written as text), so a difference is only a reason to read the rows.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BIT

from governance.catalog.types import DatabaseSource, Dataset, Field
from governance.collect.database import DatabaseAdapter
from governance.collect.statement import windowed
from governance.config import Settings
from governance.state.values import Window


@dataclass(frozen=True, slots=True)
class Pushed:
    """`rows`; by field how many are neither NULL nor empty, and exact sums (as text) of those that the database can add up without loss;
    the rows' checksum as text, None where the database cannot make one of every field."""

    rows: int
    present: Mapping[str, int]
    sums: Mapping[str, str]
    checksum: str | None


def push_down(
    dataset: Dataset, window: Window, salt: str, *, settings: Settings, environ: Mapping[str, str] = os.environ
) -> Pushed:
    """Ask the dataset's database, in one statement over `window`. Raises as `collect` does; ValueError for a source that is no database."""
    source = dataset.source
    if not isinstance(source, DatabaseSource):
        raise ValueError(dataset.name)
    adapter = DatabaseAdapter(source, dataset, settings.home, environ)
    with adapter.connected() as connection:
        table, condition = windowed(connection, source, adapter.watermark, window, shown=adapter.shown)
        columns = {f.name: _column(table, f) for f in dataset.fields}
        dialect = connection.dialect.name
        asked: dict[str, sa.ColumnElement[Any]] = {"rows": sa.func.count()}
        asked |= {
            f"n:{name}": sa.func.count(_or_null(column)) for name, column in columns.items() if column is not None
        }
        for f in dataset.fields:
            column = columns[f.name]
            if column is not None and _adds_up(f, column, dialect):
                asked[f"s:{f.name}"] = sa.func.sum(column)
        texts = [_text(f, columns[f.name]) for f in dataset.fields] if dialect == "postgresql" else [None]
        if all(text is not None for text in texts):
            asked["checksum"] = _checksum([text for text in texts if text is not None], salt)
        query = sa.select(*(value.label(f"v{n}") for n, value in enumerate(asked.values()))).select_from(table)
        row = connection.execute(query.where(condition) if condition is not None else query).one()
    found = dict(zip(asked, row, strict=True))
    return Pushed(
        rows=int(found["rows"]),
        present={name[2:]: int(value) for name, value in found.items() if name.startswith("n:")},
        sums={name[2:]: str(value) for name, value in found.items() if name.startswith("s:") and value is not None},
        checksum=str(found["checksum"] or 0) if "checksum" in found else None,
    )


def _column(table: sa.Table, field: Field) -> sa.Column[Any] | None:
    """The field's column, exact name first, then without regard to case; None when there is none, or several."""
    if field.source_name in table.columns:
        return table.columns[field.source_name]
    close = [c for c in table.columns if c.name.casefold() == field.source_name.casefold()]
    return close[0] if len(close) == 1 else None


def _or_null(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    return sa.func.nullif(column, "") if isinstance(column.type, sa.String) else column


def _adds_up(field: Field, column: sa.Column[Any], dialect: str) -> bool:
    """Whether the database adds the column up exactly, and as numbers of the contract's type."""
    if field.type.kind == "integer":
        return isinstance(column.type, sa.Integer)
    exact = isinstance(column.type, sa.Numeric) and not isinstance(column.type, sa.Float)
    return field.type.kind == "decimal" and exact and dialect != "sqlite" and _scale(column) <= (field.type.scale or 0)


def _scale(column: sa.Column[Any]) -> int:
    scale = getattr(column.type, "scale", None)
    return 99 if scale is None else int(scale)


def _text(field: Field, column: sa.Column[Any] | None) -> sa.ColumnElement[Any] | None:
    """PostgreSQL: the value as DuckDB prints it at the contract's type; None where that cannot be promised."""
    if column is None:
        return None
    match field.type.kind, column.type:
        case "string", sa.String() if not isinstance(column.type, sa.CHAR):
            return sa.func.nullif(column, "")
        case "integer", sa.Integer():
            return sa.cast(column, sa.Text())
        case "boolean", sa.Boolean():
            return sa.cast(column, sa.Text())
        case "decimal", sa.Numeric() if _adds_up(field, column, "postgresql"):
            return sa.cast(sa.cast(column, sa.Numeric(38, field.type.scale)), sa.Text())
        case "date", sa.Date():
            return sa.func.to_char(column, "YYYY-MM-DD")
        case "timestamp", sa.DateTime():
            return sa.func.to_char(column, "YYYY-MM-DD HH24:MI:SS.US")  # the session is in UTC
        case _:
            return None


def _checksum(texts: list[sa.ColumnElement[Any]], salt: str) -> sa.ColumnElement[Any]:
    row: sa.ColumnElement[Any] = sa.literal(salt, sa.Text())
    for text in texts:
        sized = sa.cast(sa.func.octet_length(text), sa.Text()).concat(":").concat(text)
        row = row.concat(sa.func.coalesce(sized, "~"))
    start = sa.func.substr(sa.func.md5(row), 1, 15)
    bits = sa.cast(sa.cast(sa.literal("x", sa.Text()).concat(start), BIT(60)), sa.BigInteger())
    return sa.func.sum(sa.cast(bits, sa.Numeric()))
