"""Edges that a contract implies."""

from __future__ import annotations

from dataclasses import replace

import pytest

from governance.catalog.rules import ReferenceRule, RowRule, RowRules
from governance.catalog.types import ColumnType, DatabaseSource, Dataset, Field, FileSource, HttpSource, Source
from governance.lineage.edges import Edge
from governance.lineage.store_edges import edges_of_dataset, landed_edges, source_name

DATASET = Dataset(
    name="police.residents",
    department="police",
    system="hukou",
    version="1",
    fields=(
        Field("id_number", ColumnType("string"), "身份证号", domain="person"),
        Field("birth_date", ColumnType("date"), "出生日期"),
    ),
    source=DatabaseSource("sqlite://", "resident"),
    file="catalog/police/residents.odcs.yaml",
    text_hash="0" * 64,
)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (DatabaseSource("sqlite://", "resident"), "hukou:resident"),
        (DatabaseSource("postgresql://h/d", "resident", schema="pub"), "hukou:pub.resident"),
        (FileSource("in/residents_*.csv", "csv"), "hukou:residents_*.csv"),
        (HttpSource("https://example.org/api/views.csv?limit=5", "csv"), "hukou:views.csv"),
        (None, "hukou:residents"),
    ],
)
def test_a_source_is_named_by_system_and_table_or_file(source: Source | None, name: str) -> None:
    assert source_name(replace(DATASET, source=source)) == name


def test_fields_come_from_source_columns_and_tokens_from_fields() -> None:
    assert set(edges_of_dataset(DATASET).edges) == {
        Edge("hukou:resident", "身份证号", "id_number", "DIRECT", "IDENTITY"),
        Edge("hukou:resident", "出生日期", "birth_date", "DIRECT", "TRANSFORMATION"),
        Edge("police.residents", "id_number", "id_number__token", "DIRECT", "TRANSFORMATION", True),
    }


def test_rules_that_set_rows_aside_decide_on_the_rows_and_those_that_warn_do_not() -> None:
    rules = RowRules(
        DATASET.name,
        (
            RowRule("type:birth_date", "quarantine", ("birth_date",), "FALSE"),
            RowRule("range:birth_date", "stop", ("birth_date",), "FALSE"),
            RowRule("pattern:id_number", "warn", ("id_number",), "FALSE"),
            ReferenceRule("reference:id_number", "quarantine", ("id_number",), "police.people", "number"),
        ),
        (),
        "0" * 64,
    )
    plain = set(edges_of_dataset(DATASET).edges)
    assert set(edges_of_dataset(DATASET, rules).edges) - plain == {
        Edge("hukou:resident", "出生日期", "*", "INDIRECT", "FILTER"),
        Edge("hukou:resident", "身份证号", "*", "INDIRECT", "FILTER"),
        Edge("police.people", "number", "*", "INDIRECT", "FILTER"),
    }


def test_landed_copies_keep_the_sources_columns() -> None:
    landed = landed_edges(DATASET)
    assert landed.output == "landed:police.residents"
    assert {(e.input_column, e.output_column, e.subtype) for e in landed.edges} == {
        ("身份证号", "身份证号", "IDENTITY"),
        ("出生日期", "出生日期", "IDENTITY"),
    }
