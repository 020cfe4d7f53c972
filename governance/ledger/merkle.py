"""The Merkle tree of RFC 9162: root, inclusion and consistency proofs over leaf hashes. Pure.

Leaf hashes are SHA-256(0x00 || entry), node hashes SHA-256(0x01 || left || right) (section 2.1.1); the root of no
leaf is SHA-256 of the empty text. Verification follows sections 2.1.3.2 and 2.1.4.2 to the letter, so that a short
independent script gives the same answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

Hash = bytes
Span = Callable[[int, int], Hash]
"""The tree head of leaves `low` (inclusive) to `high` (exclusive)."""


def node_hash(left: Hash, right: Hash) -> Hash:
    """SHA-256(0x01 || left || right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(leaves: Sequence[Hash]) -> Hash:
    """The tree head of these leaf hashes.

    >>> root([]).hex()[:16]
    'e3b0c44298fc1c14'
    >>> leaf = hashlib.sha256(b"\\x00").digest()
    >>> root([leaf]) == leaf, root([leaf, leaf]) == node_hash(leaf, leaf)
    (True, True)
    """
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    return frontier.root()


class Frontier:
    """A tree that only grows, kept as the roots of its complete subtrees: at most one a bit of its size."""

    __slots__ = ("_peaks", "size")

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[Hash] = []

    def append(self, leaf: Hash) -> None:
        size, peaks = self.size, self._peaks
        while size & 1:
            leaf = hashlib.sha256(b"\x01" + peaks.pop() + leaf).digest()
            size >>= 1
        peaks.append(leaf)
        self.size += 1

    def root(self) -> Hash:
        return fold(self._peaks)


def fold(peaks: Sequence[Hash]) -> Hash:
    """The tree head of complete subtrees, the largest first."""
    if not peaks:
        return hashlib.sha256(b"").digest()
    digest = peaks[-1]
    for peak in reversed(peaks[:-1]):
        digest = node_hash(peak, digest)
    return digest


def inclusion_proof(leaves: Sequence[Hash], index: int) -> tuple[Hash, ...]:
    """The audit path of leaf `index` (from 0) in the tree of all `leaves`, lowest first. Raises IndexError outside it.

    >>> leaves = [bytes([n]) * 32 for n in range(7)]
    >>> all(verify_inclusion(leaf, i, 7, inclusion_proof(leaves, i), root(leaves)) for i, leaf in enumerate(leaves))
    True
    """
    return inclusion_path(index, len(leaves), lambda low, high: root(leaves[low:high]))


def inclusion_path(index: int, size: int, span: Span) -> tuple[Hash, ...]:
    """The same over any source of tree heads."""
    if not 0 <= index < size:
        raise IndexError("no such leaf")
    low, high, path = 0, size, []
    while high - low > 1:
        middle = low + split(high - low)
        if index < middle:
            path.append(span(middle, high))
            high = middle
        else:
            path.append(span(low, middle))
            low = middle
    return tuple(reversed(path))


def verify_inclusion(leaf: Hash, index: int, size: int, proof: Sequence[Hash], head: Hash) -> bool:
    """Whether `leaf` stands at `index` of the tree of `size` leaves with this head (RFC 9162 section 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    fn, sn, digest = index, size - 1, leaf
    for part in proof:
        if sn == 0:
            return False
        if fn % 2 or fn == sn:
            digest = node_hash(part, digest)
            while fn % 2 == 0 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            digest = node_hash(digest, part)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and digest == head


def consistency_proof(leaves: Sequence[Hash], old_size: int) -> tuple[Hash, ...]:
    """That the tree of the first `old_size` leaves is a prefix of the tree of all (RFC 9162 section 2.1.4.1).

    >>> leaves = [bytes([n]) * 32 for n in range(7)]
    >>> sizes = range(1, 8)
    >>> all(verify_consistency(n, 7, root(leaves[:n]), root(leaves), consistency_proof(leaves, n)) for n in sizes)
    True
    """
    return consistency_path(old_size, len(leaves), lambda low, high: root(leaves[low:high]))


def consistency_path(old_size: int, size: int, span: Span) -> tuple[Hash, ...]:
    """The same over any source of tree heads."""
    if not 0 < old_size <= size:
        raise IndexError("no such earlier tree")
    low, high, path, whole = 0, size, [], True
    while old_size != high:
        middle = low + split(high - low)
        if old_size <= middle:
            path.append(span(middle, high))
            high = middle
        else:
            path.append(span(low, middle))
            low, whole = middle, False
    if not whole:
        path.append(span(low, high))
    return tuple(reversed(path))


def verify_consistency(old_size: int, new_size: int, old: Hash, new: Hash, proof: Sequence[Hash]) -> bool:
    """Whether the tree (`new_size`, `new`) only appended to (`old_size`, `old`) (RFC 9162 section 2.1.4.2)."""
    if not 0 < old_size <= new_size:
        return False
    if old_size == new_size:
        return not proof and old == new
    path = list(proof)
    if old_size & (old_size - 1) == 0:
        path.insert(0, old)
    if not path:
        return False
    fn, sn = old_size - 1, new_size - 1
    while fn % 2:
        fn, sn = fn >> 1, sn >> 1
    first = second = path[0]
    for part in path[1:]:
        if sn == 0:
            return False
        if fn % 2 or fn == sn:
            first, second = node_hash(part, first), node_hash(part, second)
            while fn % 2 == 0 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            second = node_hash(second, part)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and first == old and second == new


def split(size: int) -> int:
    """The largest power of two smaller than `size` (at least 2).

    >>> [split(n) for n in (2, 3, 4, 5, 8, 9)]
    [1, 2, 2, 4, 4, 8]
    """
    return 1 << (size - 1).bit_length() - 1
