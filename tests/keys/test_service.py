"""Key custody as a process of its own: same answers as the embedded keyring, its own decision, its own ledger."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from governance.errors import Conflict, Damaged, GovernanceError, Refused, StorageError
from governance.keys import grants
from governance.keys.authority import Authority, Facts
from governance.keys.consumers import Issuers, read_issuers
from governance.keys.custody import FILE, CustodyLedger, verify
from governance.keys.keyring import Keyring
from governance.keys.names import DigestKeyName, KeyName
from governance.keys.remote import RemoteKeyStore
from governance.keys.service import Custody, may_act_for, role_of, server
from governance.state.database import Database
from governance.state.values import Actor

KEY = KeyName("tax", "tax.invoices", "L3")
CURATED = KeyName("curated", "curated.person", "L3")
TOKEN = DigestKeyName("domain", "person")
LOGIN = Ed25519PrivateKey.from_private_bytes(bytes([7]) * 32)
ISSUERS = Issuers("gov-keys", {"https://login.example": (LOGIN.public_key(),)})


@dataclass
class FixedRules:
    """Rules that a test says."""

    shown: dict[tuple[str, str], frozenset[str]] = field(default_factory=dict)
    gone: bool = False

    def facts(self) -> Facts:
        if self.gone:
            raise FileNotFoundError("catalog")
        tables = {"tax": frozenset({"tax.invoices", "tax.invoices.quarantine"}), "water": frozenset({"water.meters"})}
        return Facts(
            tables,
            {"tax": frozenset({"digest:domain/person"})},
            frozenset({"tax/tax.invoices/L3", "tax/tax.invoices/footer"}),
        )

    def shows(self, subject: str, purpose: str, tables: Iterable[str], at: datetime) -> frozenset[str]:
        return self.shown.get((subject, purpose), frozenset())


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'state.sqlite'}")
    database.create()
    yield database
    database.close()


@pytest.fixture
def rules() -> FixedRules:
    return FixedRules()


@pytest.fixture
def custody(tmp_path: Path, database: Database, rules: FixedRules) -> Iterator[Custody]:
    keyring, ledger = Keyring(tmp_path / "keys", database), CustodyLedger(tmp_path / "keys")
    yield Custody(keyring, database, Authority(rules), ISSUERS, ledger)
    ledger.close()


@pytest.fixture
def remote(tmp_path: Path, custody: Custody) -> Iterator[RemoteKeyStore]:
    running = server(tmp_path / "keys.sock", custody)
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    store = RemoteKeyStore(tmp_path / "keys.sock")
    yield store
    store.close()
    running.shutdown()
    running.server_close()
    thread.join()


def _grant(
    database: Database, subject: str = "service:store@tax", purpose: str = "pipeline.store", *keys: KeyName
) -> str:
    with database.unit_of_work() as tx:
        actor = Actor(subject, purpose, "r")
        given = list(keys or [KEY])
        digests = [] if keys else [TOKEN]
        return grants.issue(tx, actor=actor, keys=given, digest_keys=digests, digest_budget=4, database=database).id


def token(subject: str = "li", *, key: Ed25519PrivateKey = LOGIN, **claims: object) -> str:
    now = datetime.now(UTC)
    said = {"iss": "https://login.example", "aud": "gov-keys", "sub": subject, "iat": now}
    return jwt.encode({**said, "exp": now + timedelta(minutes=5), **claims}, key, algorithm="EdDSA")


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / FILE).read_text(encoding="utf-8").splitlines()]


def test_the_service_answers_as_the_keyring_does(tmp_path: Path, database: Database, remote: RemoteKeyStore) -> None:
    grant = _grant(database)
    data_key = os.urandom(16)
    wrapped = remote.wrap(KEY, data_key)
    remote.require([KEY], grant)
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
    with pytest.raises(Refused, match="cannot be used"):
        remote.require([KeyName("tax", "tax.invoices", "L4")], _grant(database))


def test_a_role_uses_grants_of_its_own_subject_alone() -> None:
    assert may_act_for("store", "service:store@tax")
    assert may_act_for("store-tax", "service:store@tax")
    assert may_act_for("use", "user:li")
    for role in ("collect", "manage", "build", "use", "portal", "store-water", "store-", "", "tax"):
        assert not may_act_for(role, "service:store@tax")


@pytest.mark.parametrize(
    ("subject", "key"),
    [
        ("service:store@water", KEY),
        ("service:collect@tax", KEY),
        ("service:build@curated", CURATED),
        ("service:build@tax", KEY),
        ("service:build@curated", KeyName("tax", "tax.invoices", "landed")),
        ("service:manage@tax", KeyName("tax", "tax.invoices", "landed")),
        ("service:scan@tax", KEY),
        ("service:store", KEY),
        ("root", KEY),
        ("service:store@", KeyName("", "", "L3")),
    ],
)
def test_a_forged_grant_for_more_than_its_subject_may_have_gives_nothing(
    database: Database, remote: RemoteKeyStore, subject: str, key: KeyName
) -> None:
    wrapped = remote.wrap(key, os.urandom(16))
    grant = _grant(database, subject, "pipeline.store", key)
    for ask in (lambda: remote.unwrap(key, wrapped, grant), lambda: remote.require([key], grant)):
        with pytest.raises(Refused, match="wider than its subject's rights"):
            ask()


def test_one_key_too_many_closes_the_whole_grant(database: Database, remote: RemoteKeyStore) -> None:
    wrapped = remote.wrap(KEY, os.urandom(16))
    grant = _grant(database, "service:store@tax", "pipeline.store", KEY, KeyName("water", "water.meters", "L3"))
    with pytest.raises(Refused, match=r"wider.*water/water\.meters"):
        remote.unwrap(KEY, wrapped, grant)


def test_another_epoch_of_a_key_is_the_same_right(database: Database, remote: RemoteKeyStore) -> None:
    second = KeyName("tax", "tax.invoices", "L3", 2)
    wrapped = remote.wrap(second, bytes(16))
    assert remote.unwrap(second, wrapped, _grant(database, "service:build@curated", "pipeline.develop", second))


def test_a_consumers_key_opens_with_its_own_token_and_what_the_rules_show_alone(
    tmp_path: Path, database: Database, remote: RemoteKeyStore, rules: FixedRules
) -> None:
    rules.shown["user:li", "benefits"] = frozenset({"curated/curated.person/L3", "curated/curated.person/footer"})
    wrapped = remote.wrap(CURATED, bytes(range(16)))
    grant = _grant(database, "user:li", "benefits", CURATED)
    path = tmp_path / "keys.sock"

    def opened(given: str, by: str = grant) -> bytes:
        store = RemoteKeyStore(path, token=given)
        try:
            return store.unwrap(CURATED, wrapped, by)
        finally:
            store.close()

    assert opened(token()) == bytes(range(16))
    with pytest.raises(Refused, match="no valid token of user:li"):
        remote.unwrap(CURATED, wrapped, grant)
    with pytest.raises(Refused, match="no valid token of user:li"):
        opened(token("wang"))
    for by in (_grant(database, "user:li", "statistics", CURATED), _grant(database, "user:wang", "benefits", CURATED)):
        with pytest.raises(Refused):
            opened(token(), by)
    rules.shown.clear()
    with pytest.raises(Refused, match="wider"):
        opened(token(), _grant(database, "user:li", "benefits", CURATED, KeyName("curated", "curated.person", "L4")))


def test_a_token_that_does_not_hold_is_refused(tmp_path: Path) -> None:
    past = datetime.now(UTC) - timedelta(hours=1)
    other = Ed25519PrivateKey.from_private_bytes(bytes([8]) * 32)
    text = LOGIN.public_key().public_bytes_raw()
    for wrong in (
        token(exp=past),
        token(aud="somebody else"),
        token(iss="https://other.example"),
        token(nbf=datetime.now(UTC) + timedelta(hours=1)),
        token(key=other),
        token()[:-4] + "AAAA",
        jwt.encode({"sub": "li", "aud": "gov-keys", "iss": "https://login.example"}, LOGIN, algorithm="EdDSA"),
        jwt.encode({"sub": "li", "aud": "gov-keys", "iss": "https://login.example"}, None, algorithm="none"),
        jwt.encode({"sub": "li", "aud": "gov-keys", "iss": "https://login.example"}, text, algorithm="HS256"),
        "",
        "x" * 9000,
    ):
        with pytest.raises(Refused, match="does not hold"):
            ISSUERS.subject(wrong)
    with pytest.raises(Refused, match="does not hold"):
        Issuers().subject(token())
    assert ISSUERS.subject(token()) == "user:li"
    file = tmp_path / "issuers.toml"
    file.write_text(f'audience = "gov-keys"\n[issuer."https://login.example"]\nkeys = ["{text.hex()}"]\n')
    assert read_issuers(file).subject(token()) == "user:li"
    for body in ('audience = "gov-keys"', 'audience = 1\n[issuer.a]\nkeys = ["00"]', "[", '[issuer.a]\nkeys = ["zz"]'):
        file.write_text(body)
        with pytest.raises(GovernanceError, match="not a file of issuers"):
            read_issuers(file)


def test_every_answer_and_every_refusal_is_in_the_services_own_ledger(
    tmp_path: Path, database: Database, remote: RemoteKeyStore
) -> None:
    wrapped = remote.wrap(KEY, os.urandom(16))
    grant = _grant(database)
    remote.unwrap(KEY, wrapped, grant)
    remote.unwrap(KEY, wrapped, grant)
    remote.digest(TOKEN, bytes(32), grant)
    with pytest.raises(Refused):
        remote.unwrap(KEY, wrapped, _grant(database, "service:store@water", "pipeline.store", KEY))
    found = lines(tmp_path / "keys")
    assert [entry["kind"] for entry in found] == ["started", "made", "opened", "digested", "refused"]
    assert found[2]["subject"] == "service:store@tax"
    assert found[3]["values"] == 2
    assert verify(tmp_path / "keys" / FILE)[0] == 5
    text = (tmp_path / "keys" / FILE).read_text(encoding="utf-8")
    assert wrapped not in text
    assert (tmp_path / "keys" / FILE).stat().st_mode & 0o777 == 0o600


def test_a_changed_removed_or_moved_line_of_the_ledger_is_found_and_a_torn_one_is_cut(tmp_path: Path) -> None:
    ledger = CustodyLedger(tmp_path)
    for number in range(3):
        ledger.append("made", {"key": f"k{number}"})
    with pytest.raises(Conflict, match="another key service"):
        CustodyLedger(tmp_path)
    ledger.close()
    file = tmp_path / FILE
    whole = file.read_bytes().splitlines(keepends=True)
    for changed in (
        [whole[0], whole[1].replace(b"k0", b"k9"), *whole[2:]],
        [whole[0], *whole[2:]],
        [whole[0], whole[2], whole[1], whole[3]],
        [*whole[:3], b"{}\n"],
    ):
        file.write_bytes(b"".join(changed))
        with pytest.raises(Damaged, match="does not follow"):
            verify(file)
    file.write_bytes(b"".join(whole) + b'{"half')
    again = CustodyLedger(tmp_path)
    again.close()
    assert verify(file)[0] == 5
    assert lines(tmp_path)[-1]["torn_bytes"] == 6


def test_a_malformed_request_is_refused_and_the_service_goes_on(custody: Custody) -> None:
    for header in ({}, {"operation": "unwrap"}, {"operation": "wrap", "key": "a/b"}, {"operation": "master_key"}):
        assert custody.answer(header, b"", "*")[0]["error"] == "Refused"
    assert custody.answer({"operation": "wrap", "key": str(KEY)}, bytes(16), None)[0]["error"] == "Refused"
    assert custody.answer({"operation": "wrap", "key": str(KEY)}, bytes(16), "collect")[0]["wrapped"]


def test_what_cannot_be_read_opens_nothing_and_the_service_goes_on(
    database: Database, custody: Custody, rules: FixedRules
) -> None:
    wrapped = custody.answer({"operation": "wrap", "key": str(KEY)}, bytes(16), "*")[0]["wrapped"]
    ask = {"operation": "unwrap", "key": str(KEY), "wrapped": wrapped, "grant": _grant(database)}

    rules.gone = True
    assert custody.answer(ask, b"", "store")[0]["error"] == "StorageError"
    rules.gone = False
    assert custody.answer(ask, b"", "store")[1] == bytes(16)


def test_an_unknown_system_user_has_no_role() -> None:
    assert role_of(os.getuid()) == "*"
    assert role_of(2_000_000_000) is None


ASK = """
import json, socket, sys
with socket.socket(socket.AF_UNIX) as asked:
    asked.connect(sys.argv[1])
    body = json.dumps({"operation": "wrap", "key": "tax/tax.invoices/L3/1", "payload": 16}).encode()
    asked.sendall(len(body).to_bytes(4, "big") + body + bytes(16))
    stream = asked.makefile("rb")
    print(stream.read(int.from_bytes(stream.read(4), "big")).decode())
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
def test_a_process_of_another_user_that_has_no_role_gets_nothing(custody: Custody) -> None:
    with tempfile.TemporaryDirectory(prefix="gov-keys-") as folder:
        Path(folder).chmod(0o755)
        running = server(Path(folder) / "keys.sock", custody)
        (Path(folder) / "keys.sock").chmod(0o666)
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            command = [shutil.which("python3", path="/usr/bin") or sys.executable, "-c", ASK, f"{folder}/keys.sock"]
            done = subprocess.run(command, user=65_534, capture_output=True, check=True, text=True)
        finally:
            running.shutdown()
            running.server_close()
            thread.join()
    assert json.loads(done.stdout)["message"] == "this system user has no role"
    assert custody.keyring.names() == ()


def test_no_service_is_a_storage_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="gov keys serve"):
        RemoteKeyStore(tmp_path / "none.sock").wrap(KEY, bytes(16))
