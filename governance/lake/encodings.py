"""How the columns of a table's files are laid out in Parquet: dictionaries, differences, compression. Pure, from types and the first rows."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from governance.lake.specs import TableSpec

_LOOK_ROWS = 20_000
_INTEGER_DIGITS = 18


def dictionary_columns(spec: TableSpec, chunk: pa.Table) -> list[str]:
    """Leaf paths worth a dictionary: as the spec says, else those with few distinct values among the first rows."""
    look, chosen = chunk.slice(0, _LOOK_ROWS), []
    flags = {column.name: column.dictionary for column in spec.columns}
    for name, path in leaf_paths(chunk.schema):
        flag, kind = flags.get(name), chunk.schema.field(name).type
        if flag is None and not pa.types.is_nested(kind) and not pa.types.is_boolean(kind):
            flag = pc.count_distinct(look.column(name)).as_py() * 10 <= look.num_rows
        if flag:
            chosen.append(path)
    return chosen


def compression(schema: pa.Schema) -> dict[str, str]:
    """By leaf path; tokens are random bytes, which do not get smaller."""
    tokens = {field.name for field in schema if pa.types.is_fixed_size_binary(field.type)}
    return {path: "none" if name in tokens else "zstd" for name, path in leaf_paths(schema)}


def encodings(schema: pa.Schema, dictionary: Sequence[str]) -> dict[str, str]:
    """What lies as whole numbers, without a dictionary, as its differences: smaller, and cheaper to compress."""
    names = (field.name for field in schema if _is_whole(field.type))
    return {name: "DELTA_BINARY_PACKED" for name in names if name not in dictionary}


def _is_whole(kind: pa.DataType) -> bool:
    """Whether Parquet has the values as integers: numbers, dates, times, decimals of up to 18 digits."""
    if pa.types.is_decimal(kind):
        return bool(kind.precision <= _INTEGER_DIGITS)
    return any(is_whole(kind) for is_whole in (pa.types.is_integer, pa.types.is_date, pa.types.is_timestamp))


def leaf_paths(schema: pa.Schema) -> list[tuple[str, str]]:
    """(column, path of its leaf in Parquet)."""
    return [(f.name, f"{f.name}.list.element" if pa.types.is_list(f.type) else f.name) for f in schema]
