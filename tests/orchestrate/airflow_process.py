"""What tests ask of Airflow, each in a process of its own: `python -m tests.orchestrate.airflow_process NAME HOME [ARGUMENT…]`.

Airflow's import takes seconds, changes logging and warns; the answer is the JSON after the last `RESULT ` on standard output. The functions
below the first rule run in that process, `ask` in the test's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from governance.config import load_settings

ROOT = Path(__file__).parents[2]
ENGINES = ("duckdb", "pyarrow", "pyiceberg", "great_expectations", "sqlglot", "pandas", "numpy", "cedarpy", "openpyxl")
MARK = "RESULT "
INSTANT = datetime(2026, 1, 1, tzinfo=UTC)


def ask(name: str, home: Path, *arguments: str, environment: Mapping[str, str] = {}, seconds: float = 240) -> Any:
    """The answer of one of the functions below about `home`."""
    from governance.orchestrate.environment import airflow_environment

    inherited = airflow_environment(load_settings(home), port=9)
    done = subprocess.run(
        [sys.executable, "-m", "tests.orchestrate.airflow_process", name, str(home), *arguments],
        cwd=ROOT,
        env={**inherited, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    found = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
    assert found, f"{name} gave nothing:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return json.loads(found[-1].removeprefix(MARK))


def parse(home: Path) -> dict[str, Any]:
    """Every DAG of the folder as tests look at it, import errors, and which engines parsing has imported."""
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(home / "dags")
    return {
        "dags": {dag_id: _described(dag) for dag_id, dag in bag.dags.items()},
        "errors": {Path(file).name: text for file, text in bag.import_errors.items()},
        "engines": [name for name in ENGINES if name in sys.modules],
    }


def run(home: Path, *dag_ids: str) -> dict[str, Any]:
    """`dag.test()` of DAGs, one after another: states of the run and its tasks, assets announced. One retry, after a second."""
    from airflow.dag_processing.dagbag import DagBag
    from airflow.models.asset import AssetEvent, AssetModel
    from airflow.utils.db import initdb
    from airflow.utils.session import create_session
    from sqlalchemy import select

    from governance.orchestrate import retries

    retries.STAGES = {"retries": 1, "retry_delay": timedelta(seconds=1)}
    initdb()
    bag = DagBag(home / "dags")
    answer = {}
    for dag_id in dag_ids:
        done = bag.dags[dag_id].test(logical_date=INSTANT)
        with create_session() as session:
            query = select(AssetModel.name).join(AssetEvent, AssetEvent.asset_id == AssetModel.id)
            announced = session.scalars(
                query.where(AssetEvent.source_run_id == done.run_id, AssetEvent.source_dag_id == dag_id)
            )
            answer[dag_id] = {
                "state": str(done.state),
                "tasks": {t.task_id: [str(t.state), t.try_number] for t in done.get_task_instances(session=session)},
                "announced": sorted(announced),
                "failures": _failures(home, done.run_id),
            }
    return answer


def put(home: Path, *answers: str) -> dict[str, Any]:
    """A request of access is put before the approvers twice; then each answer (JSON: who, option, form) is recorded: what Airflow is told, and
    what the request is afterwards.
    """
    from airflow.dag_processing.dagbag import DagBag
    from airflow.models.dagrun import DagRun
    from airflow.utils.db import initdb
    from airflow.utils.session import create_session
    from sqlalchemy import select

    from governance.orchestrate import tasks
    from governance.use.request_state import find

    initdb()
    bag = DagBag(home / "dags")
    states = []
    for _ in range(2):
        done = bag.dags["access_requests"].test()
        with create_session() as session:
            states.append({t.task_id: str(t.state) for t in done.get_task_instances(session=session)})
    with create_session() as session:
        runs = list(session.execute(select(DagRun.run_id, DagRun.conf).where(DagRun.dag_id == "access_request")))
    request = runs[0].run_id
    about = {"params": dict(runs[0].conf), "run_id": request}
    dag, context = bag.dags["access_request"], tasks.open_home(str(home))
    outcomes = []
    for who, option, form in map(json.loads, answers):
        given = {"responded_by_user": {"name": who}, "chosen_options": [option], "params_input": form}
        told = _told(lambda given=given: dag.get_task("record").python_callable(given, **about))
        with context.database.read() as connection:
            outcomes.append([told, find(connection, request).status(context.database.clock())])
    shown = dag.get_task("show").python_callable(**about)
    return {"states": states, "runs": [run.run_id for run in runs], "shown": shown, "outcomes": outcomes}


def settled(_home: Path) -> dict[str, dict[str, str]]:
    """For each error class of ours: what Airflow is told when a step, and when a task body, ends with it."""
    from governance import errors
    from governance.orchestrate import tasks

    classes = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.GovernanceError)]
    return {
        made.__name__: {
            "retry": made.retry,
            "stage": _told(lambda made=made: tasks.settle([_step(_error(made))])),
            "body": _told(lambda made=made: tasks.fail_now(_raising(_error(made)))()),
        }
        for made in classes
    }


def outcomes(_home: Path) -> dict[str, str]:
    """For each outcome of a step, with and without hope in a retry: what Airflow is told."""
    from typing import get_args

    from governance.orchestrate import tasks
    from governance.pipeline.steps import Step, StepOutcome

    return {
        f"{outcome} {'again' if retry else 'final'}": _told(
            lambda outcome=outcome, retry=retry: tasks.settle([Step("store", "a.b", "", outcome, 0.0, "why", retry)])
        )
        for outcome in get_args(StepOutcome)
        for retry in (True, False)
    }


def collected(home: Path, department: str, system: str, run_type: str) -> str:
    """What Airflow is told of the collect stage of a system in a run of this type, for the window of a past year."""
    from types import SimpleNamespace

    from airflow.sdk.api.datamodels._generated import DagRunType

    from governance.orchestrate import tasks

    interval = {
        "dag_run": SimpleNamespace(run_type=DagRunType(run_type)),
        "data_interval_start": INSTANT.replace(year=2020),
        "data_interval_end": INSTANT.replace(year=2021),
    }
    return _told(lambda: tasks.ingest("collect", str(home), department, system, f"a-{run_type}", interval))


def ends(_home: Path) -> dict[str, list[str]]:
    """What the scheduler hears of a try: ended once; parked and started again before and after its first process's end is read."""
    from collections import Counter
    from types import SimpleNamespace

    from airflow.executors.local_executor import LocalExecutor
    from airflow.models.taskinstancekey import TaskInstanceKey
    from airflow.utils.state import TaskInstanceState

    from governance.orchestrate.executor import SettlingExecutor

    LocalExecutor._process_workloads = lambda executor, loads: [executor.queued_tasks.pop(load.key) for load in loads]

    def heard(steps: str) -> list[str]:
        executor = SettlingExecutor(parallelism=2)
        executor._processes = Counter()
        key = TaskInstanceKey("publish", "approve", "run", 1, -1)
        load = SimpleNamespace(key=key)
        told = []
        for step in steps.split():
            match step:
                case "queue":
                    executor.queued_tasks[key] = load
                case "start":
                    executor.running.add(key)
                    executor._process_workloads([load])
                case "end":
                    executor.change_state(key, TaskInstanceState.SUCCESS)
            told += [f"{step}: {state}" for state, _ in executor.get_event_buffer().values()]
            told += [f"{step}: known"] if key in executor.running or key in executor.queued_tasks else []
        return told

    cases = ("queue start end", "queue start end queue start end", "queue start queue end start end")
    return {steps: heard(steps) for steps in (*cases, "queue start queue start end end")}


def _described(dag: Any) -> dict[str, Any]:
    condition = getattr(dag.timetable, "asset_condition", None)
    return {
        "schedule": dag.schedule if isinstance(dag.schedule, str) else None,
        "assets": sorted(a.name for a in condition.objects) if condition is not None else [],
        "catchup": dag.catchup,
        "tasks": {t.task_id: _task(t) for t in dag.tasks},
    }


def _task(task: Any) -> dict[str, Any]:
    expanded = getattr(task, "op_kwargs_expand_input", None)
    systems = expanded.value.get("system") if expanded is not None else None
    return {
        "queue": task.queue,
        "trigger_rule": str(getattr(task.trigger_rule, "value", task.trigger_rule)),
        "retries": task.retries,
        "upstream": sorted(task.upstream_task_ids),
        "systems": list(systems) if systems is not None else None,
        "outlets": sorted(o.name for o in task.outlets),
        "assigned": sorted(u["id"] for u in getattr(task, "assigned_users", None) or []),
    }


def _failures(home: Path, run_id: str) -> list[str]:
    """What the ledger says of steps of a run that failed."""
    from sqlalchemy import select

    from governance.state.database import Database
    from governance.state.tables import ledger_entry

    database = Database(load_settings(home).database_url)
    database.create()
    with database.read() as connection:
        bodies = connection.execute(select(ledger_entry.c.body).where(ledger_entry.c.kind == "failure")).scalars()
        return [text for text in (body.decode() for body in bodies) if run_id in text]


def _told(call: Callable[[], object]) -> str:
    try:
        call()
    except Exception as error:
        return type(error).__name__
    return "success"


def _error(made: type[Any]) -> Exception:
    from governance.errors import DeclarationError, Fault

    return made((Fault("a.yaml", 1, "x", "wrong"),)) if made is DeclarationError else made("wrong")


def _raising(error: Exception) -> Callable[[], object]:
    def body() -> object:
        raise error

    return body


def _step(error: Exception) -> Any:
    """The step that `attempt` makes of an error, with a real database behind it."""
    from governance.pipeline.steps import attempt, silent
    from governance.state.database import Database
    from governance.state.values import Actor

    database = Database("sqlite:///:memory:")
    database.create()
    actor = Actor("service:store@a", "pipeline.store", "run")
    return attempt("store", "a.b", _raising(error), actor=actor, database=database, report=silent)


if __name__ == "__main__":
    question = globals()[sys.argv[1]]
    os.chdir(sys.argv[2])
    print("\n" + MARK + json.dumps(question(Path(sys.argv[2]), *sys.argv[3:])), flush=True)
