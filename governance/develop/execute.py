"""Runs a request under a grant for exactly its keys: in a worker process when it reads encrypted columns, else here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pyarrow as pa

from governance import workers
from governance.develop.plan import grant_keys
from governance.develop.request import ANSWER, REQUEST, BuildAnswer, BuildRequest
from governance.develop.worker import FINDINGS, run
from governance.keys import grants
from governance.lake.lake import Lake
from governance.state.database import Database
from governance.state.values import Actor

WORKER_MEMORY_MB = 1024
"""What a worker may use beside DuckDB's own limit: Arrow batches, writers, imports."""


def execute(job: BuildRequest, *, lake: Lake, database: Database, actor: Actor) -> tuple[BuildAnswer, pa.Table]:
    """The answer and the findings (positions and tokens). The grant ends with the run, whatever comes of it."""
    if not job.sensitive:
        answer, findings = run(job, lake)
        return answer, findings.read_all()
    with _granted(job, lake, database, actor) as granted:
        limits = workers.Limits(
            memory_mb=job.settings.memory_limit_mb + WORKER_MEMORY_MB,
            network=not job.settings.database_url.startswith("sqlite"),
        )
        request = {"job": REQUEST.dump_json(granted).decode("utf-8")}
        with workers.start("governance.develop.worker:build", request, limits=limits) as worker:
            table = worker.stream().read_all()
            return ANSWER.validate_json(worker.result()["answer"]), table.cast(FINDINGS)


@contextmanager
def _granted(job: BuildRequest, lake: Lake, database: Database, actor: Actor) -> Iterator[BuildRequest]:
    keys = grant_keys(job, lake)
    with database.unit_of_work() as tx:
        grant = grants.issue(tx, actor=actor, keys=sorted(keys), database=database)
    try:
        yield replace(job, grant_id=grant.id)
    finally:
        with database.unit_of_work() as tx:
            grants.revoke(tx, grant.id, actor=actor, database=database)
