"""Keys in a PKCS#11 token: what the file keyring promises, of SoftHSM2, and that no key leaves it."""

import base64
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from shutil import which

import pytest

from governance.config import load_settings
from governance.errors import Damaged, DeclarationError, GovernanceError, Refused, StorageError
from governance.keys import grants
from governance.keys.keyring import Keyring
from governance.keys.names import KeyName
from governance.keys.open import open_keyring
from governance.keys.pkcs11 import TokenAccess, TokenKeyring, _opened, read_access
from governance.keys.remote import RemoteKeyStore
from governance.state.database import Database
from governance.state.values import Actor
from tests.keys.conftest import Issue
from tests.keys.test_keyring import (  # noqa: F401 - the same promises
    DATA_KEY,
    KEY,
    OTHER,
    PERSON,
    test_a_changed_wrapped_key_is_damaged_and_so_is_one_of_another_key,
    test_a_grant_for_another_key_is_refused_and_the_message_names_only_key_and_grant,
    test_a_right_to_read_is_no_right_to_digest,
    test_a_wrapped_data_key_comes_back_under_a_grant_that_names_the_key,
    test_an_unknown_an_expired_and_a_revoked_grant_are_refused_alike,
    test_digests_are_counted_against_the_budget_of_the_grant,
    test_threads_together_never_overspend_a_budget,
    test_writing_needs_no_grant_and_two_wraps_differ,
)

LIBRARY = next(
    (p for p in map(Path, ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/libsofthsm2.so")) if p.exists()), None
)
PIN = "1234"
pytestmark = pytest.mark.skipif(LIBRARY is None or which("softhsm2-util") is None, reason="SoftHSM2 is not installed")


@pytest.fixture(scope="session")
def access(tmp_path_factory: pytest.TempPathFactory) -> TokenAccess:
    """A token of this test run."""
    pytest.importorskip("pkcs11", reason="the extra pkcs11 is not installed")
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    conf = folder / "softhsm2.conf"
    conf.write_text(f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = str(conf)  # the library reads it once, when it is loaded
    made = ["softhsm2-util", "--init-token", "--free", "--label", "gov", "--pin", PIN, "--so-pin", "5678"]
    subprocess.run(made, check=True, capture_output=True)
    assert LIBRARY is not None
    return TokenAccess(LIBRARY, "gov", PIN)


@pytest.fixture
def keyring(access: TokenAccess, tmp_path: Path, database: Database) -> TokenKeyring:
    """An empty token."""
    for left in list(_opened(access, os.getpid()).get_objects()):
        left.destroy()
    return TokenKeyring(access, tmp_path / "keys", database)


def test_what_the_token_made_is_what_the_file_keyring_would_make_of_the_key(
    keyring: TokenKeyring, issue: Issue, tmp_path: Path, database: Database
) -> None:
    """Same form, same names: nonce, ciphertext and tag, the name as associated data."""
    file = Keyring(tmp_path / "file", database)
    assert len(base64.b64decode(keyring.wrap(KEY, DATA_KEY))) == len(base64.b64decode(file.wrap(KEY, DATA_KEY)))
    big = os.urandom(16) * 400_000
    grant = issue(keys=[], digest_keys=[PERSON], digest_budget=400_001)
    made = keyring.digest(PERSON, big, grant.id)
    assert made == keyring.digest(PERSON, big[:16], grant.id) * 400_000


def test_no_key_can_be_read_out_of_the_token(keyring: TokenKeyring, access: TokenAccess, tmp_path: Path) -> None:
    import pkcs11

    keyring.wrap(KEY, DATA_KEY)
    (key,) = _opened(access, os.getpid()).get_objects({pkcs11.Attribute.LABEL: f"gov:{KEY}"})
    assert key[pkcs11.Attribute.SENSITIVE]
    assert not key[pkcs11.Attribute.EXTRACTABLE]
    with pytest.raises(pkcs11.exceptions.AttributeSensitive):
        key[pkcs11.Attribute.VALUE]
    assert not (tmp_path / "keys" / "keyring.json").exists()
    assert PIN not in repr(access)


def test_keys_are_listed_required_and_destroyed_for_good(keyring: TokenKeyring, issue: Issue) -> None:
    wrapped, grant = keyring.wrap(KEY, DATA_KEY), issue(keys=[KEY, OTHER])
    keyring.wrap(OTHER, DATA_KEY)
    assert keyring.names() == (str(KEY), str(OTHER))
    keyring.require([KEY, OTHER], grant.id)
    assert keyring.destroy(KEY)
    assert not keyring.destroy(KEY)
    assert keyring.names() == (str(OTHER),)
    with pytest.raises(Refused, match="cannot be used"):
        keyring.unwrap(KEY, wrapped, grant.id)
    with pytest.raises(Refused, match="cannot be used"):
        keyring.require([KEY], grant.id)
    with pytest.raises(Refused, match="was destroyed"):
        keyring.wrap(KEY, DATA_KEY)


def test_two_keys_of_one_name_are_damage(keyring: TokenKeyring) -> None:
    keyring._generated(str(KEY))
    keyring._generated(str(KEY))
    with pytest.raises(Damaged, match="2 keys of that name"):
        keyring.wrap(KEY, DATA_KEY)


def test_a_token_that_is_not_there_and_a_pin_that_is_not_given_say_what_to_do(
    access: TokenAccess, tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StorageError, match="cannot be opened"):
        TokenKeyring(TokenAccess(access.library, "none", PIN), tmp_path, database).names()
    with pytest.raises(StorageError, match="cannot be opened"):
        TokenKeyring(TokenAccess(tmp_path / "none.so", "gov", PIN), tmp_path, database).names()
    monkeypatch.delenv("GOV_PKCS11_PIN", raising=False)
    with pytest.raises(GovernanceError, match="no PIN"):
        read_access(access.library, "gov", None)
    with pytest.raises(GovernanceError, match="cannot be read"):
        read_access(access.library, "gov", tmp_path / "none")
    monkeypatch.setenv("GOV_PKCS11_PIN", PIN)
    assert read_access(access.library, "gov", None) == access


def test_a_home_names_its_token_and_never_its_pin(access: TokenAccess, tmp_path: Path, database: Database) -> None:
    (tmp_path / "pin").write_text(f"{PIN}\n")
    keys = f'[keys]\npkcs11 = "{access.library}"\ntoken = "gov"\npin_file = "pin"\n'
    (tmp_path / "gov.toml").write_text(keys)
    assert isinstance(open_keyring(load_settings(tmp_path), database), TokenKeyring)
    (tmp_path / "gov.toml").write_text(keys + 'pin = "1234"\n')
    with pytest.raises(DeclarationError, match="unknown key"):
        load_settings(tmp_path)


def test_the_key_service_serves_a_token(access: TokenAccess, tmp_path: Path) -> None:
    """The real process: a key is made in the token and opened over the socket."""
    for folder in ("catalog/water", "expectations", "var"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "catalog" / "access.yaml").write_text("version: 1\n")
    (tmp_path / "pin").write_text(PIN)
    contract = {
        "apiVersion": "v3.1.0",
        "kind": "DataContract",
        "id": "water-meters",
        "version": "1.0.0",
        "status": "active",
    }
    field = {"name": "holder", "logicalType": "string", "classification": "L3"}
    contract["schema"] = [{"name": "meters", "properties": [field]}]  # type: ignore[assignment]
    (tmp_path / "catalog" / "water" / "meters.odcs.yaml").write_text(json.dumps(contract))
    (tmp_path / "gov.toml").write_text(f'[keys]\npkcs11 = "{access.library}"\ntoken = "gov"\npin_file = "pin"\n')
    socket, key = tmp_path / "keys.sock", KeyName("water", "water.meters", "L3")
    command = [
        sys.executable,
        "-m",
        "governance.cli.main",
        "--home",
        str(tmp_path),
        "keys",
        "serve",
        "--socket",
        str(socket),
    ]
    process = subprocess.Popen(command)
    try:
        until = time.monotonic() + 60
        while not socket.exists():
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.1)
        database = Database(f"sqlite:///{tmp_path / 'var' / 'state.sqlite'}")
        with database.unit_of_work() as tx:
            actor = Actor("service:store@water", "pipeline.store", "r")
            grant = grants.issue(tx, actor=actor, keys=[key], database=database)
        store = RemoteKeyStore(socket)
        assert store.unwrap(key, store.wrap(key, DATA_KEY), grant.id) == DATA_KEY
        store.close()
        database.close()
    finally:
        process.terminate()
        process.wait()
