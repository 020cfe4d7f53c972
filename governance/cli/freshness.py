"""`gov freshness`: whose data is there in time, by the contracts' service levels."""

from __future__ import annotations

import json
from pathlib import Path

import click

from governance.config import load_settings


@click.command("freshness")
@click.option("--late", is_flag=True, help="Only datasets that do not meet a level.")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
@click.pass_obj
def command(home: Path | None, late: bool, as_json: bool) -> None:
    """Judge the service levels of all contracts now, also where no batch came; record what is new, open and close incidents.

    Example: gov freshness --late
    """
    from governance.pipeline.context import open_context
    from governance.pipeline.events import after_commits
    from governance.pipeline.levels import judge_levels

    context = open_context(load_settings(home), sound_only=True)
    seen = [one for one in judge_levels(context) if one.freshness.failing or not late]
    after_commits(context)
    if as_json:
        facts = [
            {
                "dataset": one.dataset,
                "newest": one.arrived.batch if one.arrived else None,
                "due": one.freshness.due.isoformat() if one.freshness.due else None,
                "failing": list(one.freshness.failing),
            }
            for one in seen
        ]
        click.echo(json.dumps(facts, ensure_ascii=False))
        return
    for one in seen:
        found = one.freshness
        due = f", next due {found.due:%Y-%m-%d %H:%M} UTC" if found.due else ""
        state = f"late: {', '.join(found.failing)}" if found.failing else "in time"
        click.echo(f"{one.dataset}: {state}; newest {one.arrived.batch if one.arrived else 'none'}{due}")
    if not seen:
        click.echo("no contract names a level that is not met" if late else "no contract names a service level")
