"""`TokenKeyring`: a `KeyStore` whose master keys are in a PKCS#11 token (an HSM) and never leave it. Extra `pkcs11`.

A master key is an AES-256 object of the token, sensitive and not extractable, labelled `gov:<name>`; the token itself
encrypts (AES-GCM with the key's name as associated data, and AES-ECB for digests). What is wrapped has the form that the
file keyring gives it. A destroyed key leaves a data object `gov-destroyed:<name>`: its name is never made again.

    [keys]
    pkcs11 = "/usr/lib/softhsm/libsofthsm2.so"    # the token's library
    token = "gov"                                 # its label
    pin_file = "/run/secrets/gov-pin"             # else $GOV_PKCS11_PIN; the PIN is never in gov.toml

New keys are made under a file lock in the keyring's folder: let one machine at a time make keys of a token. A process that
was forked needs a token of its own: give this to the key service, not to the pipeline's workers.
"""

from __future__ import annotations

import base64
import binascii
import os
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from governance.errors import Damaged, GovernanceError, Refused, StorageError
from governance.keys import grants
from governance.keys.keyring import locked
from governance.keys.names import DigestKeyName, KeyName
from governance.state.database import Database

_KEY, _DESTROYED = "gov:", "gov-destroyed:"
_NONCE_BYTES, _TAG_BITS = 12, 128
_CHUNK_BYTES = 4 << 20
P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class TokenAccess:
    """Which token, and the PIN to open it; the PIN is in no text of this value."""

    library: Path
    label: str
    pin: str

    def __repr__(self) -> str:
        return f"TokenAccess({self.label!r})"


def read_access(library: Path, label: str, pin_file: Path | None) -> TokenAccess:
    """Access with the PIN of `pin_file`, else of $GOV_PKCS11_PIN. Raises GovernanceError when there is none."""
    try:
        pin = pin_file.read_text(encoding="utf-8").strip() if pin_file else os.environ.get("GOV_PKCS11_PIN", "")
    except (OSError, UnicodeDecodeError):
        raise GovernanceError(
            "the PIN's file cannot be read", where=str(pin_file), do="correct [keys] pin_file"
        ) from None
    if not pin:
        raise GovernanceError(
            "no PIN for the token", where=label, allowed="[keys] pin_file, or $GOV_PKCS11_PIN", do="give one"
        )
    return TokenAccess(library, label, pin)


def _guarded(method: Callable[Concatenate[TokenKeyring, P], R]) -> Callable[Concatenate[TokenKeyring, P], R]:
    """Errors of the token as ours: they hold no value."""

    @wraps(method)
    def guarded(self: TokenKeyring, /, *args: P.args, **kwargs: P.kwargs) -> R:
        library = _library()
        try:
            return method(self, *args, **kwargs)
        except library.PKCS11Error as error:
            raise StorageError(f"the token does not answer: {type(error).__name__}", where=self.label) from None

    return guarded


class TokenKeyring:
    """Keys in the token of `access`; `folder` has the lock under which new ones are made. See `KeyStore`."""

    def __init__(self, access: TokenAccess, folder: Path, database: Database) -> None:
        self.label = access.label
        self._access, self._folder, self._database = access, folder, database
        self._spending = grants.Spending(database)
        self._lock = threading.Lock()

    @_guarded
    def wrap(self, key: KeyName, data_key: bytes) -> str:
        """base64(nonce ‖ AES-256-GCM of `data_key`), made in the token. Makes the key when it is new; Refused when it was
        destroyed.
        """
        name, nonce = str(key), os.urandom(_NONCE_BYTES)
        with self._lock:
            sealed = self._made(name).encrypt(data_key, **_gcm(nonce, name))
        return base64.b64encode(nonce + sealed).decode("ascii")

    @_guarded
    def require(self, keys: Collection[KeyName], grant_id: str) -> None:
        """Refused unless the grant holds and names all of `keys`, and none of them is absent or destroyed."""
        names = sorted(map(str, keys))
        with self._database.read() as connection:
            grants.require(connection, grant_id, names, at=self._database.clock())
        with self._lock:
            for name in names:
                self._existing(name, grant_id)

    @_guarded
    def unwrap(self, key: KeyName, wrapped: str, grant_id: str) -> bytes:
        """The data key again. Raises Refused for the grant or an absent key, Damaged when `wrapped` is not this key's
        work.
        """
        import pkcs11

        self.require([key], grant_id)
        name = str(key)
        try:
            sealed = base64.b64decode(wrapped, validate=True)
            with self._lock:
                master = self._existing(name, grant_id)
                opened: bytes = master.decrypt(sealed[_NONCE_BYTES:], **_gcm(sealed[:_NONCE_BYTES], name))
            return opened
        except (
            binascii.Error,
            ValueError,
            pkcs11.exceptions.GeneralError,  # what SoftHSM says of a wrong tag
            pkcs11.exceptions.EncryptedDataInvalid,
            pkcs11.exceptions.EncryptedDataLenRange,
        ):
            raise Damaged("a wrapped data key does not open", where=name) from None

    @_guarded
    def digest(self, key: DigestKeyName, blocks: bytes, grant_id: str) -> bytes:
        """AES-256-ECB of `blocks` in the token, counted against the grant's budget before it is done."""
        import pkcs11

        name = str(key)
        if not self._spending.spend(grant_id, name, blocks):
            return b""
        with self._lock:
            master = self._made(name)
            starts = range(0, len(blocks), _CHUNK_BYTES)
            return b"".join(
                master.encrypt(blocks[at : at + _CHUNK_BYTES], mechanism=pkcs11.Mechanism.AES_ECB) for at in starts
            )

    @_guarded
    def destroy(self, key: KeyName | DigestKeyName) -> bool:
        """Destroy a master key in the token for good. False when it was not there. Its name stays taken."""
        name = str(key)
        with self._lock, locked(self._folder):
            if not self._is_destroyed(name):
                self._mark_destroyed(name)
            found = self._found(name)
            for master in found:
                master.destroy()
        return bool(found)

    @_guarded
    def names(self) -> tuple[str, ...]:
        """Names of the keys that exist, sorted; never the keys."""
        import pkcs11

        with self._lock:
            objects = list(self._session().get_objects({pkcs11.Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY}))
            labels = {str(master.label) for master in objects}
        return tuple(sorted(label.removeprefix(_KEY) for label in labels if label.startswith(_KEY)))

    def _existing(self, name: str, grant_id: str) -> Any:
        found = self._found(name)
        if not found:
            raise Refused(f"key {name} cannot be used under grant {grant_id}", where="keystore")
        return found[0]

    def _made(self, name: str) -> Any:
        """The key called `name`, made when it is new."""
        found = self._found(name)
        if not found:
            with locked(self._folder):
                found = self._found(name)
                if not found:
                    if self._is_destroyed(name):
                        raise Refused(f"key {name} was destroyed", where="keystore", do="use a new epoch")
                    return self._generated(name)
        return found[0]

    def _found(self, name: str) -> list[Any]:
        """The key, or nothing. Two of one name are Damaged: what the other one wrapped would not open."""
        import pkcs11

        wanted = {pkcs11.Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY, pkcs11.Attribute.LABEL: _KEY + name}
        found = list(self._session().get_objects(wanted))
        if len(found) > 1:
            raise Damaged(f"the token has {len(found)} keys of that name", where=name, do="let one machine make keys")
        return found

    def _generated(self, name: str) -> Any:
        import pkcs11
        from pkcs11 import Attribute

        template = {
            Attribute.PRIVATE: True,
            Attribute.SENSITIVE: True,
            Attribute.EXTRACTABLE: False,
            Attribute.MODIFIABLE: False,
            Attribute.ENCRYPT: True,
            Attribute.DECRYPT: True,
            **dict.fromkeys(
                (Attribute.WRAP, Attribute.UNWRAP, Attribute.SIGN, Attribute.VERIFY, Attribute.DERIVE), False
            ),
        }
        return self._session().generate_key(pkcs11.KeyType.AES, 256, label=_KEY + name, store=True, template=template)

    def _is_destroyed(self, name: str) -> bool:
        import pkcs11

        wanted = {pkcs11.Attribute.CLASS: pkcs11.ObjectClass.DATA, pkcs11.Attribute.LABEL: _DESTROYED + name}
        return bool(list(self._session().get_objects(wanted)))

    def _mark_destroyed(self, name: str) -> None:
        from pkcs11 import Attribute, ObjectClass

        label = _DESTROYED + name
        mark = {Attribute.CLASS: ObjectClass.DATA, Attribute.LABEL: label, Attribute.VALUE: b"1"}
        self._session().create_object({**mark, Attribute.TOKEN: True, Attribute.PRIVATE: True})

    def _session(self) -> Any:
        return _opened(self._access, os.getpid())


@lru_cache(maxsize=8)
def _opened(access: TokenAccess, process: int) -> Any:
    """The process's session with the token: a token knows one login a process."""
    pkcs11 = _library()
    try:
        return pkcs11.lib(str(access.library)).get_token(token_label=access.label).open(user_pin=access.pin, rw=True)
    except (pkcs11.PKCS11Error, RuntimeError) as error:
        found = f"the token cannot be opened: {type(error).__name__}"
        raise StorageError(found, where=access.label, do="see [keys] pkcs11, token and the PIN") from None


def _library() -> Any:
    try:
        import pkcs11
    except ImportError:
        raise GovernanceError(
            "python-pkcs11 is not installed", where="[keys] pkcs11", do="install the extra pkcs11"
        ) from None
    return pkcs11


def _gcm(nonce: bytes, name: str) -> dict[str, Any]:
    from pkcs11 import GCMParams, Mechanism

    return {"mechanism": Mechanism.AES_GCM, "mechanism_param": GCMParams(nonce, name.encode("utf-8"), _TAG_BITS)}
