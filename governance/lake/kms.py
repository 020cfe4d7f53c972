"""Parquet Modular Encryption on our `KeyStore`: one `CryptoFactory` a grant or a writing batch, never shared.

PyArrow's factory keeps unwrapped keys and would serve a second grant from its cache without asking (measured); so each
call here makes a new one. Master keys are named by the text of a `KeyName`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

import pyarrow.parquet.encryption as pe

from governance.errors import Refused
from governance.keys.names import KeyName, KeyStore

_CACHE = timedelta(minutes=5)


class Encryptor:
    """Gives each file of one writing batch its own encryption properties. Needs no right to read."""

    def __init__(self, keystore: KeyStore, *, footer: KeyName, columns: Mapping[KeyName, Sequence[str]]) -> None:
        self._factory = pe.CryptoFactory(lambda _config: _Client(keystore, None))
        self._connection = pe.KmsConnectionConfig()
        self._config = pe.EncryptionConfiguration(
            footer_key=str(footer),
            column_keys={str(key): list(names) for key, names in columns.items()},
            plaintext_footer=True,
            double_wrapping=True,
            data_key_length_bits=256,
        )

    def properties(self) -> object:
        """Fresh properties: they hold one file's data keys."""
        return self._factory.file_encryption_properties(self._connection, self._config)


def decryptor(keystore: KeyStore, grant_id: str) -> Callable[[], object]:
    """Gives properties for opening single files with PyArrow under one grant. Check the grant's keys first: PyArrow aborts
    the process when a key is denied.
    """
    factory = pe.CryptoFactory(lambda _config: _Client(keystore, grant_id))
    connection, config = pe.KmsConnectionConfig(), pe.DecryptionConfiguration(cache_lifetime=_CACHE)
    return lambda: factory.file_decryption_properties(connection, config)


class _Client(pe.KmsClient):  # type: ignore[misc]
    def __init__(self, keystore: KeyStore, grant_id: str | None) -> None:
        super().__init__()
        self._keystore = keystore
        self._grant_id = grant_id

    def wrap_key(self, key_bytes: bytes, master_key_identifier: str) -> str:
        return self._keystore.wrap(KeyName.parse(master_key_identifier), key_bytes)

    def unwrap_key(self, wrapped_key: str, master_key_identifier: str) -> bytes:
        if self._grant_id is None:
            raise Refused("a writer has no right to read", where="lake")
        return self._keystore.unwrap(KeyName.parse(master_key_identifier), wrapped_key, self._grant_id)
