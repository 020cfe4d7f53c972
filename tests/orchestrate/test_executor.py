"""The local executor reports the end of a try, not the end of a process that was parked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.orchestrate.airflow_process import ask
from tests.orchestrate.conftest import make_home

pytestmark = [pytest.mark.airflow, pytest.mark.xdist_group("airflow")]

END = "end: success"


def test_an_end_that_is_read_after_the_next_start_is_not_reported(tmp_path: Path) -> None:
    found = ask("ends", make_home(tmp_path, indexed=False))
    alone = ["queue: known", "start: known", END]
    assert found == {
        "queue start end": alone,
        "queue start end queue start end": alone * 2,
        "queue start queue end start end": [
            *["queue: known", "start: known", "queue: known"],
            *["end: known", "start: known", END],
        ],
        "queue start queue start end end": [*["queue: known", "start: known"] * 2, "end: known", END],
    }
