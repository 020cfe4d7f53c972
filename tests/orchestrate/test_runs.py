"""DAGs really run, by Airflow's `dag.test()`: the same tables as without Airflow, and a failure that stays where it is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from governance.config import load_settings
from governance.demo.city import generate
from governance.pipeline.context import open_context
from governance.pipeline.run import run_all
from governance.state.values import Window
from tests.orchestrate.airflow_process import INSTANT, ask
from tests.orchestrate.conftest import make_home
from tests.pipeline.home import Home

pytestmark = [pytest.mark.airflow, pytest.mark.xdist_group("airflow")]

DEPARTMENTS = ("housing_fund", "market_supervision", "public_security", "social_insurance", "tax")
CURATED = ("curated.county_month", "curated.enterprise", "curated.family", "curated.person")
WINDOW = Window(INSTANT, INSTANT)
"""Of a run that is asked for with no interval: the instant, as both ends."""


@pytest.fixture(scope="module")
def without_airflow(tmp_path_factory: pytest.TempPathFactory) -> Home:
    folder = make_home(tmp_path_factory.mktemp("without"))
    generate(folder / "sources", seed=7, people=500, month="2026-01")
    context = open_context(load_settings(folder))
    assert run_all(context, WINDOW).failed == ()
    context.database.close()
    return Home(folder)


def copied(home: Home, folder: Path) -> Home:
    """A home with the same declarations, sources and keys, where nothing has run."""
    make_home(folder)
    shutil.copytree(home.folder / "sources", folder / "sources")
    shutil.copytree(home.folder / "var" / "keys", folder / "var" / "keys")
    return Home(folder)


def test_airflow_gives_the_tables_of_a_run_without_airflow(without_airflow: Home, tmp_path: Path) -> None:
    under_airflow = copied(without_airflow, tmp_path)
    found = ask("run", tmp_path, *DEPARTMENTS, *CURATED)
    assert [failure for run in found.values() for failure in run["failures"]] == []
    assert {dag: run["state"] for dag, run in found.items()} == dict.fromkeys((*DEPARTMENTS, *CURATED), "success")
    assert found["tax"]["announced"] == ["tax.invoices", "tax.taxpayers"]
    assert found["curated.person"]["announced"] == ["curated.person"]
    expected = without_airflow.hashes(volatile=False)
    assert len(expected) == 9 * 2 + len(CURATED)
    assert under_airflow.hashes(volatile=False) == expected


def test_a_dataset_that_fails_is_red_its_neighbours_go_on_and_a_run_after_the_repair_completes(
    without_airflow: Home, tmp_path: Path
) -> None:
    home = copied(without_airflow, tmp_path)
    insured = tmp_path / "sources" / "social_insurance" / "insured.csv"
    kept = insured.read_bytes()
    insured.unlink()
    found = ask("run", tmp_path, "social_insurance", "tax")
    assert found["social_insurance"]["state"] == "failed"
    states = found["social_insurance"]["tasks"]
    assert (states["collect"], states["announce"]) == (["failed", 2], ["success", 1])
    assert found["social_insurance"]["announced"] == ["social_insurance.contributions"]
    assert found["tax"]["state"] == "success"
    assert home.snapshot("social_insurance.insured") is None

    insured.write_bytes(kept)
    again = ask("run", tmp_path, "social_insurance")
    assert again["social_insurance"]["state"] == "success"
    assert again["social_insurance"]["announced"] == ["social_insurance.insured"]
    hashes = home.hashes(volatile=False)
    expected = without_airflow.hashes(volatile=False)
    assert hashes == {table: expected[table] for table in hashes}
    assert {"social_insurance.insured", "social_insurance.contributions"} < set(hashes)


def test_a_backfill_reads_no_source_that_keeps_no_history(without_airflow: Home, tmp_path: Path) -> None:
    home = copied(without_airflow, tmp_path)
    assert ask("collected", tmp_path, "tax", "tax_collection", "backfill") == "AirflowFailException"
    assert home.batches() == ()
    assert ask("collected", tmp_path, "tax", "tax_collection", "scheduled") == "success"
    assert len(home.batches()) == 2
    # what has landed needs no source any more
    assert ask("collected", tmp_path, "tax", "tax_collection", "backfill") == "success"
