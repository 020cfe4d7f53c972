"""`gov serve`: the query service, and the API keys of the services that call it."""

from __future__ import annotations

import json
import os
import pwd
import uuid
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from governance.config import LOOPBACK, load_settings

if TYPE_CHECKING:
    from governance.pipeline.context import Context
    from governance.service.api_keys import ApiKey
    from governance.state.database import Database
    from governance.state.values import Actor

_AS = click.option("--as", "subject_as", help="Who does this, for the ledger; else the name of the system's user.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
_FILE = click.Path(exists=True, dir_okay=False)


@click.group("serve", invoke_without_command=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=8091, show_default=True, help="Port to listen on.")
@click.option("--certificate", type=_FILE, help="PEM file of the TLS certificate chain.")
@click.option("--private-key", type=_FILE, help="PEM file of its private key.")
@click.option("--behind-proxy", is_flag=True, help="A proxy before it speaks TLS: listen without, on any address.")
@click.pass_context
def command(
    ctx: click.Context, host: str, port: int, certificate: str | None, private_key: str | None, behind_proxy: bool
) -> None:
    """Serve published tables over HTTP until stopped, to whoever has a token of the issuer in gov.toml or an API key.
    Tables whose declarations have faults are left out, and said.

    Example: gov serve --port=8091
    """
    if ctx.invoked_subcommand is not None:
        return
    if bool(certificate) != bool(private_key):
        raise click.UsageError("--certificate and --private-key go together")
    if host not in LOOPBACK and not certificate and not behind_proxy:
        raise click.UsageError("logins would cross the network in the clear: give --certificate, or say --behind-proxy")
    from governance.service.app import serve

    context = _opened(ctx.obj)
    click.echo(f"the query service is at {'https' if certificate else 'http'}://{host}:{port}")
    serve(context, host, port, certificate, private_key)


@command.command("flight")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=8092, show_default=True, help="Port to listen on.")
@click.option("--certificate", type=_FILE, help="PEM file of the TLS certificate chain.")
@click.option("--private-key", type=_FILE, help="PEM file of its private key.")
@click.pass_obj
def flight_command(home: Path | None, host: str, port: int, certificate: str | None, private_key: str | None) -> None:
    """Serve published tables over Arrow Flight SQL (ADBC, JDBC) until stopped; the purpose comes in the header x-gov-purpose.

    Example: gov serve flight --port=8092
    """
    if bool(certificate) != bool(private_key):
        raise click.UsageError("--certificate and --private-key go together")
    if host not in LOOPBACK and not certificate:
        raise click.UsageError("logins would cross the network in the clear: give --certificate")
    from governance.pipeline.sequencing import sequencing
    from governance.service.flight import FlightService
    from governance.use.query import keep_ready

    pair = (Path(certificate).read_bytes(), Path(private_key).read_bytes()) if certificate and private_key else None
    context = _opened(home)
    server = FlightService(context, host, port, pair)
    keep_ready(context.settings, 2)
    click.echo(f"the query service is at {'grpc+tls' if pair else 'grpc'}://{host}:{port}")
    with sequencing(context):
        server.serve()


@command.group("key")
def key_command() -> None:
    """API keys of services: shown once, kept as a hash, ended at any time.

    Example: gov serve key new --subject service:bi --days 90
    """


@key_command.command("new")
@click.option("--subject", required=True, help="Whose key: service:NAME, a subject of access.yaml.")
@click.option("--days", type=click.IntRange(1, 366), required=True, help="How long it holds.")
@_AS
@_JSON
@click.pass_obj
def new_command(home: Path | None, subject: str, days: int, subject_as: str | None, as_json: bool) -> None:
    """Make a key and print it, this once.

    Example: gov serve key new --subject service:bi --days 90
    """
    from governance.service.api_keys import create

    key, made = create(subject, days=days, actor=_actor(subject_as), database=_database(home))
    if as_json:
        click.echo(json.dumps({"key": key, **_plain(made, made.created_at)}))
    else:
        click.echo(f"{key}\nkey {made.id} of {subject}, until {made.expires_at:%Y-%m-%d}; it is not shown again")


@key_command.command("list")
@_JSON
@click.pass_obj
def list_command(home: Path | None, as_json: bool) -> None:
    """Keys that were made: whose, by whom, until when; never the keys.

    Example: gov serve key list --json
    """
    from governance.cli.query import as_text
    from governance.service.api_keys import listed

    database = _database(home)
    with database.read() as connection:
        found = [_plain(key, database.clock()) for key in listed(connection)]
    if as_json:
        click.echo(json.dumps(found))
    elif not found:
        click.echo("no API key was made yet")
    else:
        click.echo(as_text(list(found[0]), [tuple(each.values()) for each in found]))


@key_command.command("revoke")
@click.argument("key_id")
@_AS
@_JSON
@click.pass_obj
def revoke_command(home: Path | None, key_id: str, subject_as: str | None, as_json: bool) -> None:
    """End a key now, by its id.

    Example: gov serve key revoke 0f2a6c1be94d
    """
    from governance.service.api_keys import revoke

    database = _database(home)
    ended = revoke(key_id, actor=_actor(subject_as), database=database)
    click.echo(
        json.dumps(_plain(ended, database.clock())) if as_json else f"key {ended.id} of {ended.subject} holds no more"
    )


def _opened(home: Path | None) -> Context:
    """The home's sound declarations; what is left out is said on standard error."""
    from governance.service.home import open_served

    context = open_served(load_settings(home))
    for fault in context.faults:
        click.echo(f"left out: {fault}", err=True)
    return context


def _plain(key: ApiKey, at: datetime) -> dict[str, str]:
    state = "holds" if key.holds(at) else "revoked" if key.revoked_at else "expired"
    return {
        "id": key.id,
        "subject": key.subject,
        "state": state,
        "created_by": key.created_by,
        "created_at": key.created_at.isoformat(timespec="seconds"),
        "expires_at": key.expires_at.isoformat(timespec="seconds"),
    }


def _actor(subject: str | None) -> Actor:
    from governance.state.values import Actor

    return Actor(subject or f"system:{pwd.getpwuid(os.getuid()).pw_name}", "service.keys", uuid.uuid4().hex)


def _database(home: Path | None) -> Database:
    from governance.state.database import Database

    database = Database(load_settings(home).database_url)
    database.create()
    return database
