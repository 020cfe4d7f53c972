"""Integrity and shape of the DAGs, as Airflow's own `DagBag` reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.orchestrate.airflow_process import ask
from tests.orchestrate.conftest import make_home

pytestmark = [pytest.mark.airflow, pytest.mark.xdist_group("airflow")]

DEPARTMENTS = {"housing_fund", "market_supervision", "public_security", "social_insurance", "tax"}
REQUESTS = ("access_requests", "access_request")
STAGES = ("collect", "store", "manage")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("dags"))


@pytest.fixture(scope="module")
def parsed(home: Path) -> dict[str, Any]:
    answer: dict[str, Any] = ask("parse", home)
    return answer


@pytest.fixture(scope="module")
def index(home: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((home / "var" / "index" / "index.json").read_text())
    return content


def test_every_dag_file_parses_without_an_error_and_without_an_engine(parsed: dict[str, Any]) -> None:
    assert parsed["errors"] == {}
    assert parsed["engines"] == []


def test_there_is_one_dag_a_department_one_a_curated_table_one_that_publishes_and_two_for_requests(
    parsed: dict[str, Any], index: dict[str, Any]
) -> None:
    assert set(index["departments"]) == DEPARTMENTS
    assert set(parsed["dags"]) == {*DEPARTMENTS, *index["curated"], "publish", *REQUESTS}


@pytest.mark.parametrize("department", sorted(DEPARTMENTS))
def test_a_department_maps_each_stage_over_its_systems(home: Path, parsed: dict[str, Any], department: str) -> None:
    entry = json.loads((home / "var" / "index" / f"department-{department}.json").read_text())
    dag = parsed["dags"][department]
    assert dag["schedule"] == entry["schedule"]
    assert not dag["catchup"]
    for stage in STAGES:
        assert dag["tasks"][stage]["systems"] == sorted(entry["systems"])
        assert dag["tasks"][stage]["queue"] == stage
        assert dag["tasks"][stage]["retries"] == 3


@pytest.mark.parametrize("department", sorted(DEPARTMENTS))
def test_a_stage_that_fails_holds_up_neither_the_next_nor_the_announcement_but_makes_the_run_red(
    parsed: dict[str, Any], department: str
) -> None:
    tasks = parsed["dags"][department]["tasks"]
    before = ""
    for name in (*STAGES, "announce"):
        assert tasks[name]["trigger_rule"] == ("all_done" if before else "all_success")
        assert tasks[name]["upstream"] == ([before] if before else [])
        before = name
    assert tasks["settled"]["trigger_rule"] == "all_success"
    assert tasks["settled"]["upstream"] == sorted((*STAGES, "announce"))


def test_a_curated_table_is_built_by_the_build_role_when_all_that_it_reads_has_news(
    parsed: dict[str, Any], index: dict[str, Any]
) -> None:
    for model, inputs in index["curated"].items():
        dag = parsed["dags"][model]
        assert dag["assets"] == sorted(inputs)
        assert dag["tasks"]["develop"]["outlets"] == [model]
        assert dag["tasks"]["develop"]["queue"] == "build"


def test_publishing_waits_for_an_approver_of_the_access_rules(parsed: dict[str, Any], index: dict[str, Any]) -> None:
    dag = parsed["dags"]["publish"]
    assert dag["assets"] == sorted(index["curated"])
    assert dag["tasks"]["approve"]["assigned"] == index["approvers"] == ["steward"]
    assert dag["tasks"]["approve"]["upstream"] == ["propose"]
    assert dag["tasks"]["publish"]["upstream"] == ["approve", "propose"]
    assert {task["queue"] for task in dag["tasks"].values()} == {"use"}


def test_a_request_of_access_waits_for_an_approver_of_the_access_rules(
    parsed: dict[str, Any], index: dict[str, Any]
) -> None:
    looks, answered = (parsed["dags"][dag_id] for dag_id in REQUESTS)
    assert (looks["schedule"], answered["schedule"]) == ("*/10 * * * *", None)
    assert looks["tasks"]["put"]["upstream"] == ["waiting"]
    assert answered["tasks"]["answer"]["assigned"] == index["approvers"]
    assert [answered["tasks"][name]["upstream"] for name in ("answer", "record")] == [["show"], ["answer"]]
    assert {task["queue"] for dag in (looks, answered) for task in dag["tasks"].values()} == {"use"}


@pytest.mark.parametrize("dag_id", ["tax", "curated.person", "publish"])
def test_a_tasks_process_builds_its_own_dag_alone(home: Path, dag_id: str) -> None:
    answer = ask("parse", home, environment={"_AIRFLOW_PARSING_CONTEXT_DAG_ID": dag_id})
    assert set(answer["dags"]) == {dag_id, "publish"}
    assert answer["errors"] == {}


def test_a_missing_index_is_an_import_error_that_names_the_command(tmp_path: Path) -> None:
    answer = ask("parse", make_home(tmp_path, indexed=False))
    assert answer["dags"] == {}
    assert set(answer["errors"]) == {"access.py", "curated.py", "departments.py", "publish.py"}
    assert all("run `gov check`" in text for text in answer["errors"].values())


def test_a_stale_index_is_an_import_error_that_names_the_command(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    with (home / "catalog" / "access.yaml").open("a", encoding="utf-8") as access:
        access.write("# changed\n")
    answer = ask("parse", home)
    assert answer["dags"] == {}
    assert all("stale" in text and "run `gov check`" in text for text in answer["errors"].values())
