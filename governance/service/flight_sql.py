"""Messages of Arrow Flight SQL (format version 1), as far as a read-only server speaks it: commands in, schemas and tickets out.

Protocol buffers' wire format is read here by field number; every message that we answer has text, bytes and numbers only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

_PREFIX = "type.googleapis.com/arrow.flight.protocol.sql."

CATALOGS = pa.schema([pa.field("catalog_name", pa.string(), nullable=False)])
SCHEMAS = pa.schema([pa.field("catalog_name", pa.string()), pa.field("db_schema_name", pa.string(), nullable=False)])
TABLES = pa.schema(
    [
        pa.field("catalog_name", pa.string()),
        pa.field("db_schema_name", pa.string()),
        pa.field("table_name", pa.string(), nullable=False),
        pa.field("table_type", pa.string(), nullable=False),
    ]
)
TABLES_WITH_SCHEMA = TABLES.append(pa.field("table_schema", pa.binary(), nullable=False))
TABLE_TYPES = pa.schema([pa.field("table_type", pa.string(), nullable=False)])
_INFO_VALUE = pa.dense_union(
    [
        pa.field("string_value", pa.string()),
        pa.field("bool_value", pa.bool_()),
        pa.field("bigint_value", pa.int64()),
        pa.field("int32_bitmask", pa.int32()),
        pa.field("string_list", pa.list_(pa.string())),
        pa.field("int32_to_int32_list_map", pa.map_(pa.int32(), pa.list_(pa.int32()))),
    ]
)
SQL_INFO = pa.schema(
    [pa.field("info_name", pa.uint32(), nullable=False), pa.field("value", _INFO_VALUE, nullable=False)]
)


@dataclass(frozen=True, slots=True)
class Command:
    """One message by its short name (`CommandStatementQuery`), its fields by number. A field that came twice has its last value."""

    name: str
    fields: dict[int, int | bytes]

    def text(self, number: int) -> str | None:
        """A text field; None when it is not there."""
        value = self.fields.get(number)
        return value.decode("utf-8") if isinstance(value, bytes) else None

    def truth(self, number: int) -> bool:
        return bool(self.fields.get(number, 0))


def read(message: bytes) -> Command:
    """A command in its `google.protobuf.Any`. Raises ValueError for anything else.

    >>> read(written("CommandStatementQuery", b"SELECT 1")).text(1)
    'SELECT 1'
    """
    envelope = dict(_fields(message))
    kind, body = envelope.get(1), envelope.get(2, b"")
    if not isinstance(kind, bytes) or not isinstance(body, bytes) or not kind.startswith(_PREFIX.encode()):
        raise ValueError("no command of Flight SQL")
    return Command(kind.decode("ascii").removeprefix(_PREFIX), dict(_fields(body)))


def written(name: str, first: bytes, second: bytes = b"") -> bytes:
    """A message in its Any, whose fields 1 and 2 are bytes; an empty second one is left out."""
    body = _field(1, first) + (_field(2, second) if second else b"")
    return _field(1, (_PREFIX + name).encode("ascii")) + _field(2, body)


def sql_info(version: str) -> pa.Table:
    """What the server says of itself: read-only, SQL, no transactions (SqlInfo 0 to 8)."""
    texts, truths, masks = ["gov query service", version, pa.__version__], [True, True, False], [0]
    names = [0, 1, 2, 3, 4, 5, 8]
    kinds = [0] * len(texts) + [1] * len(truths) + [3] * len(masks)
    offsets = [*range(len(texts)), *range(len(truths)), *range(len(masks))]
    children = [
        pa.array(texts),
        pa.array(truths),
        pa.array([], pa.int64()),
        pa.array(masks, pa.int32()),
        pa.array([], pa.list_(pa.string())),
        pa.array([], pa.map_(pa.int32(), pa.list_(pa.int32()))),
    ]
    values = pa.UnionArray.from_dense(
        pa.array(kinds, pa.int8()), pa.array(offsets, pa.int32()), children, [f.name for f in _INFO_VALUE]
    )
    return pa.table([pa.array(names, pa.uint32()), values.cast(_INFO_VALUE)], schema=SQL_INFO)


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(message):
        tag, at = _number(message, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = _number(message, at)
            yield number, value
        elif wire == 2:
            size, at = _number(message, at)
            if at + size > len(message):
                raise ValueError("a message ends before its end")
            yield number, message[at : at + size]
            at += size
        else:
            raise ValueError(f"wire type {wire} is in no message of ours")


def _number(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message) and shift < 64:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise ValueError("a number ends before its end")


def _field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*made, value])
