"""One DAG a department, mapped over its systems: collect, store, manage, then the announcement of what was let in.

Trigger rule `all_done` between stages: a dataset that fails does not stop its neighbours, since the next task takes from the state whatever
is ready for its stage. `announce` turns the batches let in by this run into asset events, whether or not a neighbour failed; `settled`
then makes the run red if any stage was.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, AssetAlias, task
from airflow.sdk.types import RuntimeTaskInstanceProtocol

from governance.orchestrate import index, retries, tasks
from governance.orchestrate.assets import asset_of


def department_dags() -> dict[str, DAG]:
    """dag id -> DAG of every department in the index (of the asked one alone, in a task's process)."""
    departments = index.read_index(index.index_folder())["departments"]
    return {d: department_dag(index.read_department(index.index_folder(), d)) for d in departments if index.wanted(d)}


def department_dag(entry: dict[str, Any]) -> DAG:
    """The DAG of one department; `entry` is its index file."""
    department = entry["department"]
    home = str(index.settings().home)
    with DAG(
        dag_id=department,
        schedule=entry.get("schedule") if index.settings().scheduled else None,
        start_date=datetime(2020, 1, 1),
        catchup=False,
        max_active_runs=1,
        tags=["collect", "store", "manage", department],
        default_args={**retries.STAGES, "owner": department},
        doc_md=f"Collects, stores and manages the systems of {department}.",
    ) as dag:
        systems = sorted(entry["systems"])
        stages = [_stage(stage, home, department).expand(system=systems) for stage in ("collect", "store", "manage")]
        announced = _announce(home, department)
        settled = EmptyOperator(task_id="settled", retries=0)
        stages[0] >> stages[1] >> stages[2] >> announced >> settled
        stages[0] >> settled
        stages[1] >> settled
        stages[2] >> settled
    return dag


def _stage(stage: str, home: str, department: str) -> Any:
    @task(
        task_id=stage,
        trigger_rule="all_success" if stage == "collect" else "all_done",
        map_index_template="{{ system }}",
        queue=stage,
    )
    def run(system: str, **context: Any) -> list[str]:
        return tasks.ingest(stage, home, department, system, context["run_id"], context)

    return run


def _announce(home: str, department: str) -> Any:
    alias = AssetAlias(name=f"{department} let in")

    @task(task_id="announce", trigger_rule="all_done", outlets=[alias], queue="manage")
    def run(*, ti: RuntimeTaskInstanceProtocol, outlet_events: Any, run_id: str) -> list[str]:
        from governance.pipeline.ingest import let_in

        judged = let_in(tasks.open_home(home), department, run_id)
        for table, snapshot in judged.items():
            outlet_events[alias].add(asset_of(table), extra={"snapshot": str(snapshot)})
        return sorted(judged)

    return run()
