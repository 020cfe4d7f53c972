"""`gov reconcile`: the live source against what the lake holds of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from governance.cli.sequenced import at_the_end
from governance.config import load_settings
from governance.errors import GovernanceError

if TYPE_CHECKING:
    from governance.manage.reconcile import Difference, Reconciled


@click.command("reconcile")
@click.argument("dataset")
@click.option("--window", help="Start of the batch's window, ISO 8601. Default: the newest batch.")
@click.option("--quick", is_flag=True, help="Believe a database's counts and sums; do not read its rows again.")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
@click.pass_obj
def command(home: Path | None, dataset: str, window: str | None, quick: bool, as_json: bool) -> None:
    """Compare the live source with what landed and with what the lake holds. The result is recorded; a difference opens an incident.

    Example: gov reconcile water.readings --window 2026-01-01
    """
    from governance.cli.run import parse_window, require_datasets
    from governance.pipeline.context import open_context
    from governance.pipeline.reconcile import as_facts, reconcile

    context = at_the_end(open_context(load_settings(home), sound_only=True))
    require_datasets(context, [dataset])
    found = reconcile(context, dataset, parse_window(window, None) if window else None, quick=quick)
    if as_json:
        click.echo(json.dumps(as_facts(found), ensure_ascii=False))
    else:
        _say(found)
    if found.verdict == "differs":
        raise GovernanceError(
            "the lake does not hold what landed", where=found.batch, do="gov incident list; collect it --again"
        )


def _say(found: Reconciled) -> None:
    source = "" if found.source_rows is None else f"{found.source_rows:,} rows at the source, "
    click.echo(
        f"{found.batch}: {found.verdict} (source compared by {found.how}); {source}{found.landed_rows:,} landed, "
        f"{found.lake_rows:,} in the lake, {found.duplicates:,} declared duplicates, {found.unparsed:,} unparsed lines"
    )
    _difference("changed at the source since", found.since, ("gone", "new", "altered"))
    _difference("not in the lake as landed", found.lake, ("missing", "foreign", "altered"))
    for name, (landed, lake) in sorted(found.sums.items()):
        if landed != lake:
            click.echo(f"  sum of {name}: {landed} landed, {lake} in the lake")
    if found.corrected:
        click.echo(f"  corrected by a steward: {found.corrected:,}")
    if found.not_compared:
        click.echo(f"  not compared, since the table did not have them: {', '.join(found.not_compared)}")


def _difference(title: str, found: Difference, words: tuple[str, str, str]) -> None:
    if not found.rows:
        return
    kinds = zip(
        words,
        (found.only_first, found.only_second, found.altered),
        (found.first_at, found.second_at, found.altered_at),
        strict=True,
    )
    parts = [f"{n:,} {word}" + (f" (row {', '.join(map(str, at))})" if at else "") for word, n, at in kinds if n]
    columns = f"; fields {', '.join(found.columns)}" if found.columns else ""
    click.echo(f"  {title}: {'' if found.complete else 'at least '}{', '.join(parts)}{columns}")
