"""Keys destroyed by two people: of a copied lake with all its history nothing under them opens, and everything else does."""

from __future__ import annotations

import json
import multiprocessing
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlalchemy import select

from governance.cli.main import group
from governance.config import load_settings
from governance.errors import Conflict, Refused
from governance.keys import grants
from governance.keys.frames import open_decrypted
from governance.keys.names import KeyName
from governance.pipeline.context import Context, open_context
from governance.pipeline.shred import destroy, keep, sign
from governance.pipeline.shred_plan import Selection, keyring_of, plan
from governance.state import batches
from governance.state.tables import ledger_entry, text
from governance.state.tables_lake import lake_snapshot
from governance.state.values import Actor
from tests.pipeline.home import FIRST, SUPPLY, SUPPLY_SQL, USE, Home, month, utility_home

KEYS = {name: Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n, name in enumerate(("user:a", "user:b"), 1)}
ACTOR = Actor("user:security", "keys.shred", "run-1")
WATER = Selection(datasets=("water.meters",))
Place = tuple[str, int, str]


def public(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes_raw().hex()


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two months of two departments: a faulty row in quarantine, a model that copies one department's column, two snapshots of each."""
    home = utility_home(tmp_path_factory.mktemp("city") / "home")
    subjects = ", ".join(f'{{name: "{name}"}}' for name in KEYS)
    approvers = ", ".join(f'{{subject: "{name}", public_key: "{public(key)}"}}' for name, key in KEYS.items())
    access = f"version: 1\nsubjects: [{subjects}]\napprovers: [{approvers}]\n"
    (home.folder / "catalog" / "access.yaml").write_text(access, encoding="utf-8")
    assert home.run(month(1)).failed == ()
    home.deliver("water.meters", [*FIRST, "4,110101199003070044,赵丁,-1"])
    home.deliver("power.accounts", [*USE, "110101199003070036,300"])
    assert home.run(month(2)).failed == ()
    return home.folder


@pytest.fixture
def home(city: Path) -> Iterator[Home]:
    """The same home in its own place (Iceberg's metadata hold absolute paths), put back afterwards."""
    kept = Home(city).keep()
    yield Home(city)
    Home(city).restore(kept)
    shutil.rmtree(kept)


def planned(home: Home, selection: Selection = WATER) -> str:
    with home.opened() as context:
        return keep(context, plan(context, selection))


def shredded(home: Home, plan_hash: str, names: tuple[str, ...] = ("user:a", "user:b")) -> tuple[str, ...]:
    with home.opened() as context:
        return destroy(context, plan_hash, {name: sign(plan_hash, KEYS[name]) for name in names}, actor=ACTOR)


def test_a_plan_names_the_copies_what_goes_with_them_and_what_stays(home: Home) -> None:
    with home.opened() as context:
        made = plan(context, WATER)
    assert {key.split("/")[2] for key in made.selected} == {"landed", "L3", "L4", "raw"}
    assert made.copies == {"curated/curated.supply/L3/1": ("curated.supply.holder",)}
    assert made.together == {"water/water.meters/landed/1": ("every column of the landed originals",)}
    assert "curated.supply.reading: in clear" in made.readable
    assert made.stopped == ("curated.supply", "water.meters")


def test_what_is_asked_for_alone_leaves_copies_and_says_so(home: Home) -> None:
    with home.opened() as context:
        made = plan(context, Selection(datasets=("water.meters",), only=True))
    assert "curated/curated.supply/L3/1" not in made.destroys
    assert "curated.supply.holder: under curated/curated.supply/L3/1" in made.readable


def test_a_curated_table_alone_leaves_its_sources_and_says_so(home: Home) -> None:
    with home.opened() as context:
        made = plan(context, Selection(departments=("curated",)))
    assert made.destroys == ("curated/curated.supply/L3/1",)
    assert "water.meters.holder: under water/water.meters/L3/1, which it was made from" in made.readable
    assert "the landed originals: under water/water.meters/landed/1, which it was made from" in made.readable


def test_another_epoch_selects_nothing(home: Home) -> None:
    with home.opened() as context, pytest.raises(Refused, match="no key that exists"):
        plan(context, Selection(datasets=("water.meters",), epoch=2))


def test_of_the_copied_lake_with_its_history_nothing_under_the_keys_opens_and_everything_else_does(home: Home) -> None:
    copied = home.folder.with_name("copied")
    shutil.copytree(home.folder, copied)
    before, keys_of = opened(home.folder), keys(home.folder)
    assert all(before.values())
    assert len({at for table, at, _ in before if table == "curated.supply"}) == 2
    gone = set(shredded(home, planned(home)))
    shutil.copytree(home.folder / "var" / "keys", copied / "var" / "keys", dirs_exist_ok=True)
    shutil.rmtree(home.folder)
    shutil.move(copied, home.folder)
    after = opened(home.folder)
    assert after == {place: not keys_of[place] & gone for place in before}
    closed = {(table, column) for (table, _, column), is_open in after.items() if not is_open}
    assert closed == {
        *(("water.meters", name) for name in ("holder", "person_no", "landed")),
        *(("water.meters__quarantine", name) for name in ("holder", "person_no", "_raw", "_line")),
        ("curated.supply", "holder"),
    }


def test_it_takes_two_people_with_keys_of_their_own_over_this_plan(home: Home) -> None:
    plan_hash = planned(home)
    other = "0" * 64
    with home.opened() as context:
        for approvals in (
            {},
            {"user:a": sign(plan_hash, KEYS["user:a"])},
            {name: sign(plan_hash, KEYS["user:a"]) for name in KEYS},
            {name: sign(other, key) for name, key in KEYS.items()},
            {name: key.sign(plan_hash.encode()).hex() for name, key in KEYS.items()},
        ):
            with pytest.raises(Refused, match="valid signature"):
                destroy(context, plan_hash, approvals, actor=ACTOR)
        with pytest.raises(Refused, match="no such plan"):
            destroy(context, other, {name: sign(other, key) for name, key in KEYS.items()}, actor=ACTOR)
        assert set(json.loads(kept_text(context, plan_hash))["destroys"]) <= set(keyring_of(context).names())
    assert entries(home, "keys_shred") == []


def test_the_ledger_has_it_grants_end_and_a_run_that_was_killed_is_finished_by_the_same_call(home: Home) -> None:
    plan_hash = planned(home)
    with home.opened() as context:
        key = KeyName("water", "water.meters", "L3")
        with context.database.unit_of_work() as tx:
            held = grants.issue(tx, actor=ACTOR, keys=[key], database=context.database)
        keyring_of(context).destroy(key)
        keys_gone = shredded(home, plan_hash)
        assert str(key) in keys_gone
        with context.database.read() as connection, pytest.raises(Refused):
            grants.require(connection, held.id, [str(key)], at=context.database.clock())
    assert shredded(home, plan_hash) == keys_gone
    bodies = entries(home, "keys_shred")
    assert [approval["subject"] for approval in bodies[0]["facts"]["approvals"]] == ["user:a", "user:b"]
    assert len(entries(home, "keys_shredded")) == 2


def test_copies_that_came_after_the_plan_ask_for_a_new_one(home: Home) -> None:
    plan_hash = planned(home, Selection(datasets=("power.accounts",)))
    home.declare("curated.bills", {"person_no": {"logicalType": "string", "classification": "L4"}}, sql="SELECT person_no FROM power.accounts")  # fmt: skip
    assert home.run(month(3)).failed == ()
    with pytest.raises(Conflict, match=r"curated\.bills"):
        shredded(home, plan_hash)


def test_a_curated_table_goes_on_under_another_key_group(home: Home) -> None:
    shredded(home, planned(home, Selection(departments=("curated",))))
    assert "curated.supply" in {step.subject for step in home.run(month(3)).failed}
    group_of = {"customProperties": [{"property": "gov.keyGroup", "value": "second"}]}
    home.declare("curated.supply", {**SUPPLY, "holder": {**SUPPLY["holder"], **group_of}}, sql=SUPPLY_SQL)
    assert home.run(month(4)).failed == ()
    assert len(home.rows("curated.supply", ["holder"])) == 3


def test_the_command_plans_signs_and_destroys(home: Home, tmp_path: Path) -> None:
    def gov(*args: str) -> str:
        result = CliRunner().invoke(group, ["--home", str(home.folder), "keys", *args])
        assert result.exit_code == 0, result.output
        return result.output

    dry = json.loads(gov("shred", "--dataset", "water.meters", "--dry-run", "--json"))
    made = json.loads(gov("shred", "--dataset", "water.meters", "--json"))
    assert (dry["plan"], dry["kept"], made["kept"]) == (made["plan"], False, True)
    assert "cannot be written any more: water.meters" in gov("shred", "--dataset", "water.meters")
    approvals = []
    for name, key in KEYS.items():
        file = tmp_path / "key.pem"
        file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        approvals += ["--approve", f"{name}={gov('sign', made['plan'], '--key', str(file)).strip()}"]
    assert "7 keys" in gov("shred", "--plan", made["plan"], "--yes", *approvals)
    assert not set(made["destroys"]) & set(json.loads(gov("list", "--json")))
    refused = CliRunner().invoke(
        group, ["--home", str(home.folder), "keys", "shred", "--plan", made["plan"], *approvals]
    )
    assert refused.exit_code == 2


def kept_text(context: Context, plan_hash: str) -> str:
    with context.database.read() as connection:
        return str(connection.execute(select(text.c.text).where(text.c.sha256 == plan_hash)).scalar_one())


def entries(home: Home, kind: str) -> list[dict[str, dict[str, list[dict[str, str]]]]]:
    with home.opened() as context, context.database.read() as connection:
        query = select(ledger_entry.c.body).where(ledger_entry.c.kind == kind).order_by(ledger_entry.c.id)
        return [json.loads(body) for body in connection.execute(query).scalars()]


@dataclass(frozen=True, slots=True)
class Reading:
    """What a thief with every right would try: each column of each snapshot, and each landed original."""

    places: tuple[Place, ...]
    keys: dict[Place, frozenset[str]]


def reading(context: Context) -> Reading:
    found: dict[Place, frozenset[str]] = {}
    with context.database.read() as connection:
        snapshots = connection.execute(select(lake_snapshot.c.table_name, lake_snapshot.c.snapshot)).all()
    for table, snapshot in snapshots:
        for column in context.lake.schema(table, snapshot).columns:
            if context.lake.files(table, snapshot):
                found[table, snapshot, column.name] = frozenset(
                    map(str, context.lake.keys(table, snapshot, [column.name]))
                )
    for dataset in context.catalogue.datasets.values():
        found[dataset.name, 0, "landed"] = frozenset({str(KeyName(dataset.department, dataset.name, "landed"))})
    return Reading(tuple(sorted(found)), found)


def keys(folder: Path) -> dict[Place, frozenset[str]]:
    with Home(folder).opened() as context:
        return reading(context).keys


def opened(folder: Path) -> dict[Place, bool]:
    """Whether each place opens; a child reads, since PyArrow may abort a process whose key is denied."""
    with Home(folder).opened() as context:
        left = list(reading(context).places)
    found: dict[Place, bool] = {}
    while left:
        ours, theirs = multiprocessing.get_context("spawn").Pipe(duplex=False)
        child = multiprocessing.get_context("spawn").Process(target=read_all, args=(folder, left, theirs))
        child.start()
        theirs.close()
        try:
            while left:
                found[left[0]] = ours.recv()
                left.pop(0)
        except EOFError:
            found[left.pop(0)] = False
        child.join()
    return found


def read_all(folder: Path, places: list[Place], answers: Connection) -> None:
    """In the child: whether each place opens under a grant that names its keys."""
    context = open_context(load_settings(folder))
    known = reading(context).keys
    for place in places:
        with context.database.unit_of_work() as tx:
            grant = grants.issue(
                tx, actor=ACTOR, keys=[KeyName.parse(k) for k in known[place]], database=context.database
            )
        try:
            answers.send(read_one(context, place, grant.id))
        except (Refused, OSError, RuntimeError):
            answers.send(False)


def read_one(context: Context, place: Place, grant_id: str) -> bool:
    table, snapshot, column = place
    if column != "landed":
        with context.lake.scan(table, snapshot, [column], grant_id=grant_id) as reader:
            return sum(part.num_rows for part in reader) > 0
    with context.database.read() as connection:
        row = batches.batches(connection, table)[0]
    assert row.landed is not None
    file = row.landed.files[0]
    key = KeyName(table.partition(".")[0], table, "landed")
    path = context.settings.lake / file.path
    with open_decrypted(path, file.wrapped_key, keystore=context.keystore, key=key, grant_id=grant_id) as source:
        return len(source.read()) > 0
