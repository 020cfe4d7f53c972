"""What is kept of a table for the pages that list many: one line each, its small pictures made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from governance.catalog.dimensions import DIMENSIONS, Dimension
from governance.pipeline.report import charts, trend
from governance.pipeline.report.concerns import Concern, concerns_of
from governance.pipeline.report.facts import RunLine, TableFacts


@dataclass(frozen=True, slots=True)
class TableRow:
    """One dataset or curated table in a list. `scores` are of the newest verdict, `sparks` of all windows."""

    name: str
    department: str
    provider: str
    owner: str
    columns: tuple[str, ...]
    latest: RunLine | None
    passed: Markup
    scores: Mapping[Dimension, float | None]
    sparks: Mapping[Dimension, Markup]
    incidents: int
    findings: Mapping[str, int]
    concerns: tuple[Concern, ...]


def row_of(table: TableFacts, windows: Sequence[RunLine], points: Mapping[Dimension, trend.Points]) -> TableRow:
    """`windows` are the table's, `points` those of its dimensions."""
    return TableRow(
        name=table.name,
        department=table.department,
        provider=table.provider,
        owner=table.owner,
        columns=tuple(name for name, *_ in table.fields),
        latest=table.latest,
        passed=charts.sparkline(trend.passed(windows), width=60),
        scores={dimension: table.score(dimension) for dimension in DIMENSIONS},
        sparks={dimension: charts.sparkline(points[dimension], width=40) for dimension in DIMENSIONS},
        incidents=table.incidents,
        findings=table.findings,
        concerns=concerns_of(table),
    )
