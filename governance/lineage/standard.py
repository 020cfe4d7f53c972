"""OpenLineage's schema as validators: made from the classes of the pinned `openlineage-python`, which that project generates
from its specification.

An event is judged as RunEvent, JobEvent or DatasetEvent, and each facet that names a schema of the standard (in a
version of the same major) by that schema; any other facet must have what every facet has. What the standard does not
forbid is allowed: properties that it does not name, facets that it does not know.
"""

from __future__ import annotations

import enum
import functools
import importlib
import pkgutil
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import attr
import jsonschema_rs

Kind = Literal["run", "job", "dataset"]
_CLASS: Mapping[Kind, str] = {"run": "RunEvent", "job": "JobEvent", "dataset": "DatasetEvent"}
_PLAIN: Mapping[object, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    Any: {},
}
_FORMATS = {"isoparse": "date-time", "UUID": "uuid"}
"""What a generated validator calls -> the format of its property. Addresses are any text, as for the standard's own classes: Spark's
integration calls the source of a file `file`."""
_SCHEMA = re.compile(r"/facets/(\d+)-\d+-\d+/\w+\.json#/(?:\$defs|definitions)/(\w+)$")
_KIND = re.compile(r"/OpenLineage\.json#/(?:\$defs|definitions)/(\w+)$")
_BY_KEY = {"columnLineage": "ColumnLineageDatasetFacet"}
"""Facets that we read are judged under their key too, whatever schema they name."""


def kind_of(event: Any) -> Kind | None:
    """Which event of the standard it is; None: none of them.

    >>> kind_of({"job": {}, "run": {}}), kind_of({"job": {}}), kind_of({"dataset": {}}), kind_of([])
    ('run', 'job', 'dataset', None)
    """
    if not isinstance(event, dict):
        return None
    if "run" in event:
        return "run" if "job" in event else None
    return "job" if "job" in event else "dataset" if "dataset" in event else None


def fault(event: Any) -> str | None:
    """The first thing at which the event breaks the standard, as `/place: rule`, never a value; None: it keeps it."""
    kind = kind_of(event)
    if kind is None:
        return "not an event: a run with its job, a job, or a dataset is needed"
    named = _KIND.search(str(event.get("schemaURL", "")))
    if named is not None and named[1] in _CLASS.values() and named[1] != _CLASS[kind]:
        return "/schemaURL: another kind of event than its parts"
    known = _standard()
    if not known.events[kind].is_valid(event):
        return _reason("", next(known.events[kind].iter_errors(event)))
    for place, key, facet in facets(event):
        validator = known.of(key, facet)
        if validator is not None and not validator.is_valid(facet):
            return _reason(place, next(validator.iter_errors(facet)))
    return None


def facets(event: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """(place, key, facet) of every facet of an event that has an event's shape."""
    for part in ("run", "job", "dataset"):
        if part in event:
            yield from _of(f"/{part}/facets", event[part].get("facets"))
    for side in ("inputs", "outputs"):
        for number, dataset in enumerate(event.get(side) or ()):
            yield from _of(f"/{side}/{number}/facets", dataset.get("facets"))
            own = f"{side[:-1]}Facets"
            yield from _of(f"/{side}/{number}/{own}", dataset.get(own))


def _of(place: str, held: Mapping[str, Any] | None) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for key, facet in (held or {}).items():
        yield f"{place}/{key}", key, facet


@dataclass(frozen=True, slots=True)
class _Standard:
    events: Mapping[Kind, jsonschema_rs.Validator]
    facets: Mapping[str, tuple[str, jsonschema_rs.Validator]]

    def of(self, key: str, facet: Mapping[str, Any]) -> jsonschema_rs.Validator | None:
        """The validator of a facet by the schema that it names, else by a key that we read."""
        named = _SCHEMA.search(str(facet.get("_schemaURL", "")))
        if named is not None and named[2] in self.facets:
            major, validator = self.facets[named[2]]
            if major == named[1]:
                return validator
        if key == "lineage":
            name = "LineageJobFacet" if "entries" in facet else "LineageDatasetFacet"
            return self.facets[name][1]
        return self.facets[_BY_KEY[key]][1] if key in _BY_KEY else None


@functools.cache
def _standard() -> _Standard:
    """Read once a process: some 40 modules, a tenth of a second."""
    import openlineage.client.generated as generated
    from openlineage.client.generated import base

    definitions: dict[str, Any] = {}
    events = {kind: _validator(getattr(base, name), definitions) for kind, name in _CLASS.items()}
    found: dict[str, tuple[str, jsonschema_rs.Validator]] = {}
    for module in pkgutil.iter_modules(generated.__path__):
        content = vars(importlib.import_module(f"{generated.__name__}.{module.name}"))
        for name, cls in content.items():
            if isinstance(cls, type) and issubclass(cls, base.BaseFacet) and cls.__module__.endswith(module.name):
                version = _SCHEMA.search(cls._get_schema())
                if version is not None:
                    found[name] = (version[1], _validator(cls, definitions))
    return _Standard(events, found)


def _validator(cls: type, definitions: dict[str, Any]) -> jsonschema_rs.Validator:
    root = _schema(cls, definitions)
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", **root, "$defs": definitions}
    return jsonschema_rs.validator_for(whole, validate_formats=True)


def _schema(hint: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """The JSON schema of a type; classes go into `definitions`. An optional property may be absent, never null."""
    if hint in _PLAIN:
        return dict(_PLAIN[hint])
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        kinds = [_schema(one, definitions) for one in arguments if one is not types.NoneType]
        return kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    if origin is list:
        return {"type": "array", "items": _schema(arguments[0], definitions)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema(arguments[1], definitions)}
    if origin is Literal:
        return {"enum": list(arguments)}
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return {"enum": [one.value for one in hint]}
    if attr.has(hint):
        name = f"{hint.__module__.rpartition('.')[2]}.{hint.__name__}"
        if name not in definitions:
            definitions[name] = {}  # a class may hold itself
            definitions[name].update(_object(hint, definitions))
        return {"$ref": f"#/$defs/{name}"}
    raise TypeError(f"no schema for {hint!r}")


def _object(cls: type, definitions: dict[str, Any]) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    properties, required, together = {}, [], {}
    for item in attr.fields(cls):
        shape = _schema(hints[item.name], definitions)
        code = _code(item.validator)
        for called, name in _FORMATS.items():
            if code is not None and called in code.co_names:
                shape["format"] = name
        if code is not None and code.co_name.endswith("dependent_required_check"):
            together[item.name] = list(next(c for c in code.co_consts if isinstance(c, tuple)))
        properties[item.name] = shape
        if item.default is attr.NOTHING or item.name in ("producer", "schemaURL", "_producer", "_schemaURL"):
            required.append(item.name)
    made: dict[str, Any] = {"type": "object", "properties": properties, "required": required}
    return {**made, "dependentRequired": together} if together else made


def _code(validator: Callable[..., Any] | None) -> types.CodeType | None:
    return getattr(validator, "__code__", None)


def _reason(place: str, error: Any) -> str:
    """Where and which rule; numbers of list items are left out, so that like faults count as one."""
    path = "".join(f"/{'*' if isinstance(part, int) else part}" for part in error.instance_path)
    path = re.sub(r"/\d+/", "/*/", f"{place}/"[:-1]) + path
    rule = "/".join(str(part) for part in error.schema_path[-2:] if not isinstance(part, int))
    return f"{path or '/'}: {rule}"[:255]
