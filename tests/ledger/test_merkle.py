"""Proofs of RFC 9162, also against the test vectors that Certificate Transparency implementations share."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.ledger.entry import leaf_hash
from governance.ledger.merkle import (
    consistency_proof,
    inclusion_proof,
    root,
    verify_consistency,
    verify_inclusion,
)

INPUTS = [bytes.fromhex(h) for h in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657")]
INPUTS.append(bytes.fromhex("606162636465666768696a6b6c6d6e6f"))
LEAVES = [leaf_hash(i) for i in INPUTS]
ROOTS = {
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    4: "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    5: "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    6: "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    7: "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


@pytest.mark.parametrize("size", ROOTS)
def test_roots_equal_the_shared_vectors(size: int) -> None:
    assert root(LEAVES[:size]).hex() == ROOTS[size]


def leaves_of(size: int) -> list[bytes]:
    return [hashlib.sha256(str(n).encode()).digest() for n in range(size)]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 70), st.data())
def test_every_leaf_has_a_proof_that_fits_it_alone(size: int, data: st.DataObject) -> None:
    leaves = leaves_of(size)
    index = data.draw(st.integers(0, size - 1))
    proof, head = inclusion_proof(leaves, index), root(leaves)
    assert verify_inclusion(leaves[index], index, size, proof, head)
    assert not verify_inclusion(hashlib.sha256(b"other").digest(), index, size, proof, head)
    assert not verify_inclusion(leaves[index], index, size, [*proof, head], head)
    if size > 1:
        assert not verify_inclusion(leaves[index], (index + 1) % size, size, proof, head)
        assert not verify_inclusion(leaves[index], index, size, proof[:-1], head)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 70), st.data())
def test_a_tree_that_only_grew_is_consistent_and_a_changed_past_is_not(size: int, data: st.DataObject) -> None:
    leaves = leaves_of(size)
    old = data.draw(st.integers(1, size))
    proof = consistency_proof(leaves, old)
    assert verify_consistency(old, size, root(leaves[:old]), root(leaves), proof)
    forked = [hashlib.sha256(b"fork").digest(), *leaves[1:]]
    assert not verify_consistency(old, size, root(forked[:old]), root(leaves), proof)
    if old < size:
        assert not verify_consistency(old, size, root(leaves[:old]), root(forked), proof)
        assert not verify_consistency(old, size, root(leaves[:old]), root(leaves), proof[:-1])


def test_proofs_outside_the_tree_are_refused() -> None:
    with pytest.raises(IndexError):
        inclusion_proof(LEAVES, 8)
    with pytest.raises(IndexError):
        consistency_proof(LEAVES, 0)
    assert not verify_inclusion(LEAVES[0], 1, 1, [], LEAVES[0])
    assert not verify_consistency(3, 2, LEAVES[0], LEAVES[0], [])
