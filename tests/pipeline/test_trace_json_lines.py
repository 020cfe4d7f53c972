"""A source of JSON lines: its keys are the columns of lineage, and a published row is traced to the file and the line."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from typing import Any

import pytest

from governance.lineage.graph import Node
from governance.lineage.index import Index
from governance.pipeline.landed_lines import placed, starts
from governance.pipeline.record_trace import record_trace
from tests.pipeline.home import Home, empty_home, month
from tests.pipeline.traced import publish
from tests.use.conftest import PUBLIC_KEY

SOURCE, TABLE = "bike.trips", "curated.station"
ACCESS = f"""\
roles: [{{id: auditor}}]
purposes: [{{id: audit}}]
subjects: [{{name: "user:auditor", roles: [auditor], clearance: L4}}, {{name: "user:wang"}}]
approvers: [{{subject: "user:wang", public_key: "{PUBLIC_KEY}"}}]
rules: [{{id: all, roles: [auditor], purposes: [audit], where: {{levels: [L1, L2]}}, action: raw}}]
"""
TRIPS: Mapping[str, Mapping[str, Any]] = {
    "trip": {"logicalType": "integer", "classification": "L1", "physicalName": "行程 id"},
    "station": {"logicalType": "string", "classification": "L1", "physicalName": "start.station", "required": True},
    "minutes": {"logicalType": "integer", "classification": "L2"},
}
STATIONS: Mapping[str, Mapping[str, Any]] = {
    "station": {"logicalType": "string", "classification": "L1"},
    "minutes": {"logicalType": "integer", "classification": "L2"},
}
SQL = "SELECT station, CAST(sum(minutes) AS BIGINT) AS minutes FROM bike.trips GROUP BY station\n"


def trip(number: int, station: str | None, minutes: object) -> str:
    named = {"行程 id": number, "start.station": station, "minutes": minutes, "note": 'a "quoted\n word'}
    return json.dumps(named, ensure_ascii=False)


FIRST = ["", trip(1, "A", 5), "no json", trip(2, "B", 7), "   ", "[1, 2]", trip(3, "A", "nine"), trip(4, "A", 11)]
SECOND = [trip(5, "B", 1), '{"行程 id": 6, "start.station": "A"', trip(7, None, 2), trip(8, "A", 3)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Two files, one packed and with Windows' line ends: blank lines, lines that are no object, values that do not convert."""
    home = empty_home(tmp_path_factory.mktemp("jsonl") / "home")
    (home.folder / "catalog" / "access.yaml").write_text(ACCESS, encoding="utf-8")
    home.declare(SOURCE, TRIPS, path="sources/trips.*", format="jsonl")
    home.declare(TABLE, STATIONS, sql=SQL)
    (home.folder / "sources" / "trips.1.jsonl").write_text("\n".join(FIRST), encoding="utf-8")
    packed = gzip.compress("\r\n".join([*SECOND, ""]).encode("utf-8"))
    (home.folder / "sources" / "trips.2.jsonl.gz").write_bytes(packed)
    assert home.run(month(1)).failed == ()
    with home.opened() as context:
        publish(context)
    return home


def test_keys_of_the_objects_are_the_columns_of_lineage(home: Home) -> None:
    with home.opened() as context, context.database.read() as connection:
        answer = Index().upstream(connection, TABLE, "minutes")
        forward = Index().downstream(connection, "main:trips.*", "start.station")
    assert answer.complete
    assert {(node.column) for node in answer.ends} == {
        "start.station",
        "minutes",
        "行程 id",
    }  # a bad number sets a row aside
    assert Node(TABLE, "station") in forward.nodes


def test_a_corrected_line_is_told_by_its_own_number_beside_parsed_records_of_the_same() -> None:
    files = [starts([text.encode() + b"\n"], quotes=False) for text in ("{}\nbad\n\n{}", "bad\n{}")]
    batch = {"id": "b", "format": "jsonl", "unparsed": [2, 4], "parsed": 3, "rows": [1, 2, 3, -2, -4]}
    told = placed(batch, files).select(["row", "file", "record", "line"]).to_pylist()
    assert [tuple(one.values()) for one in told] == [
        (1, 0, 1, 1),
        (2, 0, 2, 4),
        (3, 1, 1, 2),
        (-2, 0, None, 2),
        (-4, 1, None, 1),
    ]
    assert placed({**batch, "parsed": 4}, files).num_rows == 0


def test_a_row_is_traced_to_the_lines_of_its_files(home: Home) -> None:
    with home.opened() as context:
        found = record_trace(
            context, TABLE, [["A"], ["B"]], subject="user:auditor", purpose="audit", by=["station"], lines=True
        )
    told = {(row.key, row.position.file, row.position.line) for row in found.rows if row.position}
    assert found.exact
    assert told == {
        (1, "trips.1.jsonl", 2),
        (1, "trips.1.jsonl", 8),
        (1, "trips.2.jsonl.gz", 4),
        (2, "trips.1.jsonl", 4),
        (2, "trips.2.jsonl.gz", 1),
    }
