"""The graph in memory answers as SQL does, now and as of any instant; kept as files, it is made again when the state has changed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from governance.lineage import index as index_module
from governance.lineage.edges import Edge, EdgeSet
from governance.lineage.graph import Node
from governance.lineage.index import Index
from governance.lineage.index_files import load
from governance.lineage.ingest import keep
from governance.lineage.ingest_flows import read
from governance.lineage.record import record_run
from governance.state.database import Database
from governance.state.values import Actor
from tests.lineage.openlineage import columns, dataset, field, run_event
from tests.lineage.plain_walk import downstream, upstream

AT = datetime(2026, 1, 2, tzinfo=UTC)
ACTOR = Actor("service:build@curated", "pipeline.develop", "0b0f6f3e-3c0f-4b8f-9d8a-6a1c2f6c7b10")
TABLES = ("a.one", "a.two", "curated.x", "curated.y", "sys:src")
COLUMNS = ("p", "q", "*")
EDGES = st.builds(
    Edge,
    st.sampled_from(TABLES),
    st.sampled_from(COLUMNS),
    st.sampled_from(COLUMNS),
    st.sampled_from(["DIRECT", "INDIRECT"]),
    st.sampled_from(["IDENTITY", "FILTER"]),
    st.booleans(),
)
RUNS = st.lists(
    st.tuples(
        st.sampled_from(TABLES[:4]),
        st.sampled_from(["store", "develop"]),
        st.lists(EDGES, max_size=4),
        st.booleans(),
        st.sampled_from(["go", "go", "stop"]),
    ),
    max_size=10,
)


def put(
    database: Database, output: str, stage: str, edges: tuple[Edge, ...], complete: bool, outcome: str, hour: int
) -> None:
    with database.unit_of_work() as tx:
        record_run(
            tx,
            actor=ACTOR,
            stage=stage,
            batch=None,
            output=output,
            output_snapshot=1,
            outcome=outcome,
            counts={},
            versions={},
            inputs={},
            edges=EdgeSet(output, stage, edges, complete),
            at=AT + timedelta(hours=hour),
            namespace="gov",
        )


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'state.sqlite'}")
    database.create()
    yield database
    database.close()


def same(database: Database, index: Index, **how) -> None:
    with database.read() as connection:
        for table in TABLES:
            for column in (*COLUMNS, "none"):
                for sql, ours in ((upstream, index.upstream), (downstream, index.downstream)):
                    assert ours(connection, table, column, **how) == sql(connection, table, column, **how)


@settings(
    max_examples=6,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(runs=RUNS, hour=st.integers(-1, 10), depth=st.integers(1, 3))
def test_the_index_answers_as_sql_does(tmp_path_factory, runs, hour, depth) -> None:
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('same') / 'state.sqlite'}")
    database.create()
    for number, (output, stage, edges, complete, outcome) in enumerate(runs):
        put(database, output, stage, tuple(edges), complete, outcome, number)
    index = Index()
    same(database, index, depth=depth, limit=depth * 2)
    same(database, index, as_of=AT + timedelta(hours=hour))
    same(database, index)
    database.close()


def test_edges_of_stopped_runs_alone_are_no_lineage(database: Database) -> None:
    put(database, "curated.x", "develop", (Edge("a.one", "p", "q", "DIRECT", "IDENTITY"),), True, "stop", 0)
    same(database, Index())


def test_flows_of_others_are_in_it_as_of_then_too(database: Database) -> None:
    index = Index()
    put(database, "curated.x", "develop", (Edge("a.one", "p", "q", "DIRECT", "IDENTITY"),), True, "go", 0)
    for number, column in enumerate(("q", "p")):
        made = dataset("board", columnLineage=columns({"n": [field("curated.x", column, "gov")]}))
        event = run_event("report", [], [made], at=f"2026-01-02T0{number}:00:00Z")
        with database.unit_of_work() as tx:
            keep(tx, [read(event, namespace="gov")], subject="service:etl", at=database.clock())
        with database.read() as connection:
            between = database.clock()
            found = index.downstream(connection, "curated.x", column)
        assert found.nodes == (Node("curated.x", column), Node("db:board", "n"))
        assert column == "p" or between is not None
    with database.read() as connection:
        assert index.graph(connection).columns_of("db:board") == ["*", "n"]
        assert index.graph(connection).columns_of("db:other") == []
        assert index.downstream(connection, "curated.x", "q").links == ()
        assert index.downstream(connection, "a.one", "p").ends == (Node("curated.x", "q"),)
        for name in ("p", "q"):
            assert index.upstream(connection, "db:board", "n") == upstream(connection, "db:board", "n"), name


def test_it_is_kept_as_files_and_only_new_sets_are_read_again(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_module, "KEPT_EDGES", 1)
    folder = tmp_path / "graph"
    put(database, "curated.x", "develop", (Edge("a.one", "p", "q", "DIRECT", "IDENTITY"),), True, "go", 0)
    with database.read() as connection:
        Index(folder).graph(connection)
        (kept,) = folder.iterdir()
        assert load(folder, kept.name.removeprefix("graph-")) is not None
        mapped = Index(folder)
        assert mapped.upstream(connection, "curated.x", "q") == upstream(connection, "curated.x", "q")
    put(database, "curated.y", "develop", (Edge("curated.x", "q", "p", "DIRECT", "IDENTITY"),), True, "go", 1)
    same(database, mapped)
    same(database, Index(folder))
    (after,) = folder.iterdir()
    assert after != kept
    (after / "edges.arrow").write_bytes(b"torn")
    same(database, Index(folder))
