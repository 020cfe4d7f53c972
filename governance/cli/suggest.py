"""`gov suggest`: expectations that a dataset's rows propose, accepted or refused one by one."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from governance.config import load_settings

if TYPE_CHECKING:
    from governance.manage.suggest import Proposal


@click.command("suggest")
@click.argument("dataset")
@click.option("--accept", help="Numbers of proposals to write into the suite as warnings, e.g. 1,4 (or all).")
@click.option("--refuse", help="Numbers of proposals never to propose again.")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
@click.pass_obj
def command(home: Path | None, dataset: str, accept: str | None, refuse: str | None, as_json: bool) -> None:
    """Propose expectations from the rows that were let in, with support and positions that would fail.

    Example: gov suggest tax.invoices --accept 1,4 --refuse 2
    """
    from governance.pipeline.context import open_context
    from governance.pipeline.suggest import decide, proposals

    context = open_context(load_settings(home))
    found = proposals(context, dataset)
    accepted, refused = _chosen(found, accept, "--accept"), _chosen(found, refuse, "--refuse")
    both = [n for n, proposal in enumerate(found, 1) if proposal in accepted and proposal in refused]
    if both:
        raise click.UsageError(f"proposal {both[0]} is in both --accept and --refuse")
    if as_json:
        told = [
            {"number": n, **asdict(p), "accepted": p in accepted, "refused": p in refused}
            for n, p in enumerate(found, 1)
        ]
        click.echo(json.dumps(told, ensure_ascii=False))
    else:
        for number, proposal in enumerate(found, 1):
            click.echo(_line(number, proposal))
        click.echo(f"{len(found)} proposal{'' if len(found) == 1 else 's'}" if found else "nothing to propose")
    if accepted or refused:
        file = decide(context, dataset, accepted=accepted, refused=refused)
        if not as_json:
            click.echo(
                f"{len(accepted)} accepted, {len(refused)} refused: {file.name}; gov judge {dataset} tries it on past batches"
            )


def _chosen(found: tuple[Proposal, ...], numbers: str | None, option: str) -> list[Proposal]:
    if not numbers:
        return []
    if numbers == "all":
        return [proposal for proposal in found if proposal.expectation is not None]
    try:
        chosen = [int(number) for number in numbers.split(",")]
    except ValueError:
        raise click.UsageError(f"{option}: '{numbers}' are no numbers, e.g. 1,4") from None
    wrong = [number for number in chosen if not 1 <= number <= len(found)]
    if wrong:
        raise click.UsageError(f"{option}: there is no proposal {wrong[0]}; there are {len(found)}")
    return [found[number - 1] for number in chosen]


def _line(number: int, proposal: Proposal) -> str:
    where = "" if proposal.expectation else " (contract)" if proposal.kind != "decides" else " (a check beside a model)"
    failing = ", ".join(f"{batch} row {row}" for batch, row in proposal.examples)
    text = f"{number:>4}  {proposal.support:8.3%} of {proposal.rows:,}  {proposal.column} {proposal.says}{where}"
    return f"{text}; not: {failing}" if failing else text
