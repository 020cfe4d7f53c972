"""`run_all`: the stages one after another without Airflow: same functions, same tables.

Every function can be killed at any instruction and called again with the same run id and window.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from governance.pipeline import curate, ingest
from governance.pipeline.context import Context
from governance.pipeline.events import after_commits
from governance.pipeline.preload import preload
from governance.pipeline.steps import Report, Step, silent
from governance.state.values import Window


@dataclass(frozen=True, slots=True)
class RunResult:
    """What one run did, step by step."""

    run: str
    steps: tuple[Step, ...]

    @property
    def failed(self) -> tuple[Step, ...]:
        """Steps that somebody must look at: failed, stopped by a verdict, or waiting for something that is not there."""
        last = {step.subject: number for number, step in enumerate(self.steps)}
        return tuple(
            step
            for number, step in enumerate(self.steps)
            if step.outcome in ("failed", "stopped") or (step.outcome == "waiting" and last[step.subject] == number)
        )


def new_run() -> str:
    """A fresh run id."""
    return str(uuid.uuid4())


def run_all(
    context: Context,
    window: Window,
    *,
    run: str | None = None,
    datasets: Sequence[str] | None = None,
    again: bool = False,
    models: bool = True,
    report: Report = silent,
) -> RunResult:
    """Collect, store and manage `datasets` (default: all that have a source) for `window`, then build every curated table.

    A dataset or model that fails stops none of its neighbours. At the end lineage is mirrored and the ledger signed.
    """
    preload()
    run = run or new_run()
    names = list(datasets) if datasets is not None else collectable(context)
    steps = list(ingest.collect_datasets(context, names, window, run, again=again, report=report))
    stored = ingest.store_datasets(context, names, run, report=report)
    failed = {step.subject for step in stored if step.outcome == "failed"}
    steps += [*stored, *ingest.manage_datasets(context, names, run, failed=failed, report=report)]
    if models:
        steps += curate.build_models(context, run, report=report)
    after_commits(context)
    return RunResult(run, tuple(steps))


def collectable(context: Context) -> list[str]:
    """Names of the datasets whose contract names a source."""
    return sorted(d.name for d in context.catalogue.datasets.values() if d.source is not None)
