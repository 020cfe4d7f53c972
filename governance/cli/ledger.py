"""`gov ledger`: check the record of what was done."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from governance.config import load_settings
from governance.errors import Damaged


@click.group("ledger")
def command() -> None:
    """The append-only record of runs, verdicts, approvals, grants and accesses.

    Example: gov ledger verify
    """


@command.command("verify")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
@click.pass_obj
def verify_command(home: Path | None, as_json: bool) -> None:
    """Check every entry's bytes, hash and counter; exit code 1 when something does not fit.

    Example: gov ledger verify --json
    """
    from governance.ledger.verify import verify
    from governance.state.database import Database

    database = Database(load_settings(home).database_url)
    database.create()
    try:
        with database.read() as connection:
            report = verify(connection)
    finally:
        database.close()
    if as_json:
        click.echo(json.dumps({**asdict(report), "sound": report.sound}, ensure_ascii=False))
    else:
        click.echo(f"{report.entries:,} entries of {report.writers:,} writers, {report.sequenced:,} sequenced")
        click.echo(f"root {report.root}")
        for problem in report.problems:
            click.echo(problem)
    if not report.sound:
        raise Damaged(
            f"{report.broken:,} problems in the ledger", do="compare it with a checkpoint that was kept elsewhere"
        )
