"""`make up`: address and passwords, and nothing left behind however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from governance.config import load_settings
from governance.orchestrate.environment import USERS, password
from governance.orchestrate.processes import Session, held_back, members
from governance.orchestrate.serve import free_port
from tests.orchestrate.conftest import make_home

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.xdist_group("airflow"),
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc"),
]

SLEEPER = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}]); print('up', flush=True); time.sleep(60)"
STUBBORN = "import os, signal, time; os.setpgid(0, 0); signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"


def descendants(pid: int) -> list[int]:
    """Living processes that `pid` has started, and that those have started."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            except OSError:
                continue
            if stat[0] != "Z":
                parents[int(entry.name)] = int(stat[1])
    found = [pid]
    for parent in found:
        found += [child for child, own in parents.items() if own == parent]
    return found[1:]


def left(started: list[int], sessions: set[int]) -> list[int]:
    """Which of these still live, and what else lives in their sessions."""
    alive = {pid for pid in started if is_alive(pid)}
    return sorted(alive.union(*(members(session) for session in sessions)))


def is_alive(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def ended(process: subprocess.Popen[str], number: signal.Signals) -> list[int]:
    """Send a signal, wait for the end, and tell which processes are left."""
    started = descendants(process.pid)
    sessions = {os.getsid(pid) for pid in started if is_alive(pid)} - {os.getsid(0)}
    process.send_signal(number)
    assert process.wait(60) == 128 + number
    return left(started, sessions)


@contextmanager
def serving(home: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "governance.orchestrate.serve", "--home", str(home), "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)


def read_until(process: subprocess.Popen[str], text: str) -> str:
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if text in line:
            break
    return said


def test_up_prints_address_and_passwords_and_a_signal_leaves_no_process_behind(tmp_path: Path) -> None:
    home, port = make_home(tmp_path), free_port()
    with serving(home, port) as process:
        said = read_until(process, "Ctrl-C stops it")
        settings = load_settings(home)
        assert f"http://127.0.0.1:{port}" in said
        for user in USERS:
            assert password(settings, user) in said
        assert httpx.get(f"http://127.0.0.1:{port}/api/v2/monitor/health", timeout=30).status_code == 200
        assert len(descendants(process.pid)) >= 8  # four servers, and those that they started
        assert ended(process, signal.SIGTERM) == []


@pytest.mark.parametrize(("number", "count"), [(signal.SIGINT, 1), (signal.SIGTERM, 4)])
def test_a_signal_while_it_starts_leaves_no_process_behind(tmp_path: Path, number: signal.Signals, count: int) -> None:
    home = make_home(tmp_path)
    with serving(home, free_port()) as process:
        read_until(process, "starting")
        deadline = time.monotonic() + 60
        while len(descendants(process.pid)) < count and time.monotonic() < deadline:
            time.sleep(0.05)
        assert ended(process, number) == []


def test_a_taken_port_is_said(tmp_path: Path) -> None:
    import socket

    home = make_home(tmp_path, indexed=False)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = int(taken.getsockname()[1])
        with serving(home, port) as process:
            assert process.stdout is not None
            assert process.stdout.read() == f"up: port {port} is taken; stop the other server or give another --port\n"
            assert process.wait(30) == 1


def test_ending_a_session_ends_a_child_that_left_its_group_and_ignores_signals(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        session = Session([sys.executable, "-c", SLEEPER.format(child=STUBBORN)], dict(os.environ), log)
    while "up" not in (tmp_path / "log").read_text() or len(members(session.process.pid)) < 2:
        time.sleep(0.05)
    session.terminate()
    session.end(10)
    assert members(session.process.pid) == []


def test_a_signal_that_comes_while_it_is_held_back_acts_afterwards() -> None:
    done = []
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background ignores it

    def block() -> None:
        with held_back():
            signal.raise_signal(signal.SIGINT)
            done.append("all of the block")

    try:
        with pytest.raises(KeyboardInterrupt):
            block()
    finally:
        signal.signal(signal.SIGINT, before)
    assert done == ["all of the block"]
