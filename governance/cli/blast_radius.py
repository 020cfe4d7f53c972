"""`gov blast-radius`: the share of sensitive cells that one breached credential reaches."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from governance.cli.query import as_text
from governance.config import load_settings


@click.command("blast-radius")
@click.option("--limit", type=click.FloatRange(0, 1), help="Exit with 1 when one credential reaches a larger share.")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON, every credential.")
@click.pass_obj
def command(home: Path | None, limit: float | None, as_json: bool) -> None:
    """Say what share of all sensitive cells each role, subject, service credential and key reaches, widest first.

    Example: gov blast-radius --limit 0.5
    """
    from governance.pipeline.context import open_context
    from governance.pipeline.reach import BEYOND, blast_radius

    radius = blast_radius(open_context(load_settings(home)))
    wide = radius.beyond(limit) if limit is not None else ()
    if as_json:
        reaches = [asdict(reach) for reach in radius.reaches]
        answer = {"sensitive_cells": radius.total, "limit": limit, "passed": [reach.name for reach in wide]}
        click.echo(json.dumps({**answer, "reaches": reaches, "beyond": list(BEYOND)}, ensure_ascii=False))
    else:
        rows = [(r.kind, r.name, f"{r.share:.1%}", f"{r.cells:,}", f"{r.masked:,}" if r.masked else "")
                for r in radius.reaches if r.cells or r.masked]  # fmt: skip
        click.echo(f"{radius.total:,} sensitive cells")
        click.echo(as_text(["", "credential", "share", "cells", "masked"], rows))
        none = [r.name for r in radius.reaches if not r.cells and not r.masked]
        click.echo(f"reach nothing: {', '.join(none) or 'none'}")
        click.echo("\n".join(["not in these numbers:", *(f"  {text}" for text in BEYOND)]))
    for reach in wide:
        click.echo(f"{reach.kind} {reach.name} reaches {reach.share:.1%}, more than {limit:.1%}", err=True)
    if wide:
        click.get_current_context().exit(1)
