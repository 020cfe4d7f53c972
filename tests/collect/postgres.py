"""A real PostgreSQL server that a test session starts for itself, on a socket and a port of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

PASSWORD = "S3cret/of@reader"
# The child changes its own identity: `subprocess(user=...)` copies the whole test process first, and late in a long
# session the kernel refuses that copy (ENOMEM).
_AS_ACCOUNT = """
import os, sys
uid, gid, *command = sys.argv[1:]
os.setgroups([])
os.setgid(int(gid))
os.setuid(int(uid))
os.execv(command[0], command)
"""


def binaries() -> Path | None:
    """The folder with `initdb` and `pg_ctl`; None when there is no server to start (or none that may run here)."""
    known = [Path(found).parent for found in [shutil.which("initdb")] if found]
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    folder = next((f for f in [*known, *installed] if (f / "initdb").exists() and (f / "pg_ctl").exists()), None)
    return folder if folder and (os.geteuid() != 0 or _account()) else None


@contextmanager
def server(*, durable: bool = False) -> Iterator[sa.URL]:
    """The URL of a fresh server's superuser. It refuses to run as root, so root starts it as another account. Commits
    reach the disk only when `durable`."""
    folder = binaries()
    assert folder is not None
    with tempfile.TemporaryDirectory() as name:
        data, password = Path(name) / "data", Path(name) / "password"
        password.write_text(PASSWORD)
        data.mkdir()
        if os.geteuid() == 0:
            account = _account()
            assert account is not None
            for path in (Path(name), data, password):
                os.chown(path, account.pw_uid, account.pw_gid)
        port = _free_port()
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={name}"
        options += "" if durable else " -c fsync=off"
        initdb = ["-U", "governor", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", f"--pwfile={password}"]
        _run([str(folder / "initdb"), "-D", str(data), *initdb])
        _run([str(folder / "pg_ctl"), "-D", str(data), "-l", f"{name}/log", "-w", "-o", options, "start"])
        try:
            yield sa.URL.create("postgresql+psycopg", "governor", PASSWORD, "127.0.0.1", port, "postgres")
        finally:
            _run([str(folder / "pg_ctl"), "-D", str(data), "-m", "immediate", "-w", "stop"])


def _account() -> pwd.struct_passwd | None:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    return None


def _run(command: Sequence[str]) -> None:
    account = _account() if os.geteuid() == 0 else None
    wrapper = [sys.executable, "-c", _AS_ACCOUNT, str(account.pw_uid), str(account.pw_gid)] if account else []
    subprocess.run([*wrapper, *command], check=True, stdout=subprocess.DEVNULL, cwd="/")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
