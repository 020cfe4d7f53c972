"""`gov`: loads a command's module only when that command is asked for, and turns errors into messages and exit codes."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from governance.errors import GovernanceError

COMMANDS: Mapping[str, tuple[str, str]] = {
    "check": ("governance.cli.check", "Report every fault of every declaration and write the compiled index."),
    "init": ("governance.cli.init", "Make a new home: gov.toml, an empty catalogue, a keyring."),
    "run": ("governance.cli.run", "Run the stages without Airflow."),
    "report": ("governance.cli.report", "Write the offline HTML report: quality by run, lineage of curated columns."),
    "keys": ("governance.cli.keys", "Serve the keys as a process of its own; list their names."),
    "portal": ("governance.cli.portal", "Serve the reports and the catalogue as web pages."),
    "release": ("governance.cli.release", "Propose, sign, approve and publish curated tables; list releases."),
    "query": ("governance.cli.query", "Answer one SELECT over published tables, under policy."),
    "policy": ("governance.cli.policy", "Who gains or loses what by a change of the rules; run the stewards' cases."),
    "who-sees": ("governance.cli.who_sees", "Say who sees a field, for which purpose, and by which rule."),
    "explain": ("governance.cli.explain", "Say what one subject sees of a table, field by field."),
    "blast-radius": ("governance.cli.blast_radius", "What share of sensitive cells one breached credential reaches."),
    "lineage": ("governance.cli.lineage", "Where a column comes from, or what depends on it."),
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
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder with gov.toml (else $GOV_HOME, else upward).",
)
@click.pass_context
def group(ctx: click.Context, home: Path | None) -> None:
    """Data governance: collect, store, manage, develop, use (采·存·管·研·用).

    Example: gov check && gov run && gov query --as user:li --purpose statistics "SELECT count(*) FROM curated.person"
    """
    ctx.obj = home


def main(args: Any = None) -> None:
    """Entry point. Exit code 1 for an error of ours, 2 for wrong usage; a command's own code is kept."""
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


if __name__ == "__main__":
    main()
