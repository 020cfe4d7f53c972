"""The engines that later stages need, imported beside the first one: pyiceberg and Great Expectations take four seconds together."""

from __future__ import annotations

import gc
import importlib
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from governance import manage

_SWITCH_SECONDS = 0.0005
"""While modules are imported, the stage beside asks for the interpreter often and briefly: it is not to wait the usual 5 ms each time."""


_USUAL = (700, 10, 10)
"""Python's own thresholds, for what comes after: a batch in a cycle is to go soon."""


def preload() -> threading.Thread:
    """Begin to import in the background; whoever needs an engine sooner waits for its import as usual."""
    loading = threading.Thread(target=_roomy, args=(_load,), name="preload", daemon=True)
    loading.start()
    return loading


def _roomy(run: Callable[[], None]) -> None:
    """Run with room for deep calls. Python keeps frames in chunks of 16 KiB, and maps and unmaps one at each call across a chunk's border:
    imports beside busy threads lost a fifth of their time so. A wide frame at the bottom makes the first chunk large.
    """
    run()


_roomy.__code__ = _roomy.__code__.replace(co_stacksize=33_000)


def _load() -> None:
    with _giving_way():
        importlib.import_module("governance.lake.iceberg")
        manage.preload(wait=True)


@contextmanager
def _giving_way() -> Iterator[None]:
    """Short turns of the interpreter's lock, and no garbage collection: modules are made to stay."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.disable()
    try:
        yield
    finally:
        sys.setswitchinterval(interval)
        gc.set_threshold(*_USUAL)
        gc.enable()
