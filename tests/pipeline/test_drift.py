"""A batch unlike those before it warns, or stops where the contract says so; once, whatever is tried again."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from governance.pipeline.incidents import incidents
from governance.pipeline.observations import observations
from governance.state import tables
from governance.state.values import Window
from tests.pipeline.home import METERS, Home, empty_home, outcomes

pytestmark = pytest.mark.pipeline

DAY = datetime(2026, 3, 2, tzinfo=UTC)


def day(number: int) -> Window:
    return Window(DAY + timedelta(days=number), DAY + timedelta(days=number + 1))


def lines(reading: int) -> list[str]:
    return [f"{n},11010119900307{n:04},张三,{reading + n % 7}" for n in range(40)]


def with_history(folder: Path, **ours: Any) -> Home:
    """One batch let in, and nine like it in the state before it."""
    home = empty_home(folder)
    home.declare("water.meters", METERS, mode="append", **ours)
    home.deliver("water.meters", lines(100))
    home.run(day(0), models=False)
    with home.opened() as context, context.database.unit_of_work() as tx:
        first = dict(tx.execute(select(tables.batch)).one()._mapping)
        profile = dict(tx.execute(select(tables.batch_profile)).one()._mapping)
        for number in range(1, 10):
            earlier = {"window_start": DAY - timedelta(days=number)}
            own = {"id": f"{first['id']}-{number}", "status": "replaced", **earlier}
            tx.execute(insert(tables.batch).values({**first, **own}))
            tx.execute(insert(tables.batch_profile).values({**profile, "batch": own["id"], **earlier}))
    return home


@pytest.mark.parametrize(("says", "outcome", "severity"), [("warn", "done", "warn"), ("stop", "stopped", "stop")])
def test_an_unlike_batch_warns_or_stops_and_a_like_one_closes_the_incident(
    tmp_path: Path, says: str, outcome: str, severity: str
) -> None:
    home = with_history(tmp_path, drift=says)
    home.deliver("water.meters", lines(5000))
    assert outcomes(home.run(day(1), models=False))["manage", "water.meters"] == outcome
    with home.opened() as context, context.database.read() as connection:
        found = {i.expectation: i.severity for i in incidents(connection)}
        (seen, *_) = observations(connection, kind="drift")
    assert found["drift:mean:reading"] == severity
    assert seen.facts["batches"] == 10
    assert (home.batches()[-1].status == "stopped") == (says == "stop")
    if says == "stop":
        assert home.batches()[-1].judged is not None
        assert "drift:mean:reading" in home.batches()[-1].judged.reasons  # type: ignore[union-attr]
        home.deliver("water.meters", lines(100))
        home.run(day(1), models=False, again=True)
    else:
        home.deliver("water.meters", lines(100))
        home.run(day(2), models=False)
    with home.opened() as context, context.database.read() as connection:
        assert incidents(connection) == ()


def test_a_quiet_saturday_after_five_weeks_of_quiet_weekends_is_no_drift(tmp_path: Path) -> None:
    home = empty_home(tmp_path)
    home.declare("water.meters", METERS, mode="append", drift="warn")
    home.deliver("water.meters", lines(100))
    home.run(day(0), models=False)  # a Monday
    with home.opened() as context, context.database.unit_of_work() as tx:
        first = dict(tx.execute(select(tables.batch)).one()._mapping)
        profile = dict(tx.execute(select(tables.batch_profile)).one()._mapping)
        metrics = json.loads(profile["metrics"])
        for number in range(1, 36):
            at = DAY - timedelta(days=number)
            own = {"id": f"{first['id']}-{number}", "status": "replaced", "window_start": at}
            rows = (10.0 if at.weekday() > 4 else 40.0) + number % 2
            tx.execute(insert(tables.batch).values({**first, **own}))
            told = {"batch": own["id"], "window_start": at, "metrics": json.dumps({**metrics, "rows": rows})}
            tx.execute(insert(tables.batch_profile).values({**profile, **told}))
    for number, rows, unlike in ((5, 10, False), (6, 40, True)):
        home.deliver("water.meters", lines(100)[:rows])
        home.run(day(number), models=False)
        with home.opened() as context, context.database.read() as connection:
            (seen, *_) = observations(connection, kind="drift")
        assert ("drift:rows" in {failure.expectation for failure in seen.failures}) == unlike


def test_without_the_word_nothing_is_measured(tmp_path: Path) -> None:
    home = empty_home(tmp_path)
    home.declare("water.meters", METERS)
    home.deliver("water.meters", lines(1))
    home.run(day(0), models=False)
    with home.opened() as context, context.database.read() as connection:
        assert connection.execute(select(tables.batch_profile)).all() == []
