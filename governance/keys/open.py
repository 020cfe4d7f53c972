"""The key store that a home's settings name: a key service when there is a socket, else the
home's own keys, in a token or a file."""

from __future__ import annotations

from governance.config import Settings
from governance.keys.keyring import Keyring
from governance.keys.names import KeyCustody, KeyStore
from governance.keys.pkcs11 import TokenKeyring, read_access
from governance.keys.remote import RemoteKeyStore
from governance.state.database import Database


def open_keystore(settings: Settings, database: Database, *, ahead: int = 0) -> KeyStore:
    """The one place that chooses. A key service is given `settings.key_token` with every use of a grant. `ahead` is the
    embedded keyring's.
    """
    if settings.key_socket is not None:
        return RemoteKeyStore(settings.key_socket, token=settings.key_token)
    if settings.key_library is None:
        return Keyring(settings.keyring, database, ahead=ahead)
    return open_keyring(settings, database)


def open_keyring(settings: Settings, database: Database) -> KeyCustody:
    """The keys themselves, in a PKCS#11 token or a file: for the key service, and for whoever lists or destroys keys."""
    if settings.key_library is None:
        return Keyring(settings.keyring, database)
    access = read_access(settings.key_library, settings.key_label, settings.key_pin_file)
    return TokenKeyring(access, settings.keyring, database)
