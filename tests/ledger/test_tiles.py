"""The tree in tiles gives the roots and proofs of the tree over all leaves, however it was grown."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.ledger import merkle
from governance.ledger.tiles import Edge, Key, Tree, unfilled

LEAVES = [hashlib.sha256(str(n).encode()).digest() for n in range(70_000)]


def grown(steps: list[int]) -> dict[Key, bytes]:
    """Tiles after appending in `steps`, each time from what was stored."""
    stored: dict[Key, bytes] = {}
    size = 0
    for step in steps:
        edge = Edge(size, {key: stored[key] for key in unfilled(size)})
        edge.extend(LEAVES[size : size + step])
        stored.update(edge.changed())
        size += step
        assert edge.size == size
        assert edge.root() == merkle.root(LEAVES[:size])
    return stored


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 700), min_size=1, max_size=6), st.data())
def test_any_growth_gives_the_same_roots_and_proofs(steps: list[int], data: st.DataObject) -> None:
    stored = grown(steps)
    size = data.draw(st.integers(1, sum(steps)))
    tree, leaves = Tree(size, lambda level, number: stored[(level, number)]), LEAVES[:size]
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    assert tree.root() == merkle.root(leaves)
    assert tree.leaf(index) == leaves[index]
    assert tree.inclusion(index) == merkle.inclusion_proof(leaves, index)
    assert tree.consistency(old) == merkle.consistency_proof(leaves, old)


def test_three_levels_of_tiles() -> None:
    stored = grown([65_535, 1, 4_464])
    assert {level for level, _ in stored} == {0, 1, 2}
    tree = Tree(70_000, lambda level, number: stored[(level, number)])
    for index in (0, 65_535, 65_536, 69_999):
        assert merkle.verify_inclusion(LEAVES[index], index, 70_000, tree.inclusion(index), tree.root())
    proof = tree.consistency(65_600)
    assert merkle.verify_consistency(65_600, 70_000, tree.root(65_600), tree.root(), proof)


def test_a_tile_that_is_missing_or_short_is_refused() -> None:
    with pytest.raises(ValueError, match="too short"):
        Edge(3, {(0, 0): b"\x00" * 64})
    with pytest.raises(ValueError, match="too short"):
        Edge(300)
    with pytest.raises(ValueError, match="too short"):
        Tree(3, lambda level, number: b"").root()
