"""A suite's JSON text taken apart: its expectations with the line where each begins. GX is not imported for that."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from governance.catalog.types import Suite
from governance.errors import Fault

_SUITE_KEYS = frozenset(
    {"name", "expectations", "meta", "id", "notes", "suite_parameters", "great_expectations_version"}
)
_ENTRY_KEYS = frozenset(
    {"type", "kwargs", "meta", "id", "notes", "description", "severity", "rendered_content", "windows"}
)
_SPACE = " \t\r\n"


@dataclass(frozen=True, slots=True)
class Entry:
    """The n-th (from 1) expectation of a suite, as written."""

    n: int
    line: int
    type: str
    kwargs: Mapping[str, Any]
    meta: Mapping[str, Any]
    severity: str
    raw: Mapping[str, Any]


def read_suite(suite: Suite) -> tuple[tuple[Entry, ...], tuple[Fault, ...]]:
    """The suite's expectations and everything that is wrong with its form."""
    try:
        document, offsets = _with_offsets(suite.text)
    except json.JSONDecodeError as error:
        return (), (Fault(suite.file, error.lineno, "", f"not JSON: {error.msg}", "", "correct the file"),)
    faults = [
        Fault(suite.file, 1, key, "unknown key", ", ".join(sorted(_SUITE_KEYS)), "remove or correct it")
        for key in document
        if key not in _SUITE_KEYS
    ]
    entries = []
    if not isinstance(document.get("expectations"), list):
        faults.append(Fault(suite.file, 1, "expectations", "missing", "a list of expectations", "add it"))
    for n, (raw, offset) in enumerate(zip(document.get("expectations") or [], offsets, strict=False), start=1):
        line = suite.text.count("\n", 0, offset) + 1
        found = _form_faults(raw, suite.file, line, f"expectations.{n}")
        faults += found
        if not found:
            kwargs, meta = raw.get("kwargs") or {}, raw.get("meta") or {}
            entries.append(Entry(n, line, raw["type"], kwargs, meta, raw.get("severity") or "critical", raw))
    return tuple(entries), tuple(faults)


def _form_faults(raw: Any, file: str, line: int, path: str) -> list[Fault]:
    if not isinstance(raw, dict):
        return [Fault(file, line, path, "not an object", "an expectation in GX's JSON", "correct it")]
    faults = []
    if not isinstance(raw.get("type"), str):
        hint = "rename `expectation_type` to `type`" if "expectation_type" in raw else "add it"
        faults.append(Fault(file, line, f"{path}.type", "missing", "the name of a GX expectation", hint))
    for key in sorted(set(raw) - _ENTRY_KEYS - {"expectation_type"}):
        faults.append(Fault(file, line, f"{path}.{key}", "unknown key", ", ".join(sorted(_ENTRY_KEYS)), "remove it"))
    for key in ("kwargs", "meta"):
        if not isinstance(raw.get(key) or {}, dict):
            faults.append(Fault(file, line, f"{path}.{key}", "not an object", "an object", "correct it"))
    if raw.get("windows"):
        faults.append(Fault(file, line, f"{path}.windows", "windows are not supported", "", "remove it"))
    return faults


def _with_offsets(text: str) -> tuple[dict[str, Any], list[int]]:
    """The top-level object, and where in the text each item of its `expectations` begins."""
    decoder = json.JSONDecoder()
    document: dict[str, Any] = {}
    offsets: list[int] = []
    at = _expect(text, 0, "{")
    while _peek(text, at) != "}":
        if document:
            at = _expect(text, at, ",")
        key, at = decoder.raw_decode(text, _skip(text, at))
        if not isinstance(key, str):
            raise json.JSONDecodeError("a key is text", text, at)
        if key in document:
            raise json.JSONDecodeError(f"key '{key}' is there twice", text, at)
        at = _skip(text, _expect(text, at, ":"))
        if key == "expectations" and text[at : at + 1] == "[":
            offsets = _item_offsets(text, at, decoder)
        document[key], at = decoder.raw_decode(text, at)
    if text[_expect(text, at, "}") :].strip(_SPACE):
        raise json.JSONDecodeError("something follows the object", text, at)
    return document, offsets


def _item_offsets(text: str, at: int, decoder: json.JSONDecoder) -> list[int]:
    offsets: list[int] = []
    at = _expect(text, at, "[")
    while _peek(text, at) != "]":
        if offsets:
            at = _expect(text, at, ",")
        at = _skip(text, at)
        offsets.append(at)
        _, at = decoder.raw_decode(text, at)
    return offsets


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at


def _peek(text: str, at: int) -> str:
    at = _skip(text, at)
    return text[at : at + 1]


def _expect(text: str, at: int, character: str) -> int:
    at = _skip(text, at)
    if text[at : at + 1] != character:
        raise json.JSONDecodeError(f"'{character}' is missing", text, at)
    return at + 1
