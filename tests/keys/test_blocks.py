"""What tokens are made of: one hash for each value, the same however the values come, held against a reckoning in Python."""

import hashlib

import pyarrow as pa
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import example, given, settings
from hypothesis import strategies as st

from governance.keys import blocks
from governance.keys.blocks import BLOCK_BYTES, identifier_blocks

CHARACTERS = "0189AXZ"


def _expected(value: str) -> bytes:
    if 1 <= len(value) <= 20 and all("0" <= c <= "9" or "A" <= c <= "Z" for c in value):
        first, rest = (int(part, 36) if part else 0 for part in (value[:10], value[10:]))
        return _hashed(first.to_bytes(7, "little") + bytes([len(value)]) + rest.to_bytes(7, "little") + b"\x01")
    return _hashed(hashlib.sha256(value.encode()).digest()[:15] + b"\x00")


def _hashed(block: bytes) -> bytes:
    key = hashlib.sha256(b"governance: identifier blocks, version 1").digest()[:16]
    made = Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(block)
    return bytes(a ^ b for a, b in zip(made, block, strict=True))


def _blocks(values: pa.Array) -> list[bytes]:
    made = identifier_blocks(values)
    return [made[at : at + BLOCK_BYTES] for at in range(0, len(made), BLOCK_BYTES)]


@settings(deadline=None)
@example(["Z" * 20, "Z" * 21, "Z" * 10, "0", "00", "é", "A-1", "ａ"])
@given(st.lists(st.one_of(st.text(CHARACTERS, min_size=1, max_size=22), st.text(min_size=1, max_size=25)), max_size=8))
def test_blocks_are_those_of_the_definition(values: list[str]) -> None:
    given = pa.array(values, pa.string())
    assert _blocks(given) == [_expected(value) for value in values]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "_FEW", -1)
        assert _blocks(given) == [_expected(value) for value in values], "many at once, as one by one"


@settings(deadline=None)
@given(st.sets(st.text(CHARACTERS, min_size=1, max_size=4), max_size=200))
def test_no_two_values_have_one_block(values: set[str]) -> None:
    assert len(set(_blocks(pa.array(values, pa.string())))) == len(values)


def test_many_values_of_every_kind_at_once_and_a_part_of_them() -> None:
    values = [f"{n:018d}" for n in range(500)] + [f"a{n}" for n in range(500)] + [f"{n}X" for n in range(500)]
    assert _blocks(pa.array(values)) == [_expected(value) for value in values]
    assert _blocks(pa.array(values).slice(495, 10)) == [_expected(value) for value in values[495:505]]
    assert identifier_blocks(pa.array([], pa.string())) == b""
