"""`gov policy export`: the access rules in another system's words, with a report of what it cannot express."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from governance.cli.query import as_text
from governance.config import load_settings
from governance.errors import Refused

TARGETS = ("iceberg", "postgres", "ranger", "trino", "unity")
REPORT = "report.json"
SHOWN = 40


@click.command("export")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--to", "target", required=True, type=click.Choice(TARGETS), help="The system that the export is for.")
@click.option("--json", "as_json", is_flag=True, help="Answer with the whole report as JSON.")
@click.pass_obj
def command(home: Path | None, folder: Path, target: str, as_json: bool) -> None:
    """Write to FOLDER what the live release opens at this moment, as files for another system, and report.json.

    What the system cannot express exactly is closed there and named in the report, with rule, field and reason. FOLDER is
    replaced as a whole, so it must be new, empty, or an earlier export.

    Example: gov policy export --to postgres build/export
    """
    from governance.pipeline.context import open_context
    from governance.policy.exports.targets import TARGETS as EXPORTS
    from governance.state.values import Actor
    from governance.use.export import read_scopes, record_export

    _replaceable(folder)
    context = open_context(load_settings(home))
    found = read_scopes(catalogue=context.catalogue, database=context.database, lake=context.lake)
    export = EXPORTS[target](found.scopes)
    actor = Actor(f"system:{pwd.getpwuid(os.getuid()).pw_name}", "use.export", uuid.uuid4().hex)
    whole = record_export(found, target, export.files, database=context.database, actor=actor)
    report = {"files_sha256": whole, **export.report(found.scopes, release=found.release, at=found.at)}
    _replace(folder, {**export.files, REPORT: json.dumps(report, ensure_ascii=False, indent=2) + "\n"})
    if as_json:
        click.echo(json.dumps(report, ensure_ascii=False))
        return
    _show(folder, report)


def _show(folder: Path, report: Mapping[str, Any]) -> None:
    losses = report["losses"]
    rows = [
        (
            x["subject"],
            x["purpose"],
            f"{x['table']}.{x['field'] or '*'}",
            x["outcome"],
            ", ".join(x["rules"]),
            x["reason"],
        )
        for x in losses[:SHOWN]
    ]
    if rows:
        click.echo(as_text(["subject", "purpose", "field", "outcome", "rules", "not as the policy has it"], rows))
    if len(losses) > SHOWN:
        click.echo(f"the first {SHOWN} of {len(losses)}; all of them in {folder / REPORT}")
    for limit in report["limits"]:
        click.echo(f"- {limit}")
    counts = report["counts"]
    until = f"; ends {report['until']}" if report["until"] else ""
    click.echo(f"{folder}: {counts['opened_here']} of {counts['opened_by_policy']} opened fields{until}")


def _replaceable(folder: Path) -> None:
    """Raises Refused for a folder that holds something else."""
    if not folder.exists() or not any(folder.iterdir()):
        return
    try:
        found = json.loads((folder / REPORT).read_text(encoding="utf-8"))
        ours = isinstance(found, dict) and found.get("target") in TARGETS
    except (OSError, ValueError):
        ours = False
    if not ours:
        raise Refused("holds something else than an export", where=str(folder), do="name a new or empty folder")


def _replace(folder: Path, files: Mapping[str, str]) -> None:
    """The folder with exactly these files: nothing of an earlier export stays, which could be wider."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for name, text in files.items():
            path = made / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
        made.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        made.rename(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)
