"""Observations: what was seen of a dataset beside its batches' verdicts, and what of it is not as it should be.

Kinds: reconcile (the live source against the lake), freshness and volume (the contract's service levels), drift (a batch against those before
it), gx (a suite run by GX's own engine). Each is a row of `state.tables.observation`, a ledger entry and, where something fails, an incident.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row, insert, select

from governance.ledger.entry import Json, append
from governance.state.tables import observation
from governance.state.values import Actor, Window

Kind = Literal["reconcile", "freshness", "volume", "drift", "gx"]


@dataclass(frozen=True, slots=True)
class Failure:
    """One expectation that was found failing, or that could not be judged (`errored`). `unexpected` counts rows, None where it counts none."""

    expectation: str
    severity: str
    column: str
    unexpected: int | None
    errored: bool = False


@dataclass(frozen=True, slots=True)
class Observation:
    """One observation as it is kept. `facts` hold names, counts and hashes, and of clear columns aggregates; no cell value."""

    kind: str
    subject: str
    batch: str | None
    window: Window | None
    outcome: str
    failures: tuple[Failure, ...]
    facts: Mapping[str, Any]
    recorded_at: datetime


def outcome_of(failures: Sequence[Failure]) -> str:
    """met, warned (warnings only) or failed.

    >>> outcome_of([]), outcome_of([Failure("volume:rows", "warn", "", None)]), outcome_of([Failure("volume:rows", "stop", "", None)])
    ('met', 'warned', 'failed')
    """
    if not failures:
        return "met"
    return "warned" if all(failure.severity == "warn" for failure in failures) else "failed"


def observe(
    tx: Connection,
    kind: Kind,
    subject: str,
    failures: Sequence[Failure],
    facts: Mapping[str, Any],
    *,
    actor: Actor,
    writer: str,
    at: datetime,
    batch: str | None = None,
    window: Window | None = None,
    told: Mapping[str, Json] | None = None,
) -> None:
    """Keep an observation in the caller's unit of work, with its ledger entry; `told` are facts that the entry has besides."""
    outcome = outcome_of(failures)
    tx.execute(
        insert(observation).values(
            kind=kind,
            subject=subject,
            batch=batch,
            window_start=window.start if window else None,
            window_end=window.end if window else None,
            run=actor.run,
            outcome=outcome,
            failures=json.dumps([asdict(failure) for failure in failures], ensure_ascii=False),
            facts=json.dumps(dict(facts), ensure_ascii=False, sort_keys=True),
            recorded_at=at,
        )
    )
    entry: dict[str, Json] = {
        "kind": kind,
        "subject": subject,
        "batch": batch,
        "outcome": outcome,
        "failing": sorted(failure.expectation for failure in failures),
        **(told or {}),
    }
    append(tx, "observed", entry, actor=actor, writer=writer, at=at)


def observations(
    connection: Connection, *, kind: Kind | None = None, subject: str | None = None, last: int | None = None
) -> tuple[Observation, ...]:
    """What was observed, newest first."""
    query = select(observation).order_by(observation.c.id.desc())
    if kind is not None:
        query = query.where(observation.c.kind == kind)
    if subject is not None:
        query = query.where(observation.c.subject == subject)
    return tuple(map(_observation, connection.execute(query.limit(last) if last is not None else query)))


def failures_from(text: str) -> tuple[Failure, ...]:
    """The failures of a row of the table."""
    return tuple(Failure(**one) for one in json.loads(text))


def _observation(row: Row[Any]) -> Observation:
    return Observation(
        kind=row.kind,
        subject=row.subject,
        batch=row.batch,
        window=Window(row.window_start, row.window_end) if row.window_start else None,
        outcome=row.outcome,
        failures=failures_from(row.failures),
        facts=json.loads(row.facts),
        recorded_at=row.recorded_at,
    )
