"""A local Airflow for one home: migrate, start scheduler, DAG processor and API server, stop all of them together.

`make up` runs it. The three run in a process group of their own, since a stopped parent would leave them behind.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from governance.config import Settings, load_settings
from governance.errors import GovernanceError
from governance.orchestrate.client import Airflow
from governance.orchestrate.environment import airflow_environment, airflow_home, password

PROCESSES: Mapping[str, tuple[str, ...]] = {
    "api-server": ("api-server", "--apps", "core"),
    "execution-server": ("api-server", "--apps", "execution"),
    "scheduler": ("scheduler",),
    "dag-processor": ("dag-processor",),
}
"""Name -> command. Two servers: on SQLite one process that serves both people and tasks can wait for itself (the audit log of a request
blocks the event loop on a lock that a task's request holds, which needs the loop)."""
READY_SECONDS = 180


@dataclass(frozen=True, slots=True)
class Served:
    """A running Airflow: its address and where its processes log."""

    url: str
    logs: Path


@contextmanager
def airflow(settings: Settings, *, port: int | None = None, parallelism: int = 4) -> Iterator[Served]:
    """Airflow for `settings.home` while the block runs; every process is gone afterwards."""
    port = port or free_port()
    environment = airflow_environment(settings, port=port, parallelism=parallelism)
    logs = airflow_home(settings) / "processes"
    logs.mkdir(parents=True, exist_ok=True)
    _migrate(environment, logs)
    started: list[subprocess.Popen[bytes]] = []
    try:
        for name in PROCESSES:
            started.append(_start(name, environment, logs, port))
        client = Airflow(f"http://127.0.0.1:{port}")
        _wait_until_ready(client, started, logs)
        yield Served(client.url, logs)
    finally:
        _stop(started)


def free_port() -> int:
    """A port that is free together with the three that follow it (execution API, log servers)."""
    for _ in range(50):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port < 65000 and all(_is_free(port + n) for n in range(4)):
            return port
    raise GovernanceError("no free port", do="stop another server")


def main() -> None:
    """`make up`: serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Start a local Airflow for a home.")
    parser.add_argument("--home", type=Path, default=None)
    parser.add_argument("--port", type=int, default=8080)
    options = parser.parse_args()
    settings = load_settings(options.home)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with airflow(settings, port=options.port) as served:
        print(f"Airflow is at {served.url}")
        for user in ("admin", "steward", "engineer", "auditor"):
            print(f"  {user:9} {password(settings, user)}")
        print("Ctrl-C stops it.")
        try:
            signal.pause()
        except KeyboardInterrupt:
            print("stopping")


def _migrate(environment: dict[str, str], logs: Path) -> None:
    with (logs / "migrate.log").open("wb") as log:
        code = subprocess.call(_command("db", "migrate"), env=environment, stdout=log, stderr=log)
    if code != 0:
        raise GovernanceError(
            "Airflow's database cannot be migrated", where=str(logs / "migrate.log"), do="read that log"
        )


def _start(name: str, environment: dict[str, str], logs: Path, port: int) -> subprocess.Popen[bytes]:
    command = _command(*PROCESSES[name])
    if "api-server" in command:
        command += ["--port", str(port + (name == "execution-server"))]
    with (logs / f"{name}.log").open("ab") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "airflow", *arguments]


def _wait_until_ready(client: Airflow, started: list[subprocess.Popen[bytes]], logs: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        for process, name in zip(started, PROCESSES, strict=True):
            if process.poll() is not None:
                raise GovernanceError(f"Airflow's {name} ended", where=str(logs / f"{name}.log"), do="read that log")
        if client.healthy():
            return
        time.sleep(0.5)
    raise GovernanceError("Airflow did not become healthy", where=str(logs), do="read the logs there")


def _stop(started: list[subprocess.Popen[bytes]]) -> None:
    for process in started:
        _signal_group(process, signal.SIGTERM)
    deadline = time.monotonic() + 15
    for process in started:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            _signal_group(process, signal.SIGKILL)
            process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


if __name__ == "__main__":
    main()
