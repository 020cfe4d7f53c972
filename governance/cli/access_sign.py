"""`gov access sign` and `gov access approve`: an approver's signature over exactly what is given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from governance.cli.access_options import (
    KEY_FILE,
    actor_of,
    as_option,
    json_option,
    narrowing_of,
    narrowing_options,
    open_home,
)
from governance.cli.signing import one_of, private_key


@click.command("sign")
@click.argument("request")
@narrowing_options
@click.option("--verdict", type=click.Choice(["justified", "misused"]), help="Of a break-glass: sign its review.")
@click.option("--decline", is_flag=True, help="Sign that the request is declined.")
@click.option("--because", default="", help="With --verdict or --decline: the reason, in a sentence.")
@click.option("--key", required=True, type=KEY_FILE, help="Ed25519 key (PEM).")
@json_option
@click.pass_obj
def sign_command(
    home: Path | None,
    request: str,
    action: str | None,
    fields: tuple[str, ...],
    until: str | None,
    verdict: Any,
    decline: bool,
    because: str,
    key: Path,
    as_json: bool,
) -> None:
    """Sign an approval (all of it, or what the options leave of it) a refusal or a review elsewhere; prints the signature (hex).

    The same options go with the signature to `gov access approve`, `decline` or `review`.

    Example: gov access sign REQUEST --key wang.pem
    """
    from governance.use.break_glass import review
    from governance.use.request_state import find
    from governance.use.requests import approval, document_hash, refusal
    from governance.use.signatures import APPROVES, DECLINES, REVIEWS, sign

    if decline and verdict is not None:
        raise click.UsageError("--verdict is of a break-glass, --decline of a request")

    with open_home(home).database.read() as connection:
        found = find(connection, request)
    if verdict is not None:
        words, document = REVIEWS, review(found, verdict=verdict, because=because)
    elif decline:
        words, document = DECLINES, refusal(found, because=because)
    else:
        words, document = APPROVES, approval(found, narrowing_of(action, fields, until))
    signature = sign(words, document_hash(document), private_key(key))
    answer = {"request": found.id, "document": document, "signature": signature}
    click.echo(json.dumps(answer, ensure_ascii=False) if as_json else signature)


@click.command("approve")
@click.argument("request")
@as_option
@narrowing_options
@click.option("--key", type=KEY_FILE, help="Their Ed25519 key (PEM).")
@click.option("--signature", help="A signature (hex) made elsewhere, instead of --key.")
@json_option
@click.pass_obj
def approve_command(
    home: Path | None,
    request: str,
    subject: str,
    action: str | None,
    fields: tuple[str, ...],
    until: str | None,
    key: Path | None,
    signature: str | None,
    as_json: bool,
) -> None:
    """Approve a request, whole or narrowed, by a signature over exactly what is given.

    Example: gov access approve REQUEST --as user:wang --key wang.pem --action mask:truncate-to-year
    """
    from governance.use.request_state import find
    from governance.use.requests import approval, approve, document_hash
    from governance.use.signatures import APPROVES, sign

    one_of(key, signature)
    context, narrowing = open_home(home), narrowing_of(action, fields, until)
    if key is not None:
        with context.database.read() as connection:
            document = approval(find(connection, request), narrowing)
        signature = sign(APPROVES, document_hash(document), private_key(key))
    approved = approve(
        request,
        subject=subject,
        signature=signature or "",
        narrowing=narrowing,
        catalogue=context.catalogue,
        database=context.database,
        actor=actor_of(subject),
    )
    answer = {"request": request, "approval": approved, "approved_by": subject}
    click.echo(json.dumps(answer) if as_json else f"approved by {subject}")
