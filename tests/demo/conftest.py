"""One small city in two months, generated once for all tests of the demo."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from governance.demo.city import CityInfo, generate
from tests.demo.delivered import delivered

MONTHS = ("2026-01", "2026-02")


@dataclass(frozen=True, slots=True)
class Generated:
    """A month: its sources, what `generate` said, its answer key and its datasets as a department's colleague would read them."""

    sources: Path
    info: CityInfo
    answers: pa.Table
    tables: dict[str, pa.Table]

    def query(self, sql: str) -> list[tuple[object, ...]]:
        """SQL over `answers` and the datasets, named by their short names, each with `row` from 1."""
        with duckdb.connect() as connection:
            connection.register("answers", self.answers)
            for name, table in self.tables.items():
                connection.register(name.partition(".")[2], table)
            return connection.execute(sql).fetchall()


@pytest.fixture(scope="session")
def months(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Generated]:
    found = {}
    for month in MONTHS:
        sources = tmp_path_factory.mktemp(month) / "sources"
        info = generate(sources, seed=11, people=2000, month=month)
        found[month] = Generated(sources, info, pq.read_table(info.answers), delivered(sources))
    return found


@pytest.fixture
def january(months: dict[str, Generated]) -> Generated:
    return months["2026-01"]


@pytest.fixture
def february(months: dict[str, Generated]) -> Generated:
    return months["2026-02"]
