"""Faults of shape in a declaration: what pydantic says against it, in words for whoever wrote the file; and what is left of it
without them, so that they hide none of its other faults.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from governance.errors import Fault
from governance.policy.source import Place, Source

_TYPES: Mapping[str, str] = {
    "tuple_type": "a list",
    "model_type": "keys and values",
    "model_attributes_type": "keys and values",
    "dict_type": "keys and values",
    "string_type": "text",
    "bool_type": "true, false",
    "bool_parsing": "true, false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
}
_BOUNDS: Mapping[str, tuple[str, str]] = {
    "greater_than_equal": ("ge", "at least {}"),
    "greater_than": ("gt", "more than {}"),
    "less_than_equal": ("le", "at most {}"),
    "less_than": ("lt", "less than {}"),
    "too_short": ("min_length", "at least {} of them"),
    "too_long": ("max_length", "at most {} of them"),
    "string_too_short": ("min_length", "at least {} characters"),
    "string_too_long": ("max_length", "at most {} characters"),
    "string_pattern_mismatch": ("pattern", "text like {}"),
    "literal_error": ("expected", "{}"),
    "enum": ("expected", "{}"),
}
_MEMBERS = frozenset({"str", "int", "bool", "tuple[union[str,int], ...]"})
"""What pydantic calls the members of a value's union: a value that fits none of them is one fault, which allows what they do."""
_SHOWN = 60


def shape_faults(
    source: Source, error: ValidationError, *, place_of: Callable[[Place], Place] = tuple
) -> tuple[Fault, ...]:
    """A fault for each thing that pydantic says. `place_of` leaves out of its places what is no key of the file: kinds of models."""
    items: list[dict[str, Any]] = [dict(item) for item in error.errors(include_url=False)]
    joined: dict[Fault, list[str]] = {}
    for item in items:
        if item["type"] == "too_short" and len(item["input"]) >= item["ctx"]["min_length"]:
            continue  # too few are left of them, and those that are wrong are told of
        place = place_of(item["loc"])
        fault = _fault(source, place[:-1] if place and place[-1] in _MEMBERS else place, item)
        joined.setdefault(replace(fault, allowed=""), []).append(fault.allowed)
    return tuple(replace(fault, allowed=", ".join(filter(None, allowed))) for fault, allowed in joined.items())


@dataclass(frozen=True, slots=True)
class Rest(Source):
    """A declaration without some of its parts; faults stand where they stand in the whole."""

    left: Mapping[str, Any] = field(default_factory=dict)
    kept: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """section -> where in the whole each of its entries stands; sections that are whole are not named."""

    @property
    def data(self) -> Any:
        return self.left

    def fault(self, place: Place, found: str, allowed: str = "", do: str = "") -> Fault:
        if len(place) > 1 and place[0] in self.kept and isinstance(place[1], int):
            place = (place[0], self.kept[str(place[0])][place[1]], *place[2:])
        return Source(self.file, self.document).fault(place, found, allowed, do)


def rest_of(source: Source, places: Iterable[Place], *, named: Mapping[str, str]) -> Rest | None:
    """`source` without the entries (of sections that are lists) and sections that have a fault at `places`. None where what is left
    would be judged wrongly: an entry that others name (`named`: section -> the key of its name) is missing.
    """
    if not isinstance(source.data, dict):
        return None
    left, numbers = dict(source.data), dict[str, set[int]]()
    for place in places:
        section = str(place[0]) if place else ""
        if section in named or section not in left:
            return None
        if len(place) > 1 and isinstance(place[1], int) and isinstance(left[section], list):
            numbers.setdefault(section, set()).add(place[1])
        else:
            del left[section]
            numbers.pop(section, None)
    kept = {}
    for section, wrong in numbers.items():
        kept[section] = tuple(at for at in range(len(left[section])) if at not in wrong)
        left[section] = [left[section][at] for at in kept[section]]
    return Rest(source.file, source.document, left, kept)


def _fault(source: Source, place: Place, item: Mapping[str, Any]) -> Fault:
    kind, given = item["type"], item.get("input")
    found = repr(given)[:_SHOWN] if isinstance(given, str | int | float) else "the wrong type"
    match kind:
        case "extra_forbidden":
            return source.fault(place, "unknown key", do="remove or correct it")
        case "missing":
            return source.fault(place, "is missing", do="add it")
        case "union_tag_invalid" | "union_tag_not_found":
            key = str(item["ctx"]["discriminator"]).strip("'")
            return source.fault((*place, key), f"no such {key}", item["ctx"].get("expected_tags", ""), "choose one")
        case _ if kind in _TYPES:
            return source.fault(place, "the wrong type", _TYPES[kind], "correct it")
        case _ if kind in _BOUNDS:
            name, words = _BOUNDS[kind]
            what = f"{len(given)} of them" if kind in ("too_short", "too_long") and isinstance(given, list) else found
            return source.fault(place, what, words.format(item["ctx"][name]), "correct it")
        case _:
            said, _, allowed = str(item["msg"]).removeprefix("Value error, ").partition("; allowed: ")
            return source.fault(place, said, allowed, "correct it")
