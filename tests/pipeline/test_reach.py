"""The blast radius: counted by hand for two small homes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from governance.cli.main import group
from governance.pipeline.context import Context
from governance.pipeline.reach import BEYOND, Radius, blast_radius
from tests.pipeline.home import FIRST, Home, month, utility_home
from tests.use.conftest import PEOPLE, open_home


@pytest.fixture(scope="module")
def utility(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Three meters passed and one in quarantine, two power accounts, a curated table of three rows."""
    home = utility_home(tmp_path_factory.mktemp("utility") / "home")
    home.deliver("water.meters", [*FIRST, "4,110101199003070044,赵丁,-1"])
    assert home.run(month(1)).failed == ()
    return home


@pytest.fixture(scope="module")
def radius(utility: Home) -> Radius:
    with utility.opened() as context:
        return blast_radius(context)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Radius]:
    """Four people with four sensitive columns, released under the policy of the tests of use."""
    home = open_home(tmp_path_factory.mktemp("people"))
    home.fill(PEOPLE)
    home.release()
    yield blast_radius(Context(home.settings, home.catalogue, home.database, home.keystore, home.lake))
    home.database.close()


def cells(radius: Radius) -> dict[str, int]:
    return {reach.name: reach.cells for reach in radius.reaches}


def test_every_row_of_every_encrypted_column_is_a_cell_quarantine_included(radius: Radius) -> None:
    passed, quarantined, power, curated = 3 * 2, 1 * 4, 2 * 1, 3 * 1
    assert radius.total == passed + quarantined + power + curated


def test_a_key_reaches_its_columns_and_that_of_the_originals_the_whole_dataset(radius: Radius) -> None:
    found = cells(radius)
    assert found["water/water.meters/L4/1"] == 3
    assert found["water/water.meters/L3/1"] == 3
    assert found["water/water.meters.quarantine/raw/1"] == 2
    assert found["water/water.meters/landed/1"] == 3 * 2 + 1 * 4
    assert not [name for name in found if "/footer/" in name]


def test_a_service_reaches_what_the_code_of_its_stage_is_granted(radius: Radius) -> None:
    found = cells(radius)
    assert found["service:collect@water"] == found["service:manage@water"] == 0
    assert found["service:store@water"] == 10
    assert found["service:store@power"] == 2
    assert found["service:build@curated"] == found["curated.supply"] == 3


def test_a_subject_reaches_what_policy_gives_raw_and_only_the_rows_of_its_filter(people: Radius) -> None:
    found = {reach.name: (reach.cells, reach.masked) for reach in people.reaches}
    assert people.total == 16
    assert found["user:zhao"] == (2 * 3, 0)
    assert found["user:li"] == (0, 3 * 4)
    assert found["user:idle"] == (0, 0)
    assert found["caseworker"] == found["user:zhao"]
    assert found["service:scan (the query service)"] == (3 * 4, 0)


def test_nothing_published_reaches_nobody_and_an_empty_home_has_no_cells(radius: Radius, tmp_path: Path) -> None:
    assert {reach.kind for reach in radius.reaches} == {"key", "service", "model"}
    with utility_home(tmp_path / "empty").opened() as context:
        empty = blast_radius(context)
    assert (empty.total, {reach.share for reach in empty.reaches}) == (0, {0.0})


def test_the_command_fails_when_one_credential_passes_the_limit(utility: Home) -> None:
    def gov(*args: str) -> tuple[int, str]:
        result = CliRunner().invoke(group, ["--home", str(utility.folder), "blast-radius", *args])
        return result.exit_code, result.output

    assert gov("--limit", "0.9")[0] == 0
    code, output = gov("--limit", "0.5", "--json")
    answer = json.loads(output.splitlines()[0])
    assert (code, answer["sensitive_cells"]) == (1, 15)
    assert answer["passed"] == ["water/water.meters/landed/1", "service:store@water"]
    assert "service:store@water reaches 66.7%, more than 50.0%" in output
    assert all(text in gov()[1] for text in BEYOND)
