"""A role's `max_reach` holds `gov check`: counted on the lake as it is, for the rules as they are written."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from governance.catalog.load import load_catalogue
from governance.cli.main import group
from governance.config import load_settings
from governance.pipeline.check import check
from governance.pipeline.context import Context
from governance.pipeline.reach import blast_radius
from governance.pipeline.reach_limits import limit_faults, role_shares
from governance.use.requests import access_of
from tests.use.conftest import ACCESS, PEOPLE, catalogue_of, fields, open_home
from tests.use.test_cli import write_home

WIDER = ACCESS.replace("action: aggregate_only(10)", "action: raw")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four people with four sensitive columns; a caseworker sees three of them raw in two rows."""
    folder = tmp_path_factory.mktemp("limits")
    write_home(folder, fields())
    home = open_home(folder, load_catalogue(load_settings(folder)))
    home.fill(PEOPLE)
    home.release()
    home.database.close()
    return folder


def limited(access: str, role: str, share: float) -> str:
    return access.replace(f"{{id: {role}}}", f"{{id: {role}, max_reach: {share}}}", 1)


def found(folder: Path, access: str) -> list[str]:
    catalogue = catalogue_of(access)
    return [str(fault) for fault in limit_faults(load_settings(folder), catalogue, access_of(catalogue))]


def test_the_shares_of_roles_are_those_of_the_blast_radius(folder: Path) -> None:
    home = open_home(folder, catalogue_of(ACCESS))
    context = Context(home.settings, home.catalogue, home.database, home.keystore, home.lake)
    reaches = {reach.name: reach.share for reach in blast_radius(context).reaches if reach.kind == "role"}
    assert role_shares(context, access_of(home.catalogue)) == reaches == {"caseworker": 6 / 16, "statistician": 0.0}
    home.database.close()


def test_a_role_that_passes_its_limit_is_a_fault_at_its_line_and_one_that_keeps_it_is_none(folder: Path) -> None:
    assert found(folder, limited(ACCESS, "caseworker", 0.375)) == []
    [fault] = found(folder, limited(ACCESS, "caseworker", 0.3))
    assert fault.startswith("catalog/access.yaml:1: roles.1.max_reach: caseworker reaches 37.5% of the sensitive cells")
    assert "at most 30.0%" in fault


def test_rules_that_are_not_released_yet_are_judged_as_they_are_written(folder: Path) -> None:
    assert found(folder, limited(ACCESS, "statistician", 0)) == []
    [fault] = found(folder, limited(WIDER, "statistician", 0.2))
    assert "statistician reaches 25.0%" in fault


def test_gov_check_fails_by_it_and_writes_no_index(folder: Path) -> None:
    rules = folder / "catalog" / "access.yaml"
    before = rules.read_text(encoding="utf-8")
    assert check(load_settings(folder))
    rules.write_text(limited(before, "caseworker", 0.1), encoding="utf-8")
    done = CliRunner().invoke(group, ["--home", str(folder), "check"])
    rules.write_text(before, encoding="utf-8")
    assert (done.exit_code, "roles.1.max_reach: caseworker reaches" in done.output) == (1, True)


def test_where_nothing_was_stored_there_is_nothing_to_judge(tmp_path: Path) -> None:
    write_home(tmp_path, fields())
    assert found(tmp_path, limited(ACCESS, "caseworker", 0)) == []
    assert not (tmp_path / "var" / "state.sqlite").exists()
