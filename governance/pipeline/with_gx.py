"""`gov judge --with-gx`: a suite run by GX's own engine over a dataset's rows in force, as a job of its own and under its own grant.

It is for types that do not compile (`manage.registry.NOT_COMPILED`). Nothing is let in or held by it: what fails is recorded as an observation of
kind `gx` and becomes an incident that warns.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from governance.catalog.types import Dataset
from governance.config import as_request
from governance.errors import DeclarationError, Fault, NotReady
from governance.keys import grants
from governance.lineage.record import record_run
from governance.manage.names import rule_names
from governance.manage.registry import NOT_COMPILED, SUPPORTED
from governance.pipeline.backtest import read_suite_file
from governance.pipeline.context import Context
from governance.pipeline.events import after_commits
from governance.pipeline.observations import Failure, observe
from governance.pipeline.quarantine import dataset_of
from governance.state.values import Actor
from governance.workers import start
from governance.workers.limits import Limits

PURPOSE = "pipeline.judge_with_gx"
_SECONDS = 3600
_COLUMNS = ("column", "column_A", "column_B", "column_list", "column_set")


@dataclass(frozen=True, slots=True)
class ByGx:
    """What GX's own engine said. `results` are its verdicts and counts, in the suite's order; `compiles` says of each whether the pass would
    have judged it too."""

    dataset: str
    engine: str
    snapshot: int
    rows: int
    results: tuple[Mapping[str, Any], ...]

    @property
    def failing(self) -> tuple[Mapping[str, Any], ...]:
        return tuple(result for result in self.results if not result["success"])


def judge_with_gx(context: Context, name: str, suite: Path) -> ByGx:
    """Run every expectation of a suite file by GX on pandas; the result is recorded.

    Raises DeclarationError for a suite that is none, names no type of GX's or no column of the contract, NotReady before the first batch. A
    table that does not fit into the worker's memory is a WorkerFailed: pandas holds all rows of the columns that are read.
    """
    dataset = dataset_of(context, name)
    expectations = json.loads(read_suite_file(suite, name).text)["expectations"]
    columns = _columns(dataset, suite, expectations)
    snapshot = context.lake.snapshot(name)
    if snapshot is None:
        raise NotReady("no batch was let in yet", where=name, do="gov run")
    actor = Actor(f"service:manage@{dataset.department}", PURPOSE, uuid.uuid4().hex)
    answer = _scan(context, dataset, snapshot, columns, expectations, actor)
    names = rule_names(((e["type"], e.get("kwargs") or {}) for e in expectations), prefix="gx")
    results = tuple(
        {**result, "id": rule[:255], "compiles": expectation["type"] in SUPPORTED}
        for rule, expectation, result in zip(names, expectations, answer["results"], strict=True)
    )
    found = ByGx(name, f"great_expectations {version('great_expectations')}, pandas", snapshot, answer["rows"], results)
    _record(context, dataset, found, expectations, actor)
    after_commits(context)
    return found


def _columns(dataset: Dataset, file: Path, expectations: Sequence[Mapping[str, Any]]) -> list[str]:
    """Columns that the suite names, all where an expectation names none (it is about the table). Raises DeclarationError for others."""
    known = [f.name for f in dataset.fields]
    wanted: set[str] = set()
    faults = []
    for n, expectation in enumerate(expectations, start=1):
        if expectation["type"] not in SUPPORTED and expectation["type"] not in NOT_COMPILED:
            found, do = f"GX has no type '{expectation['type']}'", "correct it"
            faults.append(Fault(file.name, 1, f"expectations.{n}.type", found, "GX's own types", do))
        kwargs = expectation.get("kwargs") or {}
        given = [value for key in _COLUMNS for value in _listed(kwargs.get(key))]
        wanted |= set(map(str, given or known)) if not kwargs.get("row_condition") else set(known)
        for column in sorted({str(value) for value in given} - set(known)):
            found = f"there is no column '{column}'"
            faults.append(Fault(file.name, 1, f"expectations.{n}", found, ", ".join(known), "name a column"))
    if faults:
        raise DeclarationError(tuple(faults))
    return [name for name in known if name in wanted]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _scan(
    context: Context,
    dataset: Dataset,
    snapshot: int,
    columns: list[str],
    expectations: Sequence[Mapping[str, Any]],
    actor: Actor,
) -> dict[str, Any]:
    settings, database = context.settings, context.database
    keys = sorted(context.lake.keys(dataset.name, snapshot, columns))
    with database.unit_of_work() as tx:
        grant = grants.issue(tx, actor=actor, keys=keys, seconds=_SECONDS, database=database)
    request = {
        "settings": as_request(settings),
        "table": dataset.name,
        "snapshot": snapshot,
        "columns": columns,
        "current": dataset.keeps_versions,
        "grant": grant.id,
        "expectations": [{"type": e["type"], "kwargs": e.get("kwargs") or {}} for e in expectations],
    }
    limits = Limits(settings.memory_limit_mb + 1024, _SECONDS, network=not settings.database_url.startswith("sqlite"))
    try:
        with start("governance.pipeline.with_gx_scan:scan", request, limits=limits) as worker:
            found: dict[str, Any] = worker.result()
    finally:
        with database.unit_of_work() as tx:
            grants.revoke(tx, grant.id, actor=actor, database=database)
    return found


def _record(
    context: Context, dataset: Dataset, found: ByGx, expectations: Sequence[Mapping[str, Any]], actor: Actor
) -> None:
    failures = tuple(
        Failure(
            result["id"],
            "warn",
            _column(expectation),
            None if result["errored"] else result["counts"].get("unexpected_count"),
            bool(result["errored"]),
        )
        for expectation, result in zip(expectations, found.results, strict=True)
        if not result["success"]
    )
    errored = sorted(result["id"] for result in found.results if result["errored"])
    at = context.database.clock()
    counts = {"rows": found.rows, "expectations": len(found.results), "failed": len(failures) - len(errored)}
    facts = {
        "engine": found.engine,
        "snapshot": str(found.snapshot),
        "rows": found.rows,
        "results": list(found.results),
    }
    with context.database.unit_of_work() as tx:
        versions = record_run(
            tx,
            actor=actor,
            stage="judge_with_gx",
            batch=None,
            output=f"gx:{dataset.name}",
            output_snapshot=None,
            outcome="failed" if failures else "met",
            counts={**counts, "errored": len(errored)},
            versions={"contract": dataset.text_hash, "engine": found.engine},
            inputs={dataset.name: found.snapshot},
            edges=None,
            at=at,
            namespace=context.settings.lineage_namespace,
        )
        observe(
            tx,
            "gx",
            dataset.name,
            failures,
            facts,
            actor=actor,
            writer=context.database.writer,
            at=at,
            told={
                "engine": found.engine,
                "errored": list(errored),
                "snapshot": str(found.snapshot),
                "versions": versions,
            },
        )


def _column(expectation: Mapping[str, Any]) -> str:
    return str((expectation.get("kwargs") or {}).get("column") or "")
