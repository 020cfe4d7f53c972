"""Datasets as plain data and back, for the parse cache. Values at their default are left out."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

from governance.catalog.service_level import Period
from governance.catalog.types import (
    ColumnType,
    DatabaseSource,
    Dataset,
    Field,
    FileSource,
    HttpSource,
    Level,
    Reference,
    Source,
)

_SOURCES: dict[str, type[FileSource] | type[HttpSource] | type[DatabaseSource]] = {
    "file": FileSource,
    "http": HttpSource,
    "database": DatabaseSource,
}

_PERIODS = frozenset({"frequency", "latency"})
_LEVELS = {level.value: level for level in Level}  # three times as fast as Level(...), and there are 200,000 fields
_TYPES: dict[tuple[Any, ...], ColumnType] = {}


def encode_dataset(dataset: Dataset) -> dict[str, Any]:
    """`dataset` as JSON data; `decode_dataset` gives it back, equal."""
    data = _values(dataset)
    data["fields"] = [_encode_field(f) for f in dataset.fields]
    data["source"] = None if dataset.source is None else {**_values(dataset.source), "kind": dataset.source.kind}
    for name in _PERIODS & data.keys():
        data[name] = [data[name].count, data[name].unit]
    return data


def decode_dataset(data: dict[str, Any]) -> Dataset:
    """The dataset that `encode_dataset` wrote."""
    periods = {name: Period(*data[name]) for name in _PERIODS & data.keys()}
    fields = tuple(map(_decode_field, data["fields"]))
    return Dataset(**{**data, **periods, "fields": fields, "source": _decode_source(data["source"])})


def _encode_field(field: Field) -> dict[str, Any]:
    data = _values(field)
    data["type"] = [field.type.kind, field.type.precision, field.type.scale]
    if field.references is not None:
        data["references"] = [field.references.dataset, field.references.field]
    return data


def _decode_field(data: dict[str, Any]) -> Field:
    kind = tuple(data["type"])
    values = {**data, "type": _TYPES.setdefault(kind, ColumnType(*kind)) if kind not in _TYPES else _TYPES[kind]}
    if "references" in data:
        values["references"] = Reference(*data["references"])
    if "classification" in data:
        values["classification"] = _LEVELS[data["classification"]]
    if "tags" in data:
        values["tags"] = tuple(data["tags"])
    return Field(**values)


def _decode_source(data: dict[str, Any] | None) -> Source | None:
    return None if data is None else _SOURCES[data["kind"]](**data)


def _values(value: Any) -> dict[str, Any]:
    """The attributes of a frozen value that differ from their defaults."""
    found = {}
    for attribute in fields(value):
        content = getattr(value, attribute.name)
        default = attribute.default
        if attribute.default_factory is not MISSING:
            default = attribute.default_factory()
        if default is MISSING or content != default:
            found[attribute.name] = content
    return found
