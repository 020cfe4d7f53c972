"""One question, one thread: what a query gives, handed from its thread to the event loop piece by piece.

A worker ends with the thread that started it, so each question keeps a thread from its first step to its last byte.
There are never more than the pool's size; who comes then is told so at once. A reader that is slow holds the thread,
for no longer than the time limit; a reader that has gone ends it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from governance.service.problems import BUSY, Problem, Stopped, problem

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
    """At most `size` jobs at once, each of at most `seconds`."""

    def __init__(self, size: int, seconds: float) -> None:
        self._seats = threading.BoundedSemaphore(size)
        self._seconds = seconds

    def start(self, work: Callable[[Job], None]) -> Job:
        """A job that runs `work` in a thread of its own. Raises Stopped when all seats are taken."""
        if not self._seats.acquire(blocking=False):
            raise Stopped(BUSY)
        try:
            job = Job(self._seconds)
            threading.Thread(target=self._run, args=(job, work), daemon=True, name="gov-question").start()
        except BaseException:
            self._seats.release()
            raise
        return job

    def _run(self, job: Job, work: Callable[[Job], None]) -> None:
        try:
            end = _worked(job, work)
        finally:
            self._seats.release()
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
        if told.status == 500:
            _log.error("a question failed: %s", type(error).__name__)  # its text may quote a value
        return End(told)
    return End()
