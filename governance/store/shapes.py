"""Text of a fixed shape (`^[0-9]{17}[0-9X]$`) judged in Arrow, over all bytes of a batch at once: a regular expression takes the parser thirty
times as long. For patterns that are a row of ASCII characters and classes with fixed counts, from start to end; all others stay in SQL.

Such a pattern is met by exactly the texts of its length in bytes whose every byte is in the class of its place: a character beyond ASCII has
bytes that no class holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import sqlglot
from sqlglot import exp

from governance.catalog.rules import RowRule
from governance.keys.text_bytes import bytes_of, ends_of
from governance.store.plan import Plan

_MOST_CLASSES = 8
"""Distinct classes of one shape: a bit each of what a byte is looked up in."""
_MOST_BYTES = 64
_AT_ONCE = 16_384
"""Texts whose bytes stay in the processor's cache."""

_ITEM = re.compile(r"(?P<class>\[[^\]\[\\^]+\])|\\(?P<digit>d)|(?P<literal>[A-Za-z0-9_ :/-])|\\(?P<escaped>[.()/+*?-])")
_COUNT = re.compile(r"\{(\d{1,2})\}")
_RANGE = re.compile(r"([ -~])-([ -~])|([ -,.-~])")


@dataclass(frozen=True, slots=True)
class Shape:
    """Reason `bit`: texts of `column` have a byte of class `needed[place]` (a bit of `table[byte]`) at every place, and no other byte."""

    bit: int
    column: str
    table: bytes
    needed: npt.NDArray[np.uint8]

    def broken(self, batch: pa.RecordBatch) -> npt.NDArray[np.bool_]:
        """Rows whose text is there and has another shape."""
        values = batch.column(self.column)
        lengths = np.diff(ends_of(values))
        of_length: npt.NDArray[np.bool_] = lengths == len(self.needed)
        if of_length.all() and not values.null_count:
            return self._other(values)
        present: npt.NDArray[np.bool_] = values.is_valid().to_numpy(zero_copy_only=False)
        looked = present & of_length
        broken: npt.NDArray[np.bool_] = present & ~of_length
        broken[looked] = self._other(values.filter(pa.array(looked)))
        return broken

    def _other(self, values: pa.Array) -> npt.NDArray[np.bool_]:
        """Of texts that all have the length: which have a byte that is not of its place's class."""
        other = np.zeros(len(values), dtype=bool)
        for start in range(0, len(values), _AT_ONCE):
            part = values.slice(start, _AT_ONCE)
            classes = np.frombuffer(bytes_of(part).translate(self.table), dtype=np.uint8)
            places = classes.reshape(-1, len(self.needed))
            wrong = (places & self.needed) == 0
            if wrong.any():
                other[start : start + len(part)] = wrong.any(axis=1)
        return other


def shapes(plan: Plan) -> tuple[Shape, ...]:
    """The row rules of the plan that can be judged so: their bits are left out of the statement (`Plan.beside`)."""
    if plan.careful:
        return ()
    found = (_shape(plan, bit, rule) for bit, rule in enumerate(plan.reasons) if isinstance(rule, RowRule))
    return tuple(shape for shape in found if shape is not None)


def classes_of(pattern: str) -> tuple[frozenset[int], ...] | None:
    """The class of every place (codes of ASCII characters); None for a pattern that is no such shape.

    >>> [len(c) for c in classes_of(r"^R-[0-9]{2}[0-9X]$")], classes_of("^[0-9]+$"), classes_of("[0-9]{4}")
    ([1, 1, 10, 10, 11], None, None)
    """
    if not (pattern.startswith("^") and pattern.endswith("$")):
        return None
    at, end, places = 1, len(pattern) - 1, []
    while at < end:
        item = _ITEM.match(pattern, at, end)
        held = _members(item) if item else None
        if item is None or held is None:
            return None
        at, times = item.end(), 1
        if count := _COUNT.match(pattern, at, end):
            at, times = count.end(), int(count[1])
        places += [held] * times
    few = len(set(places)) <= _MOST_CLASSES and len(places) <= _MOST_BYTES
    return tuple(places) if places and few else None


def _members(item: re.Match[str]) -> frozenset[int] | None:
    """The characters of one item; None for a class that is written in another way than ranges and plain characters."""
    if item["digit"]:
        return frozenset(b"0123456789")
    if not item["class"]:
        return frozenset((item["literal"] or item["escaped"]).encode())
    text, at, held = item["class"][1:-1], 0, set()
    while at < len(text):
        part = _RANGE.match(text, at)
        if part is None:
            return None
        first, last = (part[1], part[2]) if part[1] else (part[3], part[3])
        if first > last:
            return None
        held |= set(range(ord(first), ord(last) + 1))
        at = part.end()
    return frozenset(held)


def _shape(plan: Plan, bit: int, rule: RowRule) -> Shape | None:
    kinds = {f.name: f.type.kind for f in plan.dataset.fields}
    skip = plan.skip(rule)
    if rule.id in plan.errored or len(rule.columns) != 1 or kinds.get(rule.columns[0]) != "string":
        return None
    if skip.kind not in ("none", "nulls") or (skip.kind == "nulls" and skip.name != rule.columns[0]):
        return None
    pattern = _pattern(rule.unexpected, rule.columns[0])
    places = classes_of(pattern) if pattern is not None else None
    if places is None:
        return None
    bits = {held: 1 << number for number, held in enumerate(dict.fromkeys(places))}
    table = bytes(sum(flag for held, flag in bits.items() if byte in held) for byte in range(256))
    return Shape(bit, rule.columns[0], table, np.array([bits[held] for held in places], dtype=np.uint8))


@lru_cache(maxsize=4096)
def _pattern(unexpected: str, name: str) -> str | None:
    """The pattern of a rule that says no more than that its column must match it."""
    tree = sqlglot.parse_one(unexpected, dialect="duckdb")
    parts = list(_inside(tree))
    match = parts[-1]
    if [type(part) for part in parts[:-1]] != [exp.Not] or not isinstance(match, exp.RegexpLike):
        return None
    column, pattern = match.this, match.expression
    given = {name for name, value in match.args.items() if value}
    if given != {"this", "expression"} or not isinstance(column, exp.Column) or column.name != name:
        return None
    return str(pattern.this) if isinstance(pattern, exp.Literal) and pattern.is_string else None


def _inside(tree: exp.Expr) -> Iterator[exp.Expr]:
    """The expression, and what stands in it under NOT; parentheses are looked through."""
    tree = tree.unnest()
    yield tree
    if isinstance(tree, exp.Not):
        yield from _inside(tree.this)
