"""`gov release`: list, propose, sign, approve, publish."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import click

from governance.cli.query import as_text
from governance.cli.sequenced import at_the_end
from governance.cli.signing import one_of, private_key
from governance.config import load_settings


@click.group("release")
def command() -> None:
    """Propose curated tables for publishing, sign a release, publish it.

    Example: gov release propose; gov release approve HASH --as user:steward --key steward.pem; gov release publish HASH
    """


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
@click.pass_obj
def list_command(home: Path | None, as_json: bool) -> None:
    """List all releases, newest first.

    Example: gov release list
    """
    from governance.use.release import listed

    context = _open(home)
    with context.database.read() as connection:
        releases = listed(connection)
    if as_json:
        click.echo(json.dumps(releases, ensure_ascii=False))
        return
    if not releases:
        click.echo("no release yet")
        return
    rows = [(r["release"], r["status"], r["proposed_at"][:19], ", ".join(r["approvers"])) for r in releases]
    click.echo(as_text(["release", "status", "proposed", "approved by"], rows))


@command.command("propose")
@click.option("--table", "tables", multiple=True, help="Only this curated table (may be given several times).")
@click.option("--as", "subject", default="user:engineer", show_default=True, help="Who proposes.")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
@click.pass_obj
def propose_command(home: Path | None, tables: tuple[str, ...], subject: str, as_json: bool) -> None:
    """Propose the current state of curated tables as a release; prints its hash, which is what a steward signs.

    Example: gov release propose
    """
    from governance.use.release import propose

    context = _open(home)
    release = propose(
        context.catalogue, models=tables or None, database=context.database, lake=context.lake, actor=_actor(subject)
    )
    click.echo(json.dumps({"release": release}) if as_json else release)


@command.command("keygen")
@click.option(
    "--to", "path", required=True, type=click.Path(path_type=Path, dir_okay=False), help="File of the new private key."
)
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
def keygen_command(path: Path, as_json: bool) -> None:
    """Make a steward's signing key (Ed25519, PEM, mode 0600); prints its public half, for `approvers` in access.yaml.

    Example: gov release keygen --to steward.pem
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    if path.exists():
        raise click.UsageError(f"{path} is there already; name another file")
    key = Ed25519PrivateKey.generate()
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
    click.echo(json.dumps({"public_key": public}) if as_json else public)


@command.command("sign")
@click.argument("release")
@click.option(
    "--key", required=True, type=click.Path(path_type=Path, dir_okay=False, exists=True), help="Ed25519 key (PEM)."
)
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
def sign_command(release: str, key: Path, as_json: bool) -> None:
    """Sign a release hash with a steward's private key; prints the signature (hex), for Airflow's approval form.

    Example: gov release sign HASH --key steward.pem
    """
    if len(release) != 64 or set(release) - set("0123456789abcdef"):
        raise click.UsageError(
            "RELEASE is not a release hash; allowed: 64 hex digits, as `gov release list` shows them"
        )
    signature = _signed(release, key)
    click.echo(json.dumps({"release": release, "signature": signature}) if as_json else signature)


@command.command("approve")
@click.argument("release")
@click.option("--as", "subject", required=True, help="The approver, as access.yaml names them.")
@click.option("--key", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="Their Ed25519 key (PEM).")
@click.option("--signature", help="A signature (hex) made elsewhere, instead of --key.")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
@click.pass_obj
def approve_command(
    home: Path | None, release: str, subject: str, key: Path | None, signature: str | None, as_json: bool
) -> None:
    """Record a steward's approval: an Ed25519 signature over the release hash.

    Example: gov release approve HASH --as user:steward --key steward.pem
    """
    from governance.use.release import approve

    one_of(key, signature)
    context = _open(home)
    signed = signature if signature is not None else _signed(release, key)
    approve(
        release,
        subject=subject,
        signature=signed,
        catalogue=context.catalogue,
        database=context.database,
        actor=_actor(subject),
    )
    click.echo(json.dumps({"release": release, "approved_by": subject}) if as_json else f"approved by {subject}")


@command.command("publish")
@click.argument("release")
@click.option("--as", "subject", default="user:engineer", show_default=True, help="Who publishes.")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
@click.pass_obj
def publish_command(home: Path | None, release: str, subject: str, as_json: bool) -> None:
    """Make an approved release the live one; the former is superseded.

    Example: gov release publish HASH
    """
    from governance.use.release import publish

    context = _open(home)
    published = publish(
        release,
        catalogue=context.catalogue,
        settings=context.settings,
        database=context.database,
        lake=context.lake,
        actor=_actor(subject),
    )
    if as_json:
        tables = {name: str(snapshot) for name, snapshot in published.snapshots.items()}
        click.echo(json.dumps({"release": release, "tables": tables, "policy_set_hash": published.policy_set_hash}))
    else:
        click.echo(f"live: {', '.join(sorted(published.snapshots))}")


def _open(home: Path | None) -> Any:
    from governance.pipeline.context import open_context

    return at_the_end(open_context(load_settings(home)))


def _actor(subject: str) -> Any:
    from governance.state.values import Actor

    return Actor(subject, "pipeline.use", uuid.uuid4().hex)


def _signed(release: str, key: Path | None) -> str:
    from governance.use.release import sign

    assert key is not None
    return sign(release, private_key(key))
