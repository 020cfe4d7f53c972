"""Builds curated tables in an order in which each comes after those it reads; a model that fails stops none of its neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from governance.catalog.rules import RowRules
from governance.catalog.types import Model
from governance.develop import Analysis, analyse, build, order
from governance.errors import DeclarationError
from governance.manage import verdict
from governance.pipeline.context import Context
from governance.pipeline.ingest import rules_of
from governance.pipeline.steps import Done, Report, Step, StepOutcome, attempt, silent
from governance.state.values import Actor, Outcome, RuleMetric

_OUTCOMES: Mapping[Outcome, StepOutcome] = {"go": "done", "go_with_warnings": "warned", "stop": "stopped"}


def build_models(
    context: Context,
    run: str,
    *,
    only: Sequence[str] | None = None,
    reading: Sequence[str] | None = None,
    report: Report = silent,
) -> tuple[Step, ...]:
    """Build `only` these models, or those that depend on `reading` (default: all), each at a pin of its own, judged as it is written, its
    checks beside it.
    """
    analyses = {name: analyse(model, context.catalogue) for name, model in context.catalogue.models.items()}
    names, faults = order(context.catalogue.models, analyses)
    if faults:
        raise DeclarationError(faults)
    if reading is not None:
        only = _dependent(reading, names, analyses)
    steps = []
    for name in names:
        if only is None or name in only:
            actor = Actor("service:build@curated", "pipeline.develop", run)
            work = partial(_build_one, context, context.catalogue.models[name], actor)
            steps.append(attempt("develop", name, work, actor=actor, database=context.database, report=report))
    return tuple(steps)


def _dependent(datasets: Sequence[str], names: Sequence[str], analyses: Mapping[str, Analysis]) -> list[str]:
    """Those of `names` (in their order) that read one of `datasets`, or a model that does."""
    reached, found = set(datasets), []
    for name in names:
        if reached.intersection(analyses[name].inputs):
            reached.add(name)
            found.append(name)
    return found


def _build_one(context: Context, model: Model, actor: Actor) -> Done:
    built = build(
        model,
        rules_of(context, model.contract),
        context.catalogue,
        settings=context.settings,
        lake=context.lake,
        database=context.database,
        keystore=context.keystore,
        actor=actor,
        decide=partial(_decide, model),
    )
    said = [f"{built.findings:,} findings"] if built.findings else []
    if built.reasons:
        said.append(f"{built.outcome}: {', '.join(built.reasons)}")
    return Done(str(built.snapshot or ""), _OUTCOMES[built.outcome], built.rows, "; ".join(said))


def _decide(
    model: Model, rules: RowRules, metrics: Mapping[str, RuleMetric], rows: int
) -> tuple[Outcome, tuple[str, ...], str]:
    """Manage's verdict on a built table: no row of it is ever split off, so what would set rows aside elsewhere stops it."""
    return verdict(model.contract, rules, metrics, rows=rows, quarantined=0, sets_aside=False)
