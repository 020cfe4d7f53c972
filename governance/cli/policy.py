"""`gov policy`: what a change of the access rules does, and whether the stewards' own cases hold."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from governance.cli.policy_export import command as export_command
from governance.cli.query import as_text
from governance.config import Settings, load_settings

if TYPE_CHECKING:
    from governance.catalog.types import Catalogue
    from governance.policy.access import Access
    from governance.policy.diff import Change

WIDENS = 3
SHOWN = 200
_File = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.group("policy")
def command() -> None:
    """Read a change of the access rules before it is in force; run the stewards' cases; export to other systems.

    Example: gov policy diff && gov policy test
    """


@command.command("diff")
@click.argument("old", type=_File, required=False)
@click.argument("new", type=_File, required=False)
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON, every change.")
@click.pass_obj
def diff_command(home: Path | None, old: Path | None, new: Path | None, as_json: bool) -> None:
    """Say who gains or loses what between OLD and NEW, in subjects × purposes × fields.

    OLD is the access.yaml of the live release (without one, what was last in force), NEW the working file, unless given. Exit
    code 3 when anything widens, and what cannot be compared counts as widening.

    Example: git show main:catalog/access.yaml > old.yaml && gov policy diff old.yaml
    """
    from governance.catalog.load import load_catalogue
    from governance.policy.access import parse_access
    from governance.policy.diff import counted, diff, new_approvers, wider_break_glass

    settings = load_settings(home)
    catalogue = load_catalogue(settings)
    old_name, old_text = _read(old) if old else _reviewed(settings)
    new_name, new_text = _read(new) if new else (catalogue.access_file, catalogue.access_text)
    before = parse_access(old_text, old_name, catalogue)
    after = parse_access(new_text, new_name, catalogue)
    changes = diff(before, after, catalogue, at=datetime.now(UTC))
    approvers = new_approvers(before, after)
    glasses = wider_break_glass(before, after)
    widens = bool(approvers or glasses) or any(change.widens for change in changes)
    counts = counted(changes)
    if as_json:
        listed = [_as_dict(change) for change in changes]
        whole = {"old": old_name, "new": new_name, "widens": widens, "counts": counts, "new_approvers": list(approvers)}
        click.echo(json.dumps({**whole, "break_glass": list(glasses), "changes": listed}, ensure_ascii=False))
    else:
        click.echo(f"{old_name} -> {new_name}")
        _show(changes)
        for subject in approvers:
            click.echo(f"{subject} may sign under a key that did not count before")
        for line in glasses:
            click.echo(line)
        total = f"{counts['gains']} gained, {counts['loses']} lost, {counts['differs']} not comparable"
        click.echo(f"{total}: {counts['subjects']} subjects, {counts['fields']} fields")
    if widens:
        click.get_current_context().exit(WIDENS)


@command.command("test")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
@click.pass_obj
def test_command(home: Path | None, as_json: bool) -> None:
    """Hold the access rules to catalog/access.cases.yaml; every case that fails, with file and line. Exit code 1 if one does.

    Example: gov policy test
    """
    from governance.catalog.load import load_catalogue
    from governance.policy.cases import FILE, failures, parse_cases

    settings = load_settings(home)
    catalogue = load_catalogue(settings)
    file = settings.catalog / FILE
    text = file.read_text(encoding="utf-8-sig") if file.is_file() else ""
    faults = failures(text, f"{file.parent.name}/{FILE}", _access(catalogue), catalogue, now=datetime.now(UTC))
    number = 0 if faults else len(parse_cases(text, FILE)[1].cases)
    if as_json:
        click.echo(json.dumps({"ok": not faults, "faults": [asdict(f) for f in faults]}, ensure_ascii=False))
    else:
        said = f"{len(faults)} failed" if faults else f"{number} cases hold"
        click.echo("\n".join([*map(str, faults), said]))
    if faults:
        click.get_current_context().exit(1)


command.add_command(export_command)


def _access(catalogue: Catalogue) -> Access:
    from governance.policy.access import parse_access

    return parse_access(catalogue.access_text, catalogue.access_file, catalogue)


def _read(path: Path) -> tuple[str, str]:
    return str(path), path.read_text(encoding="utf-8-sig")


def _reviewed(settings: Settings) -> tuple[str, str]:
    """Name and text of the rules that the live release was approved with; without one, of those last in force."""

    from governance.errors import Damaged, NotReady
    from governance.state import texts
    from governance.state.database import Database
    from governance.use.published import in_force
    from governance.use.release import live

    database = Database(settings.database_url)
    database.create()
    with database.read() as connection:
        found = live(connection)
        sha256 = str(found[1]["access"]) if found else in_force(connection)
        if sha256 is None:
            raise NotReady("no access rules were ever in force here", do="name the old file: gov policy diff OLD")
        body = texts.kept(connection, sha256)
    if body is None:
        raise Damaged("the access rules are not kept under their hash", where=sha256[:12])
    return f"{'live release' if found else 'in force'} {sha256[:12]}", body


def _as_dict(change: Change) -> dict[str, Any]:
    return {
        "subject": change.subject,
        "purpose": change.purpose,
        "field": f"{change.table}.{change.field}",
        "direction": change.direction,
        "before": str(change.before),
        "after": str(change.after),
        "before_rules": list(change.before.rules),
        "after_rules": list(change.after.rules),
        "since": change.since.isoformat(),
    }


def _show(changes: Iterable[Change]) -> None:
    listed = list(changes)
    rows = [(c.direction, c.subject, c.purpose, f"{c.table}.{c.field}", _step(c), _rules(c)) for c in listed[:SHOWN]]
    if rows:
        click.echo(as_text(["", "subject", "purpose", "field", "outcome", "rules"], rows))
    if len(listed) > SHOWN:
        click.echo(f"the first {SHOWN} of {len(listed)}; all of them with --json")


def _rules(change: Change) -> str:
    return f"{', '.join(change.before.rules) or '-'} -> {', '.join(change.after.rules) or '-'}"


def _step(change: Change) -> str:
    """Outcome before and after; rows and duties only where they change."""
    before, after = change.before, change.after
    if before[2:] == after[2:]:
        return f"{before.outcome} -> {after.outcome}"
    return f"{before} -> {after}"
