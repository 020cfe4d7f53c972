"""A proof convinces the independent script, and no other entry, place, log or key does."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select, update

from governance.cli.ledger import command
from governance.errors import Damaged, GovernanceError, NotReady, Refused
from governance.ledger.prove import prove
from governance.state.tables import ledger_entry, ledger_tile
from tests.ledger.ledgers import Ledger, open_ledger

SCRIPT = Path(__file__).parents[2] / "docs" / "verify_proof.py"


def checked(proof: Path, *options: str) -> tuple[int, str]:
    done = subprocess.run([sys.executable, str(SCRIPT), str(proof), *options], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def document(ledger: Ledger, entry: str = "3", **given: Any) -> dict[str, Any]:
    with ledger.database.read() as connection:
        return dict(prove(connection, entry, **given).document())


def test_the_script_is_short_and_knows_nothing_of_ours() -> None:
    text = SCRIPT.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 100
    assert "governance" not in text.split('"""', 2)[2]


def test_a_proof_convinces_the_independent_script(ledger: Ledger, tmp_path: Path) -> None:
    ledger.append(5)
    kept = tmp_path / "kept.note"
    kept.write_text(str(ledger.sequence().note), encoding="utf-8")
    ledger.append(600)
    ledger.sequence()
    answer = CliRunner().invoke(command, ["prove", "3", "--kept", str(kept)], obj=ledger.home)
    proof = tmp_path / "proof.json"
    proof.write_text(answer.output, encoding="utf-8")
    code, said = checked(proof, "--key", ledger.key, "--kept", str(kept))
    assert (code, said.splitlines()[0]) == (0, "YES: entry 3 of 605")
    assert json.loads(said.splitlines()[1])["facts"] == {"n": 3}
    assert checked(proof)[1].startswith("YES: entry 3 of 605 (key taken from the proof itself)")


def test_nothing_else_convinces_the_script(ledger: Ledger, tmp_path: Path) -> None:
    ledger.append(5)
    old = ledger.sequence().note
    ledger.append(2)
    ledger.sequence()
    good = document(ledger, kept=old)
    other = open_ledger(tmp_path / "other")
    other.append(9)
    strange = other.sequence().note
    other.database.close()
    altered = base64.b64encode(base64.b64decode(good["entry"]).replace(b'"n":3', b'"n":4')).decode()
    wrong: list[dict[str, Any]] = [
        {**good, "entry": altered},
        {**good, "position": 2},
        {**good, "position": 7},
        {**good, "inclusion": good["inclusion"][:-1]},
        {**good, "inclusion": [*good["inclusion"], "00" * 32]},
        {**good, "checkpoint": str(strange)},
        {**good, "checkpoint": good["checkpoint"].replace("\n7\n", "\n8\n")},
        {**good, "kept": {"consistency": []}},
        {**good, "kept": []},
        {**good, "inclusion": ["no hash"]},
        {},
        {**good, "kept": {"consistency": good["kept"]["consistency"][:-1]}},
    ]
    (tmp_path / "kept.note").write_text(str(old), encoding="utf-8")
    options = ("--key", ledger.key, "--kept", str(tmp_path / "kept.note"))
    proof = tmp_path / "proof.json"
    proof.write_text(json.dumps(good), encoding="utf-8")
    assert checked(proof, *options)[0] == 0
    for case in wrong:
        proof.write_text(json.dumps(case), encoding="utf-8")
        assert "NO: " in checked(proof, *options)[1]
    (tmp_path / "kept.note").write_text(str(strange), encoding="utf-8")
    proof.write_text(json.dumps(good), encoding="utf-8")
    assert "NO: " in checked(proof, *options)[1]


def test_an_entry_is_called_by_position_hash_or_counter(ledger: Ledger) -> None:
    ledger.append(4)
    ledger.sequence()
    with ledger.database.read() as connection:
        leaf = connection.execute(select(ledger_entry.c.leaf_hash).where(ledger_entry.c.position == 3)).scalar_one()
    assert document(ledger, "3") == document(ledger, leaf.hex()) == document(ledger, "writer:4")
    for unknown in ("4", "00" * 32, "writer:5", "what is this"):
        with pytest.raises(Refused):
            document(ledger, unknown)


def test_an_entry_that_waits_has_no_proof_yet(ledger: Ledger) -> None:
    ledger.append(1)
    with pytest.raises(NotReady, match="gov ledger sequence"):
        document(ledger, "writer:1")


def test_a_changed_entry_or_tree_gives_no_proof(ledger: Ledger) -> None:
    ledger.append(4)
    kept = ledger.sequence().note
    with ledger.database.unit_of_work() as tx:
        tx.execute(update(ledger_entry).where(ledger_entry.c.position == 3).values(leaf_hash=bytes(32)))
    with pytest.raises(Damaged, match="not what the checkpoint speaks of"):
        document(ledger)
    with ledger.database.unit_of_work() as tx:
        tx.execute(update(ledger_tile).values(hashes=bytes(4 * 32)))
    with pytest.raises(Damaged):
        document(ledger, "2", kept=kept)
    with ledger.database.unit_of_work() as tx:
        tx.execute(update(ledger_tile).values(hashes=bytes(32)))
    with pytest.raises(Damaged, match="too short"):
        document(ledger, "2")


def test_the_commands_work_together(ledger: Ledger, tmp_path: Path) -> None:
    def run(*arguments: str) -> str:
        done = CliRunner().invoke(command, list(arguments), obj=ledger.home, catch_exceptions=True)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            assert isinstance(done.exception, GovernanceError)
            return str(done.exception)
        return done.output

    ledger.append(3)
    assert "3 not yet sequenced" in run("verify")
    assert "nothing sequenced yet" in run("checkpoint")
    assert "gov ledger sequence" in run("checkpoint", "--to", str(tmp_path / "kept"))
    assert run("sequence") == "checkpoint of 3 entries\n"
    assert run("sequence") == "nothing waits\n"
    (tmp_path / "kept.note").write_text(run("checkpoint"), encoding="utf-8")
    assert run("checkpoint", "--to", str(tmp_path / "kept")) == "checkpoint of 3 entries sent; 0 countersigned\n"
    assert "1 checkpoints countersigned" in run("witness", str(tmp_path / "kept"), "--key", str(tmp_path / "w.pem"))
    assert "already; 1 countersigned" in run("checkpoint", "--to", str(tmp_path / "kept"))
    assert run("export", str(tmp_path / "export")) == "3 entries, 1 checkpoints\n"
    offline = run("verify", "--export", str(tmp_path / "export"), "--kept", str(tmp_path / "kept.note"), "--json")
    assert json.loads(offline)["sound"]
    assert run("verify", "--key", ledger.key).startswith("3 entries of 1 writers, 3 sequenced")
    stranger = open_ledger(tmp_path / "other")
    assert run("verify", "--key", stranger.key).startswith("1 problems in the ledger")
    stranger.database.close()
