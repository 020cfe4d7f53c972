"""`gov who-sees`: every subject and purpose for one field."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import click

from governance.cli.instant import INSTANT
from governance.cli.query import as_text
from governance.config import load_settings


@click.command("who-sees")
@click.argument("field")
@click.option("--all", "everybody", is_flag=True, help="Those who see nothing too.")
@click.option("--as-of", "as_of", type=INSTANT, help="As it was recorded at this instant: data, rules, requests.")
@click.option(
    "--valid-at", type=INSTANT, help="With --as-of: rules and requests that begin or end count as at this instant."
)
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON, those who see nothing included.")
@click.pass_obj
def command(
    home: Path | None, field: str, everybody: bool, as_of: datetime | None, valid_at: datetime | None, as_json: bool
) -> None:
    """Say who sees FIELD (<schema>.<table>.<field>), for which purpose, how, and by which rule.

    Example: gov who-sees curated.person.resident_no
    """
    if field.count(".") != 2:
        raise click.UsageError(f"{field!r} is not a field; allowed: curated.<model>.<field>")
    from governance.pipeline.asof import catalogue_of
    from governance.pipeline.context import open_context
    from governance.use.who_sees import who_sees

    if valid_at is not None and as_of is None:
        raise click.UsageError("--valid-at goes with --as-of")
    context = open_context(load_settings(home))
    catalogue = context.catalogue if as_of is None else catalogue_of(context, as_of)
    sights = who_sees(
        field, catalogue=catalogue, database=context.database, lake=context.lake, as_of=as_of, valid_at=valid_at
    )
    if as_json:
        click.echo(json.dumps([sight.as_dict() for sight in sights], ensure_ascii=False))
        return
    shown = [sight for sight in sights if everybody or sight.outcome != "none"]
    rows = [(s.subject, s.purpose, s.outcome, "some rows" if s.filtered else "", s.reason) for s in shown]
    click.echo(as_text(["subject", "purpose", "outcome", "rows", "reason"], rows))
    nothing = {s.subject for s in sights} - {s.subject for s in sights if s.outcome != "none"}
    click.echo(f"{len(nothing)} other subjects see nothing")
