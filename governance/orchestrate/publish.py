"""The publish DAG: a release is proposed, a steward approves it by signing its hash, and only then is it published.

Airflow's human-in-the-loop task only carries the approval: what counts is the Ed25519 signature over the release hash, which
`use.approve` verifies against the steward's registered key.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, Param, task

from governance.orchestrate import index, retries, tasks
from governance.orchestrate.assets import asset_of

DAG_ID = "publish"


def publish_dag() -> DAG:
    """The one DAG that publishes: triggered when every curated table has news."""
    compiled = index.read_index(index.index_folder())
    home = str(index.settings().home)
    with DAG(
        dag_id=DAG_ID,
        schedule=[asset_of(name) for name in sorted(compiled["curated"])] or None,
        start_date=datetime(2020, 1, 1),
        catchup=False,
        max_active_runs=1,
        tags=["use", "publish"],
        default_args=dict(retries.STAGES),
        doc_md="Proposes a release of the curated tables, waits for a steward's signature over its hash, publishes it.",
    ) as dag:

        @task(task_id="propose", queue="use")
        @tasks.fail_now
        def propose(**context: Any) -> str:
            from governance.pipeline import publish

            return publish.propose_release(tasks.open_home(home), context["run_id"])

        approve = ApprovalOperator(
            task_id="approve",
            queue="use",
            subject="Publish release {{ ti.xcom_pull(task_ids='propose') }}",
            body="Sign the release hash with `gov release sign HASH` and paste the signature.",
            params={"signature": Param("", type="string", title="Signature over the release hash (hex)")},
            assigned_users=[{"id": user, "name": user} for user in compiled["approvers"]] or None,
            response_timeout=timedelta(days=14),
            fail_on_reject=True,
            **retries.APPROVAL,
        )

        @task(task_id="publish", queue="use")
        @tasks.fail_now
        def publish_release(release: str, answer: dict[str, Any], **context: Any) -> str:
            from governance.pipeline import publish

            answered_by = answer["responded_by_user"]
            signature = str(answer["params_input"]["signature"])
            return publish.publish_release(
                tasks.open_home(home), release, f"user:{answered_by['name']}", signature, context["run_id"]
            )

        release = propose()
        release >> approve
        publish_release(release, approve.output)
    return dag
