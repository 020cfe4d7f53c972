"""`expectations/<department>/<dataset>.json` -> a suite in GX's own JSON. Pure; only the shape is judged here, `manage` compiles it.

The keys are those of GX's `ExpectationSuite` and `ExpectationConfiguration` (GX 1.x).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from governance.catalog.types import Suite
from governance.catalog.yaml_tree import Document, dotted, parse_yaml
from governance.errors import Fault

Path_ = tuple[str | int, ...]
_SUITE: Mapping[str, type | tuple[type, ...]] = {
    "name": str, "id": (str, type(None)), "expectations": list, "suite_parameters": (dict, type(None)), "meta": (dict, type(None)),
    "notes": (str, list, type(None)),
}  # fmt: skip
_EXPECTATION: Mapping[str, type | tuple[type, ...]] = {
    "type": str, "kwargs": dict, "meta": (dict, type(None)), "notes": (str, list, type(None)), "id": (str, type(None)),
    "description": (str, type(None)), "severity": (str, type(None)), "rendered_content": (list, type(None)),
    "expectation_context": (dict, type(None)),
}  # fmt: skip
SEVERITIES = ("critical", "warning", "info")
_WORDS = {str: "text", list: "a list", dict: "an object", type(None): "null"}


def parse_suite(text: str, *, file: str, dataset: str) -> tuple[Suite | None, tuple[Fault, ...]]:
    """The suite and what is wrong with its shape. Its expectations are not looked into."""
    twice: list[str] = []
    try:
        data = json.loads(text, object_pairs_hook=_pairs(twice), parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        return None, (Fault(file, error.lineno, "", f"not JSON: {error.msg}", "one JSON object", "correct the file"),)
    except (ValueError, RecursionError) as error:
        return None, (Fault(file, 1, "", f"not JSON: {error}", "one JSON object", "correct the file"),)
    faults = _Shape(text, file).faults(data)
    if twice:
        found = f"keys that stand twice: {', '.join(sorted(set(twice)))}"
        faults.append(Fault(file, _twice_line(text, file), "", found, "each key once", "remove one of them"))
    if faults:
        return None, tuple(faults)
    return Suite(dataset, file, text, hashlib.sha256(text.encode("utf-8")).hexdigest()), ()


class _Shape:
    def __init__(self, text: str, file: str) -> None:
        self.text, self.file = text, file
        self.document: Document | None = None
        self.found: list[Fault] = []

    def faults(self, data: Any) -> list[Fault]:
        if not isinstance(data, dict):
            self._add((), "not an object", "an object with name and expectations", "correct the file")
            return self.found
        self._keys(data, _SUITE, ("name", "expectations"), ())
        expectations = data.get("expectations")
        for i, expectation in enumerate(expectations if isinstance(expectations, list) else ()):
            path: Path_ = ("expectations", i)
            if not isinstance(expectation, dict):
                self._add(path, "not an object", "an object with type and kwargs", "correct it")
                continue
            self._keys(expectation, _EXPECTATION, ("type",), path)
            severity = expectation.get("severity")
            if isinstance(severity, str) and severity not in SEVERITIES:
                self._add((*path, "severity"), f"{severity!r} is no severity", ", ".join(SEVERITIES), "choose one")
        return self.found

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

    def _add(self, path: Path_, found: str, allowed: str, do: str) -> None:
        if self.document is None:  # JSON is read as YAML for its lines, only when something is wrong
            self.document = parse_yaml(self.text.replace("\t", " "), self.file)[0] or Document(None, None)
        self.found.append(Fault(self.file, self.document.line(path), dotted(path), found, allowed, do))


def _pairs(twice: list[str]) -> Callable[[list[tuple[str, Any]]], dict[str, Any]]:
    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        data = dict(pairs)
        if len(data) < len(pairs):
            names = [key for key, _ in pairs]
            twice.extend(key for key in data if names.count(key) > 1)
        return data

    return build


def _twice_line(text: str, file: str) -> int:
    faults = parse_yaml(text.replace("\t", " "), file)[1]
    return next((f.line for f in faults if "stands twice" in f.found), 1)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")
