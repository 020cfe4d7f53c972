"""`gov policy export` as a steward meets it: files, report, and a folder that is replaced as a whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from governance.catalog.load import load_catalogue
from governance.cli.main import group
from governance.cli.policy_export import TARGETS
from governance.config import load_settings
from governance.errors import Refused
from governance.ledger.entry import canonical
from governance.policy.exports.targets import TARGETS as EXPORTS
from tests.use.asking import ledger
from tests.use.conftest import PEOPLE, fields, open_home
from tests.use.test_cli import write_home

Gov = Callable[..., Result]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    write_home(folder, fields())
    home = open_home(folder, load_catalogue(load_settings(folder)))
    home.fill(PEOPLE)
    home.release()
    home.database.close()
    return folder


@pytest.fixture(scope="module")
def gov(folder: Path) -> Gov:
    return lambda *args: CliRunner().invoke(group, ["--home", str(folder), "policy", "export", *map(str, args)])


def test_the_command_names_every_target() -> None:
    assert set(TARGETS) == set(EXPORTS)


@pytest.mark.parametrize("target", TARGETS)
def test_files_and_report_are_written(gov: Gov, target: str, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "out"
    result = gov("--to", target, folder, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert report == json.loads(result.output)
    assert report["counts"]["opened_by_policy"] == 14
    assert report["counts"]["opened_here"] == (13 if target == "iceberg" else 6)
    assert {"target", "release", "at", "until", "policies", "limits"} <= report.keys()
    every = "".join(path.read_text(encoding="utf-8") for path in folder.rglob("*") if path.is_file())
    assert not [value for person in PEOPLE for value in person[:2] if value and value in every]


def test_the_answer_for_people_says_what_is_lost_and_by_which_rule(gov: Gov, tmp_path: Path) -> None:
    output = gov("--to", "postgres", tmp_path / "out").output
    assert "tokens are made with a key" in output
    assert "6 of 14 opened fields" in output
    assert "cases" in output


def test_an_earlier_export_is_replaced_whole(gov: Gov, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    assert gov("--to", "iceberg", folder).exit_code == 0
    assert (folder / "index.json").exists()
    assert gov("--to", "trino", folder).exit_code == 0
    assert sorted(path.name for path in folder.rglob("*")) == ["report.json", "rules.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_with_something_else_is_left_alone(gov: Gov, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("[]")
    result = gov("--to", "trino", tmp_path)
    assert isinstance(result.exception, Refused)
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_the_ledger_has_the_export_with_the_hash_of_its_files(gov: Gov, folder: Path, tmp_path: Path) -> None:
    assert gov("--to", "ranger", tmp_path / "out").exit_code == 0
    text = (tmp_path / "out" / "policies.json").read_bytes()
    digests = canonical({"policies.json": hashlib.sha256(text).hexdigest()})
    home = open_home(folder)
    entry = ledger(home, "policy_exported")[-1]
    home.database.close()
    assert entry["facts"]["target"] == "ranger"
    assert entry["facts"]["files_sha256"] == hashlib.sha256(digests).hexdigest()
    assert json.loads((tmp_path / "out" / "report.json").read_bytes())["files_sha256"] == entry["facts"]["files_sha256"]
    assert entry["actor"]["purpose"] == "use.export"
