"""Writers take turns: none waits long, none for ever, and a dead one gives its turn back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from governance.errors import StorageError
from governance.state.turns import Turns

HOLDING = """
import sys, time
from pathlib import Path
from governance.state.turns import Turns
with Turns(Path(sys.argv[1])).turn():
    print("mine", flush=True)
    time.sleep(60)
"""


def test_who_waits_is_served_before_long_however_often_others_come_back(tmp_path: Path) -> None:
    turns, waits = Turns(tmp_path / "state.sqlite"), list[float]()

    def work() -> None:
        for _ in range(20):
            began = time.monotonic()
            with turns.turn():
                waits.append(time.monotonic() - began)
                time.sleep(0.002)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(waits) == 120
    assert max(waits) < 1.0


def test_a_turn_that_does_not_come_is_an_error_and_no_turn_is_lost(tmp_path: Path) -> None:
    turns = Turns(tmp_path / "state.sqlite")
    with turns.turn(), pytest.raises(StorageError, match="other writers"), turns.turn(seconds=0.1):
        raise AssertionError("unreachable")
    time.sleep(0.1)
    with turns.turn(seconds=5):
        pass


def test_a_killed_writer_gives_its_turn_back(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDING, str(tmp_path / "state.sqlite")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "mine\n"
        os.kill(holder.pid, signal.SIGKILL)
        with Turns(tmp_path / "state.sqlite").turn(seconds=5):
            pass


def test_where_no_queue_can_be_kept_there_is_none(tmp_path: Path) -> None:
    with Turns(tmp_path / "nowhere" / "state.sqlite").turn():
        pass
