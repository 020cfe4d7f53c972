"""`gov incident`: expectations that fail, whose they are, and what they reach."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from governance.cli.sequenced import at_the_end
from governance.config import load_settings

if TYPE_CHECKING:
    from governance.pipeline.incidents import Incident


@click.group("incident")
def command() -> None:
    """Expectations that fail, from the batch that broke them to the one that meets them again.

    Example: gov incident list; gov incident assign 7 --to user:chen.min --as user:steward
    """


@command.command("list")
@click.option("--all", "closed", is_flag=True, help="Closed ones too.")
@click.option("--subject", help="Only this dataset or curated table.")
@click.option("--owner", help="Only what this steward has to mend.")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
@click.pass_obj
def list_command(home: Path | None, closed: bool, subject: str | None, owner: str | None, as_json: bool) -> None:
    """List open incidents, the longest open first.

    Example: gov incident list --owner user:chen.min
    """
    from governance.pipeline.context import open_context
    from governance.pipeline.incidents import incidents

    context = open_context(load_settings(home))
    with context.database.read() as connection:
        found = incidents(connection, closed=closed, subject=subject, owner=owner)
    if as_json:
        click.echo(json.dumps([_json(one) for one in found], ensure_ascii=False))
        return
    for one in found:
        click.echo(_line(one))
    click.echo(f"{len(found)} incident{'' if len(found) == 1 else 's'}" if found else "no incident")


@command.command("show")
@click.argument("number", type=int)
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
@click.pass_obj
def show_command(home: Path | None, number: int, as_json: bool) -> None:
    """Show one incident and the tables that it reaches, by lineage.

    Example: gov incident show 7
    """
    from governance.lineage.index import Index
    from governance.pipeline.context import open_context
    from governance.pipeline.incidents import find, reached

    context = open_context(load_settings(home))
    with context.database.read() as connection:
        found = find(connection, number)
        tables = reached(connection, Index(context.settings.lineage / "graph"), found)
    if as_json:
        click.echo(json.dumps({**_json(found), "downstream": list(tables)}, ensure_ascii=False))
        return
    click.echo(_line(found))
    click.echo(f"  last failed {found.last_at.isoformat()} {found.batch}".rstrip())
    click.echo(f"  reaches {', '.join(tables) or 'no other table'}")


@command.command("assign")
@click.argument("number", type=int)
@click.option("--to", "owner", required=True, help="Who is to mend it, e.g. user:chen.min.")
@click.option("--as", "subject", required=True, help="Who assigns it: this stands in the ledger.")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
@click.pass_obj
def assign_command(home: Path | None, number: int, owner: str, subject: str, as_json: bool) -> None:
    """Give an open incident to somebody.

    Example: gov incident assign 7 --to user:chen.min --as user:steward
    """
    from governance.pipeline.context import open_context
    from governance.pipeline.incidents import assign

    context = at_the_end(open_context(load_settings(home)))
    found = assign(context, number, owner, subject=subject)
    click.echo(json.dumps(_json(found), ensure_ascii=False) if as_json else _line(found))


def _line(one: Incident) -> str:
    from governance.pipeline.incidents import counted

    count = counted(one.unexpected, one.errored)
    state = f"closed {one.closed_at.date()}" if one.closed_at else f"open since {one.opened_at.date()}"
    times = f"failed {one.failures} time{'' if one.failures == 1 else 's'}"
    return f"{one.id:>5}  {one.subject} {one.expectation} ({one.severity}): {count}, {times}, {state}, {one.owner or 'nobody'}"


def _json(one: Incident) -> dict[str, Any]:
    return {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in asdict(one).items()}
