"""`gov keys`: the key service, and the names of the keys that exist."""

from __future__ import annotations

import json
from pathlib import Path

import click

from governance.cli.keys_shred import shred_command, sign_command
from governance.config import load_settings


@click.group("keys")
def command() -> None:
    """Key custody: serve keys to the pipeline's roles, list their names, destroy them by two people.

    Example: gov keys serve --socket /run/gov/keys.sock
    """


@command.command("serve")
@click.option("--socket", "path", type=click.Path(path_type=Path), required=True, help="Unix socket to serve on.")
@click.pass_obj
def serve_command(home: Path | None, path: Path) -> None:
    """Serve the home's keyring on a Unix socket until stopped; callers are known by their uid.

    Example: gov keys serve --socket /run/gov/keys.sock
    """
    from governance.keys.keyring import Keyring
    from governance.keys.service import serve
    from governance.state.database import Database

    settings = load_settings(home)
    database = Database(settings.database_url)
    database.create()
    click.echo(f"serving keys on {path}")
    serve(path, Keyring(settings.keyring, database), database)


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
@click.pass_obj
def list_command(home: Path | None, as_json: bool) -> None:
    """Names of the keys that exist; never the keys.

    Example: gov keys list --json
    """
    from governance.keys.keyring import Keyring
    from governance.state.database import Database

    settings = load_settings(home)
    names = Keyring(settings.keyring, Database(settings.database_url)).names()
    click.echo(json.dumps(names) if as_json else "\n".join(names) or "no key was made yet")


command.add_command(shred_command)
command.add_command(sign_command)
