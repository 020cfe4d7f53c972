"""Requests of access under Airflow: one DAG looks for those that wait, and starts a run of the other for each; there an
approver of access.yaml answers.

The run's id is that of the request, so each is asked about once. Airflow's human-in-the-loop task only carries the answer: what counts is
the Ed25519 signature over the answer's hash, which `use.requests.approve` and `decline` verify.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, Param, task

from governance.orchestrate import index, retries, tasks

WAITING, ANSWERED = "access_requests", "access_request"
OPTIONS = ["Approve", "Decline"]
EVERY = "*/10 * * * *"
FORM = {
    "signature": "Signature of gov access sign (hex)",
    "action": "Give less: mask:<mask> or aggregate_only(k)",
    "only": "Give only these fields, comma between",
    "until": "Give it for a shorter time: day or instant on which it is over",
    "because": "To decline: why, as it was signed",
}
"""What an approver fills in: empty where nothing is to be said."""


def access_dags() -> dict[str, DAG]:
    """Both DAGs, by id (the asked one alone, in a task's process)."""
    approvers = index.read_index(index.index_folder())["approvers"]
    made: dict[str, Callable[[], DAG]] = {WAITING: waiting_dag, ANSWERED: lambda: answered_dag(approvers)}
    return {dag_id: make() for dag_id, make in made.items() if index.wanted(dag_id)}


def waiting_dag() -> DAG:
    """Looks for requests that wait and starts a run for each that has none."""
    home = str(index.settings().home)
    with DAG(
        dag_id=WAITING,
        schedule=EVERY if index.settings().scheduled else None,
        start_date=datetime(2020, 1, 1),
        catchup=False,
        max_active_runs=1,
        tags=["use", "access"],
        default_args=dict(retries.STAGES),
        doc_md="Puts every request of access that waits before the approvers: a run of `access_request` for each.",
    ) as dag:

        @task(task_id="waiting", queue="use")
        @tasks.fail_now
        def waiting() -> list[dict[str, Any]]:
            from governance.pipeline import access_requests

            found = access_requests.waiting(tasks.open_home(home))
            return [{"trigger_run_id": request, "conf": {"request": request}} for request in found]

        TriggerDagRunOperator.partial(
            task_id="put",
            queue="use",
            trigger_dag_id=ANSWERED,
            logical_date=None,
            skip_when_already_exists=True,
        ).expand_kwargs(waiting())
    return dag


def answered_dag(approvers: list[str]) -> DAG:
    """One request: shown to the approvers, answered by one of them, recorded."""
    home = str(index.settings().home)
    with DAG(
        dag_id=ANSWERED,
        schedule=None,
        start_date=datetime(2020, 1, 1),
        catchup=False,
        max_active_runs=1000,
        tags=["use", "access"],
        default_args=dict(retries.STAGES),
        params={"request": Param("", type="string", title="Id of the request")},
        doc_md="Waits for an approver's signed answer to one request of access, and records it.",
    ) as dag:

        @task(task_id="show", queue="use")
        @tasks.fail_now
        def show(**context: Any) -> str:
            from governance.pipeline import access_requests

            return access_requests.described(tasks.open_home(home), str(context["params"]["request"]))

        answer = HITLOperator(
            task_id="answer",
            queue="use",
            subject="Access request {{ params.request[:16] }}",
            body="{{ ti.xcom_pull(task_ids='show') }}",
            options=OPTIONS,
            params={name: Param("", type="string", title=title) for name, title in FORM.items()},
            assigned_users=[{"id": user, "name": user} for user in approvers] or None,
            response_timeout=timedelta(days=14),
            **retries.APPROVAL,
        )

        @task(task_id="record", queue="use")
        @tasks.fail_now
        def record(answer: dict[str, Any], **context: Any) -> str:
            from governance.pipeline import access_requests

            return access_requests.decide(
                tasks.open_home(home),
                str(context["params"]["request"]),
                subject=f"user:{answer['responded_by_user']['name']}",
                chosen=str(answer["chosen_options"][0]),
                answer={name: str(answer["params_input"].get(name) or "") for name in FORM},
                run=context["run_id"],
            )

        shown = show()
        shown >> answer
        record(answer.output)
    return dag
