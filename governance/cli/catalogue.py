"""`gov catalogue`: the catalogue for other systems."""

from __future__ import annotations

import json
from pathlib import Path

import click

from governance.config import load_settings


@click.group("catalogue")
def command() -> None:
    """The catalogue for other systems.

    Example: gov catalogue export --base https://data.example > catalogue.jsonld
    """


@command.command("export")
@click.option("--base", required=True, help="Address below which the datasets' identifiers lie.")
@click.option(
    "--title", default="Data catalogue", show_default=True, help="Name of the catalogue and of who publishes it."
)
@click.option("--json", "as_json", is_flag=True, help="On one line instead of many; both forms are JSON-LD.")
@click.pass_obj
def export_command(home: Path | None, base: str, title: str, as_json: bool) -> None:
    """Print every dataset and curated table as DCAT-AP in JSON-LD: publisher, steward, columns, how open it is, where it is served.

    Example: gov catalogue export --base https://data.example > catalogue.jsonld
    """
    if not base.startswith(("http://", "https://")):
        raise click.UsageError(f"{base!r} is no address; allowed: https://…")
    from governance.catalog.load import load_catalogue
    from governance.pipeline.dcat import dcat
    from governance.state.database import Database
    from governance.use import release

    settings = load_settings(home)
    database = Database(settings.database_url)
    database.create()
    try:
        with database.read() as connection:
            live = release.live(connection)
    finally:
        database.close()
    published = live[1]["tables"] if live is not None else ()
    document = dcat(load_catalogue(settings), base=base, title=title, published=published)
    click.echo(json.dumps(document, ensure_ascii=False, indent=None if as_json else 1))
