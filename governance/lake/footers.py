"""What a data file says about itself without any key: field ids, keys of its encrypted columns, rows, statistics of its
clear columns.

Only the plaintext part of a footer is read: PyArrow aborts the process when the chunk metadata of an encrypted column
is touched, so statistics come from DuckDB's `parquet_metadata`.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Context, Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from governance.errors import Damaged, StorageError
from governance.lake.plan import PlannedFile, planned_file
from governance.lake.schema import FIELD_ID, LakeSchema
from governance.lake.writer import ENCRYPTED, SCHEMA
from governance.state.values import DataFile

_EPOCH_DAY, _EPOCH = date(1970, 1, 1), datetime(1970, 1, 1)
_BOUND_CHARACTERS = 16
_DIGITS = Context(prec=76)


@dataclass(frozen=True, slots=True)
class FileStatistics:
    """Of the clear columns of one file, by field id; `bounds` are the lowest and highest value as DuckDB prints them,
    by row group.
    """

    sizes: Mapping[int, int] = field(default_factory=dict)
    values: Mapping[int, int] = field(default_factory=dict)
    nulls: Mapping[int, int] = field(default_factory=dict)
    lows: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    highs: Mapping[int, tuple[str, ...]] = field(default_factory=dict)


Statistics = Mapping[str, FileStatistics]


def planned(root: Path, file: DataFile, schemas: Mapping[int, LakeSchema]) -> PlannedFile:
    """The file with what its footer says. Damaged without field ids (it would read as NULLs) or when its rows are not
    as said.
    """
    try:
        footer = pq.read_metadata(root / file.path)
    except OSError as error:
        raise StorageError("a data file cannot be read", where=file.path) from error
    except pa.ArrowException:
        raise Damaged("a data file is not Parquet", where=file.path) from None
    names = {}
    for column in footer.schema.to_arrow_schema():
        marked = (column.metadata or {}).get(FIELD_ID)
        if marked is None:
            raise Damaged("a data file has no field ids and would read as NULLs", where=file.path)
        names[marked.decode()] = column.name
    if footer.num_rows != file.rows:
        raise Damaged(f"{footer.num_rows} rows in the footer, {file.rows} expected", where=file.path)
    said = footer.metadata or {}
    keys = json.loads(said.get(ENCRYPTED.encode(), b"{}"))
    schema_id = int(said.get(SCHEMA.encode(), b"-1"))
    if keys and schema_id not in schemas:
        raise Damaged(f"schema {schema_id} is not one of the table's", where=file.path)
    return planned_file(file, schema_id, keys, names)


def statistics(root: Path, files: Sequence[PlannedFile]) -> Statistics:
    """Statistics of the clear columns of each file, by its path."""
    if not files:
        return {}
    query = """
        SELECT file_name, path_in_schema, sum(total_compressed_size), sum(num_values), sum(stats_null_count),
            list(stats_min_value ORDER BY row_group_id) FILTER (min_is_exact),
            list(stats_max_value ORDER BY row_group_id) FILTER (max_is_exact),
            count(*) = count(stats_min_value) FILTER (min_is_exact AND max_is_exact)
        FROM parquet_metadata($files) GROUP BY file_name, path_in_schema"""
    by_file = {str(root / item.file.path): item for item in files}
    found: dict[str, dict[str, dict[int, object]]] = {}
    with duckdb.connect() as connection:
        rows = connection.execute(query, {"files": list(by_file)}).fetchall()
    for name, path, size, values, nulls, lows, highs, whole in rows:
        item = by_file[name]
        key = {column: number for number, column in item.names.items()}.get(path)
        if key is None or key in item.keys:
            continue
        maps = found.setdefault(item.file.path, {part: {} for part in ("sizes", "values", "nulls", "lows", "highs")})
        maps["sizes"][key], maps["values"][key] = int(size), int(values)
        if nulls is not None:
            maps["nulls"][key] = int(nulls)
        if whole and lows and highs:
            maps["lows"][key], maps["highs"][key] = tuple(lows), tuple(highs)
    return {path: FileStatistics(**maps) for path, maps in found.items()}  # type: ignore[arg-type]


def bounds(found: FileStatistics, schema: LakeSchema) -> dict[int, tuple[bytes, bytes]]:
    """Lower and upper bound by field id in Iceberg's single-value form, for types whose printed form is exact."""
    made = {}
    for column in schema.columns:
        lows = _values(column.type, found.lows.get(column.id, ()))
        highs = _values(column.type, found.highs.get(column.id, ()))
        if lows and highs:
            made[column.id] = (_bytes(column.type, lows[0]), _bytes(column.type, highs[-1]))
    return made


def _values(kind: str, texts: Sequence[str]) -> list[int] | list[str]:
    """The comparable values of `texts`, sorted; empty when one of them has none."""
    values = [_value(kind, text) for text in texts]
    numbers = sorted(value for value in values if isinstance(value, int))
    words = sorted(value for value in values if isinstance(value, str))
    if len(numbers) == len(values):
        return numbers
    return words if len(words) == len(values) else []


def _value(kind: str, text: str) -> int | str | None:
    """The statistic as a comparable value; None when this type (or so long a text) gets no bounds."""
    if kind == "long":
        return int(text)
    if kind in ("date", "timestamp"):
        return _moment(kind, text)
    if kind.startswith("decimal"):
        scale = int(re.findall(r"\d+", kind)[1])
        return int(Decimal(text).scaleb(scale, _DIGITS))
    if kind == "string":
        return text if len(text) <= _BOUND_CHARACTERS else None
    return None


def _moment(kind: str, text: str) -> int | None:
    """Days or microseconds since 1970; None for a year that Python has not, which a curated column may hold."""
    try:
        if kind == "date":
            return (date.fromisoformat(text) - _EPOCH_DAY).days
        return (datetime.fromisoformat(text) - _EPOCH) // timedelta(microseconds=1)
    except ValueError:
        return None


def _bytes(kind: str, value: int | str) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8")
    if kind.startswith("decimal"):
        return value.to_bytes((value.bit_length() + 8) // 8, "big", signed=True)
    return struct.pack("<i" if kind == "date" else "<q", value)
