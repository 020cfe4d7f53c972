"""The real key service, over its socket: a whole pipeline and a query work through it, and forged rows of the state database
give nothing."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import delete, insert, select, update

from governance.cli.main import group
from governance.config import load_settings
from governance.errors import GovernanceError, Refused
from governance.keys import grants
from governance.keys.authority import trace_purpose
from governance.keys.names import DigestKeyName, KeyName
from governance.keys.remote import RemoteKeyStore
from governance.pipeline.context import Context, open_context
from governance.pipeline.quarantine_export import export
from governance.pipeline.quarantine_rows import ITEMS, opened
from governance.pipeline.record_trace import record_trace
from governance.pipeline.run import new_run, run_all
from governance.state.tables import grant as grant_table
from governance.state.tables import in_force, release, text
from governance.state.values import Actor
from governance.use.query import query
from governance.use.release import approve, propose, publish, sign
from tests.pipeline.home import FIRST, METERS, SUPPLY, SUPPLY_SQL, Home, month, utility_home

LOGIN = Ed25519PrivateKey.from_private_bytes(bytes([7]) * 32)
STEWARD = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
ACCESS = """\
version: 1
roles: [{{id: nurse}}, {{id: steward}}]
purposes: [{{id: care}}, {{id: count}}]
subjects:
  - {{name: "user:li", roles: [nurse], clearance: L4}}
  - {{name: "user:chen", roles: [nurse, steward], department: water, clearance: L4}}
  - {{name: "user:zhou", roles: [steward], department: water, clearance: L4}}
  - {{name: "user:wang"}}
approvers: [{{subject: "user:wang", public_key: {public}}}]
rules:
  - {{id: clear, roles: [nurse], purposes: [care], where: {{levels: [L1, L2, L3]}}, action: raw}}
  - {{id: tokens, roles: [nurse], purposes: [care], where: {{levels: [L4], tags: [number]}}, action: "mask:token"}}
"""
SQL = "SELECT holder, person_no FROM curated.supply"
ACTOR = Actor("service:use@curated", "pipeline.use", "release")


@dataclass(frozen=True)
class Served:
    """A home whose keys another process has."""

    home: Home
    keys_home: Path
    socket: Path

    def context(self, subject: str = "") -> Context:
        settings = load_settings(self.home.folder)
        settings = replace(settings, key_socket=self.socket, key_token=token(subject) if subject else "")
        return open_context(settings)

    def grant(self, subject: str, purpose: str, keys: list[KeyName], digests: tuple[DigestKeyName, ...] = ()) -> str:
        """A grant as a forger makes it: a row that names what it likes."""
        context = self.context()
        try:
            with context.database.unit_of_work() as tx:
                actor = Actor(subject, purpose, "forged")
                made = grants.issue(
                    tx, actor=actor, keys=keys, digest_keys=digests, digest_budget=9, database=context.database
                )
            return made.id
        finally:
            context.database.close()

    def asked(
        self, subject: str = "user:li", purpose: str = "care", login: str | None = None
    ) -> list[dict[str, object]]:
        context = self.context(login if login is not None else subject.removeprefix("user:"))
        try:
            with query(
                SQL,
                subject=subject,
                purpose=purpose,
                settings=context.settings,
                catalogue=context.catalogue,
                database=context.database,
                lake=context.lake,
                keystore=context.keystore,
            ) as answer:
                return list(answer.table().to_pylist())
        finally:
            context.database.close()


def token(subject: str) -> str:
    now = datetime.now(UTC)
    claims = {"iss": "https://login.example", "aud": "gov-keys", "sub": subject, "iat": now}
    return jwt.encode({**claims, "exp": now + timedelta(minutes=10)}, LOGIN, algorithm="EdDSA")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A pipeline home without a key, and the key service with a catalogue and keyring of its own."""
    folder = tmp_path_factory.mktemp("k")
    home = utility_home(folder / "home", mode="snapshot_diff")
    person = {**METERS["person_no"], "tags": ["number"]}
    home.declare(
        "curated.supply",
        {**SUPPLY, "person_no": person},
        sql=SUPPLY_SQL.replace("m.holder", "m.holder, m.person_no, m.person_no__token"),
    )
    public = STEWARD.public_key().public_bytes_raw().hex()
    (home.folder / "catalog" / "access.yaml").write_text(ACCESS.format(public=public), encoding="utf-8")
    keys_home = folder / "keys-home"
    keys_home.mkdir()
    for name in ("catalog", "expectations"):
        shutil.copytree(home.folder / name, keys_home / name)
    url = f"sqlite:///{home.folder / 'var' / 'state.sqlite'}"
    paths = f'[paths]\nvar = "{home.folder / "var"}"\nkeyring = "{keys_home / "keyring"}"\n'
    (keys_home / "gov.toml").write_text(f'{paths}[database]\nurl = "{url}"\n', encoding="utf-8")
    issuers = keys_home / "issuers.toml"
    login = LOGIN.public_key().public_bytes_raw().hex()
    issuers.write_text(f'audience = "gov-keys"\n[issuer."https://login.example"]\nkeys = ["{login}"]\n')
    (home.folder / "var").mkdir(exist_ok=True)
    with _service(keys_home, folder / "keys.sock", issuers) as socket:
        made = Served(home, keys_home, socket)
        context = made.context()
        for number in (1, 2):
            if number == 2:
                home.deliver(
                    "water.meters", [FIRST[0], "2,110101199003070028,李四丁,21", "9,110101199003070087,王九,-1"]
                )
            assert run_all(context, month(number), run=new_run()).failed == ()
        _publish(context)
        context.database.close()
        yield made


class _service:
    """`gov keys serve`, running."""

    def __init__(self, keys_home: Path, socket: Path, issuers: Path) -> None:
        self._command = [sys.executable, "-m", "governance.cli.main", "--home", str(keys_home), "keys", "serve"]
        self._command += ["--socket", str(socket), "--issuers", str(issuers)]
        self._socket = socket

    def __enter__(self) -> Path:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GOV_")}
        self._process = subprocess.Popen(self._command, env=environment)
        until = time.monotonic() + 120
        while not self._socket.exists():
            assert self._process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.1)
        return self._socket

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()


def _publish(context: Context) -> str:
    c, database, lake = context.catalogue, context.database, context.lake
    made = propose(c, database=database, lake=lake, actor=ACTOR)
    approve(made, subject="user:wang", signature=sign(made, STEWARD), catalogue=c, database=database, actor=ACTOR)
    publish(made, catalogue=c, settings=context.settings, database=database, lake=lake, actor=ACTOR)
    return made


def _key(served: Served, table: str, column: str) -> KeyName:
    """The key that a column of a table is under now."""
    context = served.context()
    try:
        snapshot = context.lake.snapshot(table)
        assert snapshot is not None
        (key,) = (k for k in context.lake.keys(table, snapshot, [column]) if k.group != "footer")
        return key
    finally:
        context.database.close()


def _custody(served: Served) -> list[dict[str, str]]:
    lines = (served.keys_home / "keyring" / "custody.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_the_pipeline_and_a_query_work_though_no_key_is_with_them(served: Served) -> None:
    rows = served.asked()
    assert {row["holder"] for row in rows} == {"张三甲", "李四丁"}
    assert all(len(str(row["person_no"])) == 24 for row in rows)
    assert not (served.home.folder / "var" / "keys" / "keyring.json").exists()
    subjects = {entry["subject"] for entry in _custody(served) if entry["kind"] in ("opened", "digested")}
    assert subjects == {"service:store@water", "service:store@power", "service:build@curated", "user:li"}


def test_a_steward_exports_what_is_set_aside_with_its_own_token_and_a_repair_is_the_services(
    served: Served, tmp_path: Path
) -> None:
    context, without = served.context("chen"), served.context()
    try:
        export(context, "water.meters", tmp_path / "rows.csv", subject="user:chen", purpose="care")
        assert "王九" in (tmp_path / "rows.csv").read_text(encoding="utf-8")
        with pytest.raises(GovernanceError):
            export(without, "water.meters", tmp_path / "none.csv", subject="user:chen", purpose="care")
        assert not (tmp_path / "none.csv").exists()
        dataset = without.catalogue.datasets["water.meters"]
        snapshot = without.lake.snapshot("water.meters__quarantine")
        assert snapshot is not None
        with opened(without, dataset, snapshot, Actor("user:chen", "quarantine", "r")) as rows:
            assert rows.con.execute(f"SELECT holder FROM {ITEMS}").fetchall() == [("王九",)]  # noqa: S608
        assert _custody(served)[-1]["kind"] == "opened"
        assert _custody(served)[-1]["subject"] == "service:manage@water"
    finally:
        context.database.close()
        without.database.close()


@pytest.mark.parametrize("by", ["meter", "person_no"])
def test_a_trace_by_a_clear_field_or_a_token_works_with_the_auditors_own_token(served: Served, by: str) -> None:
    number = next(str(row["person_no"]) for row in served.asked() if row["holder"] == "张三甲")
    key = {"meter": "1", "person_no": number}[by]
    context, without = served.context("li"), served.context()
    try:
        given = {"subject": "user:li", "purpose": "care", "by": [by]}
        found = record_trace(context, "curated.supply", [[key]], **given)
        assert {(row.table, row.row) for row in found.rows if row.value} == {("water.meters", 1), ("power.accounts", 1)}
        if by == "person_no":
            with pytest.raises(GovernanceError):
                record_trace(without, "curated.supply", [[key]], **given)
            assert _custody(served)[-1]["why"] == "no valid token of user:li was presented"
    finally:
        context.database.close()
        without.database.close()


def test_a_trace_that_reads_encrypted_columns_of_the_sources_opens_them_as_the_trace_service(served: Served) -> None:
    """Not without the consumer's token, and no originals, as their lines would need."""
    contexts = [served.context("li"), served.context("wang"), served.context()]
    before = len(_custody(served))
    try:
        given = {"subject": "user:li", "purpose": "care", "by": ["holder"]}
        found = record_trace(contexts[0], "curated.supply", [["张三甲"]], **given)
        assert found.exact
        records = {(row.position.file, row.position.record) for row in found.rows if row.position}
        assert records == {("water.meters.csv", 1), ("power.accounts.csv", 1)}
        opened = [line for line in _custody(served)[before:] if line["kind"] == "opened"]
        traced = {line["key"].rpartition("/")[0] for line in opened if line["subject"] == "service:trace@curated"}
        assert traced == {"water/water.meters/L3", "water/water.meters/footer"}
        assert {line["purpose"] for line in opened if line["subject"] == "service:trace@curated"} == {
            "trace curated.supply user:li care"
        }
        with pytest.raises(Refused, match="landed"):
            record_trace(contexts[0], "curated.supply", [["张三甲"]], lines=True, **given)
        for context in contexts[1:]:
            with pytest.raises(GovernanceError):
                record_trace(context, "curated.supply", [["张三甲"]], **given)
            assert _custody(served)[-1]["why"] == "no valid token of user:li was presented"
    finally:
        for context in contexts:
            context.database.close()


def test_forged_grants_of_traces_give_nothing(served: Served) -> None:
    holder, supply = _key(served, "water.meters", "holder"), _key(served, "curated.supply", "holder")
    number, landed = _key(served, "power.accounts", "person_no"), KeyName("water", "water.meters", "landed")
    wrapped = {key: RemoteKeyStore(served.socket).wrap(key, bytes(16)) for key in (holder, supply, number, landed)}
    for subject, table, purpose, key, login in (
        ("user:li", "curated.supply", "care", holder, ""),
        ("user:li", "curated.supply", "care", holder, "wang"),
        ("user:wang", "curated.supply", "care", holder, "wang"),
        ("user:li", "curated.supply", "count", landed, "li"),
        ("user:li", "curated.nothing", "care", holder, "li"),
        ("user:li", "water.meters", "care", landed, "li"),
        ("user:li", "curated.supply", "care", number, "li"),
        ("user:li", "curated.supply", "care", supply, "li"),
        ("user:li", "curated.supply", "care", landed, "li"),
    ):
        grant = served.grant("service:trace@curated", trace_purpose(subject, purpose, table), [key])
        store = RemoteKeyStore(served.socket, token=token(login) if login else "")
        with pytest.raises(Refused):
            store.unwrap(key, wrapped[key], grant)
        assert _custody(served)[-1]["kind"] == "refused"


@pytest.mark.parametrize("login", ["", "wang"])
def test_without_a_token_of_that_very_subject_nothing_opens_for_it(served: Served, login: str) -> None:
    with pytest.raises(GovernanceError):
        served.asked(login=login)
    assert _custody(served)[-1]["why"] == "no valid token of user:li was presented"


def test_forged_grants_give_nothing(served: Served) -> None:
    holder, supply = _key(served, "water.meters", "holder"), _key(served, "curated.supply", "holder")
    number = _key(served, "curated.supply", "person_no")
    landed, raw = KeyName("water", "water.meters", "landed"), KeyName("water", "water.meters.quarantine", "raw")
    wrapped = {key: RemoteKeyStore(served.socket).wrap(key, bytes(16)) for key in (holder, supply, number, landed, raw)}
    for subject, purpose, key, login in (
        ("service:store@power", "pipeline.store", holder, ""),
        ("service:collect@water", "pipeline.collect", landed, ""),
        ("service:build@curated", "pipeline.develop", landed, ""),
        ("service:build@curated", "pipeline.develop", supply, ""),
        ("service:scan@curated", "care", supply, ""),
        ("user:li", "care", supply, ""),
        ("user:li", "care", holder, "li"),
        ("user:li", "care", number, "li"),
        ("user:li", "care", raw, "li"),
        ("user:zhou", "care", raw, "zhou"),
        ("user:chen", "count", raw, "chen"),
        ("user:li", "count", supply, "li"),
        ("user:wang", "care", supply, "wang"),
        ("user:nobody", "care", supply, "nobody"),
    ):
        grant = served.grant(subject, purpose, [key])
        store = RemoteKeyStore(served.socket, token=token(login) if login else "")
        with pytest.raises(Refused):
            store.unwrap(key, wrapped[key], grant)
        assert _custody(served)[-1]["kind"] == "refused"
    person = DigestKeyName("domain", "person")
    grant, store = served.grant("user:li", "care", [], (person,)), RemoteKeyStore(served.socket, token=token("li"))
    with pytest.raises(Refused):
        store.digest(person, bytes(16), grant)
    allowed = served.grant("user:li", "care", [supply])
    assert RemoteKeyStore(served.socket, token=token("li")).unwrap(supply, wrapped[supply], allowed) == bytes(16)


def test_a_grant_that_is_widened_later_is_judged_again(served: Served) -> None:
    supply, number = _key(served, "curated.supply", "holder"), _key(served, "curated.supply", "person_no")
    store = RemoteKeyStore(served.socket, token=token("li"))
    wrapped = store.wrap(number, bytes(16))
    grant = served.grant("user:li", "care", [supply])
    store.require([supply], grant)
    context = served.context()
    with context.database.unit_of_work() as tx:
        names = json.dumps([str(supply), str(number)])
        tx.execute(update(grant_table).where(grant_table.c.id == grant).values(keys=names))
    context.database.close()
    with pytest.raises(Refused, match="wider"):
        store.unwrap(number, wrapped, grant)


def test_forged_rules_and_releases_widen_nothing(served: Served) -> None:
    """Rules recorded as in force are met with the service's own; a release that nobody signed opens nothing at all."""
    number, supply = _key(served, "curated.supply", "person_no"), _key(served, "curated.supply", "holder")
    store = RemoteKeyStore(served.socket, token=token("li"))
    for_number, for_supply = (served.grant("user:li", "care", [key]) for key in (number, supply))
    wide = ACCESS.format(public=STEWARD.public_key().public_bytes_raw().hex()).replace("L3]", "L3, L4]")
    digest = hashlib.sha256(wide.encode()).hexdigest()
    context = served.context()
    now = context.database.clock()
    with context.database.unit_of_work() as tx:
        tx.execute(insert(text).values(sha256=digest, kind="access", text=wide, recorded_at=now))
        tx.execute(
            update(in_force).where(in_force.c.kind == "access", in_force.c.valid_to.is_(None)).values(valid_to=now)
        )
        row = {"kind": "access", "name": "access", "sha256": digest, "valid_from": now, "recorded_at": now}
        tx.execute(insert(in_force).values(**row))
    store.require([supply], for_supply)
    with pytest.raises(Refused, match="wider"):
        store.require([number], for_number)
    with context.database.unit_of_work() as tx:
        approved, live = tx.execute(select(release.c.id, release.c.document).where(release.c.status == "live")).one()
        document = json.loads(live) | {"access": digest}
        for field in document["tables"]["curated.supply"]["fields"].values():
            field["level"] = "L1"
        body = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        forged = hashlib.sha256(body.encode()).hexdigest()
        tx.execute(update(release).where(release.c.id == approved).values(status="superseded"))
        values = {"id": forged, "document": body, "status": "live"}
        tx.execute(insert(release).values(**values, recorded_at=now, updated_at=now))
    time.sleep(0.6)
    for key, grant in ((number, for_number), (supply, for_supply)):
        with pytest.raises(Refused, match="not signed by an approver"):
            store.require([key], grant)
    with context.database.unit_of_work() as tx:
        tx.execute(delete(release).where(release.c.id == forged))
        tx.execute(update(release).where(release.c.id == approved).values(status="live"))
        tx.execute(update(in_force).where(in_force.c.sha256 == digest).values(valid_to=now))
    context.database.close()


def test_narrower_rules_of_the_services_own_hold_within_a_second(served: Served) -> None:
    supply = _key(served, "curated.supply", "holder")
    store = RemoteKeyStore(served.socket, token=token("li"))
    grant = served.grant("user:li", "care", [supply])
    store.require([supply], grant)
    access = served.keys_home / "catalog" / "access.yaml"
    before = access.read_text(encoding="utf-8")
    try:
        access.write_text(before.replace("L1, L2, L3", "L1"), encoding="utf-8")
        time.sleep(1.0)
        with pytest.raises(Refused, match="wider"):
            store.require([supply], grant)
        access.write_text("version: none", encoding="utf-8")
        time.sleep(1.0)
        with pytest.raises(Refused, match="declarations have faults"):
            store.require([supply], grant)
    finally:
        access.write_text(before, encoding="utf-8")
    time.sleep(1.0)
    store.require([supply], grant)


def test_the_ledger_of_the_service_is_verified_by_a_command(served: Served) -> None:
    result = CliRunner().invoke(group, ["--home", str(served.keys_home), "keys", "ledger", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["lines"] == len(_custody(served))
