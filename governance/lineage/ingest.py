"""Events of others into the state: whole and once, with the flows that they say are in force; all of it in one unit of work.

A flow is what one job makes one output of. It is replaced by a later event that knows better: of the same run one of at
least as much detail, of another run its COMPLETE event (or any with as much detail). What a run that failed had replaced comes back.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from governance.lineage.ingest_failed import FAILED, failed, take_back
from governance.lineage.ingest_flows import Flow, Told
from governance.lineage.record import keep_edges
from governance.state.tables_lineage import lineage_event, lineage_flow, lineage_rejected

_CHUNK = 400
_REASONS = 1_000
"""Distinct reasons kept of one producer; what comes after is counted as `other`."""


@dataclass(frozen=True, slots=True)
class _Force:
    """A flow in force; `id` None: not written yet."""

    id: int | None
    run: str
    detail: int
    edge_set: str
    event_time: datetime


def keep(tx: Connection, events: Sequence[Told], *, subject: str, at: datetime) -> tuple[bytes, ...]:
    """Keep events of one producer in the caller's unit of work; digests of those that were new, in their order.

    An event that is there already changes nothing.
    """
    new = _new(tx, events)
    if not new:
        return ()
    tx.execute(_dialect(tx).insert(lineage_event).on_conflict_do_nothing(), [_row(told, subject, at) for told in new])
    _put_in_force(tx, new, at)
    return tuple(told.digest for told in new)


def count_rejected(tx: Connection, reasons: Mapping[str, int], *, subject: str, at: datetime) -> None:
    """Count events of one producer that were not taken, by reason."""
    mine = lineage_rejected.c.subject == subject
    known = set(tx.execute(select(lineage_rejected.c.reason).where(mine)).scalars())
    found: dict[str, int] = {}
    for reason, number in reasons.items():
        name = reason if reason in known or len(known) + len(found) < _REASONS else "other"
        found[name] = found.get(name, 0) + number
    for reason, number in found.items():
        row = {"subject": subject, "reason": reason, "events": number, "first_at": at, "last_at": at}
        statement = _dialect(tx).insert(lineage_rejected).values(row)
        total = lineage_rejected.c.events + number
        changed = {"events": total, "last_at": at}
        tx.execute(statement.on_conflict_do_update(index_elements=["subject", "reason"], set_=changed))


@dataclass(frozen=True, slots=True)
class Received:
    """What was received: events kept, of them finished runs that name no dataset, and refusals (subject, reason, number)."""

    events: int
    without_datasets: int
    rejected: tuple[tuple[str, str, int], ...]


def received(connection: Connection, as_of: datetime | None = None) -> Received:
    """What was received, up to `as_of` (refusals: of reasons that were there by then)."""
    kept = select(func.count()).select_from(lineage_event)
    refused = select(lineage_rejected.c.subject, lineage_rejected.c.reason, lineage_rejected.c.events)
    if as_of is not None:
        kept = kept.where(lineage_event.c.recorded_at <= as_of)
        refused = refused.where(lineage_rejected.c.first_at <= as_of)
    bare = kept.where(lineage_event.c.datasets == 0, lineage_event.c.event_type == "COMPLETE")
    rows = connection.execute(refused.order_by(lineage_rejected.c.subject, lineage_rejected.c.reason)).all()
    numbers = connection.execute(kept).scalar_one(), connection.execute(bare).scalar_one()
    return Received(*numbers, tuple((row[0], row[1], row[2]) for row in rows))


def event_body(stored: bytes) -> str:
    """The canonical JSON of a kept event."""
    return zlib.decompress(stored).decode("utf-8")


def _dialect(tx: Connection) -> Any:
    return postgresql if tx.dialect.name == "postgresql" else sqlite


def _new(tx: Connection, events: Sequence[Told]) -> list[Told]:
    """Events by their digest, each once, without those that are kept."""
    by_digest = {told.digest: told for told in events}
    digests = list(by_digest)
    for start in range(0, len(digests), _CHUNK):
        known = select(lineage_event.c.digest).where(lineage_event.c.digest.in_(digests[start : start + _CHUNK]))
        for digest in tx.execute(known).scalars():
            del by_digest[bytes(digest)]
    return list(by_digest.values())


def _row(told: Told, subject: str, at: datetime) -> dict[str, Any]:
    return {
        "digest": told.digest,
        "kind": told.kind,
        "subject": subject,
        "job": told.job,
        "run": told.run,
        "event_type": told.event_type,
        "event_time": told.event_time,
        "datasets": told.datasets,
        "body": zlib.compress(told.body, 1),
        "recorded_at": at,
    }


def _put_in_force(tx: Connection, events: Sequence[Told], at: datetime) -> None:
    """Write what changes: a confirmed flow's last word, a replaced flow's end, a new flow."""
    take_back(tx, failed(tx, {told.run for told in events if told.event_type in FAILED}), at=at)
    flows = [(told, flow) for told in events if told.event_type not in FAILED for flow in told.flows]
    before = _in_force(tx, {flow.output for _, flow in flows})
    lost = failed(tx, {told.run for told, flow in flows if _begins(told, flow, before)})
    flows = [(told, flow) for told, flow in flows if told.run not in lost] if lost else flows
    after = dict(before)
    edges = {}
    for told, flow in flows:
        key = (flow.output, told.job)
        if _replaces(told, flow, after.get(key)):
            edge_set = flow.edge_set
            edges[edge_set] = flow.edges
            same = (old := before.get(key)) is not None and old.edge_set == edge_set
            after[key] = _Force(old.id if same and old else None, told.run, flow.detail, edge_set, told.event_time)
    confirmed, ended, made = [], [], []
    for (output, job), force in after.items():
        old = before.get((output, job))
        if force is old:
            continue
        values = {"run": force.run, "detail": force.detail, "event_time": force.event_time}
        if force.id is not None:
            confirmed.append({"flow": force.id, **values})
            continue
        if old is not None:
            ended.append({"flow": old.id, "superseded_at": at})
        keep_edges(tx, edges[force.edge_set], at)
        made.append({**values, "output": output, "job": job, "edge_set": force.edge_set, "recorded_at": at})
    one = update(lineage_flow).where(lineage_flow.c.id == bindparam("flow"))
    for rows in (confirmed, ended):
        if rows:
            tx.execute(one.values({name: bindparam(name) for name in rows[0] if name != "flow"}), rows)
    if made:
        tx.execute(insert(lineage_flow), made)


def _begins(told: Told, flow: Flow, before: Mapping[tuple[str, str], _Force]) -> bool:
    """Whether an event says something new of a run that has not ended by it."""
    old = before.get((flow.output, told.job))
    return told.event_type not in ("", "COMPLETE") and (old is None or old.edge_set != flow.edge_set)


def _in_force(tx: Connection, outputs: set[str]) -> dict[tuple[str, str], _Force]:
    found: dict[tuple[str, str], _Force] = {}
    names = sorted(outputs)
    columns = [lineage_flow.c[name] for name in ("id", "output", "job", "run", "detail", "edge_set", "event_time")]
    for start in range(0, len(names), _CHUNK):
        chunk = names[start : start + _CHUNK]
        open_flows = and_(lineage_flow.c.output.in_(chunk), lineage_flow.c.superseded_at.is_(None))
        for row in tx.execute(select(*columns).where(open_flows)):
            found[row.output, row.job] = _force(row)
    return found


def _force(row: Row[Any]) -> _Force:
    return _Force(row.id, row.run, row.detail, row.edge_set, row.event_time)


def _replaces(told: Told, flow: Flow, force: _Force | None) -> bool:
    if force is None:
        return True
    if told.event_time < force.event_time:
        return False
    return (
        flow.detail >= force.detail or told.kind != "run" or (told.run != force.run and told.event_type == "COMPLETE")
    )
