"""Record traces through tables whose lineage a person declares: supersets, exact up to there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from governance.pipeline.record_trace import record_trace
from governance.pipeline.trace_answer import RecordTrace
from tests.pipeline.home import Home, empty_home, month
from tests.pipeline.traced import publish
from tests.use.conftest import PUBLIC_KEY

ACCESS = f"""\
roles: [{{id: auditor}}, {{id: clerk}}]
purposes: [{{id: audit}}]
subjects:
  - {{name: "user:auditor", roles: [auditor], clearance: L4}}
  - {{name: "user:clerk", roles: [clerk], clearance: L4, attributes: {{places: ["north"]}}}}
  - {{name: "user:wang"}}
approvers: [{{subject: "user:wang", public_key: "{PUBLIC_KEY}"}}]
rules:
  - {{id: all, roles: [auditor], purposes: [audit], where: {{levels: [L1, L2]}}, action: raw}}
  - id: some
    roles: [clerk]
    purposes: [audit]
    where: {{levels: [L1, L2]}}
    action: raw
    row_filter: {{column: place, op: in, session: places}}
"""
WORD, NUMBER = {"logicalType": "string", "classification": "L2"}, {"logicalType": "integer", "classification": "L2"}
PLACES: Mapping[str, Mapping[str, Any]] = {"place": WORD, "size": NUMBER}
USES: Mapping[str, Mapping[str, Any]] = {"place": WORD, "kwh": NUMBER}
SEEN: Mapping[str, Mapping[str, Any]] = {"place": WORD, "size": NUMBER, "kwh": NUMBER}
SEEN_SQL = """\
-- gov.lineage: place from water.places.place because COLUMNS takes the places' columns
-- gov.lineage: size from water.places.size because COLUMNS takes the places' columns
-- gov.lineage: kwh from curated.used.kwh because it is the one of the used
-- gov.lineage: * from water.places.place because the join
SELECT COLUMNS('^(pl|si)'), u.kwh FROM water.places p JOIN (SELECT place AS at, kwh FROM curated.used) u ON u.at = p.place
"""
USED_SQL = "SELECT place, CAST(sum(kwh) AS BIGINT) AS kwh FROM power.uses GROUP BY place\n"
MIXED: Mapping[str, Mapping[str, Any]] = {"place": WORD, "kwh": NUMBER, "own": NUMBER}
MIXED_SQL = """\
SELECT s.place, max(s.kwh) AS kwh, max(w.size) AS own
FROM curated.seen s JOIN water.places w ON w.place = s.place GROUP BY s.place
"""
AFTER: Mapping[str, Mapping[str, Any]] = {"place": WORD, "rows": NUMBER}
AFTER_SQL = "SELECT place, count(*) AS rows FROM curated.seen GROUP BY place\n"
STEP = """\
# gov.lineage: place from water.places.place because it is handed on
# gov.lineage: Size from water.places.size because it is handed on
def rows(inputs):
    return inputs["water.places"].read_all().rename_columns(["place", "Size"])
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = empty_home(tmp_path_factory.mktemp("declared") / "home")
    (home.folder / "catalog" / "access.yaml").write_text(ACCESS, encoding="utf-8")
    home.declare("water.places", PLACES)
    home.declare("power.uses", USES)
    home.declare("curated.used", USES, sql=USED_SQL)
    home.declare("curated.seen", SEEN, sql=SEEN_SQL)
    home.declare("curated.mixed", MIXED, sql=MIXED_SQL)
    home.declare("curated.after", AFTER, sql=AFTER_SQL)
    home.declare("curated.step", {"place": WORD, "Size": NUMBER}, sql=STEP)
    curated = home.folder / "catalog" / "curated"
    (curated / "step.sql").rename(curated / "step.py")
    home.deliver("water.places", ["north,1", "south,2", "", "west,3"], PLACES)
    home.deliver("power.uses", ["north,10", "south,20", "north,30", ",40"], USES)
    assert home.run(month(1)).failed == ()
    with home.opened() as context:
        publish(context)
    return home


def traced(home: Home, table: str, column: str | None = None, who: str = "user:auditor", **options) -> RecordTrace:
    given = {"subject": who, "purpose": "audit", "by": ["place"], "column": column, **options}
    with home.opened() as context:
        return record_trace(context, table, [["north"]], **given)


def wholes(found: RecordTrace) -> dict[str, tuple[tuple[str, ...], bool, int | None]]:
    return {one.table: (one.through, one.value, one.rows) for one in found.whole}


def test_a_row_of_declared_lineage_is_of_any_row_of_the_declared_tables_and_says_who_declared_it(home: Home) -> None:
    found = traced(home, "curated.seen")
    assert not found.exact
    assert found.complete
    assert found.targets == 1
    assert wholes(found) == {"water.places": ((), True, 3), "power.uses": (("curated.used",), True, 4)}
    said = {one.table: one.reason for one in found.whole}
    assert said["power.uses"] == (
        "a person declared this lineage (catalog/curated/seen.sql:3: kwh because it is the one of the used)"
    )
    assert "seen.sql:1: place because COLUMNS takes" in said["water.places"]
    assert "seen.sql:4: * because the join" in said["water.places"]


def test_of_one_column_only_what_is_declared_of_it_and_of_the_rows_counts(home: Home) -> None:
    assert wholes(traced(home, "curated.seen", "size")) == {"water.places": ((), True, 3)} | {
        "power.uses": (("curated.used",), False, 4)  # the join with it was found
    }
    assert wholes(traced(home, "curated.seen", "kwh")) == {
        "water.places": ((), False, 3),
        "power.uses": (("curated.used",), True, 4),
    }


def test_rows_of_a_superset_are_listed_up_to_a_limit_with_file_and_line(home: Home) -> None:
    found = traced(home, "curated.seen", lines=True, most=2)
    [places] = [one for one in found.whole if one.table == "water.places"]
    assert places.rows == 3
    assert [(r.row, r.position.file, r.position.line) for r in places.records if r.position] == [
        (1, "water.places.csv", 2),
        (2, "water.places.csv", 3),
    ]
    everything = traced(home, "curated.seen", lines=True)
    [all_of_them] = [one.records for one in everything.whole if one.table == "water.places"]
    assert [r.position.line for r in all_of_them if r.position] == [2, 3, 5]


def test_a_chain_is_exact_up_to_the_declared_table(home: Home) -> None:
    found = traced(home, "curated.mixed")
    exact = {(row.table, row.row, row.through) for row in found.rows if row.batch}
    assert exact == {("water.places", 1, ())}
    assert wholes(found) == {
        "water.places": (("curated.seen",), True, 3),
        "power.uses": (("curated.seen", "curated.used"), True, 4),
    }


def test_a_column_of_an_exact_source_keeps_the_declared_one_for_its_rows(home: Home) -> None:
    found = traced(home, "curated.mixed", "own")
    assert {(row.table, row.row, row.value) for row in found.rows if row.batch} == {("water.places", 1, True)}
    assert not any(one.value for one in found.whole)
    assert {one.table for one in found.whole} == {"water.places", "power.uses"}


def test_a_count_of_declared_rows_comes_from_what_they_come_from(home: Home) -> None:
    found = traced(home, "curated.after", "rows")
    assert {one.table: one.value for one in found.whole} == {"water.places": True, "power.uses": True}


def test_a_step_in_python_is_traced_to_what_it_declares(home: Home) -> None:
    found = traced(home, "curated.step", "Size")
    assert wholes(found) == {"water.places": ((), True, 3)}
    assert found.whole[0].reason.endswith("(catalog/curated/step.py:2: Size because it is handed on)")


def test_under_a_row_filter_a_superset_is_neither_counted_nor_listed(home: Home) -> None:
    found = traced(home, "curated.seen", who="user:clerk")
    assert {(one.table, one.rows, one.records) for one in found.whole} == {
        ("water.places", None, ()),
        ("power.uses", None, ()),
    }
    assert not found.complete


def test_a_row_whose_key_is_null_is_traced(home: Home) -> None:
    given = {"subject": "user:auditor", "purpose": "audit"}
    with home.opened() as context:
        found = record_trace(context, "curated.used", [[None]], by=["place"], **given)
        both = record_trace(context, "curated.used", [[None, "40"], ["north", None]], by=["place", "kwh"], **given)
    assert {(row.table, row.row) for row in found.rows} == {("power.uses", 4)}
    assert {(row.key, row.row) for row in both.rows} == {(1, 4)}


def test_the_command_says_that_it_is_a_superset(home: Home, tmp_path: Path) -> None:
    from click.testing import CliRunner

    from governance.cli.main import group

    keys = tmp_path / "keys"
    keys.write_text("north\n", encoding="utf-8")
    arguments = ["--home", str(home.folder), "trace", "curated.seen", "--as", "user:auditor", "--purpose", "audit"]
    arguments += ["--by", "place", "--key-file", str(keys), "--most", "2"]
    text = CliRunner().invoke(group, arguments, catch_exceptions=False).output
    assert "superset: a person declared this lineage (catalog/curated/seen.sql:1: place because COLUMNS" in text
    assert "any of the 3 rows of water.places, 1 not listed" in text
    assert "not exact: a superset of 2 tables" in text
    keys.write_text("\\N\n", encoding="utf-8")
    none = CliRunner().invoke(group, arguments, catch_exceptions=False).output
    assert none.endswith("0 rows of curated.seen, 0 landed records\nno such row is there for this subject\n")
    keys.write_text("north\n", encoding="utf-8")
    told = json.loads(CliRunner().invoke(group, [*arguments, "--json"], catch_exceptions=False).output)
    assert not told["exact"]
    assert sorted(one["rows"] for one in told["whole"]) == [3, 4]
