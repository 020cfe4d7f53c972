"""`gov explain`: every field of a table for one subject and purpose."""

from __future__ import annotations

import json
from pathlib import Path

import click

from governance.cli.query import as_text
from governance.config import load_settings


@click.command("explain")
@click.argument("table")
@click.option("--as", "subject", required=True, help="Whose sight, e.g. user:li.")
@click.option("--purpose", required=True, help="For which purpose.")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
@click.pass_obj
def command(home: Path | None, table: str, subject: str, purpose: str, as_json: bool) -> None:
    """Say for every field of TABLE what SUBJECT sees of it for PURPOSE, by which rule, and why.

    Example: gov explain --as user:li --purpose statistics curated.person
    """
    from governance.pipeline.context import open_context
    from governance.use.who_sees import explain

    context = open_context(load_settings(home))
    sights = explain(
        table,
        subject=subject,
        purpose=purpose,
        catalogue=context.catalogue,
        database=context.database,
        lake=context.lake,
    )
    if as_json:
        click.echo(json.dumps([sight.as_dict() for sight in sights], ensure_ascii=False))
        return
    rows = [(s.field, s.outcome, "some rows" if s.filtered else "", s.reason) for s in sights]
    click.echo(as_text(["field", "outcome", "rows", "reason"], rows))
