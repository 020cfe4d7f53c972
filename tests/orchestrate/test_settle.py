"""Every error of ours is either "try again" or "fail now" to Airflow."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.orchestrate.airflow_process import ask
from tests.orchestrate.conftest import make_home

pytestmark = [pytest.mark.airflow, pytest.mark.xdist_group("airflow")]

AGAIN, NOW = "AirflowException", "AirflowFailException"
TOLD = {
    "GovernanceError": NOW,
    "DeclarationError": NOW,
    "SourceUnavailable": AGAIN,
    "SourceContentError": NOW,
    "NotReady": AGAIN,
    "Conflict": AGAIN,
    "StorageError": AGAIN,
    "Refused": NOW,
    "Damaged": NOW,
    "WorkerFailed": AGAIN,
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("settle"), indexed=False)


def test_every_error_class_tells_airflow_whether_to_try_again(home: Path) -> None:
    found = ask("settled", home)
    assert {name: told["body"] for name, told in found.items()} == TOLD
    # a dataset that waits for another is taken further by the next run, not by trying again
    assert {name: told["stage"] for name, told in found.items()} == {**TOLD, "NotReady": NOW}
    assert all(told["retry"] == (told["body"] == AGAIN) for told in found.values())


def test_every_outcome_of_a_step_is_told(home: Path) -> None:
    well, again, final = ("success", "success"), (AGAIN, NOW), (NOW, NOW)
    expected = {"done": well, "warned": well, "failed": again, "stopped": final, "waiting": final}
    found = ask("outcomes", home)
    assert found == {
        f"{outcome} {hope}": told
        for outcome, pair in expected.items()
        for hope, told in zip(("again", "final"), pair, strict=True)
    }
