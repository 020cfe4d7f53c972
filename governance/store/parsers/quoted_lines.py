"""Whether a delimited file has values with line ends in them. DuckDB's parser, where it begins in the middle of a file (it does every 32 MB, with
one thread as with many), guesses where a record starts; within a quoted value that holds lines and delimiters it guesses wrong, and everything
after it is misread without an error. Files without such values have nothing to guess: after every line end a record starts.
"""

from __future__ import annotations

from typing import BinaryIO

import numpy as np

_CHUNK_BYTES = 1 << 20
_QUOTE, _LINE_ENDS = 34, (10, 13)


def has_quoted_lines(source: BinaryIO) -> bool:
    """Whether a line end of `source` has an odd number of quotes before it: it may stand in a value. `source` stands at its start afterwards.

    >>> import io
    >>> [has_quoted_lines(io.BytesIO(text)) for text in (b'a,b\\n1,"x, y"\\n', b'a,b\\n1,"x\\ny"\\n')]
    [False, True]
    """
    buffer = bytearray(_CHUNK_BYTES)
    source.seek(0)
    try:
        inside = False
        while filled := source.readinto(buffer):  # type: ignore[attr-defined]
            found, inside = _look(buffer, filled, inside)
            if found:
                return True
        return False
    finally:
        source.seek(0)


def _look(buffer: bytearray, filled: int, inside: bool) -> tuple[bool, bool]:
    """Whether a line end of the chunk stands within quotes, and whether its end does."""
    if buffer.find(_QUOTE, 0, filled) < 0:
        return inside and any(buffer.find(end, 0, filled) >= 0 for end in _LINE_ENDS), inside
    codes = np.frombuffer(buffer, dtype=np.uint8, count=filled)
    quotes = np.flatnonzero(codes == _QUOTE)
    ends = np.flatnonzero((codes == _LINE_ENDS[0]) | (codes == _LINE_ENDS[1]))
    before = np.searchsorted(quotes, ends) + int(inside)
    return bool((before & 1).any()), bool((len(quotes) + int(inside)) & 1)
