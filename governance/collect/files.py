"""Files: at one path, in a folder, or by a glob. Their bytes are taken as they are; gzip stays gzip."""

from __future__ import annotations

import glob
import os
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path

from governance.catalog.types import FileSource
from governance.collect.locations import local_path
from governance.collect.source import Format, Original, stream_of
from governance.errors import SourceUnavailable
from governance.state.values import Window

_CHUNK_BYTES = 1 << 20
_SUFFIXES: Mapping[str, tuple[str, ...]] = {
    "csv": (".csv", ".tsv", ".txt"),
    "jsonl": (".jsonl", ".ndjson", ".json"),
    "excel": (".xlsx", ".xls", ".xlsm", ".xlsb"),
    "parquet": (".parquet",),
}


class FileAdapter:
    """Implements `Adapter` for `FileSource`. A folder means its files of the declared format, in name order."""

    has_history = False
    can_compare = True

    def __init__(self, source: FileSource, home: Path, environ: Mapping[str, str]) -> None:
        self.format: Format = source.format
        self.shown = source.location
        self._path = local_path(source.location, home, environ)

    def originals(self, window: Window) -> Generator[Original]:
        for name, path in self._files():
            try:
                file = path.open("rb")
            except OSError as error:
                raise self._unavailable(name, error) from None
            with file:
                before = os.fstat(file.fileno())
                yield Original(name, stream_of(self._chunks(name, file.fileno(), before)), before.st_size)

    def _files(self) -> list[tuple[str, Path]]:
        path = self._path
        try:
            if path.is_dir():
                found = [(p.name, p) for p in path.iterdir() if _belongs(p, self.format)]
            elif path.exists() or not glob.has_magic(str(path)):
                found = [(path.name, path)]
            else:
                root = _fixed_part(path)
                hits = (p for p in root.glob(str(path.relative_to(root))) if not p.name.startswith(".") and p.is_file())
                found = [(hit.relative_to(root).as_posix(), hit) for hit in hits]
        except OSError as error:
            raise self._unavailable("", error) from None
        if not found:
            raise SourceUnavailable(
                f"no {self.format} file is there",
                where=self.shown,
                allowed="endings " + ", ".join(_SUFFIXES[self.format]) + ", each also with .gz"
                if path.is_dir()
                else "",
                do="deliver the file or correct the location, then run the task again",
            )
        return sorted(found)

    def _chunks(self, name: str, descriptor: int, before: os.stat_result) -> Iterator[bytes]:
        try:
            while chunk := os.read(descriptor, _CHUNK_BYTES):
                yield chunk
            after = os.fstat(descriptor)
        except OSError as error:
            raise self._unavailable(name, error) from None
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise SourceUnavailable(
                f"{name} changed while it was read",
                where=self.shown,
                do="wait until it is delivered whole, then try again",
            )

    def _unavailable(self, name: str, error: OSError) -> SourceUnavailable:
        what = f"{name} cannot be read" if name else "cannot be read"
        return SourceUnavailable(
            f"{what}: {error.strerror or type(error).__name__}",
            where=self.shown,
            do="deliver the file or correct the location or its permissions, then run the task again",
        )


def _belongs(path: Path, format_name: str) -> bool:
    name = path.name.lower().removesuffix(".gz")
    return not path.name.startswith(".") and name.endswith(_SUFFIXES[format_name]) and path.is_file()


def _fixed_part(path: Path) -> Path:
    """The folder above the first part with a wildcard."""
    fixed = path
    while glob.has_magic(str(fixed)):
        fixed = fixed.parent
    return fixed
