"""ff1 against NIST's sample vectors, and against FF1 written down from the standard; as a mask on real DuckDB."""

from __future__ import annotations

import math

import duckdb
import pyarrow as pa
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from fastfpe import ff1 as library
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot import exp

from governance.catalog.types import ColumnType
from governance.policy.ff1 import ALPHABETS, cipher, make_function
from governance.policy.masks import Mask, coarser, expression

KEYS = (
    "2B7E151628AED2A6ABF7158809CF4F3C",
    "2B7E151628AED2A6ABF7158809CF4F3CEF4359D8D580AA4F",
    "2B7E151628AED2A6ABF7158809CF4F3CEF4359D8D580AA4F7F036D6F04FC6A94",
)
DIGITS, LETTERS = "0123456789", "0123456789abcdefghijklmnopqrstuvwxyz"
TWEAKS = ("", "39383736353433323130", "3737373770717273373737")
SAMPLES = [  # NIST, FF1 samples 1 to 9
    (0, TWEAKS[0], DIGITS, "0123456789", "2433477484"),
    (0, TWEAKS[1], DIGITS, "0123456789", "6124200773"),
    (0, TWEAKS[2], LETTERS, "0123456789abcdefghi", "a9tv40mll9kdu509eum"),
    (1, TWEAKS[0], DIGITS, "0123456789", "2830668132"),
    (1, TWEAKS[1], DIGITS, "0123456789", "2496655549"),
    (1, TWEAKS[2], LETTERS, "0123456789abcdefghi", "xbj3kv35jrawxv32ysr"),
    (2, TWEAKS[0], DIGITS, "0123456789", "6657667009"),
    (2, TWEAKS[1], DIGITS, "0123456789", "1001623463"),
    (2, TWEAKS[2], LETTERS, "0123456789abcdefghi", "xs8a0azh2avyalyzuwd"),
]
KEY = bytes.fromhex(KEYS[2])


@pytest.mark.parametrize(("key", "tweak", "alphabet", "plain", "expected"), SAMPLES)
def test_the_library_and_the_reference_give_nists_samples(key, tweak, alphabet, plain, expected):
    assert library.encrypt(KEYS[key], tweak, alphabet, plain) == expected
    assert reference(bytes.fromhex(KEYS[key]), bytes.fromhex(tweak), alphabet, plain) == expected


def reference(key: bytes, tweak: bytes, alphabet: str, text: str) -> str:
    """FF1.Encrypt, NIST SP 800-38G, algorithm 7, step by step."""
    radix, n, t = len(alphabet), len(text), len(tweak)
    numerals = [alphabet.index(character) for character in text]
    u = n // 2
    v = n - u
    a, b = numerals[:u], numerals[u:]
    size = math.ceil(math.ceil(v * math.log2(radix)) / 8)
    d = 4 * math.ceil(size / 4) + 4
    p = bytes([1, 2, 1]) + radix.to_bytes(3, "big") + bytes([10, u % 256]) + n.to_bytes(4, "big") + t.to_bytes(4, "big")
    aes = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    for i in range(10):
        q = tweak + bytes((-t - size - 1) % 16) + bytes([i]) + _number(b, radix).to_bytes(size, "big")
        r = bytes(16)
        for at in range(0, len(p + q), 16):
            r = aes.update(bytes(x ^ y for x, y in zip(r, (p + q)[at : at + 16], strict=True)))
        s = r + b"".join(
            aes.update((int.from_bytes(r, "big") ^ j).to_bytes(16, "big")) for j in range(1, math.ceil(d / 16))
        )
        m = u if i % 2 == 0 else v
        c = (_number(a, radix) + int.from_bytes(s[:d], "big")) % radix**m
        a, b = b, [c // radix ** (m - 1 - at) % radix for at in range(m)]
    return "".join(alphabet[numeral] for numeral in a + b)


def _number(numerals: list[int], radix: int) -> int:
    total = 0
    for numeral in numerals:
        total = total * radix + numeral
    return total


@settings(max_examples=150, deadline=None)
@given(data=st.data(), key=st.binary(min_size=32, max_size=32), radix=st.sampled_from(sorted(ALPHABETS)))
def test_ciphers_are_those_of_the_standard_and_can_be_undone(data, key, radix):
    alphabet = ALPHABETS[radix]
    texts = data.draw(st.lists(st.text(alphabet, min_size=6, max_size=40), min_size=1, max_size=8))
    ciphers = cipher(pa.array(texts), key, radix).to_pylist()
    for text, made in zip(texts, ciphers, strict=True):
        wanted = reference(key, b"", alphabet, text)
        assert made == (None if wanted == text else wanted)
        assert library.decrypt(key.hex(), "", alphabet, wanted) == text


def test_what_does_not_fit_its_alphabet_or_is_too_short_becomes_null():
    digits = [
        "13800138000",
        "12345",
        "123456",
        "",
        "１３８００１３８０００",
        "138-0013-8000",
        "13800138000\n",
        "9" * 129,
        None,
        "😀" * 8,
    ]
    assert cipher(pa.array(digits), KEY, 10).is_valid().to_pylist() == [True, False, True, *[False] * 7]
    letters = ["AB12", "AB12C", "ab12c", "91110000MA0012345X", "王小明王小明"]
    assert cipher(pa.array(letters), KEY, 36).is_valid().to_pylist() == [True, True, False, True, False]
    assert cipher(pa.array(["ab1", "aB12"]), KEY, 62).is_valid().to_pylist() == [False, True]


def masked(con, text, values):
    made = expression(Mask.parse(text), exp.column("v", quoted=True), ColumnType("string")).sql("duckdb")
    found = con.execute(f"SELECT {made} FROM (SELECT unnest(?::VARCHAR[]) AS v)", [values])  # noqa: S608
    return [value for (value,) in found.fetchall()]


def test_the_mask_keeps_length_and_alphabet_and_equal_values_equal():
    with duckdb.connect() as con:
        make_function(con, KEY)
        values = [f"{13800000000 + n % 500}" for n in range(5000)] + [None, "x"]
        ciphers = masked(con, "ff1", values)
    assert ciphers[-2:] == [None, None]
    assert all(len(made) == 11 and made.isdigit() for made in ciphers[:-2])
    assert len({*ciphers[:-2]}) == 500
    assert ciphers[:500] == ciphers[500:1000]
    assert not set(ciphers) & set(values[:-2])


def test_without_its_key_a_connection_gives_nothing():
    with duckdb.connect() as con, pytest.raises(duckdb.CatalogException):
        masked(con, "ff1", ["13800138000"])


def test_ff1_takes_only_its_own_radixes_and_compares_with_nothing_that_shows():
    for text in ("ff1(10)", "ff1(2)", "ff1(0)"):
        with pytest.raises(ValueError, match="ff1"):
            Mask.parse(text)
    assert [str(Mask.parse(text)) for text in ("ff1", "ff1(36)", "ff1(62)")] == ["ff1", "ff1(36)", "ff1(62)"]
    assert coarser(Mask("ff1"), Mask("ff1", 36)) is None
    assert coarser(Mask("ff1"), Mask("phone")) is None
