"""`run_all`: the stages one after another without Airflow: same functions, same tables.

Every function can be killed at any instruction and called again with the same run id and window.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from governance.pipeline import curate, ingest
from governance.pipeline.context import Context
from governance.pipeline.events import after_commits
from governance.pipeline.preload import preload
from governance.pipeline.steps import Report, Step, of_faults, silent
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
    """Collect, store and manage `datasets` (default: all that have a source) for `window`, then build every curated table (with `datasets`
    given: those that read one of them).

    While a dataset is stored and judged, the next ones are collected. A dataset or model that fails stops none of its neighbours. At the end
    lineage is mirrored and the ledger signed. `report` is called in this thread alone.
    """
    preload()
    run = run or new_run()
    names = ingest.in_order(context, list(datasets) if datasets is not None else collectable(context))
    steps = list(of_faults(context.faults))
    for step in steps:
        report(step)
    for name, collected in _collected_ahead(context, names, window, run, again):
        for step in collected:
            report(step)
        stored = ingest.store_datasets(context, [name], run, report=report)
        failed = {step.subject for step in stored if step.outcome == "failed"}
        steps += [*collected, *stored, *ingest.manage_datasets(context, [name], run, failed=failed, report=report)]
    last = {step.subject: step.outcome for step in steps}
    waiting = [name for name in names if last.get(name) == "waiting"]
    steps += ingest.manage_datasets(context, waiting, run, report=report)
    if models:
        steps += curate.build_models(context, run, reading=datasets, report=report)
    after_commits(context)
    return RunResult(run, tuple(steps))


def _collected_ahead(
    context: Context, names: Sequence[str], window: Window, run: str, again: bool
) -> Iterator[tuple[str, tuple[Step, ...]]]:
    """Each dataset with its step of collect, in order; another thread collects, one dataset after the other."""
    with ThreadPoolExecutor(1, "collect") as ahead:
        landing = [ahead.submit(ingest.collect_datasets, context, [name], window, run, again=again) for name in names]
        try:
            for name, collected in zip(names, landing, strict=True):
                yield name, collected.result()
        finally:
            ahead.shutdown(cancel_futures=True)


def collectable(context: Context) -> list[str]:
    """Names of the datasets whose contract names a source."""
    return sorted(d.name for d in context.catalogue.datasets.values() if d.source is not None)
