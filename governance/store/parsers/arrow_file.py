"""What comes as columns already: the Arrow stream of a database read, Parquet files, and the sheets of Excel workbooks."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, time
from typing import BinaryIO

import duckdb
import pyarrow as pa

from governance.catalog.types import Field
from governance.errors import SourceContentError
from governance.store.parsers.relation import Relation, from_reader, places

_ROWS = 65_536


@contextmanager
def open_arrow(
    con: duckdb.DuckDBPyConnection, source: BinaryIO, fields: Sequence[Field], *, where: str
) -> Iterator[Relation]:
    """The relation of an Arrow IPC stream; its own types are kept. A stream without rows is an empty table, not an empty file."""
    try:
        with pa.ipc.open_stream(source) as reader:
            yield _relation(con, reader.schema, reader, fields, where)
    except pa.ArrowInvalid:
        raise SourceContentError("not a whole Arrow stream", where=where, do="land it again") from None


@contextmanager
def open_parquet(
    con: duckdb.DuckDBPyConnection, source: BinaryIO, fields: Sequence[Field], *, where: str
) -> Iterator[Relation]:
    """The relation of a Parquet file; only the wanted columns are decoded."""
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(source) as file:
            schema = file.schema_arrow
            found, ignored = places(schema.names, fields, where)
            names = list(dict.fromkeys(schema.names[position] for position in found.values()))
            wanted = pa.schema([schema.field(name) for name in names])
            batches = file.iter_batches(batch_size=_ROWS, columns=names)
            reader = pa.RecordBatchReader.from_batches(wanted, batches)
            at = {f.name: names.index(schema.names[found[f.name]]) for f in fields}
            yield _kept(from_reader(con, "__landed", reader, at, fields), ignored)
    except pa.ArrowInvalid:
        raise SourceContentError("not a whole Parquet file", where=where, do="land it again") from None
    finally:
        con.unregister("__landed")


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
    reader = pa.RecordBatchReader.from_batches(schema, _blocks(rows, [found[f.name] for f in fields], schema))
    try:
        yield _kept(from_reader(con, "__landed", reader, {f.name: n for n, f in enumerate(fields)}, fields), ignored)
    finally:
        con.unregister("__landed")


def _relation(
    con: duckdb.DuckDBPyConnection, schema: pa.Schema, reader: pa.RecordBatchReader, fields: Sequence[Field], where: str
) -> Relation:
    found, ignored = places(schema.names, fields, where)
    return _kept(from_reader(con, "__landed", reader, found, fields), ignored)


def _kept(relation: Relation, ignored: tuple[str, ...]) -> Relation:
    return Relation(relation.sql, relation.rejected, relation.types, ignored=ignored)


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
