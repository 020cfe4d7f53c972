"""`gov access break-glass` and `gov access review`: raw at once, for hours, and looked at afterwards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from governance.cli.access_options import (
    KEY_FILE,
    actor_of,
    as_option,
    because_option,
    fields_option,
    json_option,
    open_home,
    own_key_option,
    sign_with,
    tables_option,
)
from governance.cli.signing import one_of, private_key


@click.command("break-glass")
@as_option
@click.option("--purpose", help="What for; not needed when access.yaml allows it for one purpose only.")
@fields_option
@tables_option
@click.option("--hours", type=click.IntRange(1, 8), default=1, show_default=True, help="For how long.")
@because_option
@own_key_option
@json_option
@click.pass_obj
def break_glass_command(
    home: Path | None,
    subject: str,
    purpose: str | None,
    fields: tuple[str, ...],
    tables: tuple[str, ...],
    hours: int,
    because: str,
    key: Path,
    as_json: bool,
) -> None:
    """See fields raw at once, for hours, without asking, by one's own signature; an approver reviews it afterwards.

    Example: gov access break-glass --as user:zhao --field curated.person.phone --because "flood, evacuation of ward 3" --key zhao.pem
    """
    from governance.use.break_glass import break_glass
    from governance.use.request_state import instant

    context = open_home(home)
    made = break_glass(
        subject=subject,
        purpose=purpose,
        fields=fields,
        tables=tables,
        hours=hours,
        because=because,
        sign=sign_with(key),
        catalogue=context.catalogue,
        database=context.database,
        actor=actor_of(subject),
    )
    if as_json:
        click.echo(json.dumps({"request": made.id, "purpose": made.purpose, "to": instant(made.valid_to)}))
        return
    click.echo(made.id)
    click.echo(f"open until {instant(made.valid_to)}, in the ledger, and to be reviewed afterwards", err=True)


@click.command("review")
@click.argument("request")
@as_option
@click.option("--verdict", required=True, type=click.Choice(["justified", "misused"]), help="What was found.")
@because_option
@click.option("--key", type=KEY_FILE, help="Their Ed25519 key (PEM).")
@click.option("--signature", help="A signature (hex) made elsewhere, instead of --key.")
@json_option
@click.pass_obj
def review_command(
    home: Path | None,
    request: str,
    subject: str,
    verdict: Any,
    because: str,
    key: Path | None,
    signature: str | None,
    as_json: bool,
) -> None:
    """Review a break-glass that is over, by an approver's signature over the verdict.

    Example: gov access review REQUEST --as user:wang --verdict justified --because "flood of 3 June" --key wang.pem
    """
    from governance.use.break_glass import record_review, review
    from governance.use.request_state import find
    from governance.use.requests import document_hash
    from governance.use.signatures import REVIEWS, sign

    one_of(key, signature)
    context = open_home(home)
    if key is not None:
        with context.database.read() as connection:
            document = review(find(connection, request), verdict=verdict, because=because)
        signature = sign(REVIEWS, document_hash(document), private_key(key))
    record_review(
        request,
        subject=subject,
        verdict=verdict,
        because=because,
        signature=signature or "",
        catalogue=context.catalogue,
        database=context.database,
        actor=actor_of(subject),
    )
    click.echo(json.dumps({"request": request, "verdict": verdict}) if as_json else f"{verdict}, says {subject}")
