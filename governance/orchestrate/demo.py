"""`make demo`: the demo city through all five stages under Airflow's own scheduler, two months, ending in a short screen.

Everything is written to `build/demo`, a home of its own that is made anew on each call.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from governance.config import Settings, load_settings
from governance.errors import GovernanceError
from governance.orchestrate.client import Airflow
from governance.orchestrate.environment import airflow_home, password
from governance.orchestrate.processes import ended_by_signal
from governance.orchestrate.serve import airflow

ROOT = Path(__file__).parents[2]
MONTHS = ("2026-01", "2026-02")
DECLARED = ("catalog", "expectations", "dags", "gov.toml")
RUN_SECONDS = 400
PUBLISH = "publish"


@dataclass(slots=True)
class Progress:
    """Prints what happens with the seconds since the start."""

    started: float = field(default_factory=time.monotonic)

    def __call__(self, text: str) -> None:
        print(f"[{time.monotonic() - self.started:5.0f} s] {text}", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="make demo", description="The demo city through all five stages under Airflow."
    )
    parser.add_argument("--to", type=Path, default=ROOT / "build" / "demo", help="home that the demo makes")
    parser.add_argument("--people", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=20260101)
    options = parser.parse_args(arguments)
    with ended_by_signal():
        try:
            run(options.to, people=options.people, seed=options.seed)
        except GovernanceError as error:
            sys.exit(f"demo: {error}")


def run(folder: Path, *, people: int, seed: int) -> None:
    """Make the home in `folder`, run both months under Airflow and print the closing screen."""
    say = Progress()
    settings = make_home(folder)

    def prepare() -> None:
        _check(settings)
        say(f"a home in {folder}: catalogue checked, index written")
        _generate(settings, MONTHS[0], people, seed)
        say(f"demo city of {people:,} people generated: five departments, month {MONTHS[0]}")

    with airflow(settings, meanwhile=prepare) as served, Airflow(served.url) as client:
        say(f"Airflow is up at {served.url}")
        client.login("steward", password(settings, "steward"))
        departments = _departments(client, settings)
        for number, month in enumerate(MONTHS):
            if number:
                _generate(settings, month, people, seed)
                say(f"month {month} generated: people have moved, firms have closed")
            _month(client, settings, departments, month, number + 1, say)
    from governance.demo.screen import closing_screen

    print(closing_screen(settings, MONTHS), flush=True)
    say("done")


def make_home(folder: Path) -> Settings:
    """A fresh home with the repository's declarations and DAG files."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    for name in DECLARED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    with (folder / "gov.toml").open("a", encoding="utf-8") as settings:
        settings.write("\n[airflow]\nscheduled = false  # the demo starts the months itself\n")
    return load_settings(folder)


def _check(settings: Settings) -> None:
    from governance.pipeline.check import check

    check(settings)


def _generate(settings: Settings, month: str, people: int, seed: int) -> None:
    from governance.demo.city import generate

    generate(settings.home / "sources", seed=seed, people=people, month=month)


def _departments(client: Airflow, settings: Settings) -> list[str]:
    """The department DAGs, once the DAG processor has read all of them."""
    from governance.orchestrate.index import read_index

    expected = set(read_index(settings.index)["departments"])
    curated = set(read_index(settings.index)["curated"])
    deadline = time.monotonic() + RUN_SECONDS
    while not {*expected, *curated, PUBLISH} <= client.dags():
        errors = client.import_errors()
        if errors:
            raise GovernanceError("a DAG file does not import", where=errors[0])
        if time.monotonic() > deadline:
            raise GovernanceError("Airflow has not read the DAG files in time")
        time.sleep(0.5)
    return sorted(expected)


def _month(client: Airflow, settings: Settings, departments: list[str], month: str, count: int, say: Progress) -> None:
    """Run one month: every department, then what the assets trigger, then the steward's approval."""
    start, end = _interval(month)
    run_id = f"demo-{month}"
    for department in departments:
        client.trigger(department, run_id, start, end)
    say(f"month {month}: {len(departments)} department DAGs started")
    seen: set[str] = set()
    deadline = time.monotonic() + RUN_SECONDS
    while True:
        runs = client.runs()
        for found in runs:
            if found["dag_run_id"] == run_id and found["state"] == "success" and found["dag_id"] not in seen:
                seen.add(found["dag_id"])
                say(f"{found['dag_id']}: collected, stored, managed")
        releases = [found["state"] for found in runs if found["dag_id"] == PUBLISH]
        if releases.count("success") >= count:
            say(f"month {month}: published")
            return
        if "running" in releases:
            for approval in client.open_approvals(PUBLISH):
                _answer(client, settings, approval, say)
        _stop_if_broken(client, settings, runs, deadline)
        time.sleep(0.5)


def _answer(client: Airflow, settings: Settings, approval: dict[str, object], say: Progress) -> None:
    """The steward signs the hash of the proposed release with the demo key, and answers through Airflow's API."""
    from governance.demo.steward import sign

    instance = approval["task_instance"]
    assert isinstance(instance, dict)
    run_id, task_id = str(instance["dag_run_id"]), str(instance["task_id"])
    release = str(client.xcom(PUBLISH, run_id, "propose"))
    client.approve(PUBLISH, run_id, task_id, sign(release))
    say(f"steward signed release {release[:12]}… and approved it")


def _stop_if_broken(client: Airflow, settings: Settings, runs: list[dict[str, Any]], deadline: float) -> None:
    """Raises GovernanceError that names the tasks, when a run has failed or the month takes too long."""
    broken = [found for found in runs if found["state"] == "failed"]
    if not broken and time.monotonic() < deadline:
        return
    at_fault = [
        f"{found['dag_id']}.{task['task_id']}: {task['state']}"
        for found in broken or [found for found in runs if found["state"] == "running"]
        for task in client.tasks(found["dag_id"], found["dag_run_id"])
        if task["state"] not in ("success", "skipped", "upstream_failed")
    ]
    raise GovernanceError(
        "a task failed" if broken else "the month has not been published in time",
        where="; ".join(at_fault[:10]) or "no task",
        do=f"read its log in {airflow_home(settings) / 'logs'}",
    )


def _interval(month: str) -> tuple[datetime, datetime]:
    """Half-open UTC interval of a month.

    >>> _interval("2026-12")[1].isoformat()
    '2027-01-01T00:00:00+00:00'
    """
    year, number = (int(part) for part in month.split("-"))
    start = datetime(year, number, 1, tzinfo=UTC)
    end = datetime(year + number // 12, number % 12 + 1, 1, tzinfo=UTC)
    return start, end


if __name__ == "__main__":
    main()
