"""A landed original as a bounded stream of UTF-8: gunzipped by its magic, transcoded, fed to DuckDB through a named pipe.

Nothing is written to disk: the pipe has no content of its own, and at most a few chunks are in memory.
"""

from __future__ import annotations

import codecs
import os
import threading
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from governance.errors import SourceContentError

CHUNK_BYTES = 1 << 20
GZIP_MAGIC = b"\x1f\x8b"
_UNDECODABLE = "governance.undecodable"


def utf8_chunks(source: BinaryIO, encoding: str, where: str) -> Iterator[bytes]:
    """The text of `source` as UTF-8 chunks without a byte order mark.

    Bytes that are no text in `encoding` become bytes that are no UTF-8, so that the parser rejects exactly their line. Raises
    SourceContentError for an unknown encoding, a file that cannot be in it (UTF-16 without its mark), an empty file and a truncated or
    broken gzip.
    """
    decoder = _decoder(encoding, where)
    chunks = _raw_chunks(source, where)
    first = True
    for chunk in chunks:
        text = chunk if decoder is None else _utf8(decoder, chunk, encoding, where)
        if first and text:
            text, first = text.removeprefix(codecs.BOM_UTF8), False
        if text:
            yield text
    if decoder is not None and (rest := _utf8(decoder, b"", encoding, where, final=True)):
        first = False
        yield rest
    if first:
        raise SourceContentError("the file is empty", where=where, do="land it again when the source has written it")


def is_plain(source: BinaryIO, encoding: str) -> bool:
    """Whether `source` can be sought and its bytes need nothing done to them; it stands at its start afterwards."""
    if not source.seekable() or encoding.lower().replace("_", "-") not in ("utf-8", "utf8", "ascii"):
        return False
    start = source.read(len(codecs.BOM_UTF8))
    source.seek(0)
    return bool(start) and not start.startswith(GZIP_MAGIC) and start != codecs.BOM_UTF8


@contextmanager
def pipe(chunks: Iterator[bytes], scratch: Path) -> Iterator[Feeder]:
    """A named pipe that a thread fills with `chunks`; gone when the context ends, read to its end or not."""
    scratch.mkdir(parents=True, exist_ok=True)
    path = scratch / f"{uuid.uuid4().hex}.pipe"
    os.mkfifo(path, 0o600)
    feeder = Feeder(chunks, path)
    try:
        yield feeder
    finally:
        feeder.stop()
        path.unlink()


class Feeder:
    """The thread behind a pipe. `finish` raises what broke the source off."""

    def __init__(self, chunks: Iterator[bytes], path: Path) -> None:
        self.path = path
        self._chunks = chunks
        self._error: BaseException | None = None
        self._refused = False
        self._thread = threading.Thread(target=self._feed, name="landed-feeder", daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Call when the reader has come to the end: everything that the source had went through, or its error is raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error

    def source_error(self) -> BaseException | None:
        """What the source raised so far; a parser that stopped early is no fault of the source."""
        return self._error if not self._refused else None

    def stop(self) -> None:
        """Let the thread end, also when nobody ever opened the other end."""
        while self._thread.is_alive():
            os.close(os.open(self.path, os.O_RDONLY | os.O_NONBLOCK))
            self._thread.join(0.02)

    def _feed(self) -> None:
        try:
            with self.path.open("wb", buffering=0) as target:
                for chunk in self._chunks:
                    view = memoryview(chunk)
                    while view:
                        view = view[target.write(view) or 0 :]
        except BrokenPipeError:
            self._refused = True
            self._error = SourceContentError("the parser stopped before the end", where="landed original")
        except BaseException as error:
            self._error = error


def _raw_chunks(source: BinaryIO, where: str) -> Iterator[bytes]:
    first = source.read(CHUNK_BYTES)
    if first.startswith(GZIP_MAGIC):
        yield from _gunzipped(first, source, where)
        return
    while first:
        yield first
        first = source.read(CHUNK_BYTES)


def _gunzipped(chunk: bytes, source: BinaryIO, where: str) -> Iterator[bytes]:
    """All members of a gzip file, in pieces of at most CHUNK_BYTES however well they compress."""
    inflate = zlib.decompressobj(wbits=31)
    try:
        while chunk:
            yield inflate.decompress(chunk, CHUNK_BYTES)
            chunk = inflate.unconsumed_tail
            if inflate.eof:
                chunk = inflate.unused_data.lstrip(b"\0") or source.read(CHUNK_BYTES).lstrip(b"\0")
                if chunk:
                    inflate = zlib.decompressobj(wbits=31)
            elif not chunk:
                chunk = source.read(CHUNK_BYTES)
    except zlib.error:
        raise SourceContentError("the gzip file is damaged", where=where, do="land it again") from None
    if not inflate.eof:
        raise SourceContentError("the gzip file is truncated", where=where, do="land it again") from None


def _decoder(encoding: str, where: str) -> codecs.IncrementalDecoder | None:
    """None for UTF-8, whose bytes the parser judges itself."""
    try:
        found = codecs.lookup(encoding)
    except LookupError:
        raise SourceContentError(
            f"unknown encoding {encoding!r}",
            where=where,
            allowed="utf-8, gb18030, gbk, big5, utf-16, latin-1, ...",
            do="correct gov.encoding",
        ) from None
    if found.name in ("utf-8", "utf-8-sig", "ascii"):
        return None
    return codecs.getincrementaldecoder(found.name)(_UNDECODABLE)


def _utf8(decoder: codecs.IncrementalDecoder, chunk: bytes, encoding: str, where: str, *, final: bool = False) -> bytes:
    try:
        return decoder.decode(chunk, final).encode("utf-8", "surrogatepass")
    except UnicodeError:
        raise SourceContentError(
            f"it is no text in {encoding}", where=where, do="correct gov.encoding or have it written in this encoding"
        ) from None


def _mark(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\udcff", error.end


codecs.register_error(_UNDECODABLE, _mark)
