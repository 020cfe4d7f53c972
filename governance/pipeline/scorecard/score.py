"""The scorecard of one home at an instant, and where its stages stood at earlier ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from sqlalchemy import func, select

from governance.pipeline.context import Context
from governance.pipeline.report.facts import TableFacts
from governance.pipeline.report.read import Reader
from governance.pipeline.scorecard.recorded import Recorded
from governance.pipeline.scorecard.rules import OLD_DAYS, RULES, STAGES, Fact, Rule, Stage
from governance.pipeline.scorecard.standing import Moment, Standing, standing
from governance.state import tables

TREND_POINTS = 12
"""Instants that a trend is made of."""


@dataclass(frozen=True, slots=True)
class Line:
    """One rule with its fact. `points` of `rule.points`; None where the rule had nothing to speak of."""

    rule: Rule
    fact: Fact
    points: float | None


@dataclass(frozen=True, slots=True)
class StageScore:
    """`score` is None where no rule of the stage had anything to speak of."""

    stage: Stage
    score: float | None
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Scorecard:
    """All stages at `at`; `trend` has their scores at earlier instants, oldest first, the last of them `at`."""

    at: datetime
    stages: tuple[StageScore, ...]
    trend: tuple[tuple[datetime, Mapping[Stage, float | None]], ...] = ()

    def stage(self, name: Stage) -> StageScore:
        return self.stages[STAGES.index(name)]

    def points(self, name: Stage) -> tuple[tuple[date, float], ...]:
        """The stage's trend, where it had a score."""
        scores = ((at.date(), scored[name]) for at, scored in self.trend)
        return tuple((day, score) for day, score in scores if score is not None)


@dataclass(slots=True)
class Collector:
    """Takes tables one by one, as they are read, and keeps how each stood at every instant asked for."""

    recorded: Recorded
    instants: Sequence[datetime]
    _standing: dict[datetime, list[Standing]] = field(default_factory=dict)

    def add(self, table: TableFacts) -> None:
        contract = self.recorded.contracts[table.name]
        around = self.recorded.around(table.name)
        for at in self.instants:
            old_before = at - timedelta(days=OLD_DAYS)
            self._standing.setdefault(at, []).append(standing(table, contract, around, at, old_before))

    def scorecard(self) -> Scorecard:
        scored = {at: score(self.recorded.moment(at, tuple(self._standing.get(at, ())))) for at in self.instants}
        trend = tuple((at, {one.stage: one.score for one in stages}) for at, stages in scored.items())
        return Scorecard(self.instants[-1], scored[self.instants[-1]], trend)


def scorecard(context: Context, *, trend: bool = True) -> Scorecard:
    """Of now; with `trend` the stages' scores at earlier instants too."""
    with context.database.read() as connection:
        reader = Reader(context, connection, detailed=0)
        recorded = Recorded(connection, reader.contracts())
        collector = Collector(recorded, trend_instants(context) if trend else [context.database.clock()])
        for table in _all(reader):
            collector.add(table)
        return collector.scorecard()


def score(moment: Moment) -> tuple[StageScore, ...]:
    """Every stage by `RULES`. Pure."""
    lines = [_line(rule, rule.fact(moment)) for rule in RULES]
    return tuple(_stage(name, tuple(line for line in lines if line.rule.stage == name)) for name in STAGES)


def trend_instants(context: Context) -> list[datetime]:
    """Up to `TREND_POINTS` instants, evenly from the first verdict to now; of a home with fewer pipeline runs, their ends."""
    now = context.database.clock()
    columns = tables.run.c
    with context.database.read() as connection:
        first = connection.execute(select(func.min(columns.recorded_at))).scalar_one()
        if first is None:
            return [now]
        ends = select(func.max(columns.recorded_at).label("at")).group_by(columns.run).order_by("at")
        found = [row.at for row in connection.execute(ends.limit(TREND_POINTS))]
        last = connection.execute(select(func.max(columns.recorded_at))).scalar_one()
    if len(found) < TREND_POINTS:
        return [*found, now]
    step = (last - first) / (TREND_POINTS - 1)
    return [*(first + step * n for n in range(1, TREND_POINTS - 1)), last, now]


def _all(reader: Reader) -> Iterable[TableFacts]:
    yield from reader.datasets()
    yield from reader.curated()


def _line(rule: Rule, fact: Fact) -> Line:
    share = fact.share
    return Line(rule, fact, None if share is None else rule.points * share)


def _stage(name: Stage, lines: tuple[Line, ...]) -> StageScore:
    spoken = [line for line in lines if line.points is not None]
    most = sum(line.rule.points for line in spoken)
    return StageScore(name, 100.0 * sum(line.points or 0.0 for line in spoken) / most if most else None, lines)
