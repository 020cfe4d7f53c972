"""What needs somebody, and whom: the first thing that the report shows. Pure, on facts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from governance.pipeline.report.facts import Failure, ReportFacts, RunLine, TableFacts
from governance.pipeline.report.rules import RuleLine
from governance.pipeline.report.said import Said, Word, said

Level = Literal["failed", "stopped", "errored", "waiting", "findings", "observed", "held back", "warned"]
LEVELS: tuple[Level, ...] = get_args(Level)
_SHOWN_RULES = 3


@dataclass(frozen=True, slots=True)
class Concern:
    """One thing to look at. `why` are names of rules with their counts, or an error's message."""

    level: Level
    table: str
    steward: str
    what: Said
    why: str = ""


def concerns(facts: ReportFacts) -> tuple[Concern, ...]:
    """All of them, the worst first."""
    return worst_first(concern for table in facts.tables for concern in _of(table))


def concerns_of(table: TableFacts) -> tuple[Concern, ...]:
    """Those of one table."""
    return tuple(_of(table))


def worst_first(found: Iterable[Concern]) -> tuple[Concern, ...]:
    return tuple(sorted(found, key=lambda concern: (LEVELS.index(concern.level), concern.table)))


def _of(table: TableFacts) -> Iterator[Concern]:
    for run in table.open_runs:
        yield _not_let_in(table, run)
    if table.failure:
        yield Concern(
            "failed",
            table.name,
            table.owner,
            said("{stage} failed", stage=Word(table.failure.stage)),
            _failed_because(table.failure),
        )
    yield from _observed(table)
    latest = table.latest
    if latest is None:
        return
    errored = [rule for rule in latest.rules if rule.state == "errored"]
    if errored:
        what = said("{n} rules could not be judged", n=len(errored))
        yield Concern("errored", table.name, table.owner, what, _names(errored))
    if latest.counts and latest.counts.quarantined:
        share = 100.0 * latest.counts.quarantined / latest.received
        held_back = latest.counts.quarantined
        form = "{held} of {received} rows held back ({share} %)"
        what = said(form, held=held_back, received=latest.received, share=f"{share:.1f}")
        held = [rule for rule in latest.broken_rules if rule.state == "held back"]
        yield Concern("held back", table.name, table.owner, what, _names(held, latest.counts.unparsed))
    if table.findings:
        why = ", ".join(f"{name} {count:,}" for name, count in sorted(table.findings.items()))
        yield Concern("findings", table.name, table.owner, said("departments contradict one another"), why)
    if latest.warnings:
        yield Concern("warned", table.name, table.owner, said("let in with warnings"), _names(latest.warnings))


def _observed(table: TableFacts) -> Iterator[Concern]:
    """What was seen beside the verdicts and is not as it should be, as far as nothing newer of its kind was."""
    now = [one for one in table.seen if one.newest and one.outcome != "met"]
    if now:
        level: Level = "errored" if any(one.outcome == "errored" for one in now) else "observed"
        what = said("seen beside the verdicts: {kinds}", kinds=tuple(Word(one.kind) for one in now))
        names = [line.expectation for one in now for line in one.lines]
        left = len(names) - _SHOWN_RULES
        why = ", ".join([*names[:_SHOWN_RULES], *([said("and {n} more", n=left).both] if left > 0 else [])])
        yield Concern(level, table.name, table.owner, what, why)


def _not_let_in(table: TableFacts, run: RunLine) -> Concern:
    if run.outcome in ("landed", "stored"):
        what = said("{label}: {status}, not judged yet", label=run.label, status=Word(run.outcome))
        return Concern("waiting", table.name, table.owner, what)
    if run.outcome == "failed":
        return Concern("failed", table.name, table.owner, said("{label}: a stage failed", label=run.label), run.error)
    what = said("{label}: not let in", label=run.label)
    return Concern("stopped", table.name, table.owner, what, ", ".join(run.reasons))


def _failed_because(failure: Failure) -> str:
    return f"{failure.at:%Y-%m-%d %H:%M} UTC: {failure.message}"


def _names(rules: Sequence[RuleLine], unparsed: int = 0) -> str:
    """The most frequent rules with their counts.

    >>> _names([], 4)
    'unparsed lines 4 未解析行 4'
    """
    shown = [f"{rule.id} {rule.unexpected:,}" for rule in rules[:_SHOWN_RULES]]
    left = len(rules) - _SHOWN_RULES
    more = [said("more rules: {n}", n=left).both] if left > 0 else []
    return ", ".join([*([said("unparsed lines {n}", n=unparsed).both] if unparsed else []), *shown, *more])
