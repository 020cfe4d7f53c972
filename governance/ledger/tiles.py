"""The Merkle tree in tiles of 256 hashes: appending n leaves costs O(n), a proof reads a handful of tiles. Pure.

Tile (0, i) holds leaf hashes 256·i to 256·i + 255; tile (l, i) the roots of 256 full tiles of level l - 1. Only the last
tile of a level may be unfilled, and of no level does a tile hold a root of anything unfinished, so a stored hash never
changes: a tile only grows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from governance.ledger import merkle
from governance.ledger.merkle import Hash

WIDTH = 256
_BITS = 8
_HASH_BYTES = 32

Key = tuple[int, int]
"""Level and number of a tile."""


def unfilled(size: int) -> dict[Key, int]:
    """The unfilled last tiles of a tree of `size` leaves, and how many hashes each has.

    >>> unfilled(3), unfilled(256), unfilled(70_000)
    ({(0, 0): 3}, {(1, 0): 1}, {(0, 273): 112, (1, 1): 17, (2, 0): 1})
    """
    found, level = {}, 0
    while size:
        number, width = divmod(size, WIDTH)
        if width:
            found[(level, number)] = width
        size, level = number, level + 1
    return found


class Edge:
    """The growing end of a tree: its unfilled tiles. `extend` remembers every tile that it changed."""

    def __init__(self, size: int = 0, tiles: Mapping[Key, bytes] | None = None) -> None:
        """`tiles` has the tiles of `unfilled(size)`; a tile that is too short or absent raises ValueError."""
        self.size = size
        self._open: dict[int, list[Hash]] = {}
        self._changed: dict[Key, bytes] = {}
        for key, width in unfilled(size).items():
            hashes = _hashes((tiles or {}).get(key, b""))[:width]
            if len(hashes) != width:
                raise ValueError(f"tile {key[0]}/{key[1]} is too short")
            self._open[key[0]] = hashes

    def extend(self, leaves: Sequence[Hash]) -> None:
        self._add(0, self.size, leaves)
        self.size += len(leaves)

    def root(self) -> Hash:
        """The tree head."""
        peaks: list[Hash] = []
        for level in sorted(self._open, reverse=True):
            peaks += _peaks(self._open[level])
        return merkle.fold(peaks)

    def changed(self) -> dict[Key, bytes]:
        """The tiles that were changed since the last call, as they are now."""
        changed, self._changed = self._changed, {}
        return changed

    def unfilled(self) -> dict[Key, bytes]:
        """The unfilled last tile of each level, as it is now."""
        return {key: b"".join(self._open[key[0]]) for key in unfilled(self.size)}

    def _add(self, level: int, count: int, hashes: Sequence[Hash]) -> None:
        """Append `hashes` to `level`, which has `count` so far."""
        tile = self._open.setdefault(level, [])
        full: list[Hash] = []
        first, taken = count // WIDTH, 0
        while taken < len(hashes):
            part = hashes[taken : taken + WIDTH - len(tile)]
            tile += part
            taken += len(part)
            self._changed[(level, (count + taken - 1) // WIDTH)] = b"".join(tile)
            if len(tile) == WIDTH:
                full.append(merkle.root(tile))
                tile.clear()
        if full:
            self._add(level + 1, first, full)


class Tree:
    """A tree of `size` leaves read through `tile`, which gives a tile's bytes (of this or of any later size)."""

    def __init__(self, size: int, tile: Callable[[int, int], bytes]) -> None:
        self.size = size
        self._tile = tile
        self._read: dict[Key, list[Hash]] = {}

    def leaf(self, index: int) -> Hash:
        return self._node(0, index)

    def root(self, size: int | None = None) -> Hash:
        """The tree head of the first `size` leaves (default: of all)."""
        size = self.size if size is None else size
        return self._span(0, size) if size else merkle.root(())

    def inclusion(self, index: int) -> tuple[Hash, ...]:
        """The audit path of leaf `index`. Raises IndexError outside the tree."""
        return merkle.inclusion_path(index, self.size, self._span)

    def consistency(self, old_size: int) -> tuple[Hash, ...]:
        """That the first `old_size` leaves are a prefix. Raises IndexError outside the tree."""
        return merkle.consistency_path(old_size, self.size, self._span)

    def _span(self, low: int, high: int) -> Hash:
        size = high - low
        if size & (size - 1) == 0 and low % size == 0:
            level = size.bit_length() - 1
            return self._node(level, low >> level)
        middle = low + merkle.split(size)
        return merkle.node_hash(self._span(low, middle), self._span(middle, high))

    def _node(self, level: int, index: int) -> Hash:
        """The root of the complete subtree `index` of height `level`."""
        tile_level, height = divmod(level, _BITS)
        number, offset = divmod(index << height, WIDTH)
        key = (tile_level, number)
        if key not in self._read:
            self._read[key] = _hashes(self._tile(*key))
        hashes = self._read[key][offset : offset + (1 << height)]
        if len(hashes) != 1 << height:
            raise ValueError(f"tile {tile_level}/{number} is too short")
        return merkle.root(hashes)


def _peaks(hashes: Sequence[Hash]) -> list[Hash]:
    """The complete subtrees of a tile's hashes, the largest first."""
    peaks, low = [], 0
    while low < len(hashes):
        size = 1 << ((len(hashes) - low).bit_length() - 1)
        peaks.append(merkle.root(hashes[low : low + size]))
        low += size
    return peaks


def _hashes(tile: bytes) -> list[Hash]:
    return [tile[start : start + _HASH_BYTES] for start in range(0, len(tile), _HASH_BYTES)]
