"""The seam between the stage and the outside world: an `Adapter` gives the originals of one source, one after another.

An adapter raises SourceUnavailable for what may pass (no answer, a file that is not there), SourceContentError for
what will not (refused, empty, not a table), and nothing else: its messages name places and error classes, never
credentials and never data.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from governance.state.values import Window

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Format = Literal["csv", "jsonl", "excel", "parquet", "arrow"]


def nothing_counted() -> Mapping[str, int]:
    """What an original of unparsed bytes knows about its rows."""
    return {}


@dataclass(frozen=True, slots=True)
class Original:
    """One thing that the source sends. Its stream is valid until the next original is asked for."""

    name: str
    stream: io.BufferedReader
    size_bytes: int | None = None
    """What the source says; None when it does not say."""
    counts: Callable[[], Mapping[str, int]] = nothing_counted
    """Known once the stream has ended. Database reads: `rows`, and `without_watermark` when rows were chosen by one."""


class Adapter(Protocol):
    """One source of one dataset."""

    @property
    def format(self) -> Format:
        """How the bytes are to be parsed later."""
        ...

    @property
    def shown(self) -> str:
        """Where it comes from, without credentials."""
        ...

    @property
    def has_history(self) -> bool:
        """Whether a window that is long past can still be read."""
        ...

    @property
    def can_compare(self) -> bool:
        """Whether reading it again only to compare digests is cheap (local files)."""
        ...

    def originals(self, window: Window) -> Generator[Original]:
        """The originals of the window in their order, at least one."""
        ...


class ChunkStream(io.RawIOBase):
    """A readable stream over chunks of bytes; errors of the iterable come out of `read` unchanged."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, target: WriteableBuffer) -> int:
        view = memoryview(target).cast("B")
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        taken = min(len(view), len(self._rest))
        view[:taken] = self._rest[:taken]
        self._rest = self._rest[taken:]
        return taken


def stream_of(chunks: Iterable[bytes]) -> io.BufferedReader:
    """Chunks as a buffered stream: `read(n)` gives n bytes until the end.

    >>> stream_of([b"ab", b"", b"cde"]).read(4)
    b'abcd'
    """
    return io.BufferedReader(ChunkStream(chunks), 1 << 20)
