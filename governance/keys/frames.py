"""Authenticated frames: how landed originals lie on disk. A stream of any size, encrypted whole, readable from any
place.

    magic "GOVFRM01" | frame 0 | frame 1 | ...      frame = AES-256-GCM of at most 1 MiB of text, 16 bytes longer

Each file has a data key of its own, so the nonce is the frame's number. Number and last-frame flag are associated data:
a frame that is changed, moved, dropped or cut off does not open. Only the last frame is shorter; an empty file is one
empty last frame.
"""

from __future__ import annotations

import hashlib
import io
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from governance.errors import Damaged, StorageError
from governance.keys.names import KeyName, KeyStore

FRAME_BYTES = 1 << 20
_MAGIC = b"GOVFRM01"
_TAG_BYTES = 16
_GROUP_BYTES = 8 * FRAME_BYTES
"""What is handed from thread to thread at once."""


class ReadsInto(Protocol):
    """What gives its bytes into a buffer, 0 at its end: every binary file and stream."""

    def readinto(self, buffer: memoryview, /) -> int | None: ...


class Writes(Protocol):
    """What takes all bytes that it is given."""

    def write(self, data: bytes | memoryview, /) -> int: ...


@dataclass(frozen=True, slots=True)
class FrameResult:
    """`sha256` and `size_bytes` of the plaintext; `wrapped_key` goes into the manifest."""

    sha256: str
    size_bytes: int
    wrapped_key: str


def encrypt(source: ReadsInto, target: Writes, *, keystore: KeyStore, key: KeyName) -> FrameResult:
    """Everything that `source` still has, written to `target` in frames. The caller makes `target` durable."""
    data_key = os.urandom(32)
    wrapped = keystore.wrap(key, data_key)
    cipher, digest, size, number = AESGCM(data_key), hashlib.sha256(), 0, 0
    target.write(_MAGIC)
    group, following = memoryview(bytearray(_GROUP_BYTES)), memoryview(bytearray(_GROUP_BYTES))
    sealed = memoryview(bytearray(FRAME_BYTES + _TAG_BYTES))
    filled = _fill(source, group)
    with ThreadPoolExecutor(1, "landed-digest") as beside:  # hashing costs as much as encrypting: one thread each
        while True:
            hashed = beside.submit(digest.update, group[:filled])
            more = _fill(source, following) if filled == _GROUP_BYTES else 0
            for at in range(0, filled or 1, FRAME_BYTES):
                text = group[at : min(at + FRAME_BYTES, filled)]
                here = sealed[: len(text) + _TAG_BYTES]
                last = not more and at + FRAME_BYTES >= filled
                cipher.encrypt_into(_nonce(number), text, _associated(number, last), here)
                target.write(here)  # frame by frame: Linux takes twice as long for writes of some megabytes
                number += 1
            size += filled
            hashed.result()
            if not more:
                return FrameResult(digest.hexdigest(), size, wrapped)
            group, following, filled = following, group, more


def open_decrypted(path: Path, wrapped_key: str, *, keystore: KeyStore, key: KeyName, grant_id: str) -> BinaryIO:
    """The plaintext as a readable, seekable binary stream; frames are decrypted on demand, one is kept.

    Raises Refused without a right on `key`, Damaged when the file was changed or cut, StorageError when it cannot be
    opened.
    """
    data_key = keystore.unwrap(key, wrapped_key, grant_id)
    return io.BufferedReader(FrameReader(path, data_key), buffer_size=FRAME_BYTES)


class FrameReader(io.RawIOBase):
    """A decrypted file. The last frame is authenticated at once, and with it the size."""

    def __init__(self, path: Path, data_key: bytes) -> None:
        super().__init__()
        self._path = path
        self._cipher = AESGCM(data_key)
        self._position = 0
        self._held: tuple[int, bytes] = (-1, b"")
        self._sealed = memoryview(bytearray(FRAME_BYTES + _TAG_BYTES))
        try:
            self._file = path.open("rb", buffering=0)
        except OSError as error:
            raise StorageError(f"cannot be opened: {error.strerror}", where=path.name) from None
        try:
            body_bytes = os.fstat(self._file.fileno()).st_size - len(_MAGIC)
            if self._file.read(len(_MAGIC)) != _MAGIC or body_bytes < _TAG_BYTES:
                raise Damaged("not a whole file of frames", where=path.name)
            self._count = -(-body_bytes // (FRAME_BYTES + _TAG_BYTES))
            last = self.frame(self._count - 1)
        except BaseException:
            self._file.close()
            raise
        self.size_bytes = (self._count - 1) * FRAME_BYTES + len(last)

    def frame(self, number: int) -> bytes:
        """The text of one frame, counted from 0. Damaged when it does not open."""
        held, text = self._held
        if held == number:
            return text
        sealed = self._sealed_frame(number)
        made = bytearray(max(0, len(sealed) - _TAG_BYTES))
        self._decrypt(number, sealed, memoryview(made))
        self._held = (number, bytes(made))
        return self._held[1]

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size_bytes}[whence]
        if start + offset < 0:
            raise ValueError("negative position")
        self._position = start + offset
        return self._position

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        number, offset = divmod(self._position, FRAME_BYTES)
        if offset == 0 and len(view) >= FRAME_BYTES and number < self._count - 1:
            got = FRAME_BYTES
            self._decrypt(number, self._sealed_frame(number), view[:got])
        else:
            text = self._from_here()[: len(view)]
            got = len(text)
            view[:got] = text
        self._position += got
        return got

    def readall(self) -> bytes:
        parts = []
        while part := self._from_here():
            parts.append(bytes(part))
            self._position += len(part)
        return b"".join(parts)

    def close(self) -> None:
        """Also called by the garbage collector on a reader that could not be opened."""
        self._held = (-1, b"")
        if hasattr(self, "_file"):
            self._file.close()
        super().close()

    def _sealed_frame(self, number: int) -> memoryview:
        """A frame as it lies on disk, in a buffer that the next call writes over."""
        self._file.seek(len(_MAGIC) + number * (FRAME_BYTES + _TAG_BYTES))
        return self._sealed[: _fill(self._file, self._sealed)]

    def _decrypt(self, number: int, sealed: memoryview, text: memoryview) -> None:
        try:
            self._cipher.decrypt_into(_nonce(number), sealed, _associated(number, number == self._count - 1), text)
        except (InvalidTag, ValueError):
            raise Damaged(f"frame {number} does not open: changed, moved or cut off", where=self._path.name) from None

    def _from_here(self) -> memoryview:
        """What is left of the frame at the present position; empty at the end."""
        if self._position >= self.size_bytes:
            return memoryview(b"")
        number, offset = divmod(self._position, FRAME_BYTES)
        return memoryview(self.frame(number))[offset:]


def _fill(source: ReadsInto, buffer: memoryview) -> int:
    """Read into `buffer` until it is full or `source` ends; how many bytes there are."""
    filled = 0
    while filled < len(buffer) and (read := source.readinto(buffer[filled:])):
        filled += read
    return filled


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")


def _associated(number: int, last: bool) -> bytes:
    return _MAGIC + number.to_bytes(8, "big") + (b"\x01" if last else b"\x00")
