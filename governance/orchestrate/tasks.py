"""The bodies of the tasks. They pass batch ids and release ids only, and tell Airflow "try again" from "fail now".

Nothing here imports an engine until a task runs.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from governance.errors import GovernanceError

if TYPE_CHECKING:
    from governance.pipeline.context import Context
    from governance.pipeline.steps import Step
    from governance.state.values import Window

log = logging.getLogger("governance")
P = ParamSpec("P")
R = TypeVar("R")


def fail_now(function: Callable[P, R]) -> Callable[P, R]:
    """A task body whose governance errors become Airflow's "fail now" unless they say that trying again can help."""

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except GovernanceError as error:
            if error.retry:
                raise AirflowException(str(error)) from None
            raise AirflowFailException(str(error)) from None

    return wrapped


@fail_now
def ingest(stage: str, home: str, department: str, system: str, run: str, interval: Mapping[str, Any]) -> list[str]:
    """One ingest stage over the datasets of a system; returns the ids of the batches it took a step further."""
    from governance.pipeline import ingest as pipeline
    from governance.pipeline.events import after_commits
    from governance.pipeline.steps import of_faults

    context = open_home(home)
    names = [d.name for d in context.catalogue.datasets.values() if (d.department, d.system) == (department, system)]
    match stage:
        case "collect":
            steps = pipeline.collect_datasets(
                context, names, window_of(interval), run, backfill=is_backfill(interval), report=log_step
            )
        case "store":
            steps = pipeline.store_datasets(context, names, run, report=log_step)
            steps = tuple(s for s in steps if s.outcome != "waiting")  # the manage task takes those further
        case "manage":
            steps = pipeline.manage_datasets(context, names, run, report=log_step)
        case _:
            raise ValueError(stage)
    after_commits(context)
    return settle([*steps, *of_faults(f for f in context.faults if department in f.file.split("/"))])


@fail_now
def build(home: str, model: str, run: str) -> list[str]:
    """Build one curated table and run its checks; returns its snapshot id as text."""
    from governance.pipeline import curate
    from governance.pipeline.events import after_commits

    context = open_home(home)
    steps = curate.build_models(context, run, only=[model], report=log_step)
    after_commits(context)
    return settle(steps)


def settle(steps: Iterable[Step]) -> list[str]:
    """The batch ids of what went well, or the exception that tells Airflow whether trying again can help.

    A task fails after it has done what it could for the neighbours. `stopped` and `waiting` fail now: a steward or another dataset must act
    first.
    """
    taken = list(steps)
    bad = [s for s in taken if s.outcome in ("failed", "stopped", "waiting")]
    if not bad:
        return [s.batch for s in taken]
    message = "\n".join(f"{s.stage} {s.subject}: {s.outcome}: {s.message}" for s in bad)
    if any(s.retry and s.outcome == "failed" for s in bad):
        raise AirflowException(message)
    raise AirflowFailException(message)


def window_of(interval: Mapping[str, Any]) -> Window:
    """The run's data interval; of a run without one, the instant it was due, as both ends."""
    from governance.state.values import Window

    start, end = interval.get("data_interval_start"), interval.get("data_interval_end")
    if start is None or end is None:
        instant = interval["dag_run"].run_after
        start = end = instant
    return Window(_utc(start), _utc(end))


def is_backfill(interval: Mapping[str, Any]) -> bool:
    """Whether somebody asked for this window later on: then a source without history is not read for it."""
    return str(getattr(interval["dag_run"].run_type, "value", interval["dag_run"].run_type)) == "backfill"


@functools.cache
def open_home(home: str) -> Context:
    """The home, opened once in a task's process."""
    from governance.config import load_settings
    from governance.orchestrate.preload import kept_catalogue
    from governance.pipeline.context import open_context

    settings = load_settings(Path(home))
    return open_context(settings, catalogue=kept_catalogue(settings), sound_only=True)


def log_step(step: Step) -> None:
    log.info("%s", step)


def _utc(instant: datetime) -> datetime:
    return datetime.fromtimestamp(instant.timestamp(), UTC)
