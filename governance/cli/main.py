"""`gov`: loads a command's module only when that command is asked for, and turns errors into messages and exit codes."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from governance.cli.administrators import guarded
from governance.errors import GovernanceError
from governance.process import whole

COMMANDS: Mapping[str, tuple[str, str]] = {
    "check": ("governance.cli.check", "Report every fault of every declaration and write the compiled index."),
    "init": ("governance.cli.init", "Make a new home: gov.toml, an empty catalogue, a keyring."),
    "collect": ("governance.cli.collect", "Land a batch of some datasets as received."),
    "run": ("governance.cli.run", "Run the stages without Airflow."),
    "judge": ("governance.cli.judge", "Try a changed suite on past batches: what it would have held and let in."),
    "freshness": ("governance.cli.freshness", "Judge the contracts' service levels now, also where no batch came."),
    "reconcile": ("governance.cli.reconcile", "Compare the live source with what landed and what the lake holds."),
    "quarantine": (
        "governance.cli.quarantine",
        "List, export, correct, release or reject rows that the rules set aside.",
    ),
    "suggest": ("governance.cli.suggest", "Propose expectations from a dataset's rows; accept or refuse each."),
    "incident": ("governance.cli.incident", "Expectations that fail: list, show with what they reach, assign."),
    "report": ("governance.cli.report", "Write the offline HTML report: scores, trends, incidents, runs, lineage."),
    "scorecard": ("governance.cli.scorecard", "Score the five stages from recorded facts, point by point."),
    "keys": ("governance.cli.keys", "Serve the keys as a process of its own; list their names."),
    "portal": ("governance.cli.portal", "Serve the reports and the catalogue as web pages."),
    "serve": ("governance.cli.serve", "Serve published tables over HTTP; make, list and revoke services' API keys."),
    "release": ("governance.cli.release", "Propose, sign, approve and publish curated tables; list releases."),
    "query": ("governance.cli.query", "Answer one SELECT over published tables, under policy."),
    "access": ("governance.cli.access", "Ask for access, approve it, end it; break the glass, and review that."),
    "lookup": ("governance.cli.lookup", "Records of a published table by their identifier, under policy."),
    "serving": ("governance.cli.serving", "Make the copies of published tables that lookups read."),
    "attest": ("governance.cli.attest", "Ask a declared yes-or-no question, signed; verify an answer."),
    "policy": (
        "governance.cli.policy",
        "Who gains or loses what by a change of the rules; the stewards' cases; exports.",
    ),
    "who-sees": ("governance.cli.who_sees", "Say who sees a field, for which purpose, and by which rule."),
    "explain": ("governance.cli.explain", "Say what one subject sees of a table, field by field."),
    "blast-radius": ("governance.cli.blast_radius", "What share of sensitive cells one breached credential reaches."),
    "catalogue": ("governance.cli.catalogue", "The catalogue for other systems: DCAT-AP."),
    "lineage": ("governance.cli.lineage", "Where a column comes from, or what depends on it; exports."),
    "as-of": ("governance.cli.asof", "What was in force for a table at a past instant, and the texts of it."),
    "impact": ("governance.cli.impact", "What breaks, and who is concerned, when a column changes."),
    "diff": ("governance.cli.diff", "What a change of contracts, models and rules breaks, before it is merged."),
    "trace": ("governance.cli.trace", "The landed records behind a row, or a value, of a published table."),
    "openlineage": ("governance.cli.openlineage", "Send lineage to an endpoint; how sending and receiving stand."),
    "ledger": ("governance.cli.ledger", "Verify the ledger; prove that an entry is in it."),
    "demo": ("governance.cli.demo", "Generate the demo city, and score what quality found."),
}
"""name -> (module, one line of help)."""


class LazyGroup(click.Group):
    """A group whose commands are imported on use: `gov --help` stays quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(COMMANDS[cmd_name][0]).command
        assert isinstance(command, click.Command)
        return guarded(command, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder with gov.toml (else $GOV_HOME, else upward).",
)
@click.version_option(package_name="governance", message="gov %(version)s")
@click.pass_context
def group(ctx: click.Context, home: Path | None) -> None:
    """Data governance: collect, store, manage, develop, use (采·存·管·研·用).

    Example: gov check && gov run && gov query --as user:li --purpose statistics "SELECT count(*) FROM curated.person"
    """
    ctx.obj = home


def command() -> None:
    """The `gov` command."""
    whole(main)


def main(args: Any = None) -> None:
    """One command. Exit code 1 for an error, 2 for wrong usage, a command's own code is kept; one message, never a traceback, since an
    engine's text may quote a value.

    With GOV_TRACEBACK=1 in the environment an error that is not ours shows where it was raised.
    """
    try:
        code = group.main(args=args, standalone_mode=False)
        if isinstance(code, int) and code:
            sys.exit(code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
    except GovernanceError as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    except BrokenPipeError:  # whoever read the answer has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        named = f"{error.filename}: " if error.filename else ""
        click.echo(f"{named}{error.strerror or type(error).__name__}", err=True)
        sys.exit(1)
    except Exception as error:
        if database := _database_error(error):
            click.echo(f"the state database: {database}", err=True)
            sys.exit(1)
        click.echo(f"unexpected {_origin(error)}; GOV_TRACEBACK=1 shows more", err=True)
        if os.environ.get("GOV_TRACEBACK") == "1":
            traceback.print_tb(error.__traceback__)
        sys.exit(1)


def _database_error(error: Exception) -> str:
    """What the driver of the state database says (the state holds no cell value), without statement and parameters; empty if it is not that."""
    from sqlalchemy.exc import DBAPIError

    return str(error.orig).strip().partition("\n")[0] if isinstance(error, DBAPIError) else ""


def _origin(error: Exception) -> str:
    """Class and place of an error that is not ours; never its text."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}"


if __name__ == "__main__":
    command()
