"""`gov report`: the offline HTML report."""

from __future__ import annotations

import json
from pathlib import Path

import click

from governance.config import load_settings


@click.command("report")
@click.option(
    "--to", "folder", type=click.Path(path_type=Path, file_okay=False), help="Folder to write (replaced as a whole)."
)
@click.option("--open", "open_it", is_flag=True, help="Open the first page in a browser.")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
@click.pass_obj
def command(home: Path | None, folder: Path | None, open_it: bool, as_json: bool) -> None:
    """Write static pages: scores of stages and dimensions over time, incidents, providers, every dataset by run, lineage of curated columns.

    Example: gov report --open
    """
    from governance.pipeline.context import open_context
    from governance.pipeline.report import write_report

    page = write_report(open_context(load_settings(home)), folder)
    click.echo(json.dumps({"page": str(page)}) if as_json else str(page))
    if open_it:
        click.launch(page.as_uri())
