"""`gov run`: the stages without Airflow."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from governance.config import load_settings
from governance.errors import GovernanceError
from governance.state.values import Window

if TYPE_CHECKING:
    from governance.pipeline.context import Context


@click.command("run")
@click.option("--dataset", "datasets", multiple=True, help="Only this dataset (may be given several times).")
@click.option("--from", "start", help="Start of the window, ISO 8601 (UTC when it names no zone). Default: now.")
@click.option("--to", "end", help="End of the window, not included. Default: its start.")
@click.option("--again", is_flag=True, help="Read the sources again although the window is landed: a new revision.")
@click.option("--no-models", is_flag=True, help="Stop after manage.")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
@click.pass_obj
def command(
    home: Path | None,
    datasets: tuple[str, ...],
    start: str | None,
    end: str | None,
    again: bool,
    no_models: bool,
    as_json: bool,
) -> None:
    """Collect, store, manage and develop, in this process, without Airflow.

    Example: gov run --from 2026-01-01 --to 2026-02-01
    """
    from governance.pipeline.context import open_context
    from governance.pipeline.run import new_run, run_all

    context = open_context(load_settings(home), sound_only=True)
    require_datasets(context, datasets)
    window = parse_window(start, end)
    run = new_run()
    if not as_json:
        click.echo(f"run {run} for {window.start.isoformat()} to {window.end.isoformat()}")
    result = run_all(
        context,
        window,
        run=run,
        datasets=datasets or None,
        again=again,
        models=not no_models,
        report=(lambda step: None) if as_json else (lambda step: click.echo(str(step))),
    )
    if not result.steps and not as_json:
        click.echo("nothing to do: no dataset names a source, no curated table is declared")
    if as_json:
        click.echo(json.dumps({"run": result.run, "steps": [asdict(s) for s in result.steps]}, ensure_ascii=False))
    if result.failed:
        raise GovernanceError(
            f"{len(result.failed)} step(s) need somebody", do="see the lines above; run again after the repair"
        )


def require_datasets(context: Context, names: Iterable[str]) -> None:
    """Raises click.UsageError naming every one of `names` that the catalogue does not declare."""
    unknown = sorted(set(names) - set(context.catalogue.datasets))
    if unknown:
        raise click.UsageError(
            f"no such dataset: {', '.join(unknown)}; there are: {', '.join(context.catalogue.datasets)}"
        )


def parse_window(start: str | None, end: str | None) -> Window:
    """The window that two options give; raises click.UsageError when they are no instants or end before they start."""
    first = _instant("--from", start) if start else datetime.now(UTC).replace(microsecond=0)
    last = _instant("--to", end) if end else first
    if last < first:
        raise click.UsageError("--to is before --from")
    return Window(first, last)


def _instant(option: str, text: str) -> datetime:
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise click.UsageError(
            f"{option}: '{text}' is no ISO 8601 instant, e.g. 2026-01-01 or 2026-01-01T06:00Z"
        ) from None
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
