"""Master keys are made once, never leave, and are asked for under a grant that holds."""

import base64
import json
import stat
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from governance.errors import Damaged, Refused
from governance.keys import grants
from governance.keys.keyring import Keyring
from governance.keys.names import DigestKeyName, KeyName
from governance.state.database import Database
from governance.state.values import Actor
from tests.keys.conftest import Clock, Issue

KEY = KeyName("tax", "tax.invoices", "L3")
OTHER = KeyName("tax", "tax.invoices", "L4")
PERSON = DigestKeyName("domain", "person")
DATA_KEY = b"0123456789abcdef"


def test_a_wrapped_data_key_comes_back_under_a_grant_that_names_the_key(keyring: Keyring, issue: Issue) -> None:
    wrapped = keyring.wrap(KEY, DATA_KEY)
    assert keyring.unwrap(KEY, wrapped, issue(keys=[KEY]).id) == DATA_KEY


def test_writing_needs_no_grant_and_two_wraps_differ(keyring: Keyring) -> None:
    assert keyring.wrap(KEY, DATA_KEY) != keyring.wrap(KEY, DATA_KEY)


def test_a_grant_for_another_key_is_refused_and_the_message_names_only_key_and_grant(
    keyring: Keyring, issue: Issue
) -> None:
    wrapped, grant = keyring.wrap(KEY, DATA_KEY), issue(keys=[OTHER])
    with pytest.raises(Refused) as refused:
        keyring.unwrap(KEY, wrapped, grant.id)
    assert str(refused.value) == f"keystore: key {KEY} cannot be used under grant {grant.id}"


def test_an_unknown_an_expired_and_a_revoked_grant_are_refused_alike(
    keyring: Keyring, issue: Issue, database: Database, actor: Actor, clock: Clock
) -> None:
    wrapped = keyring.wrap(KEY, DATA_KEY)
    revoked, expired = issue(keys=[KEY]), issue(keys=[KEY], seconds=10)
    with database.unit_of_work() as tx:
        grants.revoke(tx, revoked.id, actor=actor, database=database)
    clock.pass_seconds(10)
    for grant_id in ("nobody", revoked.id, expired.id):
        with pytest.raises(Refused, match=f"key {KEY} cannot be used under grant {grant_id}"):
            keyring.unwrap(KEY, wrapped, grant_id)


def test_a_changed_wrapped_key_is_damaged_and_so_is_one_of_another_key(keyring: Keyring, issue: Issue) -> None:
    grant = issue(keys=[KEY, OTHER])
    sealed = bytearray(base64.b64decode(keyring.wrap(KEY, DATA_KEY)))
    sealed[-1] ^= 1
    for wrapped in (base64.b64encode(sealed).decode(), keyring.wrap(OTHER, DATA_KEY), "not base64!"):
        with pytest.raises(Damaged):
            keyring.unwrap(KEY, wrapped, grant.id)


def test_the_keyring_is_readable_by_its_owner_only(keyring: Keyring, tmp_path: Path) -> None:
    keyring.wrap(KEY, DATA_KEY)
    folder = tmp_path / "keys"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}


def test_another_process_on_the_same_folder_has_the_same_keys(
    keyring: Keyring, tmp_path: Path, database: Database, issue: Issue
) -> None:
    other = Keyring(tmp_path / "keys", database)
    assert other.unwrap(KEY, keyring.wrap(KEY, DATA_KEY), issue(keys=[KEY]).id) == DATA_KEY


def _wrap_in_a_process(folder: str, url: str, number: int) -> str:
    return Keyring(Path(folder), Database(url)).wrap(KEY, number.to_bytes(16, "big"))


def test_processes_that_need_the_same_new_key_at_once_get_one(
    keyring: Keyring, tmp_path: Path, database: Database, issue: Issue
) -> None:
    folder = str(tmp_path / "keys")
    with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(_wrap_in_a_process, folder, database.url, number) for number in range(3)]
        wrapped = [job.result() for job in jobs]
    grant = issue(keys=[KEY])
    assert [keyring.unwrap(KEY, text, grant.id) for text in wrapped] == [n.to_bytes(16, "big") for n in range(3)]
    assert keyring.names() == (str(KEY),)


def test_a_destroyed_key_opens_nothing_and_is_never_made_again(keyring: Keyring, issue: Issue, tmp_path: Path) -> None:
    wrapped, grant = keyring.wrap(KEY, DATA_KEY), issue(keys=[KEY])
    master = json.loads((tmp_path / "keys" / "keyring.json").read_text())["keys"][str(KEY)]
    assert keyring.destroy(KEY)
    with pytest.raises(Refused, match="cannot be used"):
        keyring.unwrap(KEY, wrapped, grant.id)
    with pytest.raises(Refused, match="was destroyed"):
        keyring.wrap(KEY, DATA_KEY)
    assert master not in (tmp_path / "keys" / "keyring.json").read_text()
    assert not keyring.destroy(KEY)


def test_a_damaged_keyring_says_so(keyring: Keyring, tmp_path: Path) -> None:
    keyring.wrap(KEY, DATA_KEY)
    (tmp_path / "keys" / "keyring.json").write_text("{")
    with pytest.raises(Damaged, match=r"keyring\.json"):
        keyring.wrap(KEY, DATA_KEY)


def test_digests_are_counted_against_the_budget_of_the_grant(
    keyring: Keyring, issue: Issue, database: Database
) -> None:
    grant = issue(keys=[], digest_keys=[PERSON], digest_budget=3)
    first = keyring.digest(PERSON, b"a" * 16 + b"b" * 16, grant.id)
    assert len(first) == 32
    with pytest.raises(Refused, match="budget"):
        keyring.digest(PERSON, b"c" * 32, grant.id)
    assert keyring.digest(PERSON, b"a" * 16, grant.id) == first[:16]
    with database.read() as connection:
        left = grants.find(connection, grant.id)
    assert left is not None
    assert left.digest_budget == 0


def test_threads_together_never_overspend_a_budget(keyring: Keyring, issue: Issue) -> None:
    grant, refused = issue(keys=[], digest_keys=[PERSON], digest_budget=10), []

    def spend() -> None:
        for _ in range(5):
            try:
                keyring.digest(PERSON, b"a" * 16, grant.id)
            except Refused:
                refused.append(1)

    threads = [threading.Thread(target=spend) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 10


def test_a_right_to_read_is_no_right_to_digest(keyring: Keyring, issue: Issue) -> None:
    with pytest.raises(Refused):
        keyring.digest(PERSON, b"a" * 16, issue(keys=[KEY], digest_budget=10).id)
