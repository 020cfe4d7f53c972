"""Originals on disk: encrypted whole in authenticated frames, under a temporary name until they are durable.

    <landed>/<dataset>/<batch>/<n>-<attempt>.bin       what a manifest names
    <landed>/_rejected/<dataset>/<sha256>.bin + .json  what arrived and cannot be used, kept for whoever must explain it

Each attempt has names of its own: two processes that land one batch never touch each other's files, and the one whose
manifest is not committed removes its own. What a killed process leaves is named by no manifest.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from io import FileIO
from pathlib import Path

from governance.collect.inspection import Inspection, Progress
from governance.collect.source import Original, stream_of
from governance.config import Settings
from governance.errors import SourceContentError, StorageError
from governance.keys.frames import FrameResult, encrypt
from governance.keys.names import KeyName, KeyStore
from governance.state.crash import crash_point
from governance.state.values import LandedFile

_SYNC_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Place:
    """Where one attempt to land one batch writes, and under which key."""

    settings: Settings
    dataset: str
    batch: str
    attempt: str
    source: str
    keystore: KeyStore
    key: KeyName

    @property
    def folder(self) -> Path:
        return self.settings.landed / self.dataset / self.batch

    @property
    def rejected(self) -> Path:
        return self.settings.landed / "_rejected" / self.dataset


@dataclass(frozen=True, slots=True)
class Received:
    """One landed file, and what its adapter counted."""

    file: LandedFile
    counts: Mapping[str, int]


def receive(
    place: Place,
    number: int,
    original: Original,
    *,
    at: datetime,
    done_before: int = 0,
    progress: Progress | None = None,
) -> Received:
    """Land one original durably. Raises SourceContentError when it is empty or its gzip is broken: what came is then
    kept under `_rejected`. Raises StorageError when the disk does not take it. Errors of the source come through
    unchanged; nothing is left then.
    """
    total = None if original.size_bytes is None else done_before + original.size_bytes
    inspection = Inspection(original.stream, done_before, total, progress)
    final = place.folder / f"{number}-{place.attempt}.bin"
    with _written(place, final) as part:
        with part.open("xb", buffering=0) as raw:
            with _SyncedAlong(raw) as target:
                result = encrypt(stream_of(inspection.chunks()), target, keystore=place.keystore, key=place.key)
            os.fsync(raw.fileno())
        if inspection.fault:
            _reject(place, original.name, part, result, inspection.fault, at)
        crash_point("collect.before_rename")
        part.replace(final)
        sync_folder(place.folder)
    counts = original.counts()
    path = final.relative_to(place.settings.lake).as_posix()
    rows, key = counts.get("rows"), str(place.key)
    file = LandedFile(path, original.name, result.sha256, result.size_bytes, result.wrapped_key, rows, key)
    return Received(file, counts)


class _SyncedAlong:
    """A file to which another thread gives the disk's time while this one writes: at the end little is left to wait for."""

    def __init__(self, file: FileIO) -> None:
        self._file, self._unsynced = file, 0
        self._beside = ThreadPoolExecutor(1, "landed-sync")
        self._syncing: Future[None] | None = None

    def __enter__(self) -> _SyncedAlong:
        return self

    def __exit__(self, *_: object) -> None:
        self._beside.shutdown()

    def write(self, data: memoryview | bytes) -> int:
        """Write all of `data`. Raises what an earlier write-back met."""
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]
        self._unsynced += len(data)
        if self._unsynced >= _SYNC_BYTES and (self._syncing is None or self._syncing.done()):
            if self._syncing is not None:
                self._syncing.result()
            self._syncing = self._beside.submit(os.fdatasync, self._file.fileno())
            self._unsynced = 0
        return len(data)


def discard(place: Place) -> None:
    """Remove what this attempt wrote; other attempts' files and the manifest's stay."""
    for file in place.folder.glob(f"*-{place.attempt}.*"):
        file.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _written(place: Place, final: Path) -> Iterator[Path]:
    """A temporary name beside `final`; gone afterwards whatever happens. Errors of the disk become StorageError."""
    part = final.with_suffix(".part")
    try:
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            sync_folder(final.parent.parent)
            yield part
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(
            f"landing cannot be written: {error.strerror or type(error).__name__}",
            where=place.batch,
            do="free or repair the storage, then run the task again",
        ) from None


def _reject(place: Place, name: str, part: Path, result: FrameResult, fault: str, at: datetime) -> None:
    """Keep the encrypted bytes with a note that opens them, once per content, and raise."""
    kept = ""
    if result.size_bytes:
        place.rejected.mkdir(parents=True, exist_ok=True)
        target, note = place.rejected / f"{result.sha256}.bin", place.rejected / f"{result.sha256}.json"
        if not note.exists():
            facts = {
                "batch": place.batch,
                "source": place.source,
                "name": name,
                "fault": fault,
                "sha256": result.sha256,
                "size_bytes": result.size_bytes,
                "key": str(place.key),
                "wrapped_key": result.wrapped_key,
                "received_at": at.isoformat(),
            }
            part.replace(target)
            draft = note.with_suffix(f".{place.attempt}.part")
            draft.write_text(json.dumps(facts, ensure_ascii=False, indent=1), encoding="utf-8")
            draft.replace(note)
            sync_folder(place.rejected)
        kept = f"; what came is kept as {target.relative_to(place.settings.var).as_posix()}"
    raise SourceContentError(
        f"{name}: {fault}", where=place.source, do=f"have it delivered again, then run the task again{kept}"
    )
