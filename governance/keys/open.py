"""The key store that a home's settings name: a key service when there is a socket, else the embedded keyring."""

from __future__ import annotations

from governance.config import Settings
from governance.keys.keyring import Keyring
from governance.keys.names import KeyStore
from governance.keys.remote import RemoteKeyStore
from governance.state.database import Database


def open_keystore(settings: Settings, database: Database) -> KeyStore:
    """The one place that chooses."""
    if settings.key_socket is not None:
        return RemoteKeyStore(settings.key_socket)
    return Keyring(settings.keyring, database)
