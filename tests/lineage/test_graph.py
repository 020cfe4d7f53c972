"""Ways back and forth over recorded edges, as answers, text and picture."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from governance.cli.lineage import command
from governance.lineage.edges import Edge, EdgeSet
from governance.lineage.graph import Node
from governance.lineage.index import Index
from governance.lineage.picture import layout, picture
from governance.lineage.record import record_run
from governance.lineage.store_edges import edges_of_dataset, landed_edges
from governance.lineage.tree import as_json, lines
from governance.state.database import Database
from governance.state.values import Actor
from tests.develop.city import INSURED, RESIDENTS

AT = datetime(2026, 1, 2, tzinfo=UTC)
ACTOR = Actor("service:build@curated", "pipeline.develop", "0b0f6f3e-3c0f-4b8f-9d8a-6a1c2f6c7b10")
PERSON = EdgeSet(
    "curated.person",
    "develop",
    (
        Edge("police.residents", "id_number", "id_number", "DIRECT", "IDENTITY"),
        Edge("police.residents", "name", "label", "DIRECT", "TRANSFORMATION", True),
        Edge("social.insured", "salary", "total", "DIRECT", "AGGREGATION"),
        Edge("police.residents", "id_number__token", "*", "INDIRECT", "JOIN"),
        Edge("social.insured", "id_number__token", "*", "INDIRECT", "JOIN"),
    ),
)
YEARLY = EdgeSet("curated.yearly", "develop", (Edge("curated.person", "total", "sum", "DIRECT", "AGGREGATION"),))


def put(database: Database, edges: EdgeSet | None, stage: str, output: str, outcome: str = "go") -> None:
    with database.unit_of_work() as tx:
        record_run(
            tx,
            actor=ACTOR,
            stage=stage,
            batch=None,
            output=output,
            output_snapshot=1,
            outcome=outcome,
            counts={"rows": 1},
            versions={},
            inputs={},
            edges=edges,
            at=AT,
            namespace="gov",
        )


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    (tmp_path / "gov.toml").write_text("", encoding="utf-8")
    database = Database(f"sqlite:///{tmp_path / 'var' / 'state.sqlite'}")
    database.create()
    for dataset in (RESIDENTS, INSURED):
        put(database, landed_edges(dataset), "collect", f"landed:{dataset.name}")
        put(database, edges_of_dataset(dataset), "store", dataset.name)
        put(database, None, "manage", dataset.name)
    put(database, PERSON, "develop", "curated.person")
    put(database, YEARLY, "develop", "curated.yearly")
    yield database
    database.close()


def test_the_way_back_ends_at_the_source_columns(database: Database) -> None:
    with database.read() as connection:
        answer = Index().upstream(connection, "curated.yearly", "sum")
    assert answer.complete
    direct = {str(link.source) for link in answer.links if link.kind == "DIRECT"}
    assert direct == {
        "curated.person.total",
        "social.insured.salary",
        "social_system:social.insured.csv.salary",
        "social.insured.id_number",
        "social_system:social.insured.csv.id_number",
        "police.residents.id_number",
        "police_system:police.residents.csv.身份证号",
    }
    assert {n.table for n in answer.ends} == {"social_system:social.insured.csv", "police_system:police.residents.csv"}


def test_what_depends_on_a_column_is_found_through_rows_too(database: Database) -> None:
    with database.read() as connection:
        answer = Index().downstream(connection, "police_system:police.residents.csv", "身份证号")
    assert answer.complete
    assert {str(n) for n in answer.ends} == {
        "landed:police.residents.身份证号",
        "curated.person.id_number",
        "curated.yearly.sum",
    }


def test_only_the_latest_run_that_was_not_stopped_is_current(database: Database) -> None:
    changed = replace(YEARLY, edges=(Edge("curated.person", "label", "sum", "DIRECT", "IDENTITY"),))
    put(database, changed, "develop", "curated.yearly", "stop")
    with database.read() as connection:
        assert Node("curated.person", "total") in Index().upstream(connection, "curated.yearly", "sum").nodes
    put(database, changed, "develop", "curated.yearly")
    with database.read() as connection:
        nodes = Index().upstream(connection, "curated.yearly", "sum").nodes
    assert Node("curated.person", "total") not in nodes
    assert Node("curated.person", "label") in nodes


def test_an_answer_says_how_it_was_cut(database: Database) -> None:
    with database.read() as connection:
        assert Index().upstream(connection, "curated.yearly", "sum", depth=1).cut == ("stopped after 1 steps",)
        assert Index().upstream(connection, "curated.yearly", "sum", limit=2).cut == ("stopped after 2 columns",)
        assert Index().upstream(connection, "curated.nowhere", "x").cut == (
            "curated.nowhere: no run of it has recorded lineage",
        )
    put(database, replace(YEARLY, complete=False), "develop", "curated.yearly")
    with database.read() as connection:
        assert Index().upstream(connection, "curated.yearly", "sum").cut == (
            "curated.yearly: its SQL could not be followed everywhere",
        )


def test_a_circle_ends(database: Database) -> None:
    put(
        database,
        EdgeSet("curated.a", "develop", (Edge("curated.b", "x", "x", "DIRECT", "IDENTITY"),)),
        "develop",
        "curated.a",
    )
    put(
        database,
        EdgeSet("curated.b", "develop", (Edge("curated.a", "x", "x", "DIRECT", "IDENTITY"),)),
        "develop",
        "curated.b",
    )
    with database.read() as connection:
        answer = Index().upstream(connection, "curated.a", "x")
    assert len(answer.links) == 2
    assert picture(answer)


def test_the_tree_tells_kind_masking_and_completeness(database: Database) -> None:
    with database.read() as connection:
        text = list(lines(Index().upstream(connection, "curated.person", "label")))
    assert text[:3] == [
        "curated.person.label",
        "├─ police.residents.name  [TRANSFORMATION masked]",
        "│  └─ police_system:police.residents.csv.姓名  [IDENTITY]",
    ]
    assert "└─ curated.person (rows)  [which rows there are]" in text
    assert text[-1] == "complete"


def test_the_picture_is_well_formed_escaped_and_without_overlap(database: Database) -> None:
    put(
        database,
        EdgeSet("curated.odd", "develop", (Edge("police.residents", "name", 'a<b>&"c', "DIRECT", "IDENTITY"),)),
        "develop",
        "curated.odd",
    )
    with database.read() as connection:
        answers = [
            Index().upstream(connection, "curated.yearly", "sum"),
            Index().upstream(connection, "curated.odd", 'a<b>&"c'),
        ]
        answers.append(Index().downstream(connection, "police.residents", "id_number"))
        answers.append(Index().upstream(connection, "curated.nowhere", "x"))
    for answer in answers:
        ElementTree.fromstring(picture(answer))
        boxes = layout(answer)
        assert {node.table for node in answer.nodes} == set(boxes)
        for a, b in combinations(boxes.values(), 2):
            apart = a.x + a.width <= b.x or b.x + b.width <= a.x or a.y + a.height <= b.y or b.y + b.height <= a.y
            assert apart, (a.table, b.table)
        for link in answer.links:
            source, target = boxes[link.source.table], boxes[link.target.table]
            assert source is target or source.x < target.x


def test_the_command_prints_the_way_back_and_answers_as_json(database: Database, tmp_path: Path) -> None:
    plain = CliRunner().invoke(command, ["curated.person.id_number"], obj=tmp_path)
    assert plain.exit_code == 0, plain.output
    assert "police_system:police.residents.csv.身份证号" in plain.output
    answered = CliRunner().invoke(command, ["curated.person.id_number", "--json"], obj=tmp_path)
    assert json.loads(answered.output)["complete"] is True
    down = CliRunner().invoke(command, ["police.residents.name", "--downstream"], obj=tmp_path)
    assert "curated.person.label" in down.output
    assert CliRunner().invoke(command, ["nothing"], obj=tmp_path).exit_code == 2


def test_the_json_form_names_every_link(database: Database) -> None:
    with database.read() as connection:
        answer = Index().upstream(connection, "curated.person", "total")
    told = as_json(answer)
    assert len(told["links"]) == len(answer.links)
    assert {"table": "social.insured", "column": "salary"} in [link["source"] for link in told["links"]]
