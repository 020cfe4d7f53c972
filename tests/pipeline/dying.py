"""Runs in a process of its own that may be killed at a crash point."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

from governance.config import load_settings
from governance.pipeline.context import open_context
from governance.pipeline.run import run_all
from governance.pipeline.steps import Step
from governance.state.values import Window
from tests.pipeline.home import Home

PRELOADED = ["tests.pipeline.dying", "governance.lake.iceberg", "great_expectations"]


def die(home: Home, window: Window, run: str, point: str, after: int) -> int | None:
    """Exit code of a process that runs `window` and is killed at `point`, armed after so many steps.

    Engines are imported once, in the server that such processes are forked from.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    child = context.Process(target=_run_and_die, args=(home.folder, window, run, point, after))
    child.start()
    child.join()
    return child.exitcode


def _run_and_die(folder: Path, window: Window, run: str, point: str, after: int) -> None:
    """What `gov run` does. Exit code 1 when a step failed."""
    seen: list[Step] = []

    def report(step: Step) -> None:
        seen.append(step)
        if len(seen) == after:
            os.environ["GOV_CRASH_AT"] = point

    if after == 0:
        os.environ["GOV_CRASH_AT"] = point
    result = run_all(open_context(load_settings(folder)), window, run=run, report=report)
    raise SystemExit(1 if result.failed else 0)
