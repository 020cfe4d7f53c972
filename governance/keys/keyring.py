"""`Keyring`: the embedded `KeyStore`. Master keys in one file apart from the lake; grants are asked in the state
database.

The file is JSON, mode 0600 in a folder of mode 0700, replaced atomically under a file lock, so that two processes that
need the same new key get the same one. A destroyed key leaves its name: it is never made again, and nothing can be
written under it any more.

`unwrap` and `digest` ask the grant every time. `digest` counts its values in a transaction of its own: never call it
inside a unit of work.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import json
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from governance.errors import Damaged, Refused, StorageError
from governance.keys import grants
from governance.keys.names import DigestKeyName, KeyName
from governance.state.database import Database

_NONCE_BYTES = 12
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class _Keys:
    """What the file says: master key by name, and names that were destroyed."""

    live: Mapping[str, bytes]
    destroyed: frozenset[str]


class Keyring:
    """Embedded key custody in `folder`; see `governance.keys.names.KeyStore` for what each method promises."""

    def __init__(self, folder: Path, database: Database, *, ahead: int = 0) -> None:
        """`ahead`: values taken off a grant's budget at a time, by a process that alone uses its grant."""
        self._spending = grants.Spending(database, ahead=ahead)
        self._folder = folder
        self._file = folder / "keyring.json"
        self._database = database
        self._stamp: tuple[int, int, int] | None = None
        self._keys = _Keys({}, frozenset())

    def wrap(self, key: KeyName, data_key: bytes) -> str:
        """base64(nonce ‖ AES-256-GCM of `data_key`), the key's name as associated data. Makes the key when it is new.

        Raises Refused when the key was destroyed.
        """
        name = str(key)
        nonce = os.urandom(_NONCE_BYTES)
        sealed = AESGCM(self._master(name)).encrypt(nonce, data_key, name.encode("utf-8"))
        return base64.b64encode(nonce + sealed).decode("ascii")

    def require(self, keys: Collection[KeyName], grant_id: str) -> None:
        """Refused unless the grant holds and names all of `keys`, and none of them is absent or destroyed."""
        names = sorted(map(str, keys))
        with self._database.read() as connection:
            grants.require(connection, grant_id, names, at=self._database.clock())
        for name in names:
            self._existing(name, grant_id)

    def unwrap(self, key: KeyName, wrapped: str, grant_id: str) -> bytes:
        """The data key again. Raises Refused for the grant or an absent key, Damaged when `wrapped` is not this key's
        work.
        """
        name = str(key)
        with self._database.read() as connection:
            grants.require(connection, grant_id, [name], at=self._database.clock())
        master = self._existing(name, grant_id)
        try:
            sealed = base64.b64decode(wrapped, validate=True)
            return AESGCM(master).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], name.encode("utf-8"))
        except (InvalidTag, binascii.Error, ValueError):
            raise Damaged("a wrapped data key does not open", where=name) from None

    def digest(self, key: DigestKeyName, blocks: bytes, grant_id: str) -> bytes:
        """AES-256-ECB of `blocks`, one 16-byte block a value, counted against the grant's budget before it is done."""
        name = str(key)
        if not self._spending.spend(grant_id, name, blocks):
            return b""
        encryptor = Cipher(algorithms.AES(self._master(name)), modes.ECB()).encryptor()
        return encryptor.update(blocks) + encryptor.finalize()

    def destroy(self, key: KeyName | DigestKeyName) -> bool:
        """Erase a master key for good; what it wrapped can never be read again. False when it was not there. Its name
        stays taken.
        """
        name = str(key)
        with locked(self._folder):
            keys = self._read()
            there = name in keys.live
            live = {other: master for other, master in keys.live.items() if other != name}
            self._write(_Keys(live, keys.destroyed | {name}))
        return there

    def names(self) -> tuple[str, ...]:
        """Names of the keys that exist, sorted; never the keys."""
        return tuple(sorted(self._fresh().live))

    def _existing(self, name: str, grant_id: str) -> bytes:
        master = self._fresh().live.get(name)
        if master is None:
            raise Refused(f"key {name} cannot be used under grant {grant_id}", where="keystore")
        return master

    def _master(self, name: str) -> bytes:
        """The key called `name`, made when it is new."""
        keys = self._fresh()
        if name not in keys.live:
            with locked(self._folder):
                keys = self._read()
                if name not in keys.live and name not in keys.destroyed:
                    keys = _Keys({**keys.live, name: os.urandom(_KEY_BYTES)}, keys.destroyed)
                    self._write(keys)
        if name in keys.destroyed:
            raise Refused(f"key {name} was destroyed", where="keystore", do="use a new epoch")
        return keys.live[name]

    def _fresh(self) -> _Keys:
        """The file's keys, read again only when the file was replaced."""
        try:
            stat = self._file.stat()
        except FileNotFoundError:
            return _Keys({}, frozenset())
        stamp = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        if stamp != self._stamp:
            self._keys = self._read()
            self._stamp = stamp
        return self._keys

    def _read(self) -> _Keys:
        try:
            raw = json.loads(self._file.read_text(encoding="utf-8"))
            live = {name: base64.b64decode(text, validate=True) for name, text in raw["keys"].items()}
            return _Keys(live, frozenset(raw["destroyed"]))
        except FileNotFoundError:
            return _Keys({}, frozenset())
        except (ValueError, KeyError, AttributeError, binascii.Error):
            raise Damaged(
                "the keyring cannot be read", where=self._file.name, do="restore it from its backup"
            ) from None
        except OSError as error:
            raise StorageError(f"cannot read the keyring: {error.strerror}", where=self._file.name) from None

    def _write(self, keys: _Keys) -> None:
        """Replace the file: temporary file of mode 0600, fsync, rename, fsync of the folder."""
        body = {
            "version": 1,
            "keys": {name: base64.b64encode(master).decode("ascii") for name, master in sorted(keys.live.items())},
            "destroyed": sorted(keys.destroyed),
        }
        temporary = self._folder / f".keyring.{os.getpid()}.tmp"
        try:
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(body, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._file)
            folder = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise StorageError(f"cannot write the keyring: {error.strerror}", where=self._file.name) from None


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """The lock under which keys are made and destroyed, between threads and processes of one machine."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    handle = os.open(folder / "keyring.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
