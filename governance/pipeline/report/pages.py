"""Renders the report's pages into a folder; the folder is replaced as a whole.

index.html                   the five stages, the six dimensions, what needs somebody, departments, curated tables, releases
scorecard.html               every point of the five stages with the facts behind it
incidents.html               what fails, since when, whose it is, what it reaches
providers.html               whose data is late or getting worse
departments/<name>.html      trends of one department (or of the curated tables), its providers and tables
tables/<name>.html           runs, rules, dimensions, fields and lineage of one table
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape
from sqlalchemy import Connection, func, select

from governance.catalog import dimensions
from governance.errors import GovernanceError
from governance.lineage.index import Index
from governance.pipeline.context import Context
from governance.pipeline.report import charts, marks, said, sla, trend
from governance.pipeline.report.concerns import Concern, worst_first
from governance.pipeline.report.facts import RunLine, TableFacts
from governance.pipeline.report.origins import origins
from governance.pipeline.report.read import Reader, releases
from governance.pipeline.report.rows import TableRow, row_of
from governance.pipeline.report.rules import RuleLine
from governance.pipeline.report.troubles import Troubles, troubles
from governance.pipeline.report.words import chinese
from governance.pipeline.scorecard import chinese as scorecard_chinese
from governance.pipeline.scorecard import rules as scorecard_rules
from governance.pipeline.scorecard.recorded import Recorded
from governance.pipeline.scorecard.score import Collector, Scorecard, trend_instants
from governance.state import tables

MATRIX_RUNS = 8
SHOWN_RUNS = 60
SHOWN_RULES = 4
SHOWN_CONCERNS = 30
SHOWN_RELEASES = 20


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """One rule over the newest runs: the newest line of it, and its line in each run (None where it was not judged)."""

    rule: RuleLine
    lines: tuple[RuleLine | None, ...]


@dataclass(slots=True)
class Department:
    """What its page shows; grows as tables are read."""

    name: str
    trend: trend.Trend
    rows: list[TableRow] = field(default_factory=list)

    @property
    def curated(self) -> bool:
        return self.name == "curated"

    @property
    def concerns(self) -> tuple[Concern, ...]:
        return worst_first(concern for row in self.rows for concern in row.concerns)

    @property
    def outcomes(self) -> dict[str, int]:
        """How many tables stand at each outcome of their newest run."""
        found: dict[str, int] = {}
        for row in self.rows:
            outcome = row.latest.outcome if row.latest else "nothing yet"
            found[outcome] = found.get(outcome, 0) + 1
        return dict(sorted(found.items()))

    @property
    def incidents(self) -> int:
        return sum(row.incidents for row in self.rows)


@dataclass(slots=True)
class Site:
    """What all pages but those of tables need; grows as tables are read, one by one."""

    step: trend.Step
    whole: trend.Trend
    departments: dict[str, Department] = field(default_factory=dict)
    providers: dict[str, trend.Trend] = field(default_factory=dict)
    standing: dict[str, list[sla.Standing]] = field(default_factory=dict)

    def add(self, table: TableFacts, windows: Sequence[RunLine], row: TableRow, on_time: bool | None) -> None:
        own = self.trend()
        own.add(table, windows)
        self.whole.merge(own)
        department = self.departments.setdefault(table.department, Department(table.department, self.trend()))
        department.trend.merge(own)
        department.rows.append(row)
        if table.provider:
            self.providers.setdefault(table.provider, self.trend()).merge(own)
            self.standing.setdefault(table.provider, []).append(sla.standing_of(table, on_time))

    def trend(self) -> trend.Trend:
        return trend.Trend(self.step)

    @property
    def concerns(self) -> tuple[Concern, ...]:
        return worst_first(c for department in self.departments.values() for c in department.concerns)


def page_names(departments: Iterable[str], tables: Iterable[str]) -> tuple[str, ...]:
    """Paths of all pages below the report's folder.

    >>> page_names(["tax"], ["tax.invoices"])[-2:]
    ('departments/tax.html', 'tables/tax.invoices.html')
    """
    fixed = ("index.html", "scorecard.html", "incidents.html", "providers.html")
    return (*fixed, *(f"departments/{d}.html" for d in departments), *(f"tables/{t}.html" for t in tables))


def write_report(context: Context, folder: Path | None = None) -> Path:
    """Write the report into `folder` (default: the home's reports folder); returns the path of its first page.

    What the folder held is replaced. Raises GovernanceError when it holds something that is no report.
    """
    target = (folder or context.settings.reports / "site").resolve()
    if target.exists() and any(target.iterdir()) and not (target / "tables").is_dir():
        allowed = "a new or empty folder, or a report that is to be replaced"
        raise GovernanceError("there is something else in this folder", where=str(target), allowed=allowed)
    fresh = target.with_name(target.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    for name in ("tables", "departments"):
        (fresh / name).mkdir(parents=True)
    instants = trend_instants(context)
    with context.database.read() as connection:
        _write(context, connection, fresh, instants)
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)
    return target / "index.html"


def matrix(runs: Sequence[RunLine]) -> tuple[MatrixRow, ...]:
    """Rules that found something in the newest runs, by run; the worst of the newest run first."""
    shown = runs[:MATRIX_RUNS]
    by_run = [{rule.id: rule for rule in run.rules} for run in shown]
    found = {rule.id: rule for run in reversed(shown) for rule in run.rules}
    told = {rule.id for run in shown for rule in run.rules if rule.state != "clean"}
    rows = [MatrixRow(found[name], tuple(rules.get(name) for rules in by_run)) for name in told]
    return tuple(sorted(rows, key=lambda row: row.rule.order))


def _write(context: Context, connection: Connection, folder: Path, instants: Sequence[datetime]) -> None:
    reader, index = Reader(context, connection), Index(context.settings.lineage / "graph")
    recorded = Recorded(connection, reader.contracts())
    collector = Collector(recorded, instants)
    step = _step(connection)
    site = Site(step, trend.Trend(step))
    environment = _environment(reader.at)
    for table in _all(reader):
        collector.add(table)
        windows = table.windows()
        points = {name: trend.of_windows(windows, name) for name in dimensions.DIMENSIONS}
        on_time = recorded.around(table.name).newest("freshness", reader.at)
        site.add(table, windows, row_of(table, windows, points), on_time)
        _table_page(environment, connection, index, table, points, folder)
    found = troubles(connection, index, reader.at)
    card = collector.scorecard()
    providers = sla.providers(site.providers, site.standing)
    for department in site.departments.values():
        own = [one for one in found.open if one.department == department.name]
        of = [one for one in providers if one.department == department.name]
        page = environment.get_template("department.html")
        text = page.render(department=department, troubles=own, providers=of, up="../", here="")
        (folder / "departments" / f"{department.name}.html").write_text(text, encoding="utf-8")
    _fixed_pages(environment, connection, folder, site, found, card, providers)


def _fixed_pages(
    environment: Environment,
    connection: Connection,
    folder: Path,
    site: Site,
    found: Troubles,
    card: Scorecard,
    providers: Sequence[sla.Provider],
) -> None:
    told: Mapping[str, Mapping[str, object]] = {
        "index": {"site": site, "card": card, "found": found, "releases": releases(connection)[:SHOWN_RELEASES]},
        "scorecard": {"card": card},
        "incidents": {"found": found},
        "providers": {"providers": providers, "rules": sla.RULES, "step": site.step},
    }
    for name, values in told.items():
        text = environment.get_template(f"{name}.html").render(**values, up="", here=name)
        (folder / f"{name}.html").write_text(text, encoding="utf-8")


def _table_page(
    environment: Environment,
    connection: Connection,
    index: Index,
    table: TableFacts,
    points: Mapping[dimensions.Dimension, trend.Points],
    folder: Path,
) -> None:
    text = environment.get_template("table.html").render(
        table=table,
        lineage=origins(connection, index, table) if table.curated else (),
        matrix=matrix(table.runs),
        matrix_runs=table.runs[:MATRIX_RUNS],
        shown_runs=table.runs[:SHOWN_RUNS],
        detailed=[run for run in table.runs[:SHOWN_RULES] if run.rules],
        points=points,
        up="../",
        here="",
    )
    (folder / "tables" / f"{table.name}.html").write_text(text, encoding="utf-8")


def _all(reader: Reader) -> Iterator[TableFacts]:
    yield from reader.datasets()
    yield from reader.curated()


def _step(connection: Connection) -> trend.Step:
    columns = tables.batch.c
    first, last = connection.execute(select(func.min(columns.window_end), func.max(columns.window_end))).one()
    return trend.step_for(first, last) if first else "day"


def _environment(at: datetime) -> Environment:
    environment = Environment(
        loader=PackageLoader("governance.pipeline.report"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["n"] = lambda number: f"{number:,}"
    environment.filters["when"] = lambda instant: f"{instant:%Y-%m-%d %H:%M} UTC"
    environment.filters["score"] = lambda number: "–" if number is None else f"{number:.1f}"
    environment.filters["band"] = band
    environment.filters["zh"] = chinese
    environment.filters["breakable"] = breakable
    environment.filters["told"] = said.told
    environment.filters["told_below"] = said.told_below
    environment.filters["shown_zh"] = scorecard_chinese.shown
    environment.globals.update(
        at=at,
        DIMENSIONS=dimensions.DIMENSIONS,
        CHINESE=dict[str, str]([*dimensions.CHINESE.items(), *scorecard_rules.CHINESE.items()]),
        SHOWN_CONCERNS=SHOWN_CONCERNS,
        SHOWN_RUNS=SHOWN_RUNS,
        SHOWN_RULES=SHOWN_RULES,
        sparkline=charts.sparkline,
        chart=charts.chart,
        passed=trend.passed,
        badge=marks.badge,
        th=marks.th,
        say=marks.say,
        count=marks.count,
        tell=said.tell,
        brief=said.brief,
        both=said.both,
        linked=said.linked,
        Word=said.Word,
        scored_zh=scorecard_chinese.SAYS,
    )
    return environment


def breakable(name: str) -> Markup:
    """A name that may be broken after its dots, colons and slashes.

    >>> breakable("tax.invoices")
    Markup('tax.<wbr>invoices')
    """
    text = str(escape(name))
    for sign in (".", ":", "/"):
        text = text.replace(sign, sign + "<wbr>")
    return Markup(text)


def band(score: float | None) -> str:
    """The class of a score's colour.

    >>> [band(score) for score in (None, 100.0, 99.4, 96.0, 80.0)]
    ['none', 'full', 'good', 'fair', 'poor']
    """
    if score is None:
        return "none"
    return "full" if score >= 99.95 else "good" if score >= 99 else "fair" if score >= 95 else "poor"
