"""How a process of ours begins and ends: neither is to cost a second of a run that takes few."""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import sys
from collections.abc import Callable
from typing import NoReturn

_M_ARENA_MAX = -8
_ALLOCATIONS = 100_000
"""Until a collection: with Python's 700, imports alone have it look through modules that never go for more than a second."""


def whole(main: Callable[[], None]) -> NoReturn:
    """Run `main` as all that this process does, and end with the code of its SystemExit. What `main` raises otherwise is shown as usual.

    The end does not take memory apart piece by piece, which takes longer than a small run: engines' threads and destructors have nothing to
    add, and some abort. Whatever must be closed, `main` has closed.
    """
    gc.set_threshold(_ALLOCATIONS, 50, 50)
    few_arenas()
    code = 0
    try:
        main()
    except SystemExit as error:
        code = _code(error)
    leave(code)


def few_arenas() -> None:
    """Have threads share what glibc's malloc keeps (M_ARENA_MAX, mallopt(3)): a run of many threads then holds a fifth less memory, at no
    cost in time. Call it before there are threads; does nothing with another C library.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 2)


def leave(code: int) -> NoReturn:
    """End this process now, with everything written that was said."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            code = code or 1
    os._exit(code)


def _code(error: SystemExit) -> int:
    if error.code is None or isinstance(error.code, int):
        return error.code or 0
    print(error.code, file=sys.stderr)
    return 1
