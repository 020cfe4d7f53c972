"""Disposable child processes: a named entry point, a request, limits, Arrow streams in and out.

In: `start("package.module:function", request, limits=…, inputs=…)`. Out: a `Worker` with `.stream()` (Arrow) and
`.result()` (JSON). Start reading at `parent.py` (limits, errors), `pool.py` (starting, and waiting ready), then `child.py` (the other side) and
`isolation.py` (network and system calls). An entry is `def f(request, inputs, emit) -> dict`; it knows nothing of its
parent but what the request says, and opens a keystore itself.

This module imports no engine, so that a child may isolate itself while it still has one thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from governance.workers.limits import Limits

if TYPE_CHECKING:
    from governance.workers.parent import Input, Worker

__all__ = ["Limits", "start"]


def start(
    entry: str,
    request: Mapping[str, Any],
    *,
    limits: Limits | None = None,
    inputs: Mapping[str, Input] | None = None,
) -> Worker:
    """A running child that calls `entry` with `request` (JSON values) and `inputs`; use it as a context manager.

    An input is a stream, or a callable that gives one when the child is ready (another worker's `stream`).

    Raises nothing of the child's: its errors come from `Worker.stream` and `Worker.result`.
    """
    from governance.workers.parent import Worker

    return Worker(entry, request, limits or Limits(), inputs or {})
