"""`gov access`: ask for access, list, decline, withdraw; the other steps are in `access_sign` and `access_break_glass`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from governance.cli.access_break_glass import break_glass_command, review_command
from governance.cli.access_consent import consent_command
from governance.cli.access_options import (
    KEY_FILE,
    actor_of,
    as_option,
    because_option,
    fields_option,
    instant_of,
    json_option,
    needed_instant,
    open_home,
    outcome,
    sign_with,
    tables_option,
)
from governance.cli.access_sign import approve_command, sign_command
from governance.cli.access_verify import verify_command
from governance.cli.query import as_text
from governance.cli.signing import one_of

if TYPE_CHECKING:
    from governance.use.request_state import Request


@click.group("access")
def command() -> None:
    """Ask for access that no rule gives; approve, decline or end it; break the glass, and review that.

    Example: gov access ask --as user:he --purpose research --field curated.person.birth_date --to 2027-01-01 --because "cohort study"
    """


@command.command("ask")
@as_option
@click.option("--purpose", required=True, help="What for: one of the purposes of access.yaml.")
@fields_option
@tables_option
@click.option("--action", default="raw", show_default=True, help="raw, mask:<mask> or aggregate_only(k).")
@click.option("--from", "valid_from", help="First day (00:00 UTC) or instant; default: now.")
@click.option("--to", "valid_to", required=True, help="Day (00:00 UTC) or instant on which it is over.")
@because_option
@json_option
@click.pass_obj
def ask_command(
    home: Path | None,
    subject: str,
    purpose: str,
    fields: tuple[str, ...],
    tables: tuple[str, ...],
    action: str,
    valid_from: str | None,
    valid_to: str,
    because: str,
    as_json: bool,
) -> None:
    """Ask for fields for a purpose and a period; prints the request's id, which an approver decides on.

    Example: gov access ask --as user:he --purpose research --field curated.person.birth_date --to 2027-01-01 --because "cohort study"
    """
    from governance.use.requests import ask

    context = open_home(home)
    request = ask(
        subject=subject,
        purpose=purpose,
        fields=fields,
        tables=tables,
        action=outcome(action),
        valid_from=instant_of("--from", valid_from),
        valid_to=needed_instant("--to", valid_to),
        because=because,
        catalogue=context.catalogue,
        database=context.database,
        actor=actor_of(subject),
    )
    click.echo(json.dumps({"request": request}) if as_json else request)


@command.command("list")
@click.option("--as", "subject", help="Only what this subject asked for.")
@json_option
@click.pass_obj
def list_command(home: Path | None, subject: str | None, as_json: bool) -> None:
    """List break-glasses first, then requests of access, newest first. Exit code 1 while a break-glass waits too long for its review,
    or what is kept of one is not what the ledger says.

    Example: gov access list
    """
    from governance.use import history
    from governance.use.break_glass import overdue
    from governance.use.request_state import read_all
    from governance.use.requests import access_of

    context = open_home(home)
    at = context.database.clock()
    with context.database.read() as connection:
        late = {request.id for request in overdue(connection, access_of(context.catalogue), at=at)}
        kept = read_all(connection)
        wrong = history.missing(history.read(connection), kept)
        found = [r for r in reversed(kept) if subject in (None, r.subject)]
    found.sort(key=lambda request: (request.kind != "break_glass", request.status(at) == "reviewed"))
    if as_json:
        click.echo(json.dumps([_told(r, at, r.id in late) for r in found], ensure_ascii=False))
    elif found:
        rows = [tuple(str(value) for value in _row(r, at, r.id in late)) for r in found]
        click.echo(as_text(["request", "", "status", "who", "purpose", "fields", "action", "until", "because"], rows))
    else:
        click.echo("no request yet")
    for request in found:
        if request.id in late:
            click.echo(
                f"break-glass {request.id[:16]} of {request.subject} was never reviewed: gov access review", err=True
            )
    for request_id in wrong:
        click.echo(f"request {request_id[:16]} is not kept as the ledger has it: gov ledger verify", err=True)
    if late or wrong:
        click.get_current_context().exit(1)


@command.command("decline")
@click.argument("request")
@as_option
@because_option
@click.option("--key", type=KEY_FILE, help="Their Ed25519 key (PEM).")
@click.option("--signature", help="A signature (hex) made elsewhere, instead of --key.")
@json_option
@click.pass_obj
def decline_command(
    home: Path | None,
    request: str,
    subject: str,
    because: str,
    key: Path | None,
    signature: str | None,
    as_json: bool,
) -> None:
    """Decline a request by a signature, with a reason that whoever asked finds in the list.

    Example: gov access decline REQUEST --as user:wang --key wang.pem --because "years are enough: ask for a mask"
    """
    from governance.use.request_state import find
    from governance.use.requests import decline, document_hash, refusal
    from governance.use.signatures import DECLINES

    one_of(key, signature)
    context = open_home(home)
    if key is not None:
        with context.database.read() as connection:
            document = refusal(find(connection, request), because=because)
        signature = sign_with(key)(DECLINES, document_hash(document))
    decline(
        request,
        subject=subject,
        because=because,
        signature=signature or "",
        catalogue=context.catalogue,
        database=context.database,
        actor=actor_of(subject),
    )
    click.echo(json.dumps({"request": request, "declined_by": subject}) if as_json else f"declined by {subject}")


@command.command("withdraw")
@click.argument("request")
@as_option
@click.option("--because", default="", help="The reason, in a sentence.")
@click.option("--key", type=KEY_FILE, help="Their Ed25519 key (PEM); needed where access.yaml has one of them.")
@json_option
@click.pass_obj
def withdraw_command(
    home: Path | None, request: str, subject: str, because: str, key: Path | None, as_json: bool
) -> None:
    """End a request or a break-glass now, as whoever asked or as an approver, by their signature; answers under way are cut off.

    Example: gov access withdraw REQUEST --as user:wang --key wang.pem
    """
    from governance.use.requests import withdraw

    context = open_home(home)
    withdraw(
        request,
        subject=subject,
        because=because,
        sign=None if key is None else sign_with(key),
        catalogue=context.catalogue,
        database=context.database,
        actor=actor_of(subject),
    )
    click.echo(json.dumps({"request": request, "withdrawn_by": subject}) if as_json else f"withdrawn by {subject}")


def _row(request: Request, at: datetime, late: bool) -> tuple[str, ...]:
    kind = "BREAK-GLASS" if request.kind == "break_glass" else ""
    reviewed, names = request.step("reviewed"), _given(request)
    status = "REVIEW IS LATE" if late else str(reviewed.facts["verdict"]) if reviewed else request.status(at)
    fields = names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")
    until = request.ends_at.isoformat(timespec="minutes")
    return (
        request.id[:16],
        kind,
        status,
        request.subject,
        request.purpose,
        fields,
        _action(request),
        until,
        request.because,
    )


def _given(request: Request) -> tuple[str, ...]:
    """The fields that were approved, or those that are asked for."""
    approved = request.step("approved")
    if approved is None:
        return request.names
    return tuple(f"{table}.{field}" for table, fields in approved.facts["fields"].items() for field in fields)


def _action(request: Request) -> str:
    approved = request.step("approved")
    return str(approved.facts["action"]) if approved else str(request.action)


def _told(request: Request, at: datetime, late: bool) -> Mapping[str, object]:
    steps = [
        {
            "step": step.name,
            "by": step.subject,
            "at": step.at.isoformat(),
            "document": step.facts,
            "signature": step.signature,
        }
        for step in request.steps
    ]
    state = {"request": request.id, "status": request.status(at), "ends_at": request.ends_at.isoformat(), "late": late}
    return {**state, "document": request.document, "steps": steps}


for added in (sign_command, approve_command, break_glass_command, review_command, consent_command, verify_command):
    command.add_command(added)
