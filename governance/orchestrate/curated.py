"""One DAG a curated table: built when every table that its model reads has news."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow.sdk import DAG, task

from governance.orchestrate import index, retries, tasks
from governance.orchestrate.assets import asset_of


def curated_dags() -> dict[str, DAG]:
    """dag id -> DAG of every curated table in the index."""
    models = index.read_index(index.index_folder())["curated"]
    return {name: curated_dag(name, inputs) for name, inputs in models.items() if index.wanted(name)}


def curated_dag(model: str, inputs: list[str]) -> DAG:
    """The DAG of one curated table; `inputs` are the tables that its SELECT reads."""
    home = str(index.settings().home)
    with DAG(
        dag_id=model,
        schedule=[asset_of(table) for table in sorted(inputs)],
        start_date=datetime(2020, 1, 1),
        catchup=False,
        max_active_runs=1,
        tags=["develop", "curated"],
        default_args=dict(retries.STAGES),
        doc_md=f"Builds {model} from {', '.join(sorted(inputs))} at one pin, judges it and runs its checks.",
    ) as dag:

        @task(task_id="develop", outlets=[asset_of(model)], queue="build")
        def develop(**context: Any) -> list[str]:
            return tasks.build(home, model, context["run_id"])

        develop()
    return dag
