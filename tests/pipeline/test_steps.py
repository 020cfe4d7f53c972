"""What a stage did becomes a step: errors as messages without values, outcomes that somebody must look at, neighbours that go on."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest
from sqlalchemy import select, text

from governance.errors import Conflict, GovernanceError, NotReady, Refused, StorageError
from governance.pipeline import ingest
from governance.pipeline.run import RunResult, new_run
from governance.pipeline.steps import Done, Step, attempt, silent
from governance.state import batches, tables
from governance.state.database import Database
from governance.state.values import Actor
from tests.pipeline.home import FIRST, METERS, USE, month, outcomes, utility_home

CANARY = "110101199003070028"
ACTOR = Actor("service:store@water", "pipeline.store", "run")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'state.sqlite'}")
    database.create()
    yield database
    database.close()


def _by_python() -> Done:
    raise ValueError(f"bad value {CANARY}")


def _by_duckdb() -> Done:
    duckdb.sql(f"SELECT CAST('{CANARY}x' AS INTEGER)").fetchall()
    raise AssertionError


def _chained() -> Done:
    try:
        return _by_duckdb()
    except duckdb.Error as error:
        raise RuntimeError(f"while reading {CANARY}") from error


def _by_a_key() -> Done:
    return {"a": Done("b")}[CANARY]


@pytest.mark.parametrize("work", [_by_python, _by_duckdb, _chained, _by_a_key])
def test_an_unexpected_error_tells_its_class_and_place_and_no_value(
    database: Database, work: Callable[[], Done], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "governance")
    step = attempt("store", "water.meters", work, actor=ACTOR, database=database, report=silent)
    assert (step.outcome, step.retry) == ("failed", True)
    assert re.fullmatch(r"[A-Za-z]+ at \w+\.py:[0-9]+", step.message)
    assert CANARY not in str(step)
    assert CANARY not in caplog.text
    assert work.__name__ in caplog.text
    with database.read() as connection:
        bodies = list(connection.execute(select(tables.ledger_entry.c.body)).scalars())
    assert len(bodies) == 1
    assert CANARY.encode() not in bodies[0]
    assert b"water.meters" in bodies[0]


@pytest.mark.parametrize(
    ("error", "outcome", "retry"),
    [
        (NotReady("not there yet"), "waiting", True),
        (Refused("no"), "stopped", False),
        (StorageError("the disk is full"), "failed", True),
        (Conflict("somebody was first"), "failed", True),
        (GovernanceError("wrong"), "failed", False),
    ],
)
def test_an_error_of_ours_becomes_an_outcome_that_says_whether_to_try_again(
    database: Database, error: GovernanceError, outcome: str, retry: bool
) -> None:
    def work() -> Done:
        raise error

    told: list[Step] = []
    step = attempt("store", "d.t", work, actor=ACTOR, database=database, report=told.append)
    assert (step.outcome, step.retry, step.message) == (outcome, retry, str(error))
    assert told == [step]


def test_an_exit_from_outside_is_no_step(database: Database) -> None:
    def work() -> Done:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attempt("store", "d.t", work, actor=ACTOR, database=database, report=silent)


def test_a_run_has_failed_where_somebody_must_look() -> None:
    def step(stage: str, subject: str, outcome: str) -> Step:
        return Step(stage, subject, "", outcome, 0.0)  # type: ignore[arg-type]

    waited = step("store", "a.one", "waiting")
    still = step("store", "a.two", "waiting")
    bad, stopped = step("store", "a.three", "failed"), step("manage", "a.four", "stopped")
    fine = [step("manage", "a.one", "done"), step("manage", "a.five", "warned")]
    assert RunResult("r", (waited, still, bad, stopped, *fine)).failed == (still, bad, stopped)
    assert RunResult("r", (waited, *fine)).failed == ()


def test_a_dataset_that_fails_is_tried_once_in_a_run_and_stops_no_neighbour(tmp_path: Path) -> None:
    home = utility_home(tmp_path / "home")
    home.declare("water.pumps", METERS)
    home.deliver("water.pumps", b"meter\n1\n")
    result = home.run(month(1))
    assert [(s.stage, s.subject) for s in result.failed] == [("store", "water.pumps")]
    assert outcomes(result)["develop", "curated.supply"] == "done"
    assert home.entries()["failure"] == 1
    assert home.leases() == []
    again = home.run(month(1))
    assert [(s.stage, s.subject) for s in again.failed] == [("store", "water.pumps")]


def test_a_model_that_fails_stops_no_neighbour(tmp_path: Path) -> None:
    home = utility_home(tmp_path / "home")
    fields = {"kwh": {"logicalType": "integer", "classification": "L2"}}
    home.declare(
        "curated.broken", fields, sql="SELECT CAST(kwh / (kwh - kwh) AS TINYINT) + 1000000 AS kwh FROM power.accounts"
    )
    home.declare("curated.use", fields, sql="SELECT kwh FROM power.accounts")
    home.declare(
        "curated.wide", fields, sql="SELECT CAST(CAST(kwh * 1000 AS TINYINT) AS BIGINT) AS kwh FROM power.accounts"
    )
    result = home.run(month(1))
    done = outcomes(result)
    assert (done["develop", "curated.use"], done["develop", "curated.supply"]) == ("done", "done")
    assert done["develop", "curated.wide"] == "failed"
    (message,) = [s.message for s in result.failed if s.subject == "curated.wide"]
    assert "200000" not in message
    assert "100000" not in message


def test_a_lease_of_somebody_else_is_a_conflict_that_the_next_run_gets_past(tmp_path: Path) -> None:
    home = utility_home(tmp_path / "home")
    with home.opened() as context:
        batches.acquire_lease(context.database, "water.meters", "somebody", 3600)
    result = home.run(month(1), models=False)
    assert [(s.stage, s.subject, s.outcome, s.retry) for s in result.failed] == [
        ("store", "water.meters", "failed", True)
    ]
    assert [row.status for row in home.batches("water.meters")] == ["landed"]
    with home.opened() as context:
        batches.release_lease(context.database, "water.meters", "somebody")
    assert home.run(month(1), models=False).failed == ()


def test_a_lease_that_ran_out_holds_up_nobody(tmp_path: Path) -> None:
    home = utility_home(tmp_path / "home")
    with home.opened() as context:
        batches.acquire_lease(context.database, "water.meters", "somebody", timedelta(seconds=-1).total_seconds())
    assert home.run(month(1), models=False).failed == ()
    assert home.leases() == []


def test_a_batch_whose_files_are_gone_is_stored_again_and_its_lease_ends(tmp_path: Path) -> None:
    home = utility_home(tmp_path / "home")
    run = new_run()
    with home.opened() as context:
        ingest.collect_datasets(context, ["water.meters"], month(1), run)
        (stored,) = ingest.store_datasets(context, ["water.meters"], run)
        assert stored.outcome == "done"
    assert home.leases() == ["water.meters"]
    for file in (home.folder / "var" / "lake" / "water").rglob("*.parquet"):
        file.unlink()
    assert home.run(month(1)).failed == ()
    assert home.leases() == []
    assert len(home.rows("water.meters", ["meter"])) == 3


def test_a_batch_whose_files_do_not_add_up_is_never_let_in(tmp_path: Path) -> None:
    home = utility_home(tmp_path / "home")
    run = new_run()
    with home.opened() as context:
        ingest.collect_datasets(context, ["water.meters"], month(1), run)
        ingest.store_datasets(context, ["water.meters"], run)
    (file,) = (home.folder / "var" / "lake" / "water").rglob("*.parquet")
    file.write_bytes(file.read_bytes()[:-50])
    result = home.run(month(1), models=False)
    assert [(s.stage, s.subject, s.outcome, s.retry) for s in result.failed] == [
        ("manage", "water.meters", "failed", False)
    ]
    assert home.snapshot("water.meters") is None
    assert home.leases() == []
    assert home.run(month(1), models=False, again=True).failed == ()


def test_rules_that_change_between_store_and_manage_store_the_batch_again(tmp_path: Path) -> None:
    home = utility_home(tmp_path / "home")
    home.deliver("water.meters", [*FIRST, "4,,,-1"])
    run = new_run()
    with home.opened() as context:
        ingest.collect_datasets(context, ["water.meters"], month(1), run)
        ingest.store_datasets(context, ["water.meters"], run)
    home.declare("water.meters", {**METERS, "reading": {"logicalType": "integer", "classification": "L2"}})
    with home.opened() as context:
        (step,) = ingest.manage_datasets(context, ["water.meters"], run)
    assert (step.outcome, step.rows) == ("done", 4)
    assert home.leases() == []


def test_a_state_that_takes_no_writes_ends_the_run_with_nothing_let_in(tmp_path: Path) -> None:
    home = utility_home(tmp_path / "home")
    home.run(month(1))
    before = home.snapshot("power.accounts")
    home.deliver("power.accounts", [*USE, f"{CANARY},5"])
    with home.opened() as context, context.database.engine.connect() as connection:
        connection.execute(text("CREATE TRIGGER full BEFORE UPDATE ON batch BEGIN SELECT RAISE(ABORT, 'no'); END"))
        connection.commit()
    result = home.run(month(2), models=False)
    assert {s.outcome for s in result.failed} == {"failed"}
    assert home.snapshot("power.accounts") == before
    with home.opened() as context, context.database.engine.connect() as connection:
        connection.execute(text("DROP TRIGGER full"))
        connection.commit()
    assert home.run(month(2), models=False).failed == ()
    assert home.snapshot("power.accounts") != before
