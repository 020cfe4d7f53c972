"""Files with encrypted columns as DuckDB reads them: plain Parquet, decrypted on demand, in memory alone.

Parquet Modular Encryption encrypts each page and each page header as a module of its own. A column chunk that is
wanted is decrypted, module by module, into pages that follow one another at the chunk's own place in the file; the
footer is given without what says that it was encrypted. So DuckDB's reader, which skips and works in parallel, reads
encrypted columns as it reads clear ones; columns that nobody asked for stay as they lie. Every module is
authenticated with its place (file, row group, column, page), the footer by its signature: what was changed, moved or
cut off does not open.

The form is what `kms.Encryptor` has PyArrow write: plaintext footer, AES_GCM_V1, key material inside, doubly wrapped
(parquet-format, Encryption.md; key material as in the key tools of parquet-java and Arrow). Any other is Damaged.
"""

from __future__ import annotations

import base64
import json
import os
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from governance.errors import Damaged, StorageError
from governance.keys.names import KeyName, KeyStore
from governance.lake.sealed_footer import Footer
from governance.lake.thrift import Walk, number

_MAGIC = b"PAR1"
_NONCE_BYTES, _TAG_BYTES = 12, 16
_MODULE_BYTES = 4 + _NONCE_BYTES + _TAG_BYTES
"""What a module is longer than what is in it: its length, nonce and tag."""
_FOOTER, _DATA, _DICTIONARY, _DATA_HEADER, _DICTIONARY_HEADER = 0, 2, 3, 4, 5
_HELD_BYTES = 16 << 20
"""Decrypted chunks that a file keeps at most: DuckDB mostly asks for a chunk once, as a whole."""


class DataKeys:
    """Data keys under one grant. A key-encryption key is unwrapped once for all files that share it."""

    def __init__(self, keystore: KeyStore, grant_id: str) -> None:
        self._keystore, self._grant_id = keystore, grant_id
        self._wrapping: dict[tuple[str, str], AESGCM] = {}
        self._lock = threading.Lock()

    def cipher(self, material: bytes) -> AESGCM:
        """The cipher of the data key in key material (JSON). Raises Refused without the right."""
        told = json.loads(material)
        if told.get("keyMaterialType") != "PKMT1" or not told.get("internalStorage") or not told.get("doubleWrapping"):
            raise ValueError("key material of another form")
        known = str(told["masterKeyID"]), str(told["wrappedKEK"])
        with self._lock:
            if known not in self._wrapping:
                self._wrapping[known] = AESGCM(self._keystore.unwrap(KeyName.parse(known[0]), known[1], self._grant_id))
        wrapped = base64.b64decode(told["wrappedDEK"])
        opened = self._wrapping[known].decrypt(
            wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], base64.b64decode(told["keyEncryptionKeyID"])
        )
        return AESGCM(opened)


class PlainFile:
    """One file as plain Parquet, with `columns` (names of top-level columns) decrypted. Threads may share it.

    Raises Refused without the right on a key, Damaged when the file is not as it was written.
    """

    def __init__(self, path: Path, columns: Collection[str], keys: DataKeys) -> None:
        self._path = path
        self._held: OrderedDict[int, bytearray] = OrderedDict()
        self._held_bytes = 0
        self._lock = threading.Lock()
        try:
            self._handle = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise StorageError(f"a data file cannot be opened: {error.strerror}", where=path.name) from None
        self._body_bytes, signed = self._footer()
        try:
            footer = Footer.read(signed[: -_NONCE_BYTES - _TAG_BYTES])
            _require_signature(footer, signed, keys)
            self._chunks = _chunks(footer, columns, keys)
        except (IndexError, KeyError, ValueError, InvalidTag):
            raise Damaged("the footer of a data file is not as it was written", where=path.name) from None
        self._unique = footer.unique
        self._starts = [chunk.start for chunk in self._chunks]
        made = footer.without(columns)
        self._tail = made + len(made).to_bytes(4, "little") + _MAGIC
        self.size_bytes = self._body_bytes + len(self._tail)

    def __del__(self) -> None:
        if hasattr(self, "_handle"):
            os.close(self._handle)

    def read(self, offset: int, size: int) -> bytes:
        """At most `size` bytes of the plain file."""
        return b"".join(self._pieces(offset, min(offset + size, self.size_bytes)))

    def _pieces(self, at: int, end: int) -> Iterator[bytes | memoryview]:
        while at < end:
            nearest = bisect_right(self._starts, at) - 1
            chunk = self._chunks[nearest] if nearest >= 0 else None
            if at >= self._body_bytes:
                until = end
                yield self._tail[at - self._body_bytes : end - self._body_bytes]
            elif chunk is not None and at < chunk.start + chunk.size:
                until = min(end, chunk.start + chunk.size)
                yield memoryview(self._plain(nearest))[at - chunk.start : until - chunk.start]
            else:
                following = self._starts[nearest + 1] if nearest + 1 < len(self._starts) else self._body_bytes
                until = min(end, following)
                yield self._raw(at, until - at)
            at = until

    def _plain(self, nearest: int) -> bytearray:
        with self._lock:
            if nearest in self._held:
                self._held.move_to_end(nearest)
                return self._held[nearest]
        chunk = self._chunks[nearest]
        try:
            made = chunk.decrypted(memoryview(self._raw(chunk.start, chunk.size)), self._unique)
        except (IndexError, ValueError, InvalidTag):
            where = self._path.name
            raise Damaged("a page of a data file does not open: changed, moved or cut off", where=where) from None
        with self._lock:
            if nearest not in self._held:
                self._held[nearest] = made
                self._held_bytes += len(made)
            while self._held_bytes > _HELD_BYTES and len(self._held) > 1:
                self._held_bytes -= len(self._held.popitem(last=False)[1])
        return made

    def _raw(self, offset: int, size: int) -> bytes:
        data = os.pread(self._handle, size, offset)
        if len(data) < size:
            raise Damaged("a data file was cut off", where=self._path.name)
        return data

    def _footer(self) -> tuple[int, bytes]:
        """Where the footer begins, and the footer with its signature."""
        size = os.fstat(self._handle).st_size
        end = self._raw(max(size - 8, 0), min(size, 8))
        length = int.from_bytes(end[:4], "little")
        if end[4:] != _MAGIC or not _NONCE_BYTES + _TAG_BYTES < length <= size - 8:
            raise Damaged("a data file is not Parquet with encrypted columns", where=self._path.name)
        return size - 8 - length, self._raw(size - 8 - length, length)


@dataclass(frozen=True, slots=True)
class _Chunk:
    """A column chunk to decrypt."""

    start: int
    size: int
    group: int
    column: int
    has_dictionary: bool
    cipher: AESGCM

    def decrypted(self, sealed: memoryview, unique: bytes) -> bytearray:
        """Its pages in the clear, one after the other, and zeros up to its size as it lies."""
        made, filled, at, page = bytearray(self.size), 0, 0, 0
        place = self.group.to_bytes(2, "little") + self.column.to_bytes(2, "little")
        kinds, order = (_DICTIONARY_HEADER, _DICTIONARY), b""
        while at < len(sealed):
            if page or not self.has_dictionary:
                kinds, order = (_DATA_HEADER, _DATA), (page - self.has_dictionary).to_bytes(2, "little")
            nonce, text, at = _module(sealed, at)
            header = self.cipher.decrypt(nonce, text, unique + bytes(kinds[:1]) + place + order)
            nonce, text, at = _module(sealed, at)
            body_bytes = len(text) - _TAG_BYTES
            header = _shorter(header, body_bytes)
            begin = filled + len(header)
            filled = begin + body_bytes
            made[begin - len(header) : begin] = header
            body = memoryview(made)[begin:filled]
            self.cipher.decrypt_into(nonce, text, unique + bytes(kinds[1:]) + place + order, body)
            page += 1
        return made


def _module(sealed: memoryview, at: int) -> tuple[memoryview, memoryview, int]:
    """Nonce and sealed text of the module at `at`, and where the next one begins."""
    begin = at + 4
    end = begin + int.from_bytes(sealed[at:begin], "little")
    if not begin + _NONCE_BYTES + _TAG_BYTES <= end <= len(sealed):
        raise ValueError("a module that goes on beyond its chunk")
    return sealed[begin : begin + _NONCE_BYTES], sealed[begin + _NONCE_BYTES : end], end


def _shorter(header: bytes, body_bytes: int) -> bytes:
    """A page header whose third field, the size of the page as it lies, is the size of the page in the clear."""
    walk = Walk(header)
    for name, _, start in walk.fields():
        if name == 3:
            value = walk.number()
            if value != body_bytes + _MODULE_BYTES:
                break
            return header[: start + 1] + number(body_bytes) + header[walk.at :]
        walk.number()
    raise ValueError("a page header of another form")


def _require_signature(footer: Footer, signed: bytes, keys: DataKeys) -> None:
    nonce, tag = signed[-_NONCE_BYTES - _TAG_BYTES : -_TAG_BYTES], signed[-_TAG_BYTES:]
    sealed = keys.cipher(footer.signing).encrypt(nonce, footer.text, footer.unique + bytes([_FOOTER]))
    if sealed[-_TAG_BYTES:] != tag:
        raise ValueError("a footer that was changed")


def _chunks(footer: Footer, columns: Collection[str], keys: DataKeys) -> tuple[_Chunk, ...]:
    """The chunks of `columns` that are encrypted, in the order in which they lie."""
    ciphers: dict[bytes, AESGCM] = {}
    made = []
    for chunk in footer.chunks:
        if not chunk.material or chunk.name not in columns:
            continue
        if chunk.material not in ciphers:
            ciphers[chunk.material] = keys.cipher(chunk.material)
        facts = (chunk.start, chunk.size, chunk.group, chunk.column, chunk.has_dictionary)
        made.append(_Chunk(*facts, ciphers[chunk.material]))
    return tuple(sorted(made, key=lambda chunk: chunk.start))
