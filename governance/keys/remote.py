"""`RemoteKeyStore`: the `KeyStore` that asks a key service over its Unix socket. Holds no key."""

from __future__ import annotations

import socket
import threading
from collections.abc import Collection
from pathlib import Path
from typing import Any

from governance import errors
from governance.errors import GovernanceError, StorageError
from governance.keys.names import DigestKeyName, KeyName
from governance.keys.service import MAX_PAYLOAD_BYTES, read_frame, write_frame


class RemoteKeyStore:
    """One connection, used by one thread at a time; it is made again when the service was restarted.

    `token` is the consumer's own, for grants of a consumer: the service opens nothing for it otherwise.
    """

    def __init__(self, path: Path, *, token: str = "") -> None:
        self._path, self._token = path, token
        self._lock = threading.Lock()
        self._stream: Any = None

    def wrap(self, key: KeyName, data_key: bytes) -> str:
        header, _ = self._ask({"operation": "wrap", "key": str(key)}, data_key)
        return str(header["wrapped"])

    def require(self, keys: Collection[KeyName], grant_id: str) -> None:
        self._ask({"operation": "require", "keys": sorted(map(str, keys)), "grant": grant_id}, b"")

    def unwrap(self, key: KeyName, wrapped: str, grant_id: str) -> bytes:
        return self._ask({"operation": "unwrap", "key": str(key), "wrapped": wrapped, "grant": grant_id}, b"")[1]

    def digest(self, key: DigestKeyName, blocks: bytes, grant_id: str) -> bytes:
        """As `KeyStore.digest`; a long run of blocks goes in several requests."""
        size = MAX_PAYLOAD_BYTES // 2
        header = {"operation": "digest", "key": str(key), "grant": grant_id}
        parts = [self._ask(header, blocks[start : start + size])[1] for start in range(0, len(blocks), size)]
        return b"".join(parts)

    def close(self) -> None:
        """Close the connection; the next request opens it again."""
        with self._lock:
            if self._stream is not None:
                self._stream.close()
                self._stream = None

    def _ask(self, header: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        if self._token and "grant" in header:
            header = {**header, "token": self._token}
        with self._lock:
            try:
                answer = self._exchange(header, payload)
            except OSError:
                self._stream = None
                try:
                    answer = self._exchange(header, payload)
                except OSError as error:
                    raise StorageError(
                        f"the key service does not answer: {error.strerror}",
                        where=str(self._path),
                        do="start `gov keys serve`",
                    ) from None
        if "error" in answer[0]:
            kind = getattr(errors, str(answer[0]["error"]), GovernanceError)
            raise kind(str(answer[0]["message"]), where=str(answer[0]["where"]))
        return answer

    def _exchange(self, header: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        if self._stream is None:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.connect(str(self._path))
                self._stream = connection.makefile("rwb")
        write_frame(self._stream, header, payload)
        answer = read_frame(self._stream)
        if answer is None:
            raise ConnectionResetError("closed")
        return answer
