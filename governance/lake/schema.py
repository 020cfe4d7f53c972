"""Iceberg's table metadata as far as planning and reading need it, without pyiceberg: schemas by id, snapshots and
their schema.

The metadata file is JSON (Iceberg table spec, version 2) and never changes once written, so it is read once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from governance.errors import Damaged, StorageError

FIELD_ID = b"PARQUET:field_id"
_ID_MARK = "gov.id="
_DUCKDB: Mapping[str, str] = {
    "string": "VARCHAR",
    "long": "BIGINT",
    "int": "INTEGER",
    "double": "DOUBLE",
    "float": "FLOAT",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
    "binary": "BLOB",
    "list<string>": "VARCHAR[]",
}
_ARROW: Mapping[str, pa.DataType] = {
    "string": pa.string(),
    "long": pa.int64(),
    "int": pa.int32(),
    "double": pa.float64(),
    "float": pa.float32(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
    "binary": pa.binary(),
}


@dataclass(frozen=True, slots=True)
class LakeColumn:
    """One top-level column: Iceberg's field id, name now, type as in `TableSpec`; `element_id` only for lists; `own_id`
    the contract's.
    """

    id: int
    name: str
    type: str
    element_id: int | None = None
    own_id: str = ""


@dataclass(frozen=True, slots=True)
class LakeSchema:
    id: int
    columns: tuple[LakeColumn, ...]

    def column(self, name: str) -> LakeColumn:
        """The column called `name`; KeyError if there is none."""
        for candidate in self.columns:
            if candidate.name == name:
                return candidate
        raise KeyError(name)

    def by_id(self) -> dict[int, LakeColumn]:
        return {column.id: column for column in self.columns}


@dataclass(frozen=True, slots=True)
class Metadata:
    """One version of a table's metadata. `snapshot` is the current one, `schema_of` the schema id of each snapshot."""

    snapshot: int | None
    schema: LakeSchema
    schemas: Mapping[int, LakeSchema]
    schema_of: Mapping[int, int]


@lru_cache(maxsize=64)
def read_metadata(location: str) -> Metadata:
    """The metadata file at `location` (a path or a file: address). StorageError when absent, Damaged when it is not
    Iceberg's.
    """
    path = Path(location.removeprefix("file://"))
    try:
        raw = json.loads(path.read_bytes())
        schemas = {item["schema-id"]: _schema(item) for item in raw["schemas"]}
        current = raw.get("current-snapshot-id")
        schema_of = {s["snapshot-id"]: s.get("schema-id", raw["current-schema-id"]) for s in raw.get("snapshots", ())}
        schema = schemas[raw["current-schema-id"]]
        return Metadata(None if current in (None, -1) else current, schema, schemas, schema_of)
    except OSError as error:
        raise StorageError(f"table metadata cannot be read: {error.strerror}", where=path.name) from None
    except (ValueError, KeyError, TypeError):
        raise Damaged("table metadata is not Iceberg's", where=path.name) from None


def arrow_schema(schema: LakeSchema) -> pa.Schema:
    """The Arrow schema that files of `schema` are written with: every field carries its id."""
    return pa.schema([_arrow_field(column) for column in schema.columns])


def arrow_type(kind: str) -> pa.DataType:
    """The Arrow type of an Iceberg type name."""
    if kind == "list<string>":
        return pa.list_(pa.field("element", pa.string()))
    if kind in _ARROW:
        return _ARROW[kind]
    if match := re.fullmatch(r"decimal\((\d+), ?(\d+)\)", kind):
        return pa.decimal128(int(match[1]), int(match[2]))
    if match := re.fullmatch(r"fixed\[(\d+)\]", kind):
        return pa.binary(int(match[1]))
    raise Damaged(f"type {kind} is not one of this lake's")


def duckdb_type(kind: str) -> str:
    """DuckDB's name of an Iceberg type name.

    >>> duckdb_type("decimal(18, 2)"), duckdb_type("fixed[12]"), duckdb_type("list<string>")
    ('DECIMAL(18, 2)', 'BLOB', 'VARCHAR[]')
    """
    if kind in _DUCKDB:
        return _DUCKDB[kind]
    if kind.startswith("decimal("):
        return kind.upper()
    if kind.startswith("fixed["):
        return "BLOB"
    raise Damaged(f"type {kind} is not one of this lake's")


def own_id_doc(own_id: str) -> str | None:
    """The documentation text of a column that carries the contract's own id of the field."""
    return f"{_ID_MARK}{own_id}" if own_id else None


def _schema(raw: Mapping[str, Any]) -> LakeSchema:
    return LakeSchema(raw["schema-id"], tuple(_column(field) for field in raw["fields"]))


def _column(raw: Mapping[str, Any]) -> LakeColumn:
    kind: str = ""
    element_id: int | None = None
    if isinstance(nested := raw["type"], dict):
        if nested["type"] != "list" or nested["element"] != "string":
            raise Damaged(f"column {raw['name']} is nested in a way that this lake does not use")
        kind, element_id = "list<string>", nested["element-id"]
    else:
        kind = nested
    own_id = str(raw.get("doc") or "").removeprefix(_ID_MARK) if _ID_MARK in str(raw.get("doc")) else ""
    return LakeColumn(raw["id"], raw["name"], kind, element_id, own_id)


def _arrow_field(column: LakeColumn) -> pa.Field:
    marked = {FIELD_ID: str(column.id).encode()}
    if column.element_id is None:
        return pa.field(column.name, arrow_type(column.type), metadata=marked)
    element = pa.field("element", pa.string(), metadata={FIELD_ID: str(column.element_id).encode()})
    return pa.field(column.name, pa.list_(element), metadata=marked)
