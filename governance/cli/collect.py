"""`gov collect`: the first stage alone."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from governance.cli.run import parse_window, require_datasets
from governance.config import load_settings
from governance.errors import GovernanceError


@click.command("collect")
@click.argument("datasets", nargs=-1)
@click.option("--from", "start", help="Start of the window, ISO 8601. Default: now.")
@click.option("--to", "end", help="End of the window, not included. Default: its start.")
@click.option("--again", is_flag=True, help="Read the sources again although the window is landed: a new revision.")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
@click.pass_obj
def command(
    home: Path | None, datasets: tuple[str, ...], start: str | None, end: str | None, again: bool, as_json: bool
) -> None:
    """Land a batch of DATASETS (default: all that have a source) as received; `gov run` takes it further.

    Example: gov collect tax.invoices --from 2026-01-01 --to 2026-02-01 --again
    """
    from governance.pipeline.context import open_context
    from governance.pipeline.ingest import collect_datasets
    from governance.pipeline.run import collectable, new_run
    from governance.pipeline.steps import of_faults

    context = open_context(load_settings(home), sound_only=True)
    require_datasets(context, datasets)
    names = list(datasets) or collectable(context)
    collected = collect_datasets(context, names, parse_window(start, end), new_run(), again=again)
    steps = (*of_faults(context.faults), *collected)
    if as_json:
        click.echo(json.dumps({"steps": [asdict(step) for step in steps]}, ensure_ascii=False))
    else:
        for step in steps:
            click.echo(f"{step} {step.batch}" if step.outcome == "done" else str(step))
    if any(step.outcome != "done" for step in steps):
        raise GovernanceError("not every dataset was collected", do="see the lines above; run again after the repair")
