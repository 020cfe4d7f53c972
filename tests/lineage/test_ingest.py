"""Events in the state: once, whole, with the flows in force; as of then too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from governance.lineage.graph import Node
from governance.lineage.index import Index
from governance.lineage.ingest import count_rejected, event_body, keep
from governance.lineage.ingest_flows import read
from governance.lineage.tree import lines
from governance.state.database import Database
from governance.state.tables_lineage import lineage_event, lineage_flow, lineage_rejected
from tests.lineage.openlineage import RUN, columns, dataset, field, numbered, run_event

OTHER = "1b0f6f3e-3c0f-4b8f-9d8a-6a1c2f6c7b10"
THIRD = "2b0f6f3e-3c0f-4b8f-9d8a-6a1c2f6c7b10"


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 2, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def later(self) -> datetime:
        self.now += timedelta(hours=1)
        return self.now


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'state.sqlite'}", clock=Clock())
    database.create()
    yield database
    database.close()


def take(database: Database, *events) -> int:
    with database.unit_of_work() as tx:
        return len(keep(tx, [read(e, namespace="gov") for e in events], subject="service:etl", at=database.clock()))


def fine(column="price", source="shop.orders", **how):
    made = dataset("mart.daily", columnLineage=columns({"total": [field(source, column)]}))
    return run_event("load", [dataset(source)], [made], **how)


def whole(**how):
    return run_event("load", [dataset("shop.orders")], [dataset("mart.daily")], **how)


def sources(database: Database, as_of=None, index: Index | None = None):
    with database.read() as connection:
        nodes = (index or Index()).upstream(connection, "db:mart.daily", "total", as_of=as_of).nodes
    return {str(n) for n in nodes if n.table != "db:mart.daily"}


def test_an_event_is_kept_whole_and_once(database: Database) -> None:
    events = [numbered(n) for n in range(5)]
    assert take(database, *events, events[0]) == 5
    assert take(database, *events) == 0
    with database.read() as connection:
        bodies = connection.execute(select(lineage_event.c.body).order_by(lineage_event.c.id)).scalars()
        assert [json.loads(event_body(body)) for body in bodies] == events


def test_columns_of_others_join_the_graph(database: Database) -> None:
    take(
        database,
        fine(),
        run_event("report", [], [dataset("board", columnLineage=columns({"x": [field("mart.daily", "total")]}))]),
    )
    with database.read() as connection:
        answer = Index().downstream(connection, "db:shop.orders", "price")
    assert [str(n) for n in answer.ends] == ["db:board.x"]
    assert answer.complete


def test_a_run_that_knows_less_later_takes_nothing_back(database: Database) -> None:
    take(database, fine(kind="RUNNING", at="2026-01-02T03:00:00Z"), whole(at="2026-01-02T03:01:00Z"))
    assert sources(database) == {"db:shop.orders.price"}
    take(database, whole(run=OTHER, kind="START", at="2026-01-02T04:00:00Z"))
    assert sources(database) == {"db:shop.orders.price"}
    take(database, whole(run=OTHER, at="2026-01-02T04:01:00Z"))
    assert sources(database) == {"db:shop.orders (rows)"}


def test_an_event_that_comes_late_or_of_a_failed_run_changes_nothing(database: Database) -> None:
    take(database, fine(at="2026-01-02T05:00:00Z"))
    take(
        database,
        fine("cost", at="2026-01-02T04:00:00Z", run=OTHER),
        fine("cost", kind="FAIL", at="2026-01-02T06:00:00Z", run=OTHER),
    )
    assert sources(database) == {"db:shop.orders.price"}


def test_what_a_run_had_replaced_before_it_failed_comes_back(database: Database) -> None:
    clock = database.clock
    take(database, fine(at="2026-01-02T01:00:00Z"))
    clock.later()
    for hour, column in ((2, "cost"), (3, "tax")):
        take(database, fine(column, kind="RUNNING", run=OTHER, at=f"2026-01-02T0{hour}:00:00Z"))
        assert sources(database) == {f"db:shop.orders.{column}"}
        then = clock()
        clock.later()
    take(database, run_event("load", kind="FAIL", run=OTHER, at="2026-01-02T04:00:00Z"))
    assert sources(database) == {"db:shop.orders.price"}
    assert sources(database, as_of=then) == {"db:shop.orders.tax"}
    take(database, fine("late", kind="RUNNING", run=OTHER, at="2026-01-02T05:00:00Z"))
    assert sources(database) == {"db:shop.orders.price"}
    take(database, fine("cost", run=THIRD, at="2026-01-02T06:00:00Z"))
    assert sources(database) == {"db:shop.orders.cost"}


def test_of_what_was_only_ever_begun_by_runs_that_failed_nothing_is_in_force(database: Database) -> None:
    clock, index = database.clock, Index()
    take(database, fine(kind="START", at="2026-01-02T01:00:00Z"))
    assert sources(database, index=index) == {"db:shop.orders.price"}
    clock.later()
    take(database, fine(kind="ABORT", at="2026-01-02T02:00:00Z"))
    assert sources(database, index=index) == set()
    take(
        database,
        fine("cost", kind="START", run=OTHER, at="2026-01-02T03:00:00Z"),
        fine("cost", kind="FAIL", run=OTHER, at="2026-01-02T04:00:00Z"),
    )
    assert sources(database, index=index) == set()
    take(database, fine("tax", kind="START", run=THIRD, at="2026-01-02T05:00:00Z"))
    clock.later()
    take(database, run_event("load", kind="FAIL", run=THIRD, at="2026-01-02T06:00:00Z"))
    assert sources(database, index=index) == set()


def test_a_run_that_failed_takes_nothing_with_it_that_was_there_before(database: Database) -> None:
    take(database, fine(at="2026-01-02T01:00:00Z"))
    database.clock.later()
    take(database, fine(kind="START", run=OTHER, at="2026-01-02T02:00:00Z"))
    database.clock.later()
    take(database, run_event("load", kind="FAIL", run=OTHER, at="2026-01-02T03:00:00Z"))
    assert sources(database) == {"db:shop.orders.price"}


def test_a_repeated_flow_is_confirmed_and_a_changed_one_superseded(database: Database) -> None:
    clock = database.clock
    then = clock()
    take(database, fine(at="2026-01-02T01:00:00Z"))
    clock.later()
    take(database, fine(at="2026-01-02T02:00:00Z", run=OTHER))
    clock.later()
    take(database, fine("cost", at="2026-01-02T03:00:00Z"))
    with database.read() as connection:
        rows = connection.execute(select(lineage_flow).order_by(lineage_flow.c.id)).all()
    assert [(row.run, row.superseded_at is None) for row in rows] == [(OTHER, False), (RUN, True)]
    assert sources(database) == {"db:shop.orders.cost"}
    assert sources(database, as_of=then) == {"db:shop.orders.price"}
    assert sources(database, as_of=then - timedelta(hours=1)) == set()


def test_what_is_known_as_a_whole_only_reaches_every_column_and_says_so(database: Database) -> None:
    take(
        database,
        whole(),
        run_event("report", [], [dataset("board", columnLineage=columns({"x": [field("mart.daily", "total")]}))]),
    )
    with database.read() as connection:
        answer = Index().downstream(connection, "db:shop.orders", "price")
        back = Index().upstream(connection, "db:board", "x")
    assert Node("db:board", "x") in answer.nodes
    assert list(lines(answer))[1] == "└─ db:mart.daily (rows)  [of the whole table]"
    assert Node("db:shop.orders", "*") in back.nodes
    assert not answer.complete
    assert not back.complete


def test_refusals_are_counted_by_reason_without_bound_on_their_number(database: Database) -> None:
    for _ in range(2):
        with database.unit_of_work() as tx:
            reasons = {f"reason {n}": 2 for n in range(1_005)}
            count_rejected(tx, reasons, subject="service:etl", at=database.clock())
    with database.read() as connection:
        assert connection.execute(select(func.count()).select_from(lineage_rejected)).scalar_one() == 1_001
        assert connection.execute(select(func.sum(lineage_rejected.c.events))).scalar_one() == 4_020


def test_an_answer_counts_what_no_graph_can_know(database: Database) -> None:
    take(database, fine(), run_event("bare", []))
    with database.unit_of_work() as tx:
        count_rejected(tx, {"a": 2, "b": 1}, subject="service:etl", at=database.clock())
    index = Index()
    for ask in (index.upstream, index.downstream):
        with database.read() as connection:
            told = ask(connection, "db:mart.daily", "total").cut
            assert told == ("3 events of others were rejected", "1 runs of others name no dataset")
            before = database.clock() - timedelta(days=1)
            assert ask(connection, "db:mart.daily", "total", as_of=before).cut == ()
