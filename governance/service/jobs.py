"""One question, one thread: what a query gives, handed from its thread to the event loop piece by piece.

A worker ends with the thread that started it, so each question keeps a thread from its first step to its last byte.
There are never more than the pool's size, and never all of them for one caller; who comes then is told so at once. A reader that is slow holds the thread,
for no longer than the time limit; a reader that has gone ends it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from governance.service.problems import BUSY, Problem, Stopped, origin, problem

_PIECES = 4
"""Pieces that wait to be sent; each is about a megabyte at most."""
_LOOK_SECONDS = 0.2

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Head:
    """What comes before the first byte."""

    media_type: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class End:
    """The last item: whole, or with the problem that ended it."""

    problem: Problem | None = None


Item: TypeAlias = Head | bytes | End


class Gone(Exception):
    """Nobody reads the answer any more."""


class Job:
    """A question under way. `put` is for its thread, `get` for the event loop that started it."""

    def __init__(self, seconds: float) -> None:
        self.cancelled = threading.Event()
        self.deadline = time.monotonic() + seconds
        self._loop = asyncio.get_running_loop()
        self._items: asyncio.Queue[Item] = asyncio.Queue()
        self._room = threading.Semaphore(_PIECES)

    def put(self, item: Item) -> None:
        """Hand on one item; waits while the reader is behind. Raises Gone."""
        while not self._room.acquire(timeout=_LOOK_SECONDS):
            if self.cancelled.is_set() or time.monotonic() > self.deadline:
                raise Gone
        if self.cancelled.is_set():
            raise Gone
        try:
            self._loop.call_soon_threadsafe(self._items.put_nowait, item)
        except RuntimeError:  # the loop has stopped
            raise Gone from None

    async def get(self) -> Item:
        item = await self._items.get()
        self._room.release()
        return item


class Pool:
    """At most `size` jobs at once, three quarters of them (one at least) for one caller, each of at most `seconds`."""

    def __init__(self, size: int, seconds: float) -> None:
        self._size, self._each, self._seconds = size, max(1, size * 3 // 4), seconds
        self._taken: Counter[str] = Counter()
        self._lock = threading.Lock()

    def start(self, work: Callable[[Job], None], caller: str) -> Job:
        """A job that runs `work` in a thread of its own. Raises Stopped when the seats are taken."""
        with self._lock:
            if self._taken.total() >= self._size or self._taken[caller] >= self._each:
                raise Stopped(BUSY)
            self._taken[caller] += 1
        try:
            job = Job(self._seconds)
            threading.Thread(target=self._run, args=(job, work, caller), daemon=True, name="gov-question").start()
        except BaseException:
            self._free(caller)
            raise
        return job

    def _free(self, caller: str) -> None:
        with self._lock:
            self._taken[caller] -= 1
            self._taken = +self._taken  # who has none is forgotten

    def _run(self, job: Job, work: Callable[[Job], None], caller: str) -> None:
        try:
            end = _worked(job, work)
        finally:
            self._free(caller)
        if end is not None:
            try:
                job.put(end)
            except Gone:
                _log.info("an answer's end found nobody")


def _worked(job: Job, work: Callable[[Job], None]) -> End | None:
    """How the work ended; None when nobody is there to be told."""
    try:
        work(job)
    except Gone:
        return None
    except Exception as error:
        told = problem(error)
        if told.status >= 500:
            _log.error("a question failed: %s", origin(error))
        return End(told)
    return End()
