"""`crash_point`: where a test may kill this process, found by fault injection and not by sleeping."""

from __future__ import annotations

import os
import signal


def crash_point(name: str) -> None:
    """Kill this process at once when the environment's `GOV_CRASH_AT` is `name`; else do nothing.

    Names are `<package>.<step>`, each just before or after a step of the commit protocol.
    """
    if os.environ.get("GOV_CRASH_AT") == name:
        os.kill(os.getpid(), signal.SIGKILL)
