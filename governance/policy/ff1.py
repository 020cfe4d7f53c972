"""The mask ff1: format-preserving encryption by FF1 (NIST SP 800-38G) with AES-256, as a function of DuckDB's.

Alphabets: `ff1` digits, `ff1(36)` digits and capitals, `ff1(62)` digits, capitals and small letters. A value that holds
any other character, has fewer than 10⁶ values of its length beside it, or is longer than 128 characters becomes NULL: so
does one that would be its own cipher. Equal values are equal under one key. The tweak is empty; the radix is part of
what FF1 enciphers, so that the same digits differ between alphabets.

`masks.expression` calls the function by name: on a connection where nobody made it, a query with it fails.
"""

from __future__ import annotations

from collections.abc import Mapping

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from fastfpe import ff1

FUNCTION = "gov_ff1"
KEY_BYTES = 32
MOST_CHARACTERS = 128
LEAST_VALUES = 1_000_000
_DIGITS = "0123456789"
_CAPITALS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
ALPHABETS: Mapping[int, str] = {10: _DIGITS, 36: _DIGITS + _CAPITALS, 62: _DIGITS + _CAPITALS + _CAPITALS.lower()}
"""radix -> alphabet, in the order of its numerals."""


def make_function(con: duckdb.DuckDBPyConnection, key: bytes) -> None:
    """Let `con` encipher under `key` (32 bytes): `gov_ff1(text, radix)`, a VARCHAR of the same length, or NULL."""

    def enciphered(values: pa.ChunkedArray, radixes: pa.ChunkedArray) -> pa.Array:
        return cipher(values.combine_chunks(), key, radixes[0].as_py())

    con.create_function(FUNCTION, enciphered, ["VARCHAR", "BIGINT"], "VARCHAR", type="arrow", null_handling="special")


def cipher(values: pa.Array, key: bytes, radix: int) -> pa.Array:
    """The ciphers of `values` (string), each distinct one computed once; NULL where `ff1` says NULL.

    >>> cipher(pa.array(["13800138000", "12345", None, "1380013800X"]), bytes(32), 10).is_valid().to_pylist()
    [True, False, False, False]
    """
    alphabet, text_key = ALPHABETS[radix], key.hex()
    least = next(length for length in range(1, MOST_CHARACTERS) if radix**length >= LEAST_VALUES)
    encoded = values.cast(pa.string()).dictionary_encode()
    distinct = encoded.dictionary
    within = pc.match_substring_regex(distinct, f"^[{_ranges(radix)}]{{{least},{MOST_CHARACTERS}}}$")
    made: list[str | None] = []
    for text, fits in zip(distinct.to_pylist(), within.to_pylist(), strict=True):
        enciphered = _encrypt(text_key, alphabet, text) if fits else None
        made.append(None if enciphered == text else enciphered)
    return pa.array(made, pa.string()).take(encoded.indices)


def _encrypt(key: str, alphabet: str, text: str) -> str:
    try:
        return str(ff1.encrypt(key, "", alphabet, text))
    except ValueError:
        raise RuntimeError("a value could not be enciphered") from None  # the library's message may show it


def _ranges(radix: int) -> str:
    return {10: "0-9", 36: "0-9A-Z", 62: "0-9A-Za-z"}[radix]
