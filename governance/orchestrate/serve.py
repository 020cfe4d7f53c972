"""A local Airflow for one home: migrate, start scheduler, DAG processor and API servers, stop all of them together.

`make up` runs it. Each runs in a session of its own, so that whatever it has started can be found and ended with it.
"""

from __future__ import annotations

import argparse
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from governance.config import Settings, load_settings
from governance.errors import GovernanceError
from governance.orchestrate.client import Airflow, wake_execution_api
from governance.orchestrate.environment import USERS, airflow_environment, airflow_home, password
from governance.orchestrate.processes import Session, ended_by_signal, held_back

PROCESSES: Mapping[str, tuple[str, ...]] = {
    "api-server": ("api-server", "--apps", "core"),
    "execution-server": ("api-server", "--apps", "execution"),
    "scheduler": ("scheduler",),
    "dag-processor": ("dag-processor",),
}
"""Name -> command. Two servers: on SQLite one process that serves both people and tasks can wait for itself (the audit log of a request
blocks the event loop on a lock that a task's request holds, which needs the loop)."""
READY_SECONDS = 180
STOP_SECONDS = 15
PORTS = 4
"""An Airflow takes this many ports in a row: people's API, tasks' API, two log servers."""


@dataclass(frozen=True, slots=True)
class Served:
    """A running Airflow: its address and where its processes log."""

    url: str
    logs: Path


@contextmanager
def airflow(
    settings: Settings,
    *,
    port: int | None = None,
    parallelism: int = 4,
    meanwhile: Callable[[], None] = lambda: None,
) -> Iterator[Served]:
    """Airflow for `settings.home` while the block runs; every process is gone afterwards.

    `meanwhile` runs while Airflow's database is made; it must leave the index behind if there is none.
    """
    port = port or free_port()
    environment = airflow_environment(settings, port=port, parallelism=parallelism)
    logs = airflow_home(settings) / "processes"
    logs.mkdir(parents=True, exist_ok=True)
    started: list[Session] = []
    try:
        _migrate(environment, logs, started, meanwhile)
        for name in PROCESSES:
            with held_back():
                started.append(_start(name, environment, logs, port))
        url = f"http://127.0.0.1:{port}"
        with Airflow(url) as client:
            _wait_until_ready(client, started, logs, port)
        yield Served(url, logs)
    finally:
        with held_back():
            _stop(started)


def free_port() -> int:
    """A port that is free together with the three that follow it (execution API, log servers)."""
    for _ in range(50):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port < 65000 and all(_is_free(port + n) for n in range(PORTS)):
            return port
    raise GovernanceError("no free port", do="stop another server")


def main() -> None:
    """`make up`: serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Start a local Airflow for a home.")
    parser.add_argument("--home", type=Path, default=None)
    parser.add_argument("--port", type=int, default=8080)
    options = parser.parse_args()
    with ended_by_signal():
        try:
            _serve(load_settings(options.home), options.port)
        except GovernanceError as error:
            sys.exit(f"up: {error}")


def _serve(settings: Settings, port: int) -> None:
    taken = [n for n in range(port, port + PORTS) if not _is_free(n)]
    if taken:
        raise GovernanceError(f"port {taken[0]} is taken", do="stop the other server or give another --port")
    print("starting Airflow (half a minute)", flush=True)
    with airflow(settings, port=port) as served:
        print(f"Airflow is at {served.url}")
        for user in USERS:
            print(f"  {user:9} {password(settings, user)}")
        print("Ctrl-C stops it.", flush=True)
        try:
            signal.pause()
        finally:
            print("stopping", flush=True)


def _migrate(environment: dict[str, str], logs: Path, started: list[Session], meanwhile: Callable[[], None]) -> None:
    with held_back(), (logs / "migrate.log").open("wb") as log:
        session = Session(_command("db", "migrate"), environment, log)
        started.append(session)
    meanwhile()
    if session.process.wait() != 0:
        raise GovernanceError(
            "Airflow's database cannot be migrated", where=str(logs / "migrate.log"), do="read that log"
        )
    started.remove(session)


def _start(name: str, environment: dict[str, str], logs: Path, port: int) -> Session:
    command = _command(*PROCESSES[name])
    if "api-server" in command:
        command += ["--port", str(port + (name == "execution-server"))]
    with (logs / f"{name}.log").open("ab") as log:
        return Session(command, environment, log)


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "airflow", *arguments]


def _wait_until_ready(client: Airflow, started: list[Session], logs: Path, port: int) -> None:
    deadline = time.monotonic() + READY_SECONDS
    warm = False
    while time.monotonic() < deadline:
        for session, name in zip(started, PROCESSES, strict=True):
            if session.process.poll() is not None:
                raise GovernanceError(f"Airflow's {name} ended", where=str(logs / f"{name}.log"), do="read that log")
        warm = warm or wake_execution_api(port + 1)
        if client.healthy():
            return
        time.sleep(0.3)
    raise GovernanceError("Airflow did not become healthy", where=str(logs), do="read the logs there")


def _stop(started: list[Session]) -> None:
    for session in started:
        session.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    for session in started:
        session.end(max(0.1, deadline - time.monotonic()))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


if __name__ == "__main__":
    main()
