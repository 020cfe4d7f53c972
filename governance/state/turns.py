"""Turns of writers on one SQLite file: first come, first served, across processes and threads.

SQLite lets one transaction write and leaves the others to poll with growing pauses, so that one of eight may wait for many
seconds while others go ten times. Here they stand in a queue that the operating system keeps (`flock` wakes waiters in their
order): whoever holds `next` is the only one that waits for `turn`, and lets go of it when the turn is theirs; who comes back
at once finds `next` taken, but for the instant in which one waiter wakes up. A process that dies gives both back.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from governance.errors import StorageError

WAIT_SECONDS = 30.0


class Turns:
    """The queue of one database file."""

    def __init__(self, database: Path) -> None:
        self._next, self._turn = (database.with_name(f"{database.name}-{name}") for name in ("next", "turn"))

    @contextmanager
    def turn(self, seconds: float = WAIT_SECONDS) -> Iterator[None]:
        """Holds the turn. Raises StorageError when it does not come within `seconds`.

        Where the files cannot be opened there is no queue: what is wrong with the folder, SQLite says better.
        """
        try:
            after = os.open(self._next, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:
            yield
            return
        try:
            turn = os.open(self._turn, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:
            os.close(after)
            yield
            return
        try:
            _lock(after, seconds)
            try:
                _lock(turn, seconds)
            finally:
                fcntl.flock(after, fcntl.LOCK_UN)
            yield
        finally:
            for descriptor in (turn, after):
                fcntl.flock(descriptor, fcntl.LOCK_UN)  # a child that was forked meanwhile has the descriptor too
                os.close(descriptor)


def _lock(descriptor: int, seconds: float) -> None:
    """Take the lock, at once or in a thread that waits for it: a wait that can end. The thread has a descriptor of its own."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    except BlockingIOError:
        own = os.dup(descriptor)
    taken, state = threading.Event(), threading.Lock()
    given_up = False

    def wait() -> None:
        fcntl.flock(own, fcntl.LOCK_EX)
        with state:
            if given_up:
                fcntl.flock(own, fcntl.LOCK_UN)
            else:
                taken.set()
        os.close(own)

    threading.Thread(target=wait, daemon=True).start()
    try:
        taken.wait(seconds)
    finally:
        with state:
            given_up = not taken.is_set()
    if given_up:
        raise StorageError(
            f"other writers have held it for {seconds:.0f} seconds",
            where="the state database",
            do="see what is running, and run again",
        )
