"""What was observed of a table beside its verdicts, as its page tells it: names, counts and distances, never an observed value.

The observations of now are the newest of each kind (`pipeline.observations`); older ones are listed where something was not as it should be.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from governance.pipeline.observations import Failure, Kind, failures_from
from governance.pipeline.report.said import Said, Word, said
from governance.state.tables import observation

LISTED = 20
"""Older observations of a table that its page lists."""
KINDS: tuple[Kind, ...] = ("reconcile", "freshness", "volume", "drift", "gx")
_UNLIKE = {
    False: "{score} deviations from the median of its history, {limit} are usual",
    True: "{score} deviations from the median of its weekday, {limit} are usual",
}
_COUNTED: Mapping[str, tuple[tuple[str, str], ...]] = {
    "volume": (
        ("records", "{n} records"),
        ("min_rows", "at least {n} agreed"),
        ("max_rows", "at most {n} agreed"),
    ),
    "drift": (("metrics", "{n} metrics"), ("batches", "against {n} earlier batches")),
    "freshness": (
        ("frequency", "every {period}"),
        ("latency", "within {period}"),
        ("due", "next due {at}"),
        ("hours_after_window", "newest {hours} hours after its window"),
    ),
    "gx": (("engine", "by {engine}"), ("rows", "{rows} rows")),
    "reconcile": (
        ("verdict", "source and lake: {verdict}"),
        ("how", "compared by {how}"),
        ("source_rows", "{n} rows in the source"),
        ("landed_rows", "{n} landed"),
        ("lake_rows", "{n} in the lake"),
    ),
}
"""Kind -> (fact, the form that tells it, with one place)."""


@dataclass(frozen=True, slots=True)
class SeenLine:
    """One expectation that was not met. `state`: errored, stopped or warned."""

    expectation: str
    state: str
    says: Said | None


@dataclass(frozen=True, slots=True)
class Seen:
    """One observation. `outcome`: met, warned, failed, or errored where an expectation could not be judged; `of` is what it speaks of."""

    kind: str
    at: datetime
    of: str
    outcome: str
    counted: tuple[Said, ...]
    lines: tuple[SeenLine, ...]
    newest: bool = True
    """Whether nothing newer of its kind was observed."""

    @property
    def names(self) -> str:
        """
        >>> Seen("drift", datetime(2026, 1, 1), "", "warned", (), (SeenLine("drift:rows", "warned", None),)).names
        'drift:rows'
        """
        return ", ".join(line.expectation for line in self.lines)


def read_seen(connection: Connection, subject: str) -> tuple[Seen, ...]:
    """The newest of each kind and the newest `LISTED` that were not met; newest first."""
    c = observation.c
    newest = set(connection.execute(select(func.max(c.id)).where(c.subject == subject).group_by(c.kind)).scalars())
    if not newest:
        return ()
    unmet = select(c.id).where(c.subject == subject, c.outcome != "met").order_by(c.id.desc()).limit(LISTED)
    wanted = newest | set(connection.execute(unmet).scalars())
    rows = connection.execute(select(observation).where(c.id.in_(wanted)).order_by(c.id.desc()))
    return tuple(
        seen(
            row.kind,
            row.outcome,
            failures_from(row.failures),
            json.loads(row.facts),
            at=row.recorded_at,
            of=_of(row.batch, row.window_start, row.window_end),
            newest=row.id in newest,
        )
        for row in rows
    )


def seen(
    kind: str,
    outcome: str,
    failures: Iterable[Failure],
    facts: Mapping[str, Any],
    *,
    at: datetime,
    of: str,
    newest: bool = True,
) -> Seen:
    """As it is told: of the facts only what holds no value of the data."""
    lines = tuple(_line(failure, facts) for failure in failures)
    told = "errored" if any(line.state == "errored" for line in lines) else outcome
    return Seen(kind, at, of, told, tuple(_counted(kind, facts)), lines, newest)


def _line(failure: Failure, facts: Mapping[str, Any]) -> SeenLine:
    state = "warned" if failure.severity == "warn" else "stopped"
    by_gx = next((one for one in facts.get("results", ()) if one["id"] == failure.expectation), None)
    if by_gx is not None and by_gx["errored"]:
        return SeenLine(failure.expectation, "errored", said("could not be judged"))
    place = (facts.get("unlike") or {}).get(failure.expectation)
    if place is not None:
        far = {"score": f"{place['score']:.1f}", "limit": f"{place['limit']:.1f}"}
        return SeenLine(failure.expectation, state, Said(_UNLIKE[bool(place.get("weekday"))], far))
    rows = failure.unexpected
    return SeenLine(failure.expectation, state, None if rows is None else said("{rows} rows", rows=rows))


def _counted(kind: str, facts: Mapping[str, Any]) -> Iterator[Said]:
    """What was counted or compared, in words.

    >>> [str(one) for one in _counted("volume", {"records": 1200, "min_rows": 2000, "max_rows": None})], list(_counted("drift", {}))
    (['1,200 records', 'at least 2,000 agreed'], [])
    """
    for name, form in _COUNTED.get(kind, ()):
        value = facts.get(name)
        if value is not None:
            place = form.partition("{")[2].partition("}")[0]
            yield Said(form, {place: _as_told(name, value)})
    if kind == "gx":
        yield said("{n} expectations", n=len(facts.get("results", ())))


def _as_told(name: str, value: Any) -> object:
    match name:
        case "due":
            return str(value)[:16].replace("T", " ")
        case "hours_after_window":
            return f"{value:,.1f}"
        case "verdict" | "how":
            return Word(value)
    return value


def _of(batch: str | None, start: datetime | None, end: datetime | None) -> str:
    """The batch, else the window that is missing, else nothing: the table."""
    if batch is not None:
        return batch.partition("@")[2]
    return f"{start:%Y-%m-%d %H:%M} – {end:%Y-%m-%d %H:%M}" if start and end else ""
