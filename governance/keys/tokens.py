"""Tokens: AES-256 under an identifier domain's key of a hash of the standardised value (`blocks.py`), kept to 12 bytes.

The value is standardised in DuckDB by the expression of `sql_standard`; `tokens` makes one call over the blocks of a chunk.
Departments join on tokens; `purpose_tokens` makes the consumer's at publish.

Standardised value: text in NFC, full-width ASCII (U+FF01..FF5E) and the ideographic space as their plain forms (the
part of NFKC that identifiers meet), without white space around it, upper case. NULL and blank give no token: blanks
must not join one another.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
from sqlglot import exp

from governance.catalog.types import Field
from governance.keys.blocks import BLOCK_BYTES, identifier_blocks
from governance.keys.names import DigestKeyName, KeyStore
from governance.keys.text_bytes import bytes_of, ends_of

TOKEN_BYTES = 12
_HASH_DIGITS = 64
_FULL_WIDTH = "".join(chr(code) for code in range(0xFF01, 0xFF5F)) + "\u3000"
_SPACES = " \t\r\n\v\f\u00a0\ufeff"
_PLAIN = "".join(chr(code) for code in range(0x21, 0x7F)) + " "


def sql_standard(column_sql: str) -> str:
    """A DuckDB expression: the standardised value (VARCHAR) of `column_sql` (an expression of any type); NULL for NULL and for a blank.

    >>> import duckdb
    >>> values = "(VALUES (' 11x'), ('１１X'), ('  '), (NULL)) AS t(v)"
    >>> duckdb.sql(f"SELECT {sql_standard('v')} AS h FROM {values}").fetchall()
    [('11X',), ('11X',), (None,), (None,)]
    """
    text = f"CAST(({column_sql}) AS VARCHAR)"
    plain = f"translate(nfc_normalize({text}), {_literal(_FULL_WIDTH)}, {_literal(_PLAIN)})"
    ascii_or_plain = f"CASE WHEN strlen({text}) = length({text}) THEN {text} ELSE {plain} END"
    standard = f"upper(trim({ascii_or_plain}, {_literal(_SPACES)}))"
    # most values are standard already: ASCII, upper case, no blank (nor control character) at either end
    is_standard = (
        f"strlen({text}) = length({text}) AND upper({text}) = {text} AND {text} >= '!' AND substr({text}, -1) >= '!'"
    )
    return f"CASE WHEN {is_standard} THEN {text} ELSE nullif({standard}, '') END"


def is_standard(value: str) -> bool:
    """Whether `sql_standard` gives a value back as it is, as it does most; FALSE for some of those as well.

    >>> is_standard("11X"), is_standard("11x"), is_standard(" 11X"), is_standard("")
    (True, False, False, False)
    """
    return value.isascii() and value.upper() == value and value >= "!" and value[-1] >= "!"


def tokens(values: pa.Array, *, keystore: KeyStore, key: DigestKeyName, grant_id: str) -> pa.Array:
    """12-byte tokens (fixed_size_binary) of the standardised values (string), in their order; NULL stays NULL."""
    return _made(values.cast(pa.string()), identifier_blocks, TOKEN_BYTES, keystore, key, grant_id)


def purpose_tokens(values: pa.Array, *, keystore: KeyStore, key: DigestKeyName, grant_id: str) -> pa.Array:
    """The consumer's tokens of domain tokens `values` (binary): AES_purpose(token padded to 16), kept to 12 bytes; NULL
    stays NULL.
    """
    return _made(values.cast(pa.binary(TOKEN_BYTES)), _padded, TOKEN_BYTES, keystore, key, grant_id)


def rowdigest_sql(fields: Sequence[Field]) -> str:
    """A DuckDB expression over the typed columns of `fields`: SHA-256 (VARCHAR, 64 hexadecimal digits, never NULL) of the
    row's canonical text.

    Each value is `<length>:<text at the contract's type>`, NULL is `~`: no two rows share a text, and "20" and "20.0"
    as integers do.
    """
    parts = []
    for field in fields:
        column = exp.to_identifier(field.name, quoted=True).sql("duckdb")
        typed = f"CAST({column} AS {field.type.duckdb()})"
        if field.type.kind == "double":
            typed = f"({typed} + 0.0)"  # -0.0 becomes 0.0
        text = f"CAST({typed} AS VARCHAR)"
        parts.append(
            f"coalesce(concat(CASE WHEN {column} IS NULL THEN NULL ELSE strlen({text}) END || ':', {text}), '~')"
        )
    return f"sha256(concat({', '.join(parts)}))"


def row_digests(hashes: pa.Array, *, keystore: KeyStore, key: DigestKeyName, grant_id: str) -> pa.Array:
    """16-byte keyed digests (fixed_size_binary) of the hashes (string) of `rowdigest_sql`."""
    return _made(hashes.cast(pa.string()), _first_halves, BLOCK_BYTES, keystore, key, grant_id)


def _made(
    values: pa.Array,
    blocks_of: Callable[[pa.Array], bytes],
    keep: int,
    keystore: KeyStore,
    key: DigestKeyName,
    grant_id: str,
) -> pa.Array:
    """The first `keep` bytes of what the key makes of each block; NULL stays NULL."""
    present = values.drop_null() if values.null_count else values
    answer = np.frombuffer(keystore.digest(key, blocks_of(present), grant_id), dtype=np.uint8)
    made = answer.reshape(-1, BLOCK_BYTES)[:, :keep]
    kind = pa.binary(keep)
    if not values.null_count:
        return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(np.ascontiguousarray(made))])
    valid = np.asarray(values.is_valid())
    data = np.zeros((len(values), keep), dtype=np.uint8)
    data[valid] = made
    bitmap = pa.py_buffer(np.packbits(valid, bitorder="little"))
    return pa.Array.from_buffers(kind, len(values), [bitmap, pa.py_buffer(data)])


def _first_halves(hashes: pa.Array) -> bytes:
    """The first 16 bytes of each hash, one after the other; `hashes` has no NULL."""
    if not (np.diff(ends_of(hashes)) == _HASH_DIGITS).all():
        raise ValueError(f"hashes of {_HASH_DIGITS} hexadecimal digits are expected")
    digits = np.frombuffer(bytes_of(hashes), dtype=np.uint8).reshape(-1, _HASH_DIGITS)
    return binascii.unhexlify(digits[:, : 2 * BLOCK_BYTES].tobytes())


def _padded(tokens: pa.Array) -> bytes:
    """Tokens one after the other, each padded with zeros to 16 bytes; `tokens` has no NULL."""
    start, end = tokens.offset * TOKEN_BYTES, (tokens.offset + len(tokens)) * TOKEN_BYTES
    flat = np.frombuffer(tokens.buffers()[1] or b"", dtype=np.uint8)[start:end]
    padded = np.zeros((len(tokens), BLOCK_BYTES), dtype=np.uint8)
    padded[:, :TOKEN_BYTES] = flat.reshape(-1, TOKEN_BYTES)
    return padded.tobytes()


def _literal(text: str) -> str:
    return exp.Literal.string(text).sql("duckdb")
