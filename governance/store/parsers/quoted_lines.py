"""Whether a delimited file has values with line ends in them. DuckDB's parser, where it begins in the middle of a file (it does every 32 MB, with
one thread as with many), guesses where a record starts; within a quoted value that holds lines and delimiters it guesses wrong, and everything
after it is misread without an error. Files without such values have nothing to guess: after every line end a record starts.

Told to read from the first record to the last it guesses nothing, but leaves a last record whose quote is not closed out, without a word. So a file
that ends within quotes is read the other way while it is short enough to be read in one piece, and refused when it is not.

Looking takes a reading of its own. A pass that can be begun anew does without: it looks at what the parser reads, and gives up (`Guessed`) when it
sees such a value.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np

from governance.errors import SourceContentError

ONE_PIECE_BYTES = 30_000_000
"""A file of so much DuckDB's parser reads in one piece."""
_CHUNK_BYTES = 1 << 20
_QUOTE, _LINE_ENDS = 34, (10, 13)


class Guessed(Exception):
    """The parser may have guessed where a record starts: the file is to be looked at before it is read."""


class Look:
    """What was seen of a file's bytes: `quoted`, whether a line end has an odd number of quotes before it, so that it may stand in a value;
    `inside`, whether the number of quotes is odd at the end.

    >>> look = Look().all([b'a,b\\n1,"x', b'\\ny"\\n'])
    >>> look.quoted, look.inside, look.size
    (True, False, 12)
    """

    def __init__(self) -> None:
        self.quoted, self.inside, self.size = False, False, 0

    @property
    def serial(self) -> bool:
        """Whether the file, which was seen whole, is to be read from the first record to the last."""
        return self.quoted and not self.inside

    def all(self, chunks: Iterable[bytes | bytearray]) -> Look:
        for chunk in chunks:
            self.feed(chunk)
        return self

    def feed(self, chunk: bytes | bytearray) -> None:
        self.size += len(chunk)
        if chunk.find(_QUOTE) < 0:  # most chunks of most files
            self.quoted = self.quoted or (self.inside and any(chunk.find(end) >= 0 for end in _LINE_ENDS))
            return
        if self.quoted:
            self.inside ^= bool(chunk.count(_QUOTE) & 1)
            return
        codes = np.frombuffer(chunk, dtype=np.uint8)
        quotes = np.flatnonzero(codes == _QUOTE)
        ends = np.flatnonzero((codes == _LINE_ENDS[0]) | (codes == _LINE_ENDS[1]))
        self.quoted = bool(((np.searchsorted(quotes, ends) + int(self.inside)) & 1).any())
        self.inside ^= bool(len(quotes) & 1)

    def follow(self, data: bytes, start: int) -> None:
        """What a parser reads, which begins at byte `start` of the file. Raises Guessed when it has to be told how to read this file."""
        if start > self.size:
            raise Guessed
        for at in range(self.size - start, len(data), _CHUNK_BYTES):
            self.feed(data[at : at + _CHUNK_BYTES])
        if self.quoted:
            raise Guessed

    def require_followed(self, size: int) -> None:
        """Raises Guessed when the parser did not read all `size` bytes, or ended within quotes."""
        if self.inside or self.size != size:
            raise Guessed

    def require_closed(self, where: str) -> None:
        """Raises SourceContentError for a long file that ends within quotes: its last record would be lost."""
        if self.inside and self.size > ONE_PIECE_BYTES:
            raise SourceContentError(
                "an odd number of quotes: a value is not closed, or the file was cut off",
                where=where,
                allowed="quotes in pairs, in files longer than 30 MB",
                do="land it whole, or have the source write a quote in a value twice",
            )


def looked(source: BinaryIO) -> Look:
    """What a file that can be sought has; it stands at its start afterwards."""
    source.seek(0)
    try:
        return Look().all(_pieces(source))
    finally:
        source.seek(0)


def _pieces(source: BinaryIO) -> Iterator[bytes | bytearray]:
    buffer = bytearray(_CHUNK_BYTES)
    while filled := source.readinto(buffer):  # type: ignore[attr-defined]
        yield buffer if filled == len(buffer) else bytes(memoryview(buffer)[:filled])
