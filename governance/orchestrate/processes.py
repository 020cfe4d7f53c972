"""Processes that are started together with all that they start, and are gone together.

Airflow's scheduler gives each task a process group of its own, so that ending a group is not enough: what counts is the session.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import BinaryIO

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Session:
    """A process in a session of its own, with whatever it has started there."""

    def __init__(self, command: list[str], environment: dict[str, str], log: BinaryIO) -> None:
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )

    def terminate(self) -> None:
        """Ask it to end, and those of its own group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)

    def end(self, seconds: float) -> None:
        """Wait for it, then kill whatever of the session is left."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for _ in range(20):
            left = members(self.process.pid)
            if not left:
                return
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)


def members(session: int) -> list[int]:
    """Ids of the living processes of a session."""
    return [pid for pid in _living() if _session_of(pid) == session]


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Ctrl-C and SIGTERM wait until the block is over: between a start and its being noted, and while things are being stopped."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        came.append(number)

    before = {number: signal.signal(number, note) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


@contextlib.contextmanager
def ended_by_signal() -> Iterator[None]:
    """A program's outermost block: SIGTERM and Ctrl-C leave it in order, with the exit code that shells expect."""

    def leave(number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)

    for number in _SIGNALS:
        signal.signal(number, leave)
    yield


def _living() -> list[int]:
    """Process ids: of `/proc` where there is one, else of `ps`."""
    proc = Path("/proc")
    if proc.is_dir():
        return [int(entry.name) for entry in proc.iterdir() if entry.name.isdigit() and not _is_zombie(entry)]
    listed = subprocess.run(["ps", "-A", "-o", "pid="], capture_output=True, text=True, check=True).stdout
    return [int(pid) for pid in listed.split()]


def _is_zombie(entry: Path) -> bool:
    try:
        return (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[0] == "Z"
    except (OSError, IndexError):
        return True


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return None
