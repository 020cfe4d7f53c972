"""The four departments of Chicago through the whole pipeline, held against what is known of their files."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from sqlalchemy import func, select

from governance.config import load_settings
from governance.pipeline.context import Context, open_context
from governance.pipeline.run import RunResult, run_all
from governance.state import batches
from governance.state.batches import BatchRow
from governance.state.tables import finding
from governance.state.values import Window

HOME = Path(__file__).parents[2] / "examples" / "chicago"
DATA = Path(__file__).parents[2].parent / "shared" / "data" / "chicago"
COMPLAINTS = "streets_sanitation.complaints"

pytestmark = [
    pytest.mark.pipeline,
    pytest.mark.skipif(not DATA.is_dir(), reason="the City's files are not here (shared/data/chicago)"),
]


@dataclass(frozen=True)
class Finished:
    """A home after the older complaints and then everything were run."""

    context: Context
    older: RunResult
    present: RunResult

    def rows(self, table: str, columns: list[str]) -> pa.Table:
        """Clear columns of the rows that readers of the present see."""
        lake = self.context.lake
        current = True if table == COMPLAINTS else None
        return lake.scan(table, lake.snapshot(table), columns, current=current).read_all()

    def batch(self, dataset: str) -> BatchRow:
        """The dataset's last batch."""
        with self.context.database.read() as connection:
            return batches.batches(connection, dataset)[-1]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    home = tmp_path_factory.mktemp("chicago")
    shutil.copytree(HOME / "catalog", home / "catalog")
    shutil.copytree(HOME / "expectations", home / "expectations")
    shutil.copy(HOME / "gov.toml", home)
    data = home / "data"
    data.mkdir()
    for name in ("business_affairs_licenses", "health_food_inspections", "health_violation_counts"):
        (data / f"{name}.csv.gz").symlink_to(DATA / f"{name}.csv.gz")
    delivery = data / "streets_sanitation_complaints.csv.gz"
    delivery.symlink_to(DATA / "streets_sanitation_complaints_20141110.csv.gz")
    context = open_context(replace(load_settings(home), threads=2, memory_limit_mb=1024))
    older = run_all(context, _at(datetime(2014, 11, 10, tzinfo=UTC)), datasets=[COMPLAINTS], models=False)
    delivery.unlink()
    delivery.symlink_to(DATA / "streets_sanitation_complaints.csv.gz")
    present = run_all(context, _at(datetime(2015, 1, 2, tzinfo=UTC)))
    yield Finished(context, older, present)
    context.database.close()


def test_every_step_goes_through(finished: Finished) -> None:
    assert [str(step) for step in (*finished.older.failed, *finished.present.failed)] == []


def test_inspected_licences_are_found_in_the_register(finished: Finished) -> None:
    enterprise = finished.rows("curated.enterprise", ["license_number", "registered", "inspections"])
    numbers = _asked(
        "SELECT count(*) FILTER (inspections > 0), count(*) FILTER (inspections > 0 AND registered),"
        " count(DISTINCT license_number) FROM enterprise",
        enterprise=enterprise,
    )
    assert numbers == (12_367, 11_406, 12_367)


def test_inspections_without_a_licence_are_findings(finished: Finished) -> None:
    inspections = finished.rows("public_health.food_inspections", ["license_number"])
    enterprise = finished.rows("curated.enterprise", ["license_number", "registered"])
    expected = _asked(
        "SELECT count(*) FROM inspections JOIN enterprise USING (license_number) WHERE NOT registered",
        inspections=inspections,
        enterprise=enterprise,
    )
    with finished.context.database.read() as connection:
        found = connection.execute(select(func.count()).where(finding.c.check_name == "unlicensed")).scalar_one()
    assert (found,) == expected
    assert found > 961


def test_repeated_complaint_numbers_are_counted_as_gx_counts_them_and_stay(finished: Finished) -> None:
    stored, judged = finished.batch(COMPLAINTS).stored, finished.batch(COMPLAINTS).judged
    assert stored is not None
    assert judged is not None
    assert stored.metrics["unique:request_number"].unexpected == 746
    assert judged.outcome == "go_with_warnings"
    complaints = finished.rows(COMPLAINTS, ["request_number"])
    repeated = _asked(
        "SELECT count(*), sum(n), sum(n - 1) FROM (SELECT count(*) AS n FROM complaints GROUP BY request_number)"
        " WHERE n > 1",
        complaints=complaints,
    )
    assert repeated == (371, 746, 375)
    assert complaints.num_rows == 74_401


def test_between_two_deliveries_exactly_what_really_changed_is_a_change(finished: Finished) -> None:
    stored = finished.batch(COMPLAINTS).stored
    assert stored is not None
    changes = {name: stored.changes.get(name, 0) for name in ("changed", "new", "gone", "held")}
    assert changes == {"changed": 242, "new": 1_553, "gone": 1, "held": 0}


def test_rows_without_a_licence_are_put_aside_and_identical_rows_are_one(finished: Finished) -> None:
    judged = finished.batch("business_affairs.licenses").judged
    assert judged is not None
    assert judged.counts.balanced
    assert judged.counts.parsed == 27_600
    assert judged.counts.quarantined == 1  # the first of 2,846 rows that hold no licence; they are all alike
    licences = finished.rows("business_affairs.licenses", ["license_number", "record_id"])
    assert licences.num_rows == judged.counts.passed == 17_430
    assert _asked("SELECT count(DISTINCT license_number) FROM licences", licences=licences) == (11_406,)


def test_a_legal_name_is_nowhere_in_the_lake_in_the_clear(finished: Finished) -> None:
    files = [path for path in finished.context.settings.lake.rglob("*") if path.is_file()]
    assert files
    assert [path.name for path in files if b"VIRGINIA DELA ROSA" in path.read_bytes()] == []


def _at(instant: datetime) -> Window:
    return Window(instant, instant)


def _asked(query: str, **tables: pa.Table) -> tuple[int, ...] | None:
    """The one row that DuckDB answers over these tables."""
    with duckdb.connect() as connection:
        for name, table in tables.items():
            connection.register(name, table)
        return connection.execute(query).fetchone()
