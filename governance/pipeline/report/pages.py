"""Renders the report's pages into a folder; the folder is replaced as a whole."""

from __future__ import annotations

import shutil
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from governance.lineage.graph import upstream
from governance.lineage.picture import picture
from governance.pipeline.context import Context
from governance.pipeline.report.facts import ReportFacts, RunLine, TableFacts, read_facts


def write_report(context: Context, folder: Path | None = None) -> Path:
    """Write the report into `folder` (default: the home's reports folder); returns the path of its first page."""
    target = folder or context.settings.reports / "site"
    facts = read_facts(context)
    fresh = target.with_name(target.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    (fresh / "tables").mkdir(parents=True)
    environment = _environment()
    _write(fresh / "index.html", environment, "index.html", facts=facts, root="")
    for table in facts.datasets:
        _write(
            fresh / "tables" / f"{table.name}.html",
            environment,
            "table.html",
            facts=facts,
            table=table,
            root="../",
            lineage=(),
        )
    for table in facts.curated:
        lineage = _pictures(context, table)
        _write(
            fresh / "tables" / f"{table.name}.html",
            environment,
            "table.html",
            facts=facts,
            table=table,
            root="../",
            lineage=lineage,
        )
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)
    return target / "index.html"


def _pictures(context: Context, table: TableFacts) -> tuple[tuple[str, Markup], ...]:
    with context.database.read() as connection:
        return tuple((name, Markup(picture(upstream(connection, table.name, name)))) for name, *_ in table.fields)


def _write(path: Path, environment: Environment, template: str, **values: object) -> None:
    path.write_text(environment.get_template(template).render(**values), encoding="utf-8")


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


def sparkline(runs: tuple[RunLine, ...]) -> Markup:
    """A small picture of the share of passed rows, oldest run first; empty when fewer than two runs have a verdict."""
    shares = [run.good_percent for run in reversed(runs[:30]) if run.good_percent is not None]
    if len(shares) < 2:
        return Markup("")
    low = min(shares)
    span = (max(shares) - low) or 1.0
    step = 90 / (len(shares) - 1)
    points = " ".join(f"{3 + i * step:.1f},{19 - 15 * (share - low) / span:.1f}" for i, share in enumerate(shares))
    return Markup(
        '<svg class="spark" width="96" height="22" role="img" aria-label="passed rows by run">'
        f'<polyline points="{points}" fill="none" stroke="currentColor" stroke-width="1.6"/></svg>'
    )


__all__ = ["ReportFacts", "sparkline", "write_report"]
