"""A new epoch of a key: new files come under it, old ones stay readable under theirs until that epoch is destroyed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlalchemy import select

from governance.cli.main import group
from governance.errors import Conflict, Damaged, Refused
from governance.keys import grants
from governance.keys.frames import open_decrypted
from governance.keys.names import KeyName
from governance.pipeline.rotate import Rotation, keep_rotation, plan_rotation, rewrap, rotate
from governance.pipeline.shred import destroy, keep, sign
from governance.pipeline.shred_plan import Selection, plan
from governance.state.tables import ledger_entry
from governance.state.values import Actor
from governance.store.landed import key_of
from tests.pipeline.home import FIRST, READER, Home, month, utility_home

KEYS = {name: Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n, name in enumerate(("user:a", "user:b"), 1)}
ACTOR = Actor("user:security", "keys.rotate", "run-1")
WATER = Rotation(datasets=("water.meters",))
SECOND = ["4,110101199003070044,赵六丁,40"]


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A month of meters under epoch 1, then a month under epoch 2; both months are in the table."""
    home = utility_home(tmp_path_factory.mktemp("city") / "home", mode="append")
    subjects = ", ".join(f'{{name: "{name}"}}' for name in KEYS)
    public = {name: key.public_key().public_bytes_raw().hex() for name, key in KEYS.items()}
    approvers = ", ".join(f'{{subject: "{name}", public_key: "{key}"}}' for name, key in public.items())
    access = f"version: 1\nsubjects: [{subjects}]\napprovers: [{approvers}]\n"
    (home.folder / "catalog" / "access.yaml").write_text(access, encoding="utf-8")
    assert home.run(month(1)).failed == ()
    rotated(home)
    home.deliver("water.meters", SECOND)
    assert home.run(month(2)).failed == ()
    return home.folder


@pytest.fixture
def home(city: Path) -> Iterator[Home]:
    kept = Home(city).keep()
    yield Home(city)
    Home(city).restore(kept)
    shutil.rmtree(kept)


@pytest.mark.parametrize("group", ["domain", "purpose", "rowdigest"])
def test_a_digest_key_is_not_rotated_and_the_refusal_says_why(home: Home, group: str) -> None:
    with home.opened() as context:
        for rotation in (Rotation(("water",), groups=(group,)), Rotation(datasets=(f"digest:{group}/person/1",))):
            with pytest.raises(Refused, match=r"tokens of two epochs do not join.*docs/CUSTODY\.md"):
                plan_rotation(context, rotation)


def approvals(plan_hash: str) -> dict[str, str]:
    return {name: sign(plan_hash, key) for name, key in KEYS.items()}


def rotated(home: Home, rotation: Rotation = WATER) -> tuple[str, ...]:
    with home.opened() as context:
        plan_hash = keep_rotation(context, plan_rotation(context, rotation))
        return rotate(context, plan_hash, approvals(plan_hash), actor=ACTOR)


def shredded(home: Home, selection: Selection) -> tuple[str, ...]:
    with home.opened() as context:
        plan_hash = keep(context, plan(context, selection))
        return destroy(context, plan_hash, approvals(plan_hash), actor=ACTOR)


def snapshots(home: Home, table: str) -> list[int]:
    """Snapshots of a table, oldest first."""
    from governance.state.tables_lake import lake_snapshot

    with home.opened() as context, context.database.read() as connection:
        columns = lake_snapshot.c
        query = select(columns.snapshot).where(columns.table_name == table).order_by(columns.sequence)
        return list(connection.execute(query).scalars())


def epochs(home: Home, table: str, snapshot: int) -> set[int]:
    with home.opened() as context:
        return {key.epoch for key in context.lake.keys(table, snapshot, ["holder"])}


def originals(home: Home) -> dict[str, bytes]:
    """Key -> what the landed original under it holds; empty where it does not open."""
    found = {}
    with home.opened() as context:
        dataset = context.catalogue.datasets["water.meters"]
        for row in home.batches("water.meters"):
            assert row.landed is not None
            for file in row.landed.files:
                key = key_of(file, dataset)
                with context.database.unit_of_work() as tx:
                    grant = grants.issue(tx, actor=READER, keys=[key], database=context.database)
                path = context.settings.lake / file.path
                try:
                    with open_decrypted(
                        path, file.wrapped_key, keystore=context.keystore, key=key, grant_id=grant.id
                    ) as source:
                        found[f"{row.id} {key}"] = source.read()
                except Refused:
                    found[f"{row.id} {key}"] = b""
    return found


def test_new_files_come_under_the_new_epoch_and_both_are_read(home: Home) -> None:
    first, second = snapshots(home, "water.meters")
    assert epochs(home, "water.meters", first) == {1}
    assert epochs(home, "water.meters", second) == {1, 2}
    assert len(home.rows("water.meters", ["holder", "person_no"])) == len(FIRST) + len(SECOND)
    assert len(home.rows("water.meters", ["holder"], snapshot=first)) == len(FIRST)
    assert {key.rpartition("/")[2] for key in originals(home)} == {"1", "2"}
    assert all(originals(home).values())


def test_of_a_copied_lake_the_destroyed_epoch_opens_nothing_and_the_other_everything(home: Home) -> None:
    first, second = snapshots(home, "water.meters")
    copied = home.folder.with_name("copied")
    shutil.copytree(home.folder, copied)
    gone = shredded(home, Selection(datasets=("water.meters",), epoch=1, only=True))
    assert {key.rpartition("/")[2] for key in gone} == {"1"}
    shutil.copytree(home.folder / "var" / "keys", copied / "var" / "keys", dirs_exist_ok=True)
    shutil.rmtree(home.folder)
    shutil.move(copied, home.folder)
    for snapshot in (first, second):
        with pytest.raises(Refused, match="cannot be used"):
            home.rows("water.meters", ["holder"], snapshot=snapshot)
    assert len(home.rows("water.meters", ["meter", "reading"])) == len(FIRST) + len(SECOND)
    assert {key.rpartition("/")[2]: bool(text) for key, text in originals(home).items()} == {"1": False, "2": True}
    home.declare("water.meters", {"meter": {"logicalType": "integer", "classification": "L1"}})


def test_files_of_the_new_epoch_alone_are_read_after_the_old_one_was_destroyed(home: Home) -> None:
    shredded(home, Selection(datasets=("water.meters",), epoch=1, only=True))
    with home.opened() as context:
        table, at = "water.meters", context.lake.snapshot("water.meters")
        new = [file for file in context.lake.files(table, at) if _epoch_of(context.lake.root / file.path) == 2]
        old = [file.path for file in context.lake.files(table, at) if file not in new]
        from governance.lake.lake import TableChange

        prepared = context.lake.prepare([TableChange(table, remove=tuple(old))])
        with context.database.unit_of_work() as tx:
            context.lake.swap(tx, prepared)
    assert home.rows("water.meters", ["holder"]) == [("赵六丁",)]
    home.deliver("water.meters", ["5,110101199003070052,钱七戊,50"])
    assert home.run(month(3)).failed == ()
    assert len(home.rows("water.meters", ["holder"])) == 2


def test_shredding_the_new_epoch_leaves_the_old_one(home: Home) -> None:
    first, _ = snapshots(home, "water.meters")
    gone = shredded(home, Selection(datasets=("water.meters",), epoch=2, only=True))
    assert {key.rpartition("/")[2] for key in gone} == {"2"}
    assert len(home.rows("water.meters", ["holder"], snapshot=first)) == len(FIRST)
    with pytest.raises(Refused, match="L3/2 cannot be used"):
        home.rows("water.meters", ["holder"])


def test_a_plan_says_which_tables_stop_only_when_their_present_epoch_goes(home: Home) -> None:
    with home.opened() as context:
        assert plan(context, Selection(datasets=("water.meters",), epoch=1, only=True)).stopped == ()
        assert plan(context, Selection(datasets=("water.meters",), epoch=2, only=True)).stopped == ("water.meters",)


def test_a_table_whose_key_was_destroyed_goes_on_under_a_new_epoch(home: Home) -> None:
    shredded(home, Selection(departments=("curated",)))
    assert "curated.supply" in {step.subject for step in home.run(month(3)).failed}
    rotated(home, Rotation(departments=("curated",)))
    assert home.run(month(4)).failed == ()
    assert home.rows("curated.supply", ["holder"])


def test_originals_wrapped_anew_open_after_the_old_epoch_was_destroyed(home: Home) -> None:
    before = sorted(originals(home).values())
    with home.opened() as context:
        assert rewrap(context, ["water.meters"], actor=ACTOR) == {home.batches("water.meters")[0].id: 1}
        assert rewrap(context, ["water.meters"], actor=ACTOR) == {}
    shredded(home, Selection(datasets=("water.meters",), epoch=1, only=True))
    assert sorted(originals(home).values()) == before
    assert {key.rpartition("/")[2] for key in originals(home)} == {"2"}
    assert len(entries(home, "keys_rewrapped")) == 1


@pytest.mark.parametrize("point", ["keys.in_rotate", "keys.in_rewrap"])
def test_a_rotation_that_was_killed_is_finished_by_the_same_call(home: Home, point: str) -> None:
    before = sorted(originals(home).values())
    with home.opened() as context:
        plan_hash = keep_rotation(
            context, plan_rotation(context, Rotation(datasets=("water.meters",), groups=("landed",)))
        )
    given = [word for name, text in approvals(plan_hash).items() for word in ("--approve", f"{name}={text}")]
    command = [sys.executable, "-m", "governance.cli.main", "--home", str(home.folder), "keys", "rotate"]
    command += ["--plan", plan_hash, *given, "--rewrap"]
    killed = subprocess.run(command, env={**os.environ, "GOV_CRASH_AT": point}, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert sorted(originals(home).values()) == before
    assert len(entries(home, "keys_rotated")) == (1 if point == "keys.in_rotate" else 2)
    assert entries(home, "keys_rewrapped") == []
    done = subprocess.run(command, capture_output=True, check=True)
    assert b"wrapped anew: 2 originals of 2 batches" in done.stdout
    assert sorted(originals(home).values()) == before
    assert {key.rpartition("/")[2] for key in originals(home)} == {"3"}
    assert (len(entries(home, "keys_rotated")), len(entries(home, "keys_rewrapped"))) == (2, 2)


def test_a_manifest_cannot_lend_a_dataset_another_ones_key(home: Home) -> None:
    from dataclasses import replace

    row = home.batches("water.meters")[0]
    assert row.landed is not None
    with home.opened() as context, pytest.raises(Damaged, match="not the dataset's"):
        key_of(
            replace(row.landed.files[0], key="power/power.accounts/landed/1"), context.catalogue.table("water.meters")
        )


def test_it_takes_two_people_and_happens_once(home: Home) -> None:
    with home.opened() as context:
        made = plan_rotation(context, Rotation(datasets=("water.meters",), groups=("L3",)))
        assert made.opens == ("water/water.meters/L3/3",)
        plan_hash = keep_rotation(context, made)
        with pytest.raises(Refused, match="valid signature"):
            rotate(context, plan_hash, {"user:a": sign(plan_hash, KEYS["user:a"])}, actor=ACTOR)
        with pytest.raises(Refused, match="no such plan"):
            destroy(context, plan_hash, approvals(plan_hash), actor=ACTOR)
        assert rotate(context, plan_hash, approvals(plan_hash), actor=ACTOR) == made.opens
        assert rotate(context, plan_hash, approvals(plan_hash), actor=ACTOR) == made.opens
    assert [body["facts"]["keys"] for body in entries(home, "keys_rotated")][-1] == list(made.opens)
    assert len(entries(home, "keys_rotated")) == 2


def test_a_plan_that_another_overtook_is_refused(home: Home) -> None:
    with home.opened() as context:
        older = keep_rotation(context, plan_rotation(context, WATER))
        newer = keep_rotation(context, plan_rotation(context, Rotation(departments=("water",))))
        rotate(context, newer, approvals(newer), actor=ACTOR)
        with pytest.raises(Conflict, match="another epoch"):
            rotate(context, older, approvals(older), actor=ACTOR)
        with pytest.raises(Refused, match="no file is under"):
            plan_rotation(context, Rotation(datasets=("water.none",)))


def test_the_command_plans_rotates_and_rewraps(home: Home, tmp_path: Path) -> None:
    def gov(*args: str) -> str:
        result = CliRunner().invoke(group, ["--home", str(home.folder), "keys", *args])
        assert result.exit_code == 0, result.output
        return result.output

    made = json.loads(gov("rotate", "--dataset", "water.meters", "--group", "landed", "--json"))
    assert made["opens"] == ["water/water.meters/landed/3"]
    given = []
    for name, key in KEYS.items():
        file = tmp_path / "key.pem"
        file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        given += ["--approve", f"{name}={gov('sign', made['plan'], '--key', str(file)).strip()}"]
    assert "wrapped anew: 2 originals of 2 batches" in gov("rotate", "--plan", made["plan"], *given, "--rewrap")
    refused = CliRunner().invoke(group, ["--home", str(home.folder), "keys", "rotate"])
    assert refused.exit_code == 2


def _epoch_of(path: Path) -> int:
    import pyarrow.parquet as pq

    keys = json.loads(pq.read_metadata(path).metadata[b"gov.encrypted"])
    return KeyName.parse(keys["0"]).epoch


def entries(home: Home, kind: str) -> list[dict[str, dict[str, list[str]]]]:
    with home.opened() as context, context.database.read() as connection:
        query = select(ledger_entry.c.body).where(ledger_entry.c.kind == kind).order_by(ledger_entry.c.id)
        return [json.loads(body) for body in connection.execute(query).scalars()]
