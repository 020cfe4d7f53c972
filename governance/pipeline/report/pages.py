"""Renders the report's pages into a folder; the folder is replaced as a whole."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from governance.errors import GovernanceError
from governance.lineage.graph import ROWS, Answer, Node, upstream
from governance.lineage.picture import picture
from governance.pipeline.context import Context
from governance.pipeline.report.concerns import concerns
from governance.pipeline.report.facts import DETAILED_RUNS, RunLine, TableFacts, read_facts
from governance.pipeline.report.rules import RuleLine

_MATRIX_RUNS = 8


@dataclass(frozen=True, slots=True)
class Origin:
    """Where one curated column comes from: the source columns by name, and the whole way as a picture."""

    column: str
    sources: tuple[str, ...]
    complete: bool
    svg: Markup


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """One rule over the newest runs: the newest line of it, and its line in each run (None where it was not judged)."""

    rule: RuleLine
    lines: tuple[RuleLine | None, ...]


def write_report(context: Context, folder: Path | None = None) -> Path:
    """Write the report into `folder` (default: the home's reports folder); returns the path of its first page.

    What the folder held is replaced. Raises GovernanceError when it holds something that is no report.
    """
    target = (folder or context.settings.reports / "site").resolve()
    if target.exists() and any(target.iterdir()) and not (target / "tables").is_dir():
        allowed = "a new or empty folder, or a report that is to be replaced"
        raise GovernanceError("there is something else in this folder", where=str(target), allowed=allowed)
    facts = read_facts(context)
    fresh = target.with_name(target.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    (fresh / "tables").mkdir(parents=True)
    environment = _environment()
    environment.globals["facts"] = facts
    index = environment.get_template("index.html").render(concerns=concerns(facts))
    (fresh / "index.html").write_text(index, encoding="utf-8")
    page = environment.get_template("table.html")
    curated = {table.name for table in facts.curated}
    for table in facts.tables:
        lineage = _origins(context, table) if table.name in curated else ()
        text = page.render(
            table=table,
            curated=table.name in curated,
            lineage=lineage,
            matrix=matrix(table.runs),
            matrix_runs=table.runs[:_MATRIX_RUNS],
            detailed=table.runs[:DETAILED_RUNS],
        )
        (fresh / "tables" / f"{table.name}.html").write_text(text, encoding="utf-8")
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)
    return target / "index.html"


def matrix(runs: Sequence[RunLine]) -> tuple[MatrixRow, ...]:
    """Rules that found something in the newest runs, by run; the worst of the newest run first."""
    shown = runs[:_MATRIX_RUNS]
    by_run = [{rule.id: rule for rule in run.rules} for run in shown]
    found = {rule.id: rule for run in reversed(shown) for rule in run.rules}
    told = {rule.id for run in shown for rule in run.rules if rule.state != "clean"}
    rows = [MatrixRow(found[name], tuple(rules.get(name) for rules in by_run)) for name in told]
    return tuple(sorted(rows, key=lambda row: row.rule.order))


def _origins(context: Context, table: TableFacts) -> tuple[Origin, ...]:
    with context.database.read() as connection:
        answers = [(name, upstream(connection, table.name, name)) for name, *_ in table.fields]
    return tuple(Origin(name, _sources(a), a.complete, Markup(picture(a))) for name, a in answers)


def _sources(answer: Answer) -> tuple[str, ...]:
    """The ends that the column's own value comes from, not those that only decide which rows there are."""
    before: dict[Node, list[Node]] = {}
    for link in answer.links:
        if link.kind == "DIRECT":
            before.setdefault(link.target, []).append(link.source)
    seen, waiting = {answer.root}, [answer.root]
    while waiting:
        for node in before.get(waiting.pop(), []):
            if node not in seen:
                seen.add(node)
                waiting.append(node)
    return tuple(str(node) for node in answer.ends if node in seen and node.column != ROWS)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("governance.pipeline.report"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["n"] = lambda number: f"{number:,}"
    environment.filters["when"] = lambda instant: f"{instant:%Y-%m-%d %H:%M} UTC"
    environment.filters["spark"] = sparkline
    return environment


def sparkline(runs: Sequence[RunLine]) -> Markup:
    """A small picture of the share of passed rows, oldest run first; empty when fewer than two runs have a verdict.

    Its height is at least five points of a hundred, so that a small change looks small.
    """
    shares = [run.good_percent for run in reversed(runs[:30]) if run.good_percent is not None]
    if len(shares) < 2:
        return Markup("")
    high = max(shares)
    span = max(high - min(shares), 5.0)
    step = 84 / (len(shares) - 1)
    points = " ".join(f"{3 + i * step:.1f},{4 + 14 * (high - share) / span:.1f}" for i, share in enumerate(shares))
    return Markup(
        '<svg class="spark" width="90" height="22" role="img" aria-label="passed rows by run">'
        f'<polyline points="{points}" fill="none" stroke="currentColor" stroke-width="1.6"/></svg>'
    )
