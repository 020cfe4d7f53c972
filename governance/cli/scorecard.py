"""`gov scorecard`: the five stages, 0 to 100 points each, with the facts behind every point."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from governance.config import load_settings

if TYPE_CHECKING:
    from governance.pipeline.scorecard.score import Line, Scorecard

_SHOWN = 3


@click.command("scorecard")
@click.option("--trend", is_flag=True, help="The stages' scores at earlier instants too.")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
@click.pass_obj
def command(home: Path | None, trend: bool, as_json: bool) -> None:
    """Score collect, store, manage, develop and use from what was recorded, each point with its fact.

    Example: gov scorecard --trend
    """
    from governance.pipeline.context import open_context
    from governance.pipeline.scorecard.score import scorecard

    card = scorecard(open_context(load_settings(home)), trend=trend)
    if as_json:
        click.echo(json.dumps(_json(card, trend), ensure_ascii=False))
        return
    for stage in card.stages:
        click.echo(f"{stage.stage:8} {_score(stage.score)}")
        for line in stage.lines:
            click.echo(f"  {_line(line)}")
    for at, scores in card.trend if trend else ():
        told = "  ".join(f"{name} {_score(score)}" for name, score in scores.items())
        click.echo(f"{at:%Y-%m-%d %H:%M}  {told}")


def _line(line: Line) -> str:
    if line.points is None:
        return f"{'-':>5} of {line.rule.points:3}  {line.rule.id:12} {line.rule.says}: nothing to speak of yet"
    text = f"{line.points:5.1f} of {line.rule.points:3}  {line.rule.id:12} {line.fact.shown}: {line.rule.says}"
    lacking = line.fact.lacking
    more = f" and {len(lacking) - _SHOWN} more" if len(lacking) > _SHOWN else ""
    return f"{text}; not: {', '.join(lacking[:_SHOWN])}{more}" if lacking else text


def _score(score: float | None) -> str:
    return "  -  " if score is None else f"{score:5.1f}"


def _json(card: Scorecard, trend: bool) -> dict[str, Any]:
    stages = {
        stage.stage: {
            "score": stage.score,
            "points": [
                {
                    "rule": line.rule.id,
                    "points": line.points,
                    "of": line.rule.points,
                    "good": line.fact.good,
                    "all": line.fact.of,
                    "unit": line.fact.unit,
                    "lacking": list(line.fact.lacking),
                    "says": line.rule.says,
                    "reason": line.rule.reason,
                    "source": line.rule.source,
                }
                for line in stage.lines
            ],
        }
        for stage in card.stages
    }
    told: dict[str, Any] = {"at": card.at.isoformat(), "stages": stages}
    if trend:
        told["trend"] = [{"at": at.isoformat(), **scores} for at, scores in card.trend]
    return told
