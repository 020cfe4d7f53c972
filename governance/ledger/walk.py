"""One pass over the entries of a ledger: each by itself, in its writer's counter and in its position; and the tree
that they make. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from typing import Any, NoReturn

from governance.ledger.entry import leaf_hash
from governance.ledger.merkle import Frontier
from governance.ledger.stored import Stored
from governance.ledger.tiles import WIDTH, Edge

_SHOWN = 100
_FULL_BYTES = WIDTH * 32


def _refuse(_: str) -> NoReturn:
    raise ValueError("a ledger entry holds no floats")


# `entry.canonical` and its inverse, made once: most of a walk's time is theirs
_DECODE = json.JSONDecoder(parse_float=_refuse, parse_constant=_refuse).decode
_ENCODE = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode

TileReader = Callable[[int, int], bytes]
"""A stored tile's bytes by level and number, empty when it is not there."""


class Problems:
    """The first 100 problems, and how many there were."""

    def __init__(self) -> None:
        self.shown: list[str] = []
        self.count = 0

    def add(self, text: str) -> None:
        self.count += 1
        if len(self.shown) < _SHOWN:
            self.shown.append(text)


class Walk:
    """Fed with entries by position, then with those not yet sequenced. `roots` has the tree head at each size of
    `sizes` that was passed."""

    def __init__(self, problems: Problems, sizes: Collection[int], tile: TileReader | None) -> None:
        self.frontier = Frontier()
        self.roots: dict[int, bytes] = {}
        self.counters: dict[str, int] = {}
        self.sequenced = 0
        self.oldest_unsequenced: str | None = None
        self._problems, self._sizes, self._tile = problems, sizes, tile
        self._edge, self._leaves = Edge(), list[bytes]()
        self._due = 0

    def feed(self, entry: Stored) -> None:
        if not isinstance(entry.body, bytes):
            self._problems.add(f"{entry.where}: its bytes were replaced by text")
            entry = entry._replace(body=str(entry.body).encode("utf-8", "replace"))
        leaf = leaf_hash(entry.body)
        if leaf != entry.leaf_hash:
            self._problems.add(f"{entry.where}: its bytes do not give its leaf hash")
        said = self._parse(entry)
        self._count(entry, said)
        self.frontier.append(leaf)
        if entry.position is None:
            at = said.get("at")
            if isinstance(at, str):
                self.oldest_unsequenced = min(self.oldest_unsequenced or at, at)
            return
        if entry.position != self._due:
            self._problems.add(f"{entry.where}: position {entry.position} stands where {self._due} is due")
        self._due = entry.position + 1
        self.sequenced += 1
        if self.frontier.size in self._sizes:
            self.roots[self.frontier.size] = self.frontier.root()
        self._grow(leaf)

    def finish(self) -> None:
        """Compare the tiles that are not yet full as well."""
        if self._tile is not None:
            self._edge.extend(self._leaves)
            for (level, number), hashes in self._edge.unfilled().items():
                self._compare(level, number, hashes)

    def _parse(self, entry: Stored) -> dict[str, Any]:
        """What the bytes say; empty when they say nothing that can be read."""
        try:
            body = _DECODE(entry.body.decode("utf-8"))
            if _ENCODE(body).encode("utf-8") != entry.body:
                self._problems.add(f"{entry.where}: its bytes are not canonical")
        except (ValueError, RecursionError):
            self._problems.add(f"{entry.where}: its bytes are no entry")
            return {}
        said = body if isinstance(body, dict) else {}
        if entry.writer is not None:
            at = entry.recorded_at.isoformat(timespec="microseconds") if entry.recorded_at is not None else None
            beside = (entry.writer, entry.counter, entry.kind, at)
            if beside != (said.get("writer"), said.get("counter"), said.get("kind"), said.get("at")):
                self._problems.add(f"{entry.where}: writer, counter, kind or time differ from its bytes")
        return said

    def _count(self, entry: Stored, said: dict[str, Any]) -> None:
        """The columns count where there are some, else the bytes."""
        writer, counter = entry.writer, entry.counter
        if writer is None:
            writer, counter = said.get("writer"), said.get("counter")
        if not isinstance(writer, str) or not isinstance(counter, int):
            self._problems.add(f"{entry.where}: it names no writer and counter")
            return
        due = self.counters.get(writer, 0) + 1
        if counter != due:
            self._problems.add(f"{entry.where}: writer {writer[:8]} counts {counter} where {due} is due")
        self.counters[writer] = counter

    def _grow(self, leaf: bytes) -> None:
        if self._tile is None:
            return
        self._leaves.append(leaf)
        if len(self._leaves) == WIDTH:
            self._edge.extend(self._leaves)
            self._leaves.clear()
            for (level, number), hashes in self._edge.changed().items():
                if len(hashes) == _FULL_BYTES:
                    self._compare(level, number, hashes)

    def _compare(self, level: int, number: int, hashes: bytes) -> None:
        if self._tile is not None and self._tile(level, number) != hashes:
            self._problems.add(f"tile {level}/{number} of the tree is not what its entries give")
