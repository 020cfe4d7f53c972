"""`PlainFile`s under paths of their own, for one DuckDB connection."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
from fsspec.spec import AbstractFileSystem

from governance.lake.sealed import DataKeys, PlainFile


def register(
    con: duckdb.DuckDBPyConnection, files: Sequence[tuple[Path, Collection[str]]], keys: DataKeys
) -> list[str]:
    """Paths under which `con` reads each file with the columns named decrypted. Files are opened when they are read;
    what is decrypted lives in this process, as long as the connection.
    """
    made = _Files(f"sealed{uuid.uuid4().hex}", [partial(PlainFile, path, columns, keys) for path, columns in files])
    con.register_filesystem(made)
    return made.paths


class _Files(AbstractFileSystem):  # type: ignore[misc]
    cachable = False

    def __init__(self, protocol: str, openers: Sequence[partial[PlainFile]]) -> None:
        super().__init__()
        self.protocol = protocol
        self.paths = [f"{protocol}://{at}.parquet" for at in range(len(openers))]
        self._openers = dict(zip(self.paths, openers, strict=True))
        self._opened: dict[str, PlainFile] = {}

    def glob(self, path: str, **_options: Any) -> list[str]:
        return [path]

    def exists(self, _path: str, **_options: Any) -> bool:
        return True

    def info(self, path: str, **_options: Any) -> dict[str, Any]:
        return {"name": path, "size": self._file(path).size_bytes, "type": "file"}

    def modified(self, _path: str) -> datetime:
        return datetime.fromtimestamp(0, UTC)

    def _open(self, path: str, mode: str = "rb", **_options: Any) -> _Handle:
        return _Handle(path, self._file(path))

    def _file(self, path: str) -> PlainFile:
        if path not in self._opened:
            self._opened[path] = self._openers[path]()
        return self._opened[path]


class _Handle:
    """One reader's place in a file, as DuckDB asks for it."""

    def __init__(self, path: str, file: PlainFile) -> None:
        self.path, self.size_bytes = path, file.size_bytes
        self._file, self._at = file, 0

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(self._at, size if size >= 0 else self.size_bytes)
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self.size_bytes)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def close(self) -> None:
        """The file stays open for others."""
