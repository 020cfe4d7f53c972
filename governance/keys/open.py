"""The key store that a home's settings name: a key service when there is a socket, else the embedded keyring."""

from __future__ import annotations

from governance.config import Settings
from governance.keys.keyring import Keyring
from governance.keys.names import KeyStore
from governance.keys.remote import RemoteKeyStore
from governance.state.database import Database


def open_keystore(settings: Settings, database: Database) -> KeyStore:
    """The one place that chooses. A key service is given `settings.key_token` with every use of a grant."""
    if settings.key_socket is not None:
        return RemoteKeyStore(settings.key_socket, token=settings.key_token)
    return open_keyring(settings, database)


def open_keyring(settings: Settings, database: Database) -> Keyring:
    """The keys themselves, where they lie: for the key service, and for whoever lists or destroys keys."""
    return Keyring(settings.keyring, database)
