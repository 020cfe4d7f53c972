"""`gov policy` as CI meets it: answers and exit codes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from governance.cli.main import group, main

ROOT = Path(__file__).parents[2]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for name in ("catalog", "expectations"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "gov.toml", tmp_path)
    return tmp_path


def gov(home: Path, *args: str) -> tuple[int, str]:
    result = CliRunner().invoke(group, ["--home", str(home), "policy", *args])
    return result.exit_code, result.output


def change(home: Path, old: str, new: str) -> None:
    file = home / "catalog" / "access.yaml"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def test_a_widening_is_listed_and_exits_with_three(home: Path, tmp_path: Path) -> None:
    before = tmp_path / "before.yaml"
    shutil.copy(home / "catalog" / "access.yaml", before)
    change(home, 'action: "mask:date-decade"', 'action: "mask:truncate-to-year"')
    code, output = gov(home, "diff", str(before), "--json")
    answer = json.loads(output)
    assert (code, answer["widens"], answer["counts"]["gains"]) == (3, True, 3)
    assert {(c["subject"], c["before"], c["after"]) for c in answer["changes"]} == {
        ("user:li", "mask:date-decade", "mask:truncate-to-year")
    }
    code, output = gov(home, "diff", str(home / "catalog" / "access.yaml"), str(before))
    assert code == 0
    assert "0 gained, 3 lost" in output


def test_the_command_itself_ends_with_that_code(home: Path, tmp_path: Path) -> None:
    before = tmp_path / "before.yaml"
    shutil.copy(home / "catalog" / "access.yaml", before)
    change(home, 'action: "mask:date-decade"', "action: raw")
    change(
        home,
        'user:li", roles: [statistician], department: statistics, clearance: L2',
        'user:li", roles: [statistician], department: statistics, clearance: L4',
    )
    with pytest.raises(SystemExit) as ended:
        main(["--home", str(home), "policy", "diff", str(before)])
    assert ended.value.code == 3


def test_nothing_to_compare_with_is_said(home: Path) -> None:
    result = CliRunner().invoke(group, ["--home", str(home), "policy", "diff"])
    assert "no access rules were ever in force" in str(result.exception)


def test_a_case_that_fails_fails_the_test_and_the_check(home: Path) -> None:
    assert gov(home, "test") == (0, "22 cases hold\n")
    change(
        home,
        'where: { tables: [curated.person], tags: [phone] }\n    action: "mask:phone"',
        "where: { tables: [curated.person], tags: [phone] }\n    action: raw",
    )
    code, output = gov(home, "test")
    assert code == 1
    assert "catalog/access.cases.yaml:19: cases.12.expect: user:wang for benefits gets raw" in output
    checked = CliRunner().invoke(group, ["--home", str(home), "check"])
    assert checked.exit_code == 1
    assert "catalog/access.cases.yaml:19: cases.12.expect" in checked.output
