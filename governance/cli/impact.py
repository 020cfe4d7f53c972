"""`gov impact`: what breaks, and who is concerned, when a column changes."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from governance.cli.instant import INSTANT
from governance.config import load_settings

if TYPE_CHECKING:
    from governance.pipeline.impact import Impact

_SHOWN = 40
_TITLES = {
    "values": "hold its values",
    "rows": "are decided by it",
    "models": "models",
    "checks": "checks between departments",
    "expectations": "expectations",
    "references": "fields that refer to it",
    "policies": "access rules",
    "keys": "keys",
    "releases": "live release",
    "consumers": "see it published",
    "outside": "tables outside this catalogue",
}


@click.command("impact")
@click.argument("field", metavar="TABLE.COLUMN")
@click.option("--as", "subject", help="Only what this subject may know of; the rest is counted.")
@click.option(
    "--as-of", "as_of", type=INSTANT, help="As it was recorded at this instant: lineage, declarations, release, rules."
)
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
@click.pass_obj
def command(home: Path | None, field: str, subject: str | None, as_of: datetime | None, as_json: bool) -> None:
    """Say what depends on TABLE.COLUMN and whom a change of it concerns, and whether that is all.

    Example: gov impact population.residents.birth_date
    """
    table, _, column = field.rpartition(".")
    if not table or ("." not in table and ":" not in table):
        raise click.UsageError(
            f"{field!r} is not a column; allowed: <department>.<dataset>.<field>, curated.<model>.<field>"
        )
    from governance.cli.lineage import require_declared
    from governance.pipeline.context import open_context
    from governance.pipeline.impact import impact

    context = open_context(load_settings(home))
    found = impact(context, table, column, subject=subject, as_of=as_of)
    if not (found.values or found.rows) and ":" not in table and as_of is None:
        require_declared(context.settings, table, column)
    if as_json:
        click.echo(json.dumps(found.as_dict(), ensure_ascii=False))
        return
    for line in lines(found):
        click.echo(line)


def lines(found: Impact) -> list[str]:
    """The answer as text; long lists are shortened, and say so."""
    told = [str(found.root)]
    for name, title in _TITLES.items():
        items = [str(item) for item in getattr(found, name)]
        if items:
            more = f" and {len(items) - _SHOWN:,} more (--json has all)" if len(items) > _SHOWN else ""
            told.append(f"{len(items):,} {title}: {', '.join(items[:_SHOWN])}{more}")
    if len(told) == 1:
        told.append("nothing depends on it")
    told.append("complete" if not found.cut else "not complete: " + "; ".join(found.cut[:_SHOWN]))
    return told
