"""Contracts against the standard itself: the JSON schema of ODCS v3.1 (Bitol, `odcs-json-schema`), compiled once a process.

Two places are read more widely than the schema is written: every `v3.0.*` and `v3.1.*` is an `apiVersion`, and a shorthand reference may name
the department too (`department.dataset.field`).
"""

from __future__ import annotations

import functools
import importlib.util
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema_rs

Path_ = tuple[str | int, ...]

_NAME = r"[\p{L}_][\p{L}\p{N}_]*"


@dataclass(frozen=True, slots=True)
class Violation:
    """One place where a contract breaks the standard's schema."""

    path: Path_
    found: str
    allowed: str
    do: str


def violations(data: Any) -> tuple[Violation, ...]:
    """Everything that the standard's schema refuses in `data`, each place once; a contract that follows it gives none."""
    validator = _validator()
    if validator.is_valid(data):
        return ()
    errors = list(validator.iter_errors(data))
    plain = [e for e in errors if e.kind.name != "unevaluatedProperties"]
    found = {(v.path, v.allowed): v for e in plain for v in _explained(e)}
    broken = {tuple(e.instance_path) for e in plain}
    for error in errors:
        if error.kind.name == "unevaluatedProperties":
            found |= {(v.path, v.allowed): v for v in _unknown_keys(error, broken)}
    return tuple(found.values())


@functools.cache
def _schema() -> dict[str, Any]:
    spec = importlib.util.find_spec("open_data_contract_standard")  # found, not imported: its models cost 0.2 s
    assert spec is not None
    assert spec.submodule_search_locations is not None
    file = Path(spec.submodule_search_locations[0]) / "schema.json"
    schema: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    schema["properties"]["apiVersion"] = {"type": "string", "pattern": r"^v3\.[01]\.[0-9]+$"}
    schema["$defs"]["ShorthandReference"]["pattern"] = rf"^{_NAME}(\.{_NAME}){{1,2}}$"
    return schema


@functools.cache
def _validator() -> Any:
    return jsonschema_rs.Draft201909Validator(_schema())


def _explained(error: Any) -> Iterator[Violation]:
    path, kind = tuple(error.instance_path), error.kind
    match kind.name:
        case "required":
            yield Violation(path, f"{kind.property!r} is missing", kind.property, "add it")
        case "additionalProperties":
            known = _keys_of(_definition(error.schema_path))
            for key in kind.unexpected:
                yield Violation((*path, key), "unknown key", ", ".join(sorted(known)), "remove or correct it")
        case "enum":
            yield Violation(
                path,
                f"{_shown(error.instance)} is not one of the allowed words",
                ", ".join(map(str, kind.options)),
                "choose one",
            )
        case "type":
            types = kind.types if isinstance(kind.types, list) else [kind.types]
            yield Violation(
                path, f"{_shown(error.instance)} has the wrong type", " or ".join(map(str, types)), "correct it"
            )
        case "pattern":
            yield Violation(path, f"{_shown(error.instance)} does not match", _words(path, kind.pattern), "correct it")
        case "oneOf" | "anyOf":
            yield Violation(path, f"{_shown(error.instance)} fits none of the forms", _forms(path, error), "correct it")
        case "not":
            yield Violation(path, "'from' is not allowed at a property", "to", "remove it: it is the property itself")
        case _:
            yield Violation(
                path, f"{_shown(error.instance)} breaks {kind.name!r}", f"{kind.name} {kind.value}", "correct it"
            )


def _unknown_keys(error: Any, broken: set[Path_]) -> Iterator[Violation]:
    """Keys that no form of this part has. A key of another form counts only when nothing else is wrong there: else it is an after-effect."""
    path = tuple(error.instance_path)
    known = _keys_of(_definition(error.schema_path))
    clean = not any(place[: len(path)] == path for place in broken)
    for key in error.kind.unexpected:
        if key not in known:
            yield Violation((*path, key), "unknown key", ", ".join(sorted(known)), "remove or correct it")
        elif clean:
            yield Violation(
                (*path, key), "a key that does not belong here", "", "remove it, or correct the type beside it"
            )


def _definition(schema_path: list[str | int]) -> Any:
    """The part of the schema that holds the failing keyword."""
    part: Any = _schema()
    for step in schema_path[:-1]:
        part = part[step]
        while isinstance(part, dict) and set(part) == {"$ref"}:
            part = _target(part["$ref"])
    return part


def _target(ref: str) -> Any:
    part: Any = _schema()
    for step in ref.removeprefix("#/").split("/"):
        part = part[step]
    return part


def _keys_of(schema: Any, seen: frozenset[str] = frozenset()) -> set[str]:
    """Every property name that some form of `schema` allows."""
    if not isinstance(schema, dict):
        return set()
    keys = set(schema.get("properties", {}))
    ref = schema.get("$ref")
    if ref and ref not in seen:
        keys |= _keys_of(_target(ref), seen | {ref})
    for word in ("allOf", "anyOf", "oneOf"):
        for part in schema.get(word, []):
            keys |= _keys_of(part, seen)
    for word in ("then", "else"):
        keys |= _keys_of(schema.get(word), seen)
    return keys


def _words(path: Path_, pattern: str) -> str:
    return "v3.0.x, v3.1.x" if path == ("apiVersion",) else pattern


def _forms(path: Path_, error: Any) -> str:
    if path and path[-1] in ("to", "from"):
        return "field references as table.field or department.dataset.field"
    required = (
        {s["required"][0] for s in error.kind.value if isinstance(s, dict) and s.get("required")}
        if isinstance(error.kind.value, list)
        else set()
    )
    return f"exactly one of {', '.join(sorted(required))}" if required else "a form that the standard has"


def _shown(instance: Any) -> str:
    if isinstance(instance, dict):
        return "an object"
    if isinstance(instance, list):
        return "a list"
    text = json.dumps(instance, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}…"
