"""The locked worker alone: what it cannot reach even when the guard is not there to refuse."""

from __future__ import annotations

import pyarrow as pa
import pytest

from governance.errors import GovernanceError
from governance.workers import Limits, start

PROBES = [
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_csv('/etc/passwd')",
    "FROM '/etc/passwd'",
    "SELECT * FROM glob('/*')",
    "SELECT getenv('PATH')",
    "SELECT * FROM query('SELECT * FROM read_text(''/etc/passwd'')')",
    "SELECT * FROM df",
]


def run(sql, rows=3, max_rows=None):
    stream = pa.table({"a": list(range(rows))}).to_reader()
    request = {"sql": sql, "tables": {"t": "curated.t"}, "threads": 1, "memory_mb": 256, "max_rows": max_rows}
    limits = Limits(memory_mb=512, seconds=60, locked=True)
    with start("governance.use.locked:run", request, limits=limits, inputs={"t": stream}) as worker:
        return worker.stream().read_all(), worker.result()


def test_it_runs_one_select_over_its_streams():
    table, result = run("SELECT sum(a) AS s FROM curated.t")
    assert table.to_pylist() == [{"s": 3}]
    assert result == {"rows": 1}


@pytest.mark.parametrize("sql", PROBES)
def test_it_reaches_no_file_and_no_variable(sql):
    shown = outcome(sql)
    assert shown in ("[]", "[{\"getenv('PATH')\": None}]") or shown.startswith("the statement failed: ")
    assert "passwd" not in shown


def outcome(sql):
    try:
        return str(run(sql)[0].to_pylist())
    except GovernanceError as error:
        return str(error)


@pytest.mark.parametrize(
    "sql", ["SET threads = 1", "ATTACH ':memory:' AS x", "CREATE TABLE x (a INT)", "SELECT 1; SELECT 2"]
)
def test_it_runs_nothing_but_a_select(sql):
    with pytest.raises(GovernanceError, match="not one SELECT"):
        run(sql)


def test_it_runs_out_of_memory_by_code():
    with pytest.raises(GovernanceError, match=r"failed: (memory|other)|memory limit"):
        run("SELECT list(x) FROM range(100000000) AS r(x)")


def test_it_counts_the_rows_that_leave():
    with pytest.raises(GovernanceError, match="more than 2 rows"):
        run("SELECT a FROM curated.t", max_rows=2)
