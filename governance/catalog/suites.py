"""`expectations/<department>/<dataset>.json` -> a suite in GX's own JSON. Pure. Its form is judged here and nowhere else; `manage` compiles it.

The keys are those of GX's `ExpectationSuite` and `ExpectationConfiguration` (GX 1.x).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from governance.catalog.suite_json import SuiteJson, read_json
from governance.catalog.types import Suite
from governance.catalog.yaml_tree import Document, dotted, parse_yaml
from governance.errors import Fault

Path_ = tuple[str | int, ...]
_SUITE: Mapping[str, type | tuple[type, ...]] = {
    "name": str, "id": (str, type(None)), "expectations": list, "suite_parameters": (dict, type(None)), "meta": (dict, type(None)),
    "notes": (str, list, type(None)), "great_expectations_version": (str, type(None)),
}  # fmt: skip
_EXPECTATION: Mapping[str, type | tuple[type, ...]] = {
    "type": str, "kwargs": dict, "meta": (dict, type(None)), "notes": (str, list, type(None)), "id": (str, type(None)),
    "description": (str, type(None)), "severity": (str, type(None)), "rendered_content": (list, type(None)),
    "expectation_context": (dict, type(None)), "windows": (list, type(None)),
}  # fmt: skip
SEVERITIES = ("critical", "warning", "info")
_WORDS = {str: "text", list: "a list", dict: "an object", type(None): "null"}
_DEEPEST = 32


@dataclass(frozen=True, slots=True)
class Entry:
    """The n-th (from 0) expectation of a suite as written, and the line where it begins."""

    n: int
    line: int
    type: str
    kwargs: Mapping[str, Any]
    meta: Mapping[str, Any]
    severity: str
    raw: Mapping[str, Any]

    @property
    def path(self) -> str:
        """What faults of its meaning name."""
        return f"expectations.{self.n}: {self.type}"


def parse_suite(text: str, *, file: str, dataset: str) -> tuple[Suite | None, tuple[Fault, ...]]:
    """The suite and what is wrong with its form. What its expectations mean is not looked into."""
    faults = _read(text, file)[1]
    if faults:
        return None, faults
    return Suite(dataset, file, text, hashlib.sha256(text.encode("utf-8")).hexdigest()), ()


def read_suite(suite: Suite) -> tuple[tuple[Entry, ...], tuple[Fault, ...]]:
    """The expectations whose form is in order, and everything that is wrong with the form of the others and of the suite."""
    return _read(suite.text, suite.file)


def _read(text: str, file: str) -> tuple[tuple[Entry, ...], tuple[Fault, ...]]:
    try:
        read = read_json(text)
    except json.JSONDecodeError as error:
        return (), (Fault(file, error.lineno, "", f"not JSON: {error.msg}", "one JSON object", "correct the file"),)
    except RecursionError:
        return (), (Fault(file, 1, "", "nested too deep", f"{_DEEPEST} levels", "correct the file"),)
    form = _Form(text, file)
    form.suite(read.document)
    if read.twice:
        found = f"keys that stand twice: {', '.join(read.twice)}"
        form.found.append(Fault(file, _twice_line(text, file), "", found, "each key once", "remove one of them"))
    return tuple(_entries(read, text, form.broken)), tuple(form.found)


def _entries(read: SuiteJson, text: str, broken: set[int]) -> list[Entry]:
    raws = read.document.get("expectations")
    entries, line, at = [], 1, 0
    for n, (raw, offset) in enumerate(zip(raws if isinstance(raws, list) else (), read.offsets, strict=False)):
        line, at = line + text.count("\n", at, offset), offset
        if n not in broken:
            kwargs, meta = raw.get("kwargs") or {}, raw.get("meta") or {}
            entries.append(Entry(n, line, raw["type"], kwargs, meta, raw.get("severity") or "critical", raw))
    return entries


class _Form:
    """Collects what is wrong with a suite's form; `broken` are the expectations that something is wrong with."""

    def __init__(self, text: str, file: str) -> None:
        self.text, self.file = text, file
        self.document: Document | None = None
        self.found: list[Fault] = []
        self.broken: set[int] = set()

    def suite(self, data: Mapping[str, Any]) -> None:
        self._keys(data, _SUITE, ("name", "expectations"), ())
        self._values({key: value for key, value in data.items() if key != "expectations"}, ())
        expectations = data.get("expectations")
        for i, one in enumerate(expectations if isinstance(expectations, list) else ()):
            before = len(self.found)
            self._expectation(one, ("expectations", i))
            if len(self.found) > before:
                self.broken.add(i)

    def _expectation(self, one: Any, path: Path_) -> None:
        if not isinstance(one, dict):
            self._add(path, "not an object", "an object with type and kwargs", "correct it")
            return
        if "type" not in one and "expectation_type" in one:
            found, do = "'type' is missing", "rename `expectation_type` to `type`"
            self._add((*path, "expectation_type"), found, "the name of a GX expectation", do)
        else:
            self._keys(one, _EXPECTATION, ("type",), path)
        severity = one.get("severity")
        if isinstance(severity, str) and severity not in SEVERITIES:
            self._add((*path, "severity"), f"{severity!r} is no severity", ", ".join(SEVERITIES), "choose one")
        if one.get("windows"):
            self._add((*path, "windows"), "windows are not supported", "an empty list", "remove it")
        self._values(one, path)

    def _keys(
        self,
        data: Mapping[str, Any],
        known: Mapping[str, type | tuple[type, ...]],
        needed: tuple[str, ...],
        path: Path_,
    ) -> None:
        for key, value in data.items():
            if key not in known:
                self._add((*path, key), "unknown key", ", ".join(known), "remove or correct it")
            elif not isinstance(value, known[key]):
                types = known[key] if isinstance(known[key], tuple) else (known[key],)
                allowed = " or ".join(_WORDS[t] for t in types)  # type: ignore[union-attr]
                self._add((*path, key), "the wrong type", allowed, "correct it")
        for key in needed:
            if key not in data:
                self._add(path, f"{key!r} is missing", key, "add it")

    def _values(self, value: Any, path: Path_) -> None:
        """Numbers that JSON does not have, which Python reads all the same, and what is nested deeper than anybody looks."""
        if isinstance(value, float) and not math.isfinite(value):
            self._add(path, "a number that JSON does not have, or one too large", "a finite number", "correct it")
        elif isinstance(value, dict | list) and len(path) > _DEEPEST:
            self._add(path[:2], "nested too deep", f"{_DEEPEST} levels", "correct it")
        elif isinstance(value, dict | list):
            for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
                self._values(inner, (*path, key))

    def _add(self, path: Path_, found: str, allowed: str, do: str) -> None:
        if self.document is None:  # JSON is read as YAML for its lines, only when something is wrong
            self.document = parse_yaml(self.text.replace("\t", " "), self.file)[0] or Document(None, None)
        self.found.append(Fault(self.file, self.document.line(path), dotted(path), found, allowed, do))


def _twice_line(text: str, file: str) -> int:
    faults: Sequence[Fault] = parse_yaml(text.replace("\t", " "), file)[1]
    return next((f.line for f in faults if "stands twice" in f.found), 1)
