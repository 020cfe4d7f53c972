"""`gov demo`: the demo city and the score of what quality found in it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from governance.config import load_settings
from governance.errors import GovernanceError

SEED, PEOPLE, MONTH = 20260101, 6000, "2026-01"


@click.group("demo")
def command() -> None:
    """Generate the demo city, and score what quality found.

    Example: gov demo generate --people 20000 && gov run --from 2026-01-01 --to 2026-02-01 && gov demo score
    """


@command.command("generate")
@click.option("--people", default=PEOPLE, show_default=True, help="Residents in the first month, from 500.")
@click.option("--seed", default=SEED, show_default=True, help="The same seed gives the same city.")
@click.option(
    "--month", default=MONTH, show_default=True, help="YYYY-MM, from 2026-01; a later month is a second delivery."
)
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the sources. Default: sources/ of the home.",
)
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
@click.pass_obj
def generate(home: Path | None, people: int, seed: int, month: str, folder: Path | None, as_json: bool) -> None:
    """Write what five departments deliver in a month, and beside it the answer key of the faults in it.

    Example: gov demo generate --people 100000 --month 2026-02
    """
    from governance.demo.city import generate as generate_city

    target = folder if folder is not None else load_settings(home).home / "sources"
    made = generate_city(target, seed=seed, people=people, month=month)
    if as_json:
        click.echo(json.dumps({**asdict(made), "answers": str(made.answers)}, ensure_ascii=False))
        return
    for dataset, records in made.records.items():
        click.echo(f"{dataset:42} {records:9,} records, {sum(made.faults[dataset].values()):6,} with a fault")
    click.echo(f"sources in {target}, answer key in {made.answers}")


@command.command("score")
@click.option(
    "--answers",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the answer key. Default: answers/ of the home.",
)
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
@click.pass_obj
def show_score(home: Path | None, folder: Path | None, as_json: bool) -> None:
    """Recall and precision of quarantine and findings against the answer key, by kind of fault.

    Example: gov demo score --json
    """
    from governance.demo.detected import read_answers, read_detected
    from governance.demo.score import score, table_text, unexplained
    from governance.pipeline.context import open_context

    settings = load_settings(home)
    answers = read_answers(folder if folder is not None else settings.home / "answers")
    detected = read_detected(open_context(settings), sorted(set(answers["month"].to_pylist())))
    if not detected.num_rows:
        raise GovernanceError(
            "nothing was judged yet", where=str(settings.home), do="run `gov run` after `gov demo generate`"
        )
    scores, alarms = score(answers, detected), unexplained(answers, detected)
    if as_json:
        kinds = [{**asdict(s), "recall": s.recall, "precision": s.precision} for s in scores]
        click.echo(json.dumps({"kinds": kinds, "unexplained": alarms}, ensure_ascii=False))
        return
    click.echo(table_text(scores))
    for reason, rows in alarms.items():
        click.echo(f"on rows without a fault: {reason}: {rows:,}")
