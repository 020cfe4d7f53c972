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
from governance.state.tables import observation

LISTED = 20
"""Older observations of a table that its page lists."""
KINDS: tuple[Kind, ...] = ("reconcile", "freshness", "volume", "drift", "gx")


@dataclass(frozen=True, slots=True)
class SeenLine:
    """One expectation that was not met. `state`: errored, stopped or warned."""

    expectation: str
    state: str
    says: str


@dataclass(frozen=True, slots=True)
class Seen:
    """One observation. `outcome`: met, warned, failed, or errored where an expectation could not be judged; `of` is what it speaks of."""

    kind: str
    at: datetime
    of: str
    outcome: str
    counted: str
    lines: tuple[SeenLine, ...]
    newest: bool = True
    """Whether nothing newer of its kind was observed."""

    @property
    def names(self) -> str:
        """
        >>> Seen("drift", datetime(2026, 1, 1), "", "warned", "", (SeenLine("drift:rows", "warned", ""),)).names
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
    return Seen(kind, at, of, told, "; ".join(_counted(kind, facts)), lines, newest)


def _line(failure: Failure, facts: Mapping[str, Any]) -> SeenLine:
    state = "warned" if failure.severity == "warn" else "stopped"
    by_gx = next((one for one in facts.get("results", ()) if one["id"] == failure.expectation), None)
    if by_gx is not None and by_gx["errored"]:
        return SeenLine(failure.expectation, "errored", "could not be judged")
    place = (facts.get("unlike") or {}).get(failure.expectation)
    if place is not None:
        history = "weekday" if place.get("weekday") else "history"
        says = f"{place['score']:.1f} deviations from the median of its {history}, {place['limit']:.1f} are usual"
        return SeenLine(failure.expectation, state, says)
    return SeenLine(failure.expectation, state, "" if failure.unexpected is None else f"{failure.unexpected:,} rows")


def _counted(kind: str, facts: Mapping[str, Any]) -> Iterator[str]:
    """What was counted or compared, in words.

    >>> list(_counted("volume", {"records": 1200, "min_rows": 2000, "max_rows": None})), list(_counted("drift", {}))
    (['1,200 records', 'at least 2,000 agreed'], [])
    """
    words: Mapping[str, tuple[tuple[str, str], ...]] = {
        "volume": (
            ("records", "{:,} records"),
            ("min_rows", "at least {:,} agreed"),
            ("max_rows", "at most {:,} agreed"),
        ),
        "drift": (("metrics", "{:,} metrics"), ("batches", "against {:,} earlier batches")),
        "freshness": (
            ("frequency", "every {}"),
            ("latency", "within {}"),
            ("due", "next due {}"),
            ("hours_after_window", "newest {:,.1f} hours after its window"),
        ),
        "gx": (("engine", "{}"), ("rows", "{:,} rows")),
        "reconcile": (
            ("verdict", "{}"),
            ("how", "compared by {}"),
            ("source_rows", "{:,} rows in the source"),
            ("landed_rows", "{:,} landed"),
            ("lake_rows", "{:,} in the lake"),
        ),
    }
    for name, form in words.get(kind, ()):
        value = facts.get(name)
        if value is not None:
            yield form.format(str(value)[:16].replace("T", " ") if name == "due" else value)
    if kind == "gx":
        yield f"{len(facts.get('results', ())):,} expectations"


def _of(batch: str | None, start: datetime | None, end: datetime | None) -> str:
    """The batch, else the window that is missing, else nothing: the table."""
    if batch is not None:
        return batch.partition("@")[2]
    return f"{start:%Y-%m-%d %H:%M} – {end:%Y-%m-%d %H:%M}" if start and end else ""
