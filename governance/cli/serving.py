"""`gov serving`: the copies that lookups and attestations read."""

from __future__ import annotations

import json
from pathlib import Path

import click

from governance.config import load_settings


@click.command("serving")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
@click.pass_obj
def command(home: Path | None, as_json: bool) -> None:
    """Make the copy of every published table that can be looked up by its identifier, and take away those of former releases.

    The first lookup of a table would make it; with a key service only the system user of `serve` can.

    Example: gov serving
    """
    from governance.lake import serving
    from governance.pipeline.context import open_context
    from governance.use import release
    from governance.use.lookup_copies import ensure_layout
    from governance.use.lookup_decided import identifier

    context = open_context(load_settings(home))
    with context.database.read() as connection:
        live = release.live(connection)
    snapshots = release.snapshots_of(live[1]) if live else {}
    serving.remove_stale(context.lake, snapshots)
    made = []
    for table, snapshot in sorted(snapshots.items()):
        by = identifier(context.catalogue, table)
        if by:
            ensure_layout(table, by, snapshot, settings=context.settings, database=context.database, lake=context.lake)
            made.append({"table": table, "by": by, "snapshot": str(snapshot)})
    if as_json:
        click.echo(json.dumps(made))
        return
    for copy in made:
        click.echo(f"{copy['table']} by {copy['by']}, snapshot {copy['snapshot']}")
    if not made:
        click.echo("nothing is published that can be looked up")
