"""What is looked at while an original streams by: its size, and whether a gzip is whole. The bytes pass unaltered."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

Progress = Callable[[int, int | None], None]
"""Called with bytes done and bytes expected (None when nobody knows)."""

_CHUNK_BYTES = 1 << 20
_MAGIC = b"\x1f\x8b"


class GzipCheck:
    """Feeds on the bytes of one original; after `close`, `fault` says what is wrong with it.

    Bytes that do not begin like gzip have no fault. Several members and zero padding are allowed.

    >>> check = GzipCheck()
    >>> check.feed(b"plain")
    >>> check.close()
    >>> check.fault, check.is_gzip
    ('', False)
    """

    def __init__(self) -> None:
        self.fault = ""
        self.is_gzip = False
        self.content_bytes = 0
        self._head = b""
        self._begun = False
        self._member: zlib._Decompress | None = None
        self._members = 0

    def feed(self, data: bytes) -> None:
        if not self._begun:
            self._head += data
            if len(self._head) < len(_MAGIC):
                return
            data, self._head, self._begun = self._head, b"", True
            self.is_gzip = data.startswith(_MAGIC)
        if self.is_gzip and not self.fault:
            self._inflate(data)

    def close(self) -> None:
        if not self.is_gzip or self.fault:
            return
        while self._member is not None and not self._member.eof:
            out = self._member.decompress(b"", _CHUNK_BYTES)
            if not out:
                self.fault = "the gzip is truncated"
                return
            self.content_bytes += len(out)

    def _inflate(self, data: bytes) -> None:
        while data:
            if self._member is None:
                data = data.lstrip(b"\0") if self._members else data
                if not data:
                    return
                self._member = zlib.decompressobj(wbits=31)
            try:
                self.content_bytes += len(self._member.decompress(data, _CHUNK_BYTES))
            except zlib.error:
                self.fault = "the gzip has other bytes after its end" if self._members else "the gzip is damaged"
                return
            if self._member.eof:
                data, self._member = self._member.unused_data, None
                self._members += 1
            else:
                data = self._member.unconsumed_tail


class Inspection:
    """The bytes of one original on their way through; ask for `fault` after `chunks` has ended."""

    def __init__(self, source: BinaryIO, done_before: int, total: int | None, progress: Progress | None) -> None:
        self.size_bytes = 0
        self._gzip = GzipCheck()
        self._source, self._before, self._total, self._progress = source, done_before, total, progress

    def chunks(self) -> Iterator[bytes]:
        while chunk := self._source.read(_CHUNK_BYTES):
            self.size_bytes += len(chunk)
            self._gzip.feed(chunk)
            if self._progress is not None:
                self._progress(self._before + self.size_bytes, self._total)
            yield chunk
        self._gzip.close()

    @property
    def fault(self) -> str:
        """Why this cannot be used; empty when nothing is wrong."""
        if self.size_bytes == 0:
            return "it is empty"
        if self._gzip.fault:
            return self._gzip.fault
        return "the gzip holds nothing" if self._gzip.is_gzip and self._gzip.content_bytes == 0 else ""
