"""Types that do not compile are run by GX's own engine, as a job under its own grant; an error is neither a pass nor a failed row."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from governance.cli.main import group
from governance.errors import DeclarationError, NotReady
from governance.pipeline.incidents import incidents
from governance.pipeline.observations import observations
from governance.pipeline.with_gx import judge_with_gx
from governance.state import tables
from tests.pipeline.home import FIRST, METERS, empty_home, month

pytestmark = pytest.mark.pipeline

SUITE = {
    "name": "by gx",
    "expectations": [
        {"type": "expect_column_values_to_be_increasing", "kwargs": {"column": "meter"}},
        {"type": "expect_column_values_to_be_decreasing", "kwargs": {"column": "reading"}},
        {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "holder"}},
        {"type": "expect_column_values_to_match_json_schema", "kwargs": {"column": "reading", "json_schema": 5}},
    ],
}


def test_a_suite_is_run_by_gx_recorded_and_marked(tmp_path: Path) -> None:
    home = empty_home(tmp_path)
    home.declare("water.meters", METERS)
    home.deliver("water.meters", FIRST)
    suite = tmp_path / "by_gx.json"
    suite.write_text(json.dumps(SUITE), encoding="utf-8")
    with home.opened() as context, pytest.raises(NotReady):
        judge_with_gx(context, "water.meters", suite)
    home.run(month(1), models=False)
    done = CliRunner().invoke(
        group, ["--home", str(tmp_path), "judge", "water.meters", "--suite", str(suite), "--with-gx", "--json"]
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)
    assert [(r["success"], r["errored"], r["compiles"]) for r in found["results"]] == [
        (True, False, False), (False, False, False), (True, False, True), (False, True, False),
    ]  # fmt: skip
    assert found["results"][1]["counts"]["unexpected_count"] == 2
    with home.opened() as context, context.database.read() as connection:
        (seen,) = observations(connection, kind="gx")
        opened = {i.expectation: i.unexpected for i in incidents(connection)}
        purposes = connection.execute(
            select(tables.grant.c.subject).where(tables.grant.c.purpose == "pipeline.judge_with_gx")
        )
        assert set(purposes.scalars()) == {"service:manage@water"}
        said = json.dumps(dict(seen.facts), ensure_ascii=False)
    assert seen.facts["engine"].startswith("great_expectations 1.")
    assert opened == {
        "gx:expect_column_values_to_be_decreasing:reading": 2,
        "gx:expect_column_values_to_match_json_schema:reading": None,
    }
    assert "张三甲" not in said


def test_a_suite_that_names_what_is_not_there_is_a_fault(tmp_path: Path) -> None:
    home = empty_home(tmp_path)
    home.declare("water.meters", METERS)
    suite = tmp_path / "wrong.json"
    wrong = [{"type": "expect_nothing"}, {"type": "expect_column_values_to_be_null", "kwargs": {"column": "gone"}}]
    suite.write_text(json.dumps({"name": "x", "expectations": wrong}), encoding="utf-8")
    with home.opened() as context, pytest.raises(DeclarationError) as raised:
        judge_with_gx(context, "water.meters", suite)
    assert "GX has no type 'expect_nothing'" in str(raised.value)
    assert "there is no column 'gone'" in str(raised.value)
    done = CliRunner().invoke(group, ["--home", str(tmp_path), "judge", "water.meters", "--with-gx"])
    assert "--with-gx needs --suite" in done.output
