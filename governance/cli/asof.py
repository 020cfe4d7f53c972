"""`gov as-of`: what was in force for a table at a past instant, and the texts of it."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import click

from governance.cli.instant import INSTANT
from governance.cli.query import as_text
from governance.config import load_settings


@click.command("as-of")
@click.argument("table", required=False)
@click.argument("at", metavar="INSTANT", type=INSTANT, required=False)
@click.option("--valid-at", type=INSTANT, help="Also the batches whose window holds this instant, as known at INSTANT.")
@click.option("--text", "sha256", help="Instead: print the text that is kept under this hash (its start is enough).")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
@click.pass_obj
def command(
    home: Path | None,
    table: str | None,
    at: datetime | None,
    valid_at: datetime | None,
    sha256: str | None,
    as_json: bool,
) -> None:
    """Say what was in force for TABLE at INSTANT: contract, model or suite, access rules, data, run, verdict, release.

    INSTANT is of recorded time: what was written later does not count. Every text can be read by its hash.

    Example: gov as-of curated.person 2026-03-01T12:00:00+08:00
    """
    if (sha256 is None) == (table is None or at is None):
        raise click.UsageError("give TABLE and INSTANT, or --text HASH")
    from governance.pipeline.asof import facts_at, text_of
    from governance.state.database import Database

    database = Database(load_settings(home).database_url)
    database.create()
    try:
        with database.read() as connection:
            if sha256 is not None:
                click.echo(text_of(connection, sha256), nl=False)
                return
            assert table is not None
            assert at is not None
            found = facts_at(connection, table, at, valid_at=valid_at)
    finally:
        database.close()
    if as_json:
        told = [{"what": f.what, "value": f.value, "since": _told(f.since), "text": f.text or None} for f in found]
        click.echo(json.dumps({"table": table, "at": at.isoformat(), "in_force": told}, ensure_ascii=False))
        return
    rows = [(f.what, f.value, _told(f.since) or "", f"gov as-of --text {f.text[:12]}" if f.text else "") for f in found]
    click.echo(as_text(["what", "in force", "since", "its text"], rows))


def _told(at: datetime | None) -> str | None:
    return at.isoformat(timespec="seconds") if at is not None else None
