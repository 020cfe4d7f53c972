"""What we ask of Airflow's REST API: health, runs, and answers to approvals."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import httpx

from governance.errors import GovernanceError

RETRY_SECONDS = (1.0, 2.0, 4.0, 0.0)


def wake_execution_api(port: int) -> bool:
    """Have Airflow build the API of its tasks now, which it does at the first request and which takes seconds; False when nobody listens."""
    try:
        httpx.get(f"http://127.0.0.1:{port}/execution/health", timeout=0.3)
    except httpx.ConnectError:
        return False
    except httpx.HTTPError:
        pass  # it is building
    return True


class Airflow:
    """A client of one Airflow, as a context manager; `login` before anything but `healthy`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.Client(base_url=url, timeout=60)

    def __enter__(self) -> Airflow:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def healthy(self) -> bool:
        """Whether API server, scheduler and DAG processor all say that they are well."""
        try:
            answer = self._http.get("/api/v2/monitor/health", timeout=5)
        except httpx.HTTPError:
            return False
        if answer.status_code != 200:
            return False
        health = answer.json()
        return all(
            (health.get(part) or {}).get("status") == "healthy"
            for part in ("metadatabase", "scheduler", "dag_processor")
        )

    def login(self, user: str, password: str) -> None:
        answer = self._call("POST", "/auth/token", json={"username": user, "password": password})
        self._http.headers["Authorization"] = f"Bearer {answer['access_token']}"

    def dags(self) -> set[str]:
        """Ids of the DAGs that the DAG processor has read."""
        return {dag["dag_id"] for dag in self._call("GET", "/api/v2/dags", params={"limit": 1000})["dags"]}

    def import_errors(self) -> list[str]:
        answer = self._call("GET", "/api/v2/importErrors")
        return [f"{e['filename']}: {e['stack_trace'].strip().splitlines()[-1]}" for e in answer["import_errors"]]

    def trigger(self, dag_id: str, run_id: str, start: datetime | None = None, end: datetime | None = None) -> None:
        """Start a run, for a data interval if one is given, unless it is there already."""
        first, last = (instant.isoformat() if instant else None for instant in (start, end))
        body: dict[str, Any] = {"dag_run_id": run_id, "logical_date": first}
        if first and last:
            body |= {"data_interval_start": first, "data_interval_end": last}
        if run_id not in {run["dag_run_id"] for run in self.runs(dag_id)}:
            self._call("POST", f"/api/v2/dags/{dag_id}/dagRuns", json=body)

    def runs(self, dag_id: str = "~") -> list[dict[str, Any]]:
        """The latest hundred runs of a DAG, or of all."""
        query = {"limit": 100, "order_by": "-run_after"}
        answer = self._call("GET", f"/api/v2/dags/{dag_id}/dagRuns", params=query)
        return list(answer["dag_runs"])

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        answer = self._call("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances", params={"limit": 1000})
        return list(answer["task_instances"])

    def open_approvals(self, dag_id: str) -> Iterable[dict[str, Any]]:
        """Approvals that nobody has answered yet, and whose tasks wait for the answer (one that comes before would wake nobody)."""
        answer = self._call("GET", f"/api/v2/dags/{dag_id}/dagRuns/~/hitlDetails", params={"response_received": False})
        return [found for found in answer["hitl_details"] if found["task_instance"]["state"] == "awaiting_input"]

    def approve(self, dag_id: str, run_id: str, task_id: str, signature: str) -> None:
        """Answer an approval with the steward's signature over the release hash. Raises GovernanceError when the user may not."""
        self.answer(dag_id, run_id, task_id, "Approve", {"signature": signature})

    def reject(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Answer an approval with no."""
        self.answer(dag_id, run_id, task_id, "Reject", {"signature": ""})

    def answer(self, dag_id: str, run_id: str, task_id: str, chosen: str, given: Mapping[str, str]) -> None:
        """Answer what a task asks a person: one of its options, and what its form takes."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/-1/hitlDetails"
        self._call("PATCH", path, json={"chosen_options": [chosen], "params_input": dict(given)})

    def xcom(self, dag_id: str, run_id: str, task_id: str) -> Any:
        answer = self._call(
            "GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/return_value"
        )
        return answer["value"]

    def _call(self, method: str, path: str, **arguments: Any) -> Any:
        """The answer's JSON; a server error is asked again a few times (Airflow's SQLite answers so when it is busy)."""
        for wait_seconds in RETRY_SECONDS:
            try:
                answer = self._http.request(method, path, **arguments)
            except httpx.HTTPError as error:
                raise GovernanceError(f"Airflow does not answer: {type(error).__name__}", where=path) from None
            if answer.status_code < 500:
                break
            time.sleep(wait_seconds)
        if answer.status_code >= 400:
            raise GovernanceError(f"Airflow answered {answer.status_code}: {answer.text[:300]}", where=path)
        return answer.json()
