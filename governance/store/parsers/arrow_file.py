"""What comes as columns already: the Arrow stream of a database read, Parquet files, and the sheets of Excel workbooks."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, time
from typing import BinaryIO

import duckdb
import pyarrow as pa

from governance.catalog.types import Field
from governance.errors import SourceContentError
from governance.store.parsers.relation import Relation, Watched, from_reader, places

_ROWS = 65_536
_NAME = "__landed"


@contextmanager
def open_arrow(
    con: duckdb.DuckDBPyConnection, source: BinaryIO, fields: Sequence[Field], *, where: str
) -> Iterator[Relation]:
    """The relation of an Arrow IPC stream; its own types are kept. A stream without rows is an empty table, not an empty
    file."""
    broken = "not a whole Arrow stream"
    try:
        stream = pa.ipc.open_stream(source)
    except (pa.ArrowException, OSError):
        raise SourceContentError(broken, where=where, do="land it again") from None
    with stream as reader:
        found, ignored = places(reader.schema.names, fields, where)
        yield from _relation(con, reader.schema, Watched(reader, broken, where), found, fields, ignored)


@contextmanager
def open_parquet(
    con: duckdb.DuckDBPyConnection, source: BinaryIO, fields: Sequence[Field], *, where: str
) -> Iterator[Relation]:
    """The relation of a Parquet file; only the wanted columns are decoded."""
    import pyarrow.parquet as pq

    broken = "not a whole Parquet file"
    try:
        opened = pq.ParquetFile(source)
    except (pa.ArrowException, OSError):
        raise SourceContentError(broken, where=where, do="land it again") from None
    with opened as file:
        schema = file.schema_arrow
        found, ignored = places(schema.names, fields, where)
        names = list(dict.fromkeys(schema.names[position] for position in found.values()))
        wanted = pa.schema([schema.field(name) for name in names])
        at = {f.name: names.index(schema.names[found[f.name]]) for f in fields}
        batches = Watched(file.iter_batches(batch_size=_ROWS, columns=names), broken, where)
        yield from _relation(con, wanted, batches, at, fields, ignored)


@contextmanager
def open_excel(
    con: duckdb.DuckDBPyConnection, source: BinaryIO, fields: Sequence[Field], *, sheet: str | None, where: str
) -> Iterator[Relation]:
    """The relation of one sheet (the first without a name): the first row names the columns, every value comes as text."""
    import python_calamine

    try:
        workbook = python_calamine.load_workbook(io.BytesIO(source.read()))
        if sheet is not None and sheet not in workbook.sheet_names:
            raise SourceContentError(
                f"no sheet {sheet!r}", where=where, allowed=", ".join(workbook.sheet_names), do="correct gov.sheet"
            )
        rows = workbook.get_sheet_by_name(sheet or workbook.sheet_names[0]).iter_rows()
        header = [_text(value) or "" for value in next(rows, [])]
    except python_calamine.CalamineError:
        raise SourceContentError(
            "not an Excel workbook", where=where, do="correct gov.format or land it again"
        ) from None
    if not any(header):
        raise SourceContentError("the sheet is empty", where=where, do="land a workbook with a header and rows")
    found, ignored = places(header, fields, where)
    schema = pa.schema([(f.name, pa.string()) for f in fields])
    blocks = _blocks(rows, [found[f.name] for f in fields], schema)
    at = {f.name: position for position, f in enumerate(fields)}
    yield from _relation(con, schema, Watched(blocks, "the sheet breaks off", where), at, fields, ignored)


def _relation(
    con: duckdb.DuckDBPyConnection,
    schema: pa.Schema,
    batches: Watched,
    found: Mapping[str, int],
    fields: Sequence[Field],
    ignored: tuple[str, ...],
) -> Iterator[Relation]:
    try:
        yield from_reader(con, _NAME, schema, batches, found, fields, ignored)
    finally:
        con.unregister(_NAME)


def _blocks(rows: Iterator[list[object]], wanted: list[int], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Record batches of text; rows that are empty throughout are no records (Excel keeps formatted blank rows)."""
    block: list[list[object]] = []
    for row in rows:
        if any(value != "" and value is not None for value in row):
            block.append(row)
        if len(block) == _ROWS:
            yield _block(block, wanted, schema)
            block = []
    if block:
        yield _block(block, wanted, schema)


def _block(rows: list[list[object]], wanted: list[int], schema: pa.Schema) -> pa.RecordBatch:
    columns = list(zip(*rows, strict=True))
    return pa.record_batch([pa.array(map(_text, columns[at]), pa.string()) for at in wanted], schema=schema)


def _text(value: object) -> str | None:
    """A cell as text: whole numbers without a fraction, dates in ISO 8601, empty as NULL."""
    match value:
        case None | "":
            return None
        case bool():
            return "true" if value else "false"
        case float():
            return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
        case datetime() | date() | time():
            return value.isoformat()
        case _:
            return str(value)
