from __future__ import annotations

import stat
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from governance.cli.init import make_home
from governance.cli.main import group
from governance.config import load_settings
from governance.errors import GovernanceError

DAGS = Path(__file__).parents[2] / "dags"


def test_a_new_home_passes_check(tmp_path: Path) -> None:
    home = tmp_path / "city"
    made = CliRunner().invoke(group, ["init", str(home), "--department", "health", "--json"])
    assert made.exit_code == 0, made.output
    checked = CliRunner().invoke(group, ["--home", str(home), "check"])
    assert checked.exit_code == 0, checked.output
    assert load_settings(home).index.joinpath("index.json").exists()


def test_the_keys_folder_is_for_its_owner_alone(tmp_path: Path) -> None:
    make_home(tmp_path)
    assert stat.S_IMODE(load_settings(tmp_path).keyring.stat().st_mode) == 0o700


def test_a_home_is_never_overwritten(tmp_path: Path) -> None:
    make_home(tmp_path)
    with pytest.raises(GovernanceError, match="a home already"):
        make_home(tmp_path)


def test_files_that_are_there_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "catalog").mkdir()
    (tmp_path / "catalog" / "access.yaml").write_text("version: 1\nroles: []\n")
    assert "catalog/access.yaml" not in make_home(tmp_path)
    assert (tmp_path / "catalog" / "access.yaml").read_text() == "version: 1\nroles: []\n"


@pytest.mark.parametrize("name", ["curated", "standards", "my-health", "../x"])
def test_names_that_no_department_can_have_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(GovernanceError, match="cannot be a department"):
        make_home(tmp_path, (name,))
    assert not (tmp_path / "gov.toml").exists()


def test_the_contract_in_the_notes_loads(tmp_path: Path) -> None:
    make_home(tmp_path, ("health",))
    notes = (tmp_path / "catalog" / "health" / "README.md").read_text()
    (tmp_path / "catalog" / "health" / "people.odcs.yaml").write_text(notes.split("```")[1].removeprefix("yaml\n"))
    result = CliRunner().invoke(group, ["--home", str(tmp_path), "check"])
    assert result.exit_code == 0, result.output
    assert "1 datasets" not in result.output


def test_the_commented_policy_is_a_policy_when_it_is_uncommented(tmp_path: Path) -> None:
    make_home(tmp_path)
    file = tmp_path / "catalog" / "access.yaml"
    head, _, commented = file.read_text().partition("# roles")
    text = head + "\n".join(line.removeprefix("# ") for line in f"# roles{commented}".splitlines())
    assert len(yaml.safe_load(text)["rules"]) == 1
    file.write_text(text.replace("64 hex digits", "0b" * 32))
    result = CliRunner().invoke(group, ["--home", str(tmp_path), "check"])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("name", ["departments.py", "curated.py", "publish.py", "access.py"])
def test_the_dag_files_of_a_new_home_are_ours(tmp_path: Path, name: str) -> None:
    make_home(tmp_path)
    assert (tmp_path / "dags" / name).read_text() == (DAGS / name).read_text()
