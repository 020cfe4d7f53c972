"""`gov openlineage`: our events to an endpoint, and how delivery and receiving stand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from governance.config import Settings, load_settings

if TYPE_CHECKING:
    from governance.state.database import Database

_JSON = click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")


@click.group("openlineage")
def command() -> None:
    """Send lineage to the endpoint of gov.toml, and see how sending and receiving stand.

    Example: gov openlineage status
    """


@command.command("send")
@click.option("--follow", is_flag=True, help="Go on for ever, a look every 2 seconds.")
@_JSON
@click.pass_obj
def send_command(home: Path | None, follow: bool, as_json: bool) -> None:
    """Send every event that waits, at least once, in order. Exit 1 when the endpoint did not take them all.

    The pipeline starts this by itself after each stage; --follow is for a home whose runs are rare.

    Example: gov openlineage send
    """
    from governance.lineage import outbox_http

    with _home(home) as (settings, database):
        rounds = outbox_http.follow(settings, database) if follow else iter([outbox_http.send_for(settings, database)])
        error = ""
        for sent in rounds:
            error = sent.error
            if as_json:
                click.echo(json.dumps({"sent": sent.sent, "refused": sent.refused, "error": error}))
            else:
                failed = f"; stopped: {error}, it is tried again later" if error else ""
                click.echo(f"{sent.sent} events sent, {sent.refused} refused by the endpoint{failed}")
    if error:
        raise SystemExit(1)


@command.command("status")
@_JSON
@click.pass_obj
def status_command(home: Path | None, as_json: bool) -> None:
    """Say what waits to be sent, what the endpoint refused, and what was received and refused here.

    Example: gov openlineage status --json
    """
    from governance.lineage.ingest import received
    from governance.lineage.outbox_http import standing

    with _home(home) as (settings, database), database.read() as connection:
        url = settings.openlineage.get("url", "")
        told = standing(connection, url)
        got = received(connection)
    answer: dict[str, Any] = {
        "endpoint": url,
        "waiting": told.waiting if url else 0,
        "refused_by_endpoint": told.refused,
        "failures": told.failures,
        "error": told.error,
        "next_at": told.next_at.isoformat() if told.next_at else None,
        "received": got.events,
        "without_datasets": got.without_datasets,
        "rejected": [{"subject": r[0], "reason": r[1], "events": r[2]} for r in got.rejected],
    }
    if as_json:
        click.echo(json.dumps(answer, ensure_ascii=False))
        return
    click.echo(f"out: {answer['waiting']} events wait for {url or 'no endpoint: [openlineage] url is not set'}")
    if told.failures:
        click.echo(f"     {told.failures} failures in a row ({told.error}); tried again after {answer['next_at']}")
    for status, number in told.refused.items():
        click.echo(f"     {number} refused with status {status}: gov openlineage again")
    click.echo(f"in:  {got.events} events kept, {got.without_datasets} of finished runs without datasets")
    for subject, reason, number in got.rejected:
        click.echo(f"     {number} of {subject} rejected: {reason}")


@command.command("again")
@_JSON
@click.pass_obj
def again_command(home: Path | None, as_json: bool) -> None:
    """Let the events that the endpoint refused be sent once more.

    Example: gov openlineage again
    """
    from governance.lineage.outbox_http import again

    with _home(home) as (_, database), database.unit_of_work() as tx:
        number = again(tx)
    click.echo(json.dumps({"again": number}) if as_json else f"{number} events wait to be sent again")


@contextmanager
def _home(home: Path | None) -> Iterator[tuple[Settings, Database]]:
    from governance.state.database import Database

    settings = load_settings(home)
    database = Database(settings.database_url)
    database.create()
    try:
        yield settings, database
    finally:
        database.close()
