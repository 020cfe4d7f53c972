"""Children that wait: started, isolated, with their entry imported, and never used. Each answers one request and ends.

`keep(entry, limits, count)` has this process hold `count` of them ready; `take` gives one away, or starts one. The
request, and the pipes of its streams, reach a child over the socket that is its standard input. A new one is prepared
when fewer workers run than half as many as there are cores (each works with several threads), or after a second: what is asked now
goes first, and a worker that stays (a session of lookups) keeps nobody from being prepared.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias

from governance.workers.limits import Limits

_BUSY, _PATIENCE_SECONDS = max((os.cpu_count() or 1) // 2, 1), 1.0
_Kind: TypeAlias = tuple[str, bool, bool]
"""Entry, network, locked: what a child is given before its request."""


@dataclass(frozen=True, slots=True)
class Child:
    """A process that waits for its one request."""

    process: subprocess.Popen[bytes]
    control: socket.socket

    @classmethod
    def start(cls, kind: _Kind, *, ready: bool) -> Child:
        """`ready`: it imports its entry while it waits. The kernel ends it with the thread that called this."""
        entry, network, locked = kind
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "governance.workers.child", entry],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=_environment(),
                start_new_session=True,
            )
        made = cls(process, ours)
        begun = {"parent": os.getpid(), "network": network, "locked": locked, "ready": ready}
        made._send(json.dumps(begun).encode("utf-8"))
        return made

    @property
    def prepared(self) -> bool:
        """Whether it has done all that it does before its request: then it said so."""
        with suppress(BlockingIOError):
            return bool(self.control.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        return False

    def ask(self, message: bytes, descriptors: Sequence[int]) -> None:
        """Hand over the request (JSON). A child that has ended hears nothing: its end tells why."""
        with self.control, suppress(OSError):
            if self.prepared:
                self.control.recv(1)
            socket.send_fds(self.control, [b"\0"], list(descriptors))
            self._send(message)

    def end(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.control.close()

    def _send(self, message: bytes) -> None:
        with suppress(OSError):
            self.control.sendall(len(message).to_bytes(8, "big") + message)


def keep(entry: str, limits: Limits, count: int) -> None:
    """From now on hold `count` children of `entry` ready, for requests with the same `network` and `locked`."""
    _POOL.keep((entry, limits.network, limits.locked), count)


def take(entry: str, limits: Limits) -> Child:
    """A child that nobody used, ready if there is one; give it back to `used` when it has ended."""
    return _POOL.take((entry, limits.network, limits.locked))


def used() -> None:
    """One child that was taken has ended."""
    _POOL.used()


def ready(entry: str, limits: Limits) -> int:
    """How many children wait."""
    return _POOL.ready((entry, limits.network, limits.locked))


def full() -> bool:
    """Whether all children that this process is to hold have prepared themselves."""
    return _POOL.full()


def close() -> None:
    """End all that wait, and hold none any more."""
    _POOL.close()


class _Pool:
    def __init__(self) -> None:
        self._wanted: dict[_Kind, int] = {}
        self._waiting: dict[_Kind, deque[Child]] = {}
        self._running = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def keep(self, kind: _Kind, count: int) -> None:
        with self._changed:
            self._wanted[kind] = count
            self._waiting.setdefault(kind, deque())
            if self._thread is None:
                self._thread = threading.Thread(target=self._prepare, daemon=True)
                self._thread.start()
            self._changed.notify()

    def take(self, kind: _Kind) -> Child:
        with self._changed:
            self._running += 1
            self._changed.notify()
            waiting = self._waiting.get(kind)
            while waiting:
                child = waiting.popleft()
                if child.process.poll() is None:
                    return child
                child.end()
        return Child.start(kind, ready=False)

    def used(self) -> None:
        with self._changed:
            self._running -= 1
            self._changed.notify()

    def ready(self, kind: _Kind) -> int:
        with self._changed:
            return len(self._waiting.get(kind, ()))

    def full(self) -> bool:
        with self._changed:
            waiting = [child for children in self._waiting.values() for child in children]
            return len(waiting) == sum(self._wanted.values()) and all(child.prepared for child in waiting)

    def close(self) -> None:
        with self._changed:
            self._wanted.clear()
            waiting = [child for children in self._waiting.values() for child in children]
            self._waiting.clear()
            thread, self._thread = self._thread, None
            self._changed.notify()
        for child in waiting:
            child.end()
        if thread is not None:
            thread.join()

    def _prepare(self) -> None:
        """Body of the one thread that starts what waits: it lives as long as they may."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: not self._wanted or self._missing() is not None)
                self._changed.wait_for(lambda: not self._wanted or self._running < _BUSY, timeout=_PATIENCE_SECONDS)
                kind = self._missing()
                if not self._wanted:
                    return
            if kind is None:
                continue
            child = Child.start(kind, ready=True)
            with self._changed:
                if kind in self._wanted:
                    self._waiting[kind].append(child)
                    continue
            child.end()

    def _missing(self) -> _Kind | None:
        return next((kind for kind, count in self._wanted.items() if len(self._waiting[kind]) < count), None)


_POOL = _Pool()
atexit.register(close)


def _environment() -> dict[str, str]:
    """PATH, LANG, PYTHON* and GOV_CRASH_AT: no credentials reach a worker by its environment."""
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "GOV_CRASH_AT") or k.startswith("PYTHON")}
    return {**kept, "PYTHONFAULTHANDLER": ""}
