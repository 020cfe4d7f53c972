"""The locked worker alone: what it cannot reach even when the guard is not there to refuse."""

from __future__ import annotations

import numpy as np
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


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT count(*) FROM curated.t", [(3,)]),
        ("SELECT a FROM curated.t LIMIT 1", [(0,)]),
        ("SELECT sum(a) OVER (ORDER BY a) FROM curated.t ORDER BY 1", [(0,), (1,), (3,)]),
        ("SELECT count(*) FROM curated.t x JOIN curated.t y ON x.a <= y.a", [(6,)]),
        ("WITH c AS (FROM curated.t) SELECT (SELECT max(a) FROM c), (SELECT min(a) FROM c)", [(2, 0)]),
        ("SELECT a FROM curated.t WHERE a > (SELECT avg(a) FROM curated.t)", [(2,)]),
        (
            "SELECT a FROM curated.t UNION ALL SELECT -a FROM curated.t ORDER BY 1",
            [(-2,), (-1,), (0,), (0,), (1,), (2,)],
        ),
        ("SELECT count(*) FROM curated.t WHERE a > 5 AND false", [(0,)]),
    ],
)
def test_a_table_is_whole_however_often_a_statement_reads_it(sql, expected):
    found = run(sql)[0]
    assert list(zip(*(column.to_pylist() for column in found.columns), strict=True)) == expected


def test_rows_of_a_table_that_is_read_once_are_not_held():
    """256 MB for DuckDB, and twice that goes through."""
    numbers = np.arange(500_000)

    def batches():
        for at in range(60):
            yield pa.record_batch({"a": pa.array(numbers + at), "b": pa.array(numbers)})

    schema = pa.schema([("a", pa.int64()), ("b", pa.int64())])
    stream = pa.RecordBatchReader.from_batches(schema, batches())
    request = {"sql": "SELECT count(*), sum(a + b) FROM curated.t", "tables": {"t": "curated.t"}, "threads": 1}
    limits = Limits(memory_mb=512, seconds=60, locked=True)
    request |= {"memory_mb": 256, "max_rows": None}
    with start("governance.use.locked:run", request, limits=limits, inputs={"t": stream}) as worker:
        [[rows], _] = [column.to_pylist() for column in worker.stream().read_all().columns]
    assert rows == 30_000_000
