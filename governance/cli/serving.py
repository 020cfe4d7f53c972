"""`gov serving`: the copies that lookups and attestations read."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from governance.config import Settings, load_settings
from governance.errors import GovernanceError

if TYPE_CHECKING:
    from governance.state.database import Database

_EVERY_SECONDS = 5.0


@click.command("serving")
@click.option("--follow", is_flag=True, help="Stay, and make the copies of each release that is published.")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
@click.pass_obj
def command(home: Path | None, follow: bool, as_json: bool) -> None:
    """Make the copy of every published table that can be looked up by its identifier, and take away those of former releases.

    The first lookup of a table would make it; with a key service only the system user of `serve` can.

    Example: gov serving
    """
    settings = load_settings(home)
    if follow:
        _follow(settings, as_json)
        return
    made = _made(settings)
    _tell(made, as_json)
    if not made and not as_json:
        click.echo("nothing is published that can be looked up")


def _follow(settings: Settings, as_json: bool) -> None:
    """Until it is stopped. What goes wrong is said once, and tried again."""
    from governance.state.database import Database

    database = Database(settings.database_url)
    database.create()
    done, said = None, ""
    while True:
        try:
            live = _live(database)
            if live != done:
                _tell(_made(settings), as_json)
            done, said = live, ""
        except GovernanceError as error:
            if str(error) != said:
                said = str(error)
                click.echo(said, err=True)
        time.sleep(_EVERY_SECONDS)


def _live(database: Database) -> str | None:
    from governance.use import release

    with database.read() as connection:
        found = release.live(connection)
    return found[0] if found is not None else None


def _made(settings: Settings) -> list[dict[str, str]]:
    """The copies of the live release, all of them there now."""
    from governance.lake import serving
    from governance.service.home import open_served
    from governance.use import release
    from governance.use.lookup_copies import ensure_layout
    from governance.use.lookup_decided import identifier

    context = open_served(settings)
    with context.database.read() as connection:
        live = release.live(connection)
    snapshots = release.snapshots_of(live[1]) if live else {}
    serving.remove_stale(context.lake, snapshots)
    made = []
    for table, snapshot in sorted(snapshots.items()):
        by = identifier(context.catalogue, table)
        if by:
            ensure_layout(table, by, snapshot, settings=settings, database=context.database, lake=context.lake)
            made.append({"table": table, "by": by, "snapshot": str(snapshot)})
    context.database.close()
    return made


def _tell(made: list[dict[str, str]], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(made))
        return
    for copy in made:
        click.echo(f"{copy['table']} by {copy['by']}, snapshot {copy['snapshot']}")
