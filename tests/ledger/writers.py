"""Writers and sequencers as processes of their own, for tests and the benchmark: `python -m tests.ledger.writers ...`.

write URL ENTRIES    commits one row of data and its entry a transaction; prints the slowest of them in seconds
sequence URL KEYS    follows until its standard input is closed; prints the number of checkpoints
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

from sqlalchemy import insert

from governance.ledger.entry import append
from governance.ledger.sequencer import follow
from governance.ledger.signer import open_signer
from governance.state.database import Database
from governance.state.tables import outbox
from tests.ledger.ledgers import ACTOR, AT

ROOT = Path(__file__).parents[2]


def write(url: str, entries: int) -> None:
    database, slowest = Database(url), 0.0
    with database.read():
        print("ready", flush=True)
    sys.stdin.readline()
    began = time.time()
    for n in range(entries):
        started = time.monotonic()
        with database.unit_of_work() as tx:
            tx.execute(insert(outbox).values(event=f"{database.writer} {n}", recorded_at=AT))
            append(tx, "stored", {"n": n}, actor=ACTOR, writer=database.writer, at=AT)
        slowest = max(slowest, time.monotonic() - started)
    print(json.dumps([began, time.time(), slowest]))


def sequence(url: str, keys: Path) -> None:
    database, stop = Database(url), threading.Event()

    def wait() -> None:
        sys.stdin.read()
        stop.set()

    threading.Thread(target=wait, daemon=True).start()
    print(follow(database, open_signer(keys), stop, seconds=0.2))


def start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.ledger.writers", *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def written(url: str, writers: int, entries: int) -> tuple[float, float]:
    """Seconds from the first writer's beginning to the last one's end, and the slowest transaction's."""
    started = [start("write", url, str(entries)) for _ in range(writers)]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    found = [json.loads(result(process)) for process in started]
    return max(f[1] for f in found) - min(f[0] for f in found), max(f[2] for f in found)


def result(process: subprocess.Popen[str]) -> str:
    """What it printed, after its end."""
    output, _ = process.communicate()
    assert process.returncode == 0
    return output


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["write", url, entries]:
            write(url, int(entries))
        case ["sequence", url, keys]:
            sequence(url, Path(keys))
