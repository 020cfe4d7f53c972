"""Tokens: AES-256 under an identifier domain's key of the first 16 bytes of SHA-256 of the standardised value, kept to
12 bytes.

The hash is computed in DuckDB by the expression of `sql_digest_input`; the key holder sees only hashes. `tokens` makes
one call over the contiguous blocks of a chunk. Departments join on tokens; `purpose_tokens` makes the consumer's at
publish.

Standardised value: text in NFC, full-width ASCII (U+FF01..FF5E) and the ideographic space as their plain forms (the
part of NFKC that identifiers meet), without white space around it, upper case. NULL and blank give no token: blanks
must not join one another.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sqlglot import exp

from governance.catalog.types import Field
from governance.keys.names import DigestKeyName, KeyStore

TOKEN_BYTES = 12
BLOCK_BYTES = 16
_FULL_WIDTH = "".join(chr(code) for code in range(0xFF01, 0xFF5F)) + "\u3000"
_SPACES = " \t\r\n\v\f\u00a0\ufeff"
_PLAIN = "".join(chr(code) for code in range(0x21, 0x7F)) + " "


def sql_digest_input(column_sql: str) -> str:
    """A DuckDB expression: the 16 bytes (BLOB) that stand for the value of `column_sql` (an expression of any type), or
    NULL.

    >>> import duckdb
    >>> values = "(VALUES (' 11x'), ('１１X'), ('  '), (NULL)) AS t(v)"
    >>> blocks = duckdb.sql(f"SELECT {sql_digest_input('v')} AS b FROM {values}").fetchall()
    >>> blocks[0] == blocks[1], len(blocks[0][0]), blocks[2:]
    (True, 16, [(None,), (None,)])
    """
    text = f"CAST(({column_sql}) AS VARCHAR)"
    plain = f"translate(nfc_normalize({text}), {_literal(_FULL_WIDTH)}, {_literal(_PLAIN)})"
    ascii_or_plain = f"CASE WHEN strlen({text}) = length({text}) THEN {text} ELSE {plain} END"
    standard = f"upper(trim({ascii_or_plain}, {_literal(_SPACES)}))"
    # most values are standard already: ASCII, upper case, no blank (nor control character) at either end
    is_standard = (
        f"strlen({text}) = length({text}) AND upper({text}) = {text} AND {text} >= '!' AND right({text}, 1) >= '!'"
    )
    quick = f"CASE WHEN {is_standard} THEN {text} ELSE nullif({standard}, '') END"
    return f"unhex(left(sha256({quick}), 32))"


def tokens(blocks: pa.Array, *, keystore: KeyStore, key: DigestKeyName, grant_id: str) -> pa.Array:
    """12-byte tokens (fixed_size_binary) of 16-byte `blocks` (binary), in their order; NULL stays NULL."""
    return _encrypted(blocks, TOKEN_BYTES, keystore, key, grant_id)


def purpose_tokens(values: pa.Array, *, keystore: KeyStore, key: DigestKeyName, grant_id: str) -> pa.Array:
    """The consumer's tokens of domain tokens `values`: AES_purpose(token padded to 16), kept to 12 bytes; NULL stays
    NULL.
    """
    return _encrypted(values, TOKEN_BYTES, keystore, key, grant_id)


def rowdigest_sql(fields: Sequence[Field]) -> str:
    """A DuckDB expression over the typed columns of `fields`: 16 bytes (BLOB, never NULL) of the row's canonical text.

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
    return f"unhex(left(sha256(concat({', '.join(parts)})), 32))"


def row_digests(blocks: pa.Array, *, keystore: KeyStore, key: DigestKeyName, grant_id: str) -> pa.Array:
    """16-byte keyed digests (fixed_size_binary) of the blocks of `rowdigest_sql`."""
    return _encrypted(blocks, BLOCK_BYTES, keystore, key, grant_id)


def _encrypted(blocks: pa.Array, keep: int, keystore: KeyStore, key: DigestKeyName, grant_id: str) -> pa.Array:
    present = blocks.drop_null() if blocks.null_count else blocks
    wanted = _contiguous(present)
    made = np.frombuffer(keystore.digest(key, wanted, grant_id), dtype=np.uint8).reshape(-1, BLOCK_BYTES)[:, :keep]
    kind = pa.binary(keep)
    if not blocks.null_count:
        return pa.Array.from_buffers(kind, len(blocks), [None, pa.py_buffer(np.ascontiguousarray(made))])
    valid = np.asarray(blocks.is_valid())
    data = np.zeros((len(blocks), keep), dtype=np.uint8)
    data[valid] = made
    bitmap = pa.py_buffer(np.packbits(valid, bitorder="little"))
    return pa.Array.from_buffers(kind, len(blocks), [bitmap, pa.py_buffer(data)])


def _contiguous(present: pa.Array) -> bytes:
    """The bytes of all values one after the other, each padded with zeros to 16; `present` has no NULL."""
    if pa.types.is_fixed_size_binary(present.type):
        width = present.type.byte_width
        start = present.offset * width
        flat = np.frombuffer(present.buffers()[1], dtype=np.uint8)[start : start + len(present) * width]
    else:
        present = present.cast(pa.binary()) if not pa.types.is_binary(present.type) else present
        _, offsets_buffer, data = present.buffers()
        offsets = np.frombuffer(offsets_buffer, dtype=np.int32)[present.offset : present.offset + len(present) + 1]
        widths = np.diff(offsets)
        if len(widths) and not (widths == widths[0]).all():
            raise ValueError("values of one width are expected")
        width = int(widths[0]) if len(widths) else BLOCK_BYTES
        flat = (
            np.frombuffer(data or b"", dtype=np.uint8)[offsets[0] : offsets[-1]]
            if len(present)
            else np.empty(0, np.uint8)
        )
    return _padded(flat, width)


def _padded(flat: npt.NDArray[np.uint8], width: int) -> bytes:
    if width == BLOCK_BYTES:
        return flat.tobytes()
    if not 0 < width < BLOCK_BYTES:
        raise ValueError(f"values of {width} bytes; at most {BLOCK_BYTES} are expected")
    padded = np.zeros((len(flat) // width, BLOCK_BYTES), dtype=np.uint8)
    padded[:, :width] = flat.reshape(-1, width)
    return padded.tobytes()


def _literal(text: str) -> str:
    return exp.Literal.string(text).sql("duckdb")
