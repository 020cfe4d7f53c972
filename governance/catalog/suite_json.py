"""A suite's JSON text -> its document, where each expectation begins, and what keys stand twice. Pure; strict about what JSON is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_SPACE = " \t\r\n"
_MOST_DIGITS = 400
"""More than any finite float has: a longer number is read as infinite, and so is a fault where numbers are looked at."""


@dataclass(frozen=True, slots=True)
class SuiteJson:
    """`offsets`: where in the text each item of `expectations` begins; `twice`: keys that stand twice in an object."""

    document: dict[str, Any]
    offsets: tuple[int, ...]
    twice: tuple[str, ...]


def read_json(text: str) -> SuiteJson:
    """The top-level object. Raises JSONDecodeError where it is not JSON, RecursionError when it is nested too deep."""
    twice: set[str] = set()
    decoder = json.JSONDecoder(object_pairs_hook=_pairs(twice), parse_int=_integer)
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
            twice.add(key)
        at = _skip(text, _expect(text, at, ":"))
        if key == "expectations" and text[at : at + 1] == "[":
            offsets = _item_offsets(text, at, decoder)
        document[key], at = decoder.raw_decode(text, at)
    if text[_expect(text, at, "}") :].strip(_SPACE):
        raise json.JSONDecodeError("something follows the object", text, at)
    return SuiteJson(document, tuple(offsets), tuple(sorted(twice)))


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


def _pairs(twice: set[str]) -> Callable[[list[tuple[str, Any]]], dict[str, Any]]:
    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        data = dict(pairs)
        if len(data) < len(pairs):
            names = [key for key, _ in pairs]
            twice.update(key for key in data if names.count(key) > 1)
        return data

    return build


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MOST_DIGITS else float("inf")


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
