"""`gov access verify`: the signatures of approvals, refusals, broken glasses, reviews and consents, on any machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from governance.cli.access_options import KEY_FILE, json_option

if TYPE_CHECKING:
    from governance.policy.access import Access


@click.command("verify")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--rules",
    "files",
    type=KEY_FILE,
    multiple=True,
    required=True,
    help="An access.yaml that has the signers' keys; several, where they changed.",
)
@json_option
def verify_command(folder: Path, files: tuple[Path, ...], as_json: bool) -> None:
    """Check who signed what about access, from a ledger's export (gov ledger export FOLDER) and access rules; needs no home. Exit code 1
    when a signature does not hold, or the export is not whole.

    Example: gov access verify export --rules access.yaml
    """
    from governance.ledger.export import read_entries, verify_export
    from governance.use.signed_entries import check

    accesses = [_rules(file) for file in files]
    checked = check(((entry.where, entry.body) for entry in read_entries(folder)), accesses)
    problems = (*checked.problems, *verify_export(folder).problems)
    if as_json:
        told = {"signed": checked.signed, "unsigned": checked.unsigned, "problems": list(problems)}
        click.echo(json.dumps(told, ensure_ascii=False))
    else:
        click.echo(f"{checked.signed} signatures hold, {checked.unsigned} withdrawals without a key")
        for problem in problems:
            click.echo(problem, err=True)
    if problems:
        click.get_current_context().exit(1)


def _rules(file: Path) -> Access:
    """The rules of a file, whatever its home: nothing of a catalogue is asked."""
    from pydantic import ValidationError

    from governance.errors import GovernanceError
    from governance.policy.access import Access
    from governance.policy.source import read_yaml

    try:
        return Access.model_validate(read_yaml(file.read_text(encoding="utf-8"), str(file)).data)
    except (ValidationError, UnicodeDecodeError):
        raise GovernanceError("these are no access rules", where=str(file), do="give an access.yaml") from None
