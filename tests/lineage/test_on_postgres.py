"""Lineage in PostgreSQL: edges of our own runs and of others' events are there, once, and what a run said before it failed is taken back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import func, select

from governance.lineage.index import Index
from governance.state.database import Database
from governance.state.tables import edge
from tests.collect import postgres
from tests.lineage.openlineage import run_event
from tests.lineage.test_graph import PERSON, put
from tests.lineage.test_ingest import OTHER, Clock, fine, sources, take

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    if postgres.binaries() is None:
        pytest.skip("no PostgreSQL server that can be started here")
    with postgres.server() as url:
        database = Database(url.render_as_string(hide_password=False), clock=Clock())
        database.create()
        yield database
        database.close()


def test_edges_of_a_run_are_stored_once_and_followed(database: Database) -> None:
    for _ in range(2):
        put(database, PERSON, "develop", "curated.person")
    with database.read() as connection:
        assert connection.execute(select(func.count()).select_from(edge)).scalar_one() == len(PERSON.edges)
        answer = Index().upstream(connection, "curated.person", "total")
    assert "social.insured.salary" in {str(node) for node in answer.nodes}


def test_flows_of_others_are_followed_replaced_and_taken_back(database: Database) -> None:
    take(database, fine(at="2026-01-02T01:00:00Z"))
    assert sources(database) == {"db:shop.orders.price"}
    database.clock.later()
    take(database, fine("cost", kind="RUNNING", run=OTHER, at="2026-01-02T02:00:00Z"))
    assert sources(database) == {"db:shop.orders.cost"}
    database.clock.later()
    take(database, run_event("load", kind="FAIL", run=OTHER, at="2026-01-02T03:00:00Z"))
    assert sources(database) == {"db:shop.orders.price"}
