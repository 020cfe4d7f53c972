"""`gov portal`: the web pages."""

from __future__ import annotations

from pathlib import Path

import click

from governance.config import load_settings


@click.command("portal")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=8090, show_default=True, help="Port to listen on.")
@click.pass_obj
def command(home: Path | None, host: str, port: int) -> None:
    """Serve the reports and the catalogue as web pages until stopped. Pages hold names, rules and counts, never a cell value.

    Example: gov portal --port 8090
    """
    from governance.pipeline.context import open_context
    from governance.portal.app import serve

    context = open_context(load_settings(home))
    click.echo(f"the portal is at http://{host}:{port}")
    serve(context, host, port)
