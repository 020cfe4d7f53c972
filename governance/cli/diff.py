"""`gov diff`: what a change of the declarations breaks, before it is merged."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from governance.config import load_settings

if TYPE_CHECKING:
    from governance.pipeline.diff import Difference

BREAKS = 3
_SHOWN = 12
_PARTS = ("models", "checks", "expectations", "references", "policies", "keys", "consumers")


@click.command("diff")
@click.argument("base", default="HEAD")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON, with all that each change reaches.")
@click.pass_obj
def command(home: Path | None, base: str, as_json: bool) -> None:
    """Say what the working contracts, models and rules change against BASE (a git ref, or a folder with declarations), what
    each change reaches downstream, and whether it breaks something. Exit code 3 when one does.

    Example: gov diff main
    """
    from governance.catalog.load import load_catalogue
    from governance.pipeline.diff import base_of, diff

    settings = load_settings(home)
    with base_of(settings, base) as own:
        before = load_catalogue(own)
    found = diff(before, settings, at=datetime.now(UTC))
    if as_json:
        answer = {"base": base, "breaking": found.breaking, "faults": [str(fault) for fault in found.faults]}
        click.echo(json.dumps({**answer, "changes": [reach.as_dict() for reach in found.reaches]}, ensure_ascii=False))
    else:
        click.echo("\n".join(lines(found)))
    if found.breaking:
        click.get_current_context().exit(BREAKS)


def lines(found: Difference) -> list[str]:
    """The answer as text, breaking changes first."""
    told = [f"BREAKING  {fault}" for fault in found.faults]
    for reach in sorted(found.reaches, key=lambda reach: (not reach.change.breaking, reach.change)):
        change = reach.change
        told.append(f"{'BREAKING  ' if change.breaking else 'fine      '}{change.root}: {change.kind}: {change.what}")
        if reach.columns:
            told.append(f"          reaches {len(reach.columns)} columns: {_some(reach.columns)}")
        for name in _PARTS if change.breaking else ():
            if items := getattr(reach, name):
                told.append(f"          {name}: {_some(items)}")
        if reach.cut:
            told.append(f"          not complete: {_some(reach.cut)}")
    number = sum(reach.change.breaking for reach in found.reaches) + len(found.faults)
    told.append(f"{len(found.reaches)} changes, {number} breaking" if told else "nothing changed")
    return told


def _some(items: tuple[str, ...]) -> str:
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(items[:_SHOWN]) + more
