"""A decrypted original as a file that DuckDB opens by itself: it seeks, reads large pieces and parses them with all its threads.

For text that needs nothing done to it on the way (UTF-8, no gzip). Nothing is written to disk.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, BinaryIO

import duckdb
from fsspec.spec import AbstractFileSystem

from governance.store.parsers.quoted_lines import Look


class Seekable:
    """One open source under a path of its own. `error` is what the source, or the look at it, raised so far."""

    def __init__(self, source: BinaryIO, protocol: str, look: Look | None) -> None:
        self.path = f"{protocol}://original"
        self.size_bytes = source.seek(0, 2)
        self.error: BaseException | None = None
        self._source, self._look = source, look

    def read(self, size: int = -1) -> bytes:
        try:
            start = self._source.tell()
            data = self._source.read(size)
            if self._look is not None:
                self._look.follow(data, start)
            return data
        except BaseException as error:
            self.error = self.error or error
            raise

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._source.seek(offset, whence)

    def tell(self) -> int:
        return self._source.tell()

    def close(self) -> None:
        """The source is closed by whoever opened it; it may be opened under its path again."""
        self._source.seek(0)


@contextmanager
def seekable(con: duckdb.DuckDBPyConnection, source: BinaryIO, look: Look | None = None) -> Iterator[Seekable]:
    """`source` as a file that only `con` sees, gone when the context ends. `look` follows what is read of it."""
    protocol = f"landed{uuid.uuid4().hex}"
    opened = Seekable(source, protocol, look)
    con.register_filesystem(_Files(opened, protocol))
    try:
        yield opened
    finally:
        con.unregister_filesystem(protocol)


class _Files(AbstractFileSystem):  # type: ignore[misc]
    """A file system of one file, as DuckDB asks for it."""

    cachable = False

    def __init__(self, opened: Seekable, protocol: str) -> None:
        super().__init__()
        self.protocol = protocol
        self._opened = opened

    def glob(self, path: str, **_options: Any) -> list[str]:
        return [path]

    def exists(self, _path: str, **_options: Any) -> bool:
        return True

    def info(self, path: str, **_options: Any) -> dict[str, Any]:
        return {"name": path, "size": self._opened.size_bytes, "type": "file"}

    def modified(self, _path: str) -> datetime:
        return datetime.fromtimestamp(0, UTC)

    def _open(self, _path: str, mode: str = "rb", **_options: Any) -> Seekable:
        self._opened.seek(0)
        return self._opened
