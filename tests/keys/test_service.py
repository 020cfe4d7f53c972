"""Key custody as a process of its own: same answers as the embedded keyring, other users refused."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from governance.errors import Refused, StorageError
from governance.keys import grants
from governance.keys.keyring import Keyring
from governance.keys.names import DigestKeyName, KeyName
from governance.keys.remote import RemoteKeyStore
from governance.keys.service import _require_subject, role_of, server
from governance.state.database import Database
from governance.state.values import Actor

KEY = KeyName("tax", "tax.invoices", "L3")
TOKEN = DigestKeyName("domain", "person")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'state.sqlite'}")
    database.create()
    yield database
    database.close()


@pytest.fixture
def remote(tmp_path: Path, database: Database) -> Iterator[RemoteKeyStore]:
    running = server(tmp_path / "keys.sock", Keyring(tmp_path / "keys", database), database)
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    store = RemoteKeyStore(tmp_path / "keys.sock")
    yield store
    store.close()
    running.shutdown()
    running.server_close()
    thread.join()


def _grant(database: Database, subject: str = "service:store@tax") -> str:
    with database.unit_of_work() as tx:
        actor = Actor(subject, "pipeline.store", "r")
        return grants.issue(tx, actor=actor, keys=[KEY], digest_keys=[TOKEN], digest_budget=4, database=database).id


def test_the_service_answers_as_the_keyring_does(tmp_path: Path, database: Database, remote: RemoteKeyStore) -> None:
    grant = _grant(database)
    data_key = os.urandom(16)
    wrapped = remote.wrap(KEY, data_key)
    assert remote.unwrap(KEY, wrapped, grant) == data_key
    embedded = Keyring(tmp_path / "keys", database)
    assert embedded.unwrap(KEY, wrapped, grant) == data_key
    assert remote.digest(TOKEN, bytes(32), grant) == embedded.digest(TOKEN, bytes(32), grant)


def test_a_refusal_of_the_service_is_our_refusal(database: Database, remote: RemoteKeyStore) -> None:
    wrapped = remote.wrap(KEY, os.urandom(16))
    with pytest.raises(Refused):
        remote.unwrap(KEY, wrapped, "no such grant")
    with pytest.raises(Refused, match="budget"):
        remote.digest(TOKEN, bytes(16 * 5), _grant(database))


def test_a_role_uses_grants_of_its_own_subject_alone(database: Database) -> None:
    grant = _grant(database)
    _require_subject("store", grant, database)
    for other in ("collect", "manage", "build", "use", "portal"):
        with pytest.raises(Refused):
            _require_subject(other, grant, database)


def test_an_unknown_system_user_has_no_role() -> None:
    assert role_of(os.getuid()) == "*"
    assert role_of(2_000_000_000) is None


def test_no_service_is_a_storage_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="gov keys serve"):
        RemoteKeyStore(tmp_path / "none.sock").wrap(KEY, bytes(16))
