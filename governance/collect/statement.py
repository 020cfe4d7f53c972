"""What is asked of a database: all columns of one table in the order of its key; with a watermark, of one window."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from governance.catalog.types import DatabaseSource
from governance.errors import SourceContentError
from governance.state.values import Window


@dataclass(frozen=True, slots=True)
class Read:
    """One statement and the Arrow schema in which its rows are landed."""

    statement: sa.Select[Any]
    schema: pa.Schema
    unplaced: sa.Select[Any] | None
    """Counts the rows that no window will ever hold because their watermark is NULL; None without a watermark."""


def plan_read(
    connection: sa.Connection, source: DatabaseSource, watermark: str | None, window: Window, *, shown: str
) -> Read:
    """The read of one window. NoSuchTableError; SourceContentError for a watermark that cannot be compared."""
    table, inside = windowed(connection, source, watermark, window, shown=shown)
    landed = [_landed(column, connection.dialect.name) for column in table.columns]
    statement = sa.select(*(expression for expression, _ in landed)).select_from(table)
    schema = pa.schema([pa.field(column.name, kind) for column, (_, kind) in zip(table.columns, landed, strict=True)])
    unplaced = None
    if inside is not None and watermark is not None:
        statement = statement.where(inside)
        place, *_ = _bounds(table.columns[watermark], window, connection.dialect.name, shown)
        unplaced = sa.select(sa.func.count()).select_from(table).where(place.is_(None))
    order = list(table.primary_key.columns)
    return Read(statement.order_by(*order) if order else statement, schema, unplaced)


def windowed(
    connection: sa.Connection, source: DatabaseSource, watermark: str | None, window: Window, *, shown: str
) -> tuple[sa.Table, sa.ColumnElement[bool] | None]:
    """The table as the database describes it, and which of its rows belong to the window; without a watermark all (None).

    Raises as `plan_read`.
    """
    table = sa.Table(source.table, sa.MetaData(), schema=source.schema, autoload_with=connection)
    if watermark is None:
        return table, None
    if watermark not in table.columns:
        raise SourceContentError(
            f"there is no column {watermark!r}", where=shown, do="correct `gov.watermark` in the contract"
        )
    place, start, end = _bounds(table.columns[watermark], window, connection.dialect.name, shown)
    return table, sa.and_(place >= start, place < end)


def _landed(column: sa.Column[Any], dialect: str) -> tuple[sa.ColumnElement[Any], pa.DataType]:
    """How one column is selected and what it lands as."""
    if dialect != "postgresql":
        return sa.type_coerce(column, sa.types.NullType()).label(column.name), pa.string()
    match column.type:
        case sa.Boolean():
            return column, pa.bool_()
        case sa.Integer():
            return column, pa.int64()
        case sa.Double():
            return column, pa.float64()
        case sa.Text() | sa.VARCHAR() | sa.CHAR():
            return column, pa.string()
        case _:
            return sa.cast(column, sa.Text()).label(column.name), pa.string()


def _bounds(column: sa.Column[Any], window: Window, dialect: str, shown: str) -> tuple[sa.ColumnElement[Any], Any, Any]:
    """The watermark as something to compare, and the window in its type. Instants without a zone count as UTC."""
    start, end = window.start.astimezone(UTC), window.end.astimezone(UTC)
    if dialect == "sqlite" and not isinstance(column.type, sa.Numeric | sa.Integer):
        raw = sa.type_coerce(column, sa.String())
        text = sa.func.strftime("%Y-%m-%d %H:%M:%f", raw, type_=sa.String())
        return text, f"{start:%Y-%m-%d %H:%M:%S}.000", f"{end:%Y-%m-%d %H:%M:%S}.000"
    match column.type:
        case sa.DateTime(timezone=True):
            return column, start, end
        case sa.DateTime():
            return column, start.replace(tzinfo=None), end.replace(tzinfo=None)
        case sa.Date():
            return column, _first_day(start), _first_day(end)
        case _:
            raise SourceContentError(
                f"the watermark {column.name!r} is neither a date nor a timestamp",
                where=shown,
                allowed="date, timestamp",
                do="declare another watermark, or another load mode",
            )


def _first_day(instant: datetime) -> date:
    """The first day that begins at or after `instant`: a date counts as its midnight UTC.

    >>> _first_day(datetime(2026, 1, 2, tzinfo=UTC)), _first_day(datetime(2026, 1, 2, 1, tzinfo=UTC))
    (datetime.date(2026, 1, 2), datetime.date(2026, 1, 3))
    """
    midnight = instant.replace(hour=0, minute=0, second=0, microsecond=0)
    return instant.date() if midnight == instant else instant.date() + timedelta(days=1)
