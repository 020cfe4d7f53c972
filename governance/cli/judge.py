"""`gov judge`: try a changed suite on past batches before it is accepted."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from governance.cli.sequenced import at_the_end
from governance.config import load_settings

if TYPE_CHECKING:
    from governance.pipeline.backtest import BatchTest

_SHOWN = 5
"""Rows of one combination of reasons that the JSON answer names."""


@click.command("judge")
@click.argument("dataset")
@click.option(
    "--suite",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The changed suite; default: the one in force.",
)
@click.option(
    "--last", type=click.IntRange(1), default=12, show_default=True, help="On so many batches, the newest first."
)
@click.option(
    "--with-gx",
    is_flag=True,
    help="Run the suite by GX's own engine over the rows in force instead: for types that do not compile. It is recorded.",
)
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
@click.pass_obj
def command(home: Path | None, dataset: str, suite: Path | None, last: int, with_gx: bool, as_json: bool) -> None:
    """Say what a suite would have held and let in of past batches. Nothing is changed.

    Example: gov judge tax.invoices --suite new.json --last 12
    """
    if with_gx:
        if suite is None:
            raise click.UsageError("--with-gx needs --suite: what is in force compiles, and is judged with every batch")
        return _with_gx(home, dataset, suite, as_json)
    from governance.cli.query import as_text
    from governance.pipeline.backtest import back_test
    from governance.pipeline.context import open_context

    done = back_test(open_context(load_settings(home)), dataset, suite, last=last)
    if as_json:
        totals = {"would_hold": done.would_hold, "would_let_in": done.would_let_in}
        told = {**asdict(done), "batches": [_json(test) for test in done.batches], **totals}
        click.echo(json.dumps(told, ensure_ascii=False))
        return
    lines = [
        (
            test.batch,
            f"{test.found.rows:,}",
            f"{test.found.held:,}",
            f"{test.found.would_hold:,}",
            f"{test.found.would_let_in:,}",
            "would stop" if test.would_stop else "",
        )
        for test in done.batches
    ]
    click.echo(as_text(["batch", "rows", "held", "would hold", "would let in", ""], lines))
    for title, by in (("would hold", "hold_by"), ("would let in, of", "let_in_by")):
        total: dict[str, int] = {}
        for test in done.batches:
            for rule, rows in getattr(test.found, by).items():
                total[rule] = total.get(rule, 0) + rows
        for rule, rows in sorted(total.items(), key=lambda item: (-item[1], item[0])):
            click.echo(f"  {title} {rule}: {rows:,}")
    for rule in sorted({rule for test in done.batches for rule in test.found.errored}):
        click.echo(f"  cannot be evaluated on some rows: {rule}")
    if done.not_tested:
        click.echo(f"  not tried, since they hold no row: {', '.join(done.not_tested)}")


def _with_gx(home: Path | None, dataset: str, suite: Path, as_json: bool) -> None:
    from governance.pipeline.context import open_context
    from governance.pipeline.with_gx import judge_with_gx

    found = judge_with_gx(at_the_end(open_context(load_settings(home))), dataset, suite)
    if as_json:
        click.echo(json.dumps(asdict(found), ensure_ascii=False))
        return
    click.echo(f"{found.dataset}: {found.rows:,} rows judged by {found.engine}")
    for result in found.results:
        state = f"errored: {result['error']}" if result["errored"] else "met" if result["success"] else "failed"
        counted = result["counts"].get("unexpected_count")
        click.echo(f"  {result['id']}: {state}" + (f", {counted:,} rows" if counted else ""))


def _json(test: BatchTest) -> dict[str, Any]:
    """Counts, and the first rows that each combination of reasons would hold."""
    found = {item.name: getattr(test.found, item.name) for item in fields(test.found)}
    places = found.pop("places")
    found["metrics"] = {name: asdict(metric) for name, metric in found["metrics"].items()}
    found["would_hold_rows"] = [
        {"reasons": list(place.reasons), "rows": sorted(place.rows.slice(0, _SHOWN).to_pylist())}
        for place in places
        if not place.held
    ]
    return {"batch": test.batch, "found": found, "would_stop": test.would_stop}
