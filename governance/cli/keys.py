"""`gov keys`: the key service, and the names of the keys that exist."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import click

from governance.cli.keys_rotate import rotate_command
from governance.cli.keys_shred import shred_command, sign_command
from governance.config import load_settings


@click.group("keys")
def command() -> None:
    """Key custody: serve keys to the pipeline's roles, list their names, destroy them by two people.

    Example: gov keys serve --socket /run/gov/keys.sock
    """


@command.command("serve")
@click.option("--socket", "path", type=click.Path(path_type=Path), required=True, help="Unix socket to serve on.")
@click.option(
    "--issuers",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="TOML file: whose tokens prove a consumer (docs/KEYS.md); without it no consumer's key is opened.",
)
@click.pass_obj
def serve_command(home: Path | None, path: Path, issuers: Path | None) -> None:
    """Serve the home's keyring on a Unix socket until stopped; callers are known by their uid, grants judged by the
    declarations that this home has.

    Example: gov keys serve --socket /run/gov/keys.sock --issuers issuers.toml
    """
    from governance.keys.authority import Authority
    from governance.keys.consumers import Issuers, read_issuers
    from governance.keys.custody import CustodyLedger
    from governance.keys.open import open_keyring
    from governance.keys.service import Custody, serve
    from governance.pipeline.custody import HomeRules
    from governance.state.database import Database

    settings = load_settings(home)
    database = Database(settings.database_url)
    database.create()
    known = read_issuers(issuers) if issuers is not None else Issuers()
    keyring = open_keyring(settings, database)
    ledger = CustodyLedger(settings.keyring)
    rules = HomeRules(settings, database, keyring, ledger)
    custody = Custody(keyring, database, Authority(rules), known, ledger)
    threading.Thread(target=rules.follow, args=(threading.Event(),), daemon=True).start()
    click.echo(f"serving keys on {path}")
    serve(path, custody)


@command.command("ledger")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
@click.pass_obj
def ledger_command(home: Path | None, as_json: bool) -> None:
    """Verify the key service's own ledger; prints how many lines it has and the hash of the last one, to be kept elsewhere.

    Example: gov keys ledger
    """
    from governance.keys.custody import FILE, verify

    lines, head = verify(load_settings(home).keyring / FILE)
    click.echo(json.dumps({"lines": lines, "head": head}) if as_json else f"{lines} lines, head {head}")


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
@click.pass_obj
def list_command(home: Path | None, as_json: bool) -> None:
    """Names of the keys that exist; never the keys.

    Example: gov keys list --json
    """
    from governance.keys.open import open_keyring
    from governance.state.database import Database

    settings = load_settings(home)
    names = open_keyring(settings, Database(settings.database_url)).names()
    click.echo(json.dumps(names) if as_json else "\n".join(names) or "no key was made yet")


command.add_command(shred_command)
command.add_command(sign_command)
command.add_command(rotate_command)
