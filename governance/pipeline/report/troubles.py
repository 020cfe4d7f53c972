"""Incidents as the report lists them: how long they are open, whose they are, and which tables they reach."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from governance.lineage.index import Index
from governance.pipeline.incidents import Incident, incidents, reached
from governance.state import tables

MOST = 500
"""Incidents that one page lists."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """One open incident. `days` since it was opened; `downstream` are curated tables and datasets that read the failing column."""

    incident: Incident
    department: str
    days: int
    downstream: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Troubles:
    """`open` are the first `MOST` of `all_open`, those of severity stop first, then the oldest; `closed` counts what was closed."""

    open: tuple[Trouble, ...]
    all_open: int
    closed: int


def troubles(connection: Connection, index: Index, at: datetime) -> Troubles:
    """As they stand at `at`, now."""
    found = sorted(incidents(connection), key=lambda one: (one.severity != "stop", one.opened_at, one.id))
    reach: dict[tuple[str, str], tuple[str, ...]] = {}
    listed = []
    for one in found[:MOST]:
        place = one.subject, one.column
        if place not in reach:
            reach[place] = reached(connection, index, one)
        listed.append(Trouble(one, one.subject.partition(".")[0], max(0, (at - one.opened_at).days), reach[place]))
    closed = select(func.count()).select_from(tables.incident).where(tables.incident.c.closed_at.is_not(None))
    return Troubles(tuple(listed), len(found), connection.execute(closed).scalar_one())
