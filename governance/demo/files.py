"""Tables of text written the way five departments deliver: SQLite through SQLAlchemy, GB18030 CSV, Excel, gzipped JSON lines.

Every file is written beside its place and moved there when it is whole. The same table gives the same content.
"""

from __future__ import annotations

import gzip
import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Iterator

Ints = npt.NDArray[np.int64]

_CHUNK_ROWS = 50_000
_OLDEST = (1980, 1, 1, 0, 0, 0)
_STAMP = re.compile(rb"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z")


def write_database(path: Path, tables: Mapping[str, pa.Table]) -> None:
    """A SQLite database with these tables; the first column of each is its primary key."""
    import sqlalchemy as sa

    with _replacing(path) as target:
        engine = sa.create_engine(f"sqlite:///{target}")
        metadata = sa.MetaData()
        for name, table in tables.items():
            columns = [
                sa.Column(f.name, sa.BigInteger() if pa.types.is_integer(f.type) else sa.String(), primary_key=not at)
                for at, f in enumerate(table.schema)
            ]
            sa.Table(name, metadata, *columns)
        metadata.create_all(engine)
        with engine.begin() as connection:
            for name, table in tables.items():
                statement = str(metadata.tables[name].insert().compile(engine))
                for batch in table.to_batches(_CHUNK_ROWS):
                    rows = list(zip(*(column.to_pylist() for column in batch.columns), strict=True))
                    connection.exec_driver_sql(statement, rows)
        engine.dispose()


def write_csv(path: Path, table: pa.Table, header: Sequence[str], broken: Ints, encoding: str = "gb18030") -> None:
    """Delimited text; lines of the rows `broken` have too many fields, too few, or text behind a closing quote, in turn."""
    lines = pc.binary_join_element_wise(*(_csv_field(table[name]) for name in table.column_names), ",")
    first = pc.binary_join_element_wise('"', _chunked(table.column(0)), '"', "?", "")
    variants = (
        pc.binary_join_element_wise(lines, "补录", "1", ","),
        pc.utf8_slice_codeunits(lines, 0, 20),
        pc.binary_join_element_wise(first, lines, ","),
    )
    with _replacing(path) as target, target.open("wb") as file:
        file.write((",".join(header) + "\r\n").encode(encoding))
        for text in _texts(_break(lines, broken, variants), "\r\n"):
            file.write(text.encode(encoding))


def write_json_lines(path: Path, table: pa.Table, numeric: frozenset[str], broken: Ints) -> None:
    """Gzipped JSON lines; `numeric` columns as numbers where they are one. Lines of the rows `broken` end too early or have no quotes."""
    parts = [
        pc.binary_join_element_wise(f'"{name}": ', _json_value(_chunked(table[name]), name in numeric), "")
        for name in table.column_names
    ]
    lines = pc.binary_join_element_wise("{", pc.binary_join_element_wise(*parts, ", "), "}", "")
    variants = (pc.utf8_slice_codeunits(lines, 0, 60), pc.replace_substring(lines, '"', ""))
    with (
        _replacing(path) as target,
        target.open("wb") as file,
        gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0) as packed,
    ):
        for text in _texts(_break(lines, broken, variants), "\n"):
            packed.write(text.encode("utf-8"))


def write_workbook(
    path: Path, sheet: str, table: pa.Table, header: Sequence[str], numeric: frozenset[str], dates: frozenset[str]
) -> None:
    """An Excel workbook of one sheet, row by row: numbers as numbers, dates as dates, everything else as text."""
    from datetime import date

    from openpyxl import Workbook

    workbook = Workbook(write_only=True)
    page = workbook.create_sheet(sheet)
    page.append(list(header))
    columns = []
    for name in table.column_names:
        values = table[name].to_pylist()
        if name in numeric:
            values = [float(v) if v is not None and re.fullmatch(r"-?[0-9]+\.[0-9]+", v) else v for v in values]
        elif name in dates:
            values = [None if v is None else date.fromisoformat(v) for v in values]
        columns.append(values)
    for row in zip(*columns, strict=True):
        page.append(row)
    content = io.BytesIO()
    workbook.save(content)
    with _replacing(path) as target:
        target.write_bytes(_without_clock(content.getvalue()))


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    target = path.with_name(f".{path.name}.part")
    target.unlink(missing_ok=True)
    yield target
    target.replace(path)


def _chunked(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks().cast(pa.string())


def _csv_field(column: pa.ChunkedArray) -> pa.Array:
    text = pc.fill_null(_chunked(column), "")
    quoted = pc.binary_join_element_wise('"', text, '"', "")
    return pc.if_else(pc.match_substring(text, ","), quoted, text)


def _json_value(text: pa.Array, numeric: bool) -> pa.Array:
    value = pc.binary_join_element_wise('"', text, '"', "")
    if numeric:
        value = pc.if_else(pc.match_substring_regex(text, r"^-?[0-9]+(\.[0-9]+)?$"), text, value)
    return pc.fill_null(value, "null")


def _break(lines: pa.Array, broken: Ints, variants: Sequence[pa.Array]) -> pa.Array:
    """`lines` with those of `broken` taken from the variants in turn."""
    position = np.arange(len(lines))
    position[broken] += len(lines) * (1 + np.arange(len(broken)) % len(variants))
    return pa.chunked_array([lines, *variants]).take(pa.array(position))


def _texts(lines: pa.ChunkedArray, ending: str) -> Iterator[str]:
    for start in range(0, len(lines), _CHUNK_ROWS):
        yield ending.join(lines.slice(start, _CHUNK_ROWS).to_pylist()) + ending


def _without_clock(content: bytes) -> bytes:
    """The same workbook without the instants at which it was made."""
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(result, "w", zipfile.ZIP_DEFLATED) as target:
        for item in source.infolist():
            data = source.read(item)
            if item.filename == "docProps/core.xml":
                data = _STAMP.sub(b"2026-01-01T00:00:00Z", data)
            target.writestr(zipfile.ZipInfo(item.filename, _OLDEST), data, zipfile.ZIP_DEFLATED)
    return result.getvalue()
