"""`gov explain`: every field of a table for one subject and purpose."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import click

from governance.cli.instant import INSTANT
from governance.cli.query import as_text
from governance.config import load_settings


@click.command("explain")
@click.argument("table")
@click.option("--as", "subject", required=True, help="Whose sight, e.g. user:li.")
@click.option("--purpose", required=True, help="For which purpose.")
@click.option("--as-of", "as_of", type=INSTANT, help="As it was recorded at this instant: data, rules, requests.")
@click.option(
    "--valid-at", type=INSTANT, help="With --as-of: rules and requests that begin or end count as at this instant."
)
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
@click.pass_obj
def command(
    home: Path | None,
    table: str,
    subject: str,
    purpose: str,
    as_of: datetime | None,
    valid_at: datetime | None,
    as_json: bool,
) -> None:
    """Say for every field of TABLE what SUBJECT sees of it for PURPOSE, by which rule, and why.

    Example: gov explain --as user:li --purpose statistics curated.person
    """
    from governance.pipeline.asof import catalogue_of
    from governance.pipeline.context import open_context
    from governance.use.who_sees import explain

    if valid_at is not None and as_of is None:
        raise click.UsageError("--valid-at goes with --as-of")
    context = open_context(load_settings(home))
    catalogue = context.catalogue if as_of is None else catalogue_of(context, as_of)
    sights = explain(
        table,
        subject=subject,
        purpose=purpose,
        catalogue=catalogue,
        database=context.database,
        lake=context.lake,
        as_of=as_of,
        valid_at=valid_at,
    )
    if as_json:
        click.echo(json.dumps([sight.as_dict() for sight in sights], ensure_ascii=False))
        return
    rows = [(s.field, s.outcome, "some rows" if s.filtered else "", s.reason) for s in sights]
    click.echo(as_text(["field", "outcome", "rows", "reason"], rows))
