"""The whole demo under Airflow's own scheduler, and the approvals that Airflow and the signature refuse."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from governance.config import Settings, load_settings
from governance.demo.steward import sign
from governance.errors import GovernanceError
from governance.orchestrate import demo
from governance.orchestrate.access import ANSWERED, FORM, WAITING
from governance.orchestrate.client import Airflow
from governance.orchestrate.environment import password
from governance.orchestrate.serve import airflow
from governance.pipeline.context import Context, open_context
from governance.use.request_state import find
from tests.orchestrate.conftest import make_home
from tests.orchestrate.test_access import asked, signed

pytestmark = [pytest.mark.airflow, pytest.mark.pipeline, pytest.mark.xdist_group("airflow")]

PUBLISH = demo.PUBLISH
VALUE = re.compile(r"\d{17}[0-9X]|\d{11}|[^\x00-\x7f]{3,}")
SENSITIVE = {
    "population.sqlite": ("residents", ("resident_no", "name", "address", "phone")),
    "register.sqlite": ("legal_representatives", ("resident_no", "name", "phone")),
}


@dataclass(frozen=True, slots=True)
class Done:
    """What the demo has left and printed."""

    settings: Settings
    screen: str


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    from contextlib import redirect_stdout
    from io import StringIO

    folder = tmp_path_factory.mktemp("demo") / "home"
    with redirect_stdout(StringIO()) as said:
        demo.run(folder, people=500, seed=20260101)
    return Done(load_settings(folder), said.getvalue())


def test_the_demo_takes_both_months_through_all_stages_and_closes_with_its_screen(done: Done) -> None:
    for month in demo.MONTHS:
        assert f"month {month}: published" in done.screen
    assert done.screen.count("steward signed release") == len(demo.MONTHS)
    for department in ("housing_fund", "market_supervision", "public_security", "social_insurance", "tax"):
        assert done.screen.count(f"{department}: collected, stored, managed") == len(demo.MONTHS)
    titles = re.findall(r"^== (.*)$", done.screen, re.MULTILINE)
    assert [title.partition(" ")[0] for title in titles] == ["What", "Curated", "Injected", "One", "A", "Look"]
    assert "values given to our own reader: 0; to plain PyArrow: 0" in done.screen
    assert len(re.findall(r" 1\.000 +1\.000$", done.screen, re.MULTILINE)) == 11
    assert "alembic" not in done.screen


def test_both_releases_carry_the_approval_of_the_steward(done: Done) -> None:
    with sqlite3.connect(done.settings.var / "state.sqlite") as connection:
        states = connection.execute("SELECT status, count(*) FROM release GROUP BY status").fetchall()
        approved = connection.execute("SELECT DISTINCT subject FROM approval").fetchall()
    assert sorted(states) == [("live", 1), ("superseded", 1)]
    assert approved == [("user:steward",)]


def test_no_task_of_the_demo_had_to_be_tried_twice(done: Done) -> None:
    with sqlite3.connect(done.settings.var / "airflow" / "airflow.db") as connection:
        query = "SELECT dag_id, task_id, try_number FROM task_instance WHERE try_number > 1"
        tried = connection.execute(query).fetchall()
    assert tried == []


def test_airflow_keeps_no_sensitive_value(done: Done) -> None:
    values = sensitive_values(done.settings.home / "sources")
    assert len(values) > 1500
    looked_at = 0
    for file in (done.settings.var / "airflow").rglob("*"):
        if file.is_file():
            looked_at += 1
            assert found_in(file.read_bytes(), values) == set(), file.name
    assert looked_at > 60


def test_the_search_for_sensitive_values_would_find_one(done: Done) -> None:
    values = sensitive_values(done.settings.home / "sources")
    number = next(value for value in values if len(value) == 18)
    name = next(value for value in values if not value[0].isdigit())
    for written in (name.encode(), name.encode("gb18030"), json.dumps(name).encode()):
        assert found_in(b'{"event":"row ' + number.encode() + b" of " + written + b' failed"}', values) == {
            number,
            name,
        }
    source = done.settings.home / "sources" / "public_security" / "population.sqlite"
    assert len(found_in(source.read_bytes(), values)) > 500


def test_only_the_assigned_steward_may_answer_and_only_a_true_signature_publishes(done: Done) -> None:
    with airflow(done.settings) as served, Airflow(served.url) as steward, Airflow(served.url) as engineer:
        steward.login("steward", password(done.settings, "steward"))
        engineer.login("engineer", password(done.settings, "engineer"))
        steward.trigger(PUBLISH, "wrong")
        approval = waited_for(lambda: next(iter(steward.open_approvals(PUBLISH)), None))["task_instance"]
        release = str(steward.xcom(PUBLISH, "wrong", "propose"))
        with pytest.raises(GovernanceError, match="403"):
            engineer.approve(PUBLISH, "wrong", approval["task_id"], sign(release))
        tasks = answered(steward, "wrong", lambda task: steward.approve(PUBLISH, "wrong", task, sign("0" * 64)))
        assert (tasks["approve"]["state"], tasks["publish"]["state"]) == ("success", "failed")
        assert tasks["publish"]["try_number"] == 1  # fail now: no retry makes a signature true

        steward.trigger(PUBLISH, "rejected")
        tasks = answered(steward, "rejected", lambda task: steward.reject(PUBLISH, "rejected", task))
        assert (tasks["approve"]["state"], tasks["publish"]["state"]) == ("failed", "upstream_failed")


def test_a_request_of_access_is_put_before_the_approver_answered_and_granted(tmp_path: Path) -> None:
    context = open_context(load_settings(make_home(tmp_path)))
    request = asked(context)
    given = {**dict.fromkeys(FORM, ""), "signature": signed(context, request)}
    with airflow(context.settings) as served, Airflow(served.url) as steward, Airflow(served.url) as engineer:
        steward.login("steward", password(context.settings, "steward"))
        engineer.login("engineer", password(context.settings, "engineer"))
        steward.trigger(WAITING, "look")
        waits = waited_for(lambda: next(iter(steward.open_approvals(ANSWERED)), None))["task_instance"]
        assert (waits["dag_run_id"], state_of(context, request)) == (request, "asked")
        with pytest.raises(GovernanceError, match="403"):
            engineer.answer(ANSWERED, request, waits["task_id"], "Approve", given)
        steward.answer(ANSWERED, request, waits["task_id"], "Approve", given)
        waited_for(lambda: [r for r in steward.runs(ANSWERED) if r["state"] in ("success", "failed")])
        assert {t["task_id"]: t["state"] for t in steward.tasks(ANSWERED, request)} == {
            "show": "success",
            "answer": "success",
            "record": "success",
        }
    assert state_of(context, request) == "approved"
    context.database.close()


def state_of(context: Context, request: str) -> str:
    with context.database.read() as connection:
        return find(connection, request).status(context.database.clock())


def answered(client: Airflow, run_id: str, answer: Callable[[str], None]) -> dict[str, Any]:
    """Answer the approval of a run that is to fail (again, should a busy Airflow ask again); its tasks when it is over."""

    def over() -> bool:
        for approval in client.open_approvals(PUBLISH):
            answer(approval["task_instance"]["task_id"])
        return any(run["state"] == "failed" for run in client.runs(PUBLISH) if run["dag_run_id"] == run_id)

    waited_for(over)
    return {task["task_id"]: task for task in client.tasks(PUBLISH, run_id)}


def sensitive_values(sources: Path) -> set[str]:
    """Resident numbers, telephones, names of three characters and more, and addresses (up to the house number) of the sources."""
    values: set[str] = set()
    for file, (table, columns) in SENSITIVE.items():
        with sqlite3.connect(next(sources.rglob(file))) as connection:
            for row in connection.execute(f"SELECT {', '.join(columns)} FROM {table}"):  # noqa: S608 - names of ours
                values.update(found.group() for value in row if value and (found := VALUE.match(value)))
    return values


def found_in(content: bytes, values: set[str]) -> set[str]:
    """The values that stand in `content`, as UTF-8, as GB18030 or as JSON with escapes."""
    numbers = {
        match.decode() for match in re.findall(rb"(?<![0-9A-Za-z])(?:\d{17}[0-9X]|\d{11})(?![0-9A-Za-z])", content)
    }
    wide = b"|".join(re.findall(rb"[\x80-\xff][\x30-\xff]{5,}", content))
    escaped = b"|".join(re.findall(rb"(?:\\u[0-9a-f]{4}){3,}", content))
    texts = {value for value in values if not value[0].isdigit()}
    return (numbers & values) | {
        value
        for value in texts
        if value.encode() in wide or value.encode("gb18030") in wide or json.dumps(value).strip('"').encode() in escaped
    }


def waited_for(call: Callable[[], Any], seconds: float = 120) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = call()
        if found:
            return found
        time.sleep(0.5)
    raise AssertionError("it did not come in time")
