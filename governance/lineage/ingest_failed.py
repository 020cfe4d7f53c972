"""Runs of others that failed: what they had said before they did is taken back. What they had replaced is in force again; where they had
replaced nothing, nothing is.

A former flow comes back as a new row, so that answers of then keep what was known then. Where none comes back, a row that never was in force
says that the last one ended: a change of the graph is always a new row.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, case, func, insert, select, update

from governance.lineage.ingest_flows import outputs_of
from governance.state.tables_lineage import lineage_event, lineage_flow

FAILED = ("ABORT", "FAIL")
_CHUNK = 400


def failed(tx: Connection, runs: Collection[str]) -> frozenset[str]:
    """Which of these runs failed, by the events that are kept; one that was also said to be complete did not."""
    found: set[str] = set()
    for chunk in _chunks(runs):
        complete = func.max(case((lineage_event.c.event_type == "COMPLETE", 1), else_=0))
        ended = select(lineage_event.c.run, complete).where(
            lineage_event.c.run.in_(chunk), lineage_event.c.event_type.in_((*FAILED, "COMPLETE"))
        )
        found.update(run for run, whole in tx.execute(ended.group_by(lineage_event.c.run)) if not whole)
    return frozenset(found)


def take_back(tx: Connection, runs: Iterable[str], *, at: datetime) -> None:
    """Undo what these runs, which failed, have in force."""
    for run in sorted(runs):
        events = tx.execute(select(lineage_event.c.body, lineage_event.c.recorded_at).where(lineage_event.c.run == run))
        names, begun = set[str](), at
        for body, recorded_at in events:
            names |= outputs_of(json.loads(zlib.decompress(body)))
            begun = min(begun, recorded_at)
        for chunk in _chunks(names):
            mine = (lineage_flow.c.run == run, lineage_flow.c.superseded_at.is_(None))
            for row in tx.execute(select(lineage_flow).where(lineage_flow.c.output.in_(chunk), *mine)).all():
                if row.recorded_at >= begun:  # else it only confirmed what was there
                    _undo(tx, row, begun, at)


def _undo(tx: Connection, row: Row[Any], begun: datetime, at: datetime) -> None:
    tx.execute(update(lineage_flow).where(lineage_flow.c.id == row.id).values(superseded_at=at))
    same = (lineage_flow.c.output == row.output, lineage_flow.c.job == row.job)
    own = (lineage_flow.c.run == row.run, lineage_flow.c.recorded_at >= begun)
    first = tx.execute(select(func.min(lineage_flow.c.id)).where(*same, *own)).scalar_one()
    earlier = select(lineage_flow).where(*same, lineage_flow.c.id < first).order_by(lineage_flow.c.id.desc()).limit(1)
    former = tx.execute(earlier).one_or_none()
    back = former is not None and former.superseded_at != former.recorded_at
    values = dict((former if back and former is not None else row)._mapping)
    values |= {"recorded_at": at, "superseded_at": None if back else at}
    del values["id"]
    tx.execute(insert(lineage_flow).values(values))


def _chunks(names: Collection[str]) -> Iterable[list[str]]:
    ordered = sorted(names)
    return (ordered[start : start + _CHUNK] for start in range(0, len(ordered), _CHUNK))
