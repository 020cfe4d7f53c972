"""Findings of checks: tokens and positions, replaced per (model, check, pin)."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa
from sqlalchemy import Connection, delete, insert

from governance.catalog.rules import RowRules
from governance.catalog.types import Catalogue, Model
from governance.config import Settings
from governance.develop import pins
from governance.develop.execute import execute
from governance.develop.plan import pinned_tables, request_of, sound
from governance.lake.lake import Lake
from governance.ledger.entry import Json, append
from governance.state.database import Database
from governance.state.tables import finding
from governance.state.values import Actor, Pin

_ROWS = 10_000


def run_checks(
    model: Model,
    rules: RowRules,
    catalogue: Catalogue,
    *,
    settings: Settings,
    lake: Lake,
    database: Database,
    actor: Actor,
) -> dict[str, int]:
    """Run the checks of `model` alone, at the pin of `actor.run` (made now when there is none); findings by check.

    `build` runs them too: this is for a check that was added or changed since.
    """
    analysis, checks = sound(model, catalogue)
    tables = pinned_tables(model, analysis, checks, rules, catalogue)
    pin = pins.resolve(model.name, tables, lake=lake, database=database, actor=actor)
    job = request_of(model, rules, analysis, checks, pin, catalogue, settings, write=False)
    _, found = execute(job, lake=lake, database=database, actor=actor)
    counts = count_by_check(found, tuple(checks))
    with database.unit_of_work() as tx:
        at = database.clock()
        replace_findings(tx, model, pin, found, at=at)
        facts: dict[str, Json] = {"model": model.name, "pin": pin.id, "findings": counts}
        append(tx, "checks", facts, actor=actor, writer=database.writer, at=at)
    return counts


def replace_findings(tx: Connection, model: Model, pin: Pin, found: pa.Table, *, at: datetime) -> None:
    """Put `found` in the place of what the checks of `model` found at `pin` before."""
    tx.execute(delete(finding).where(finding.c.model == model.name, finding.c.pin == pin.id))
    for batch in found.to_batches(max_chunksize=_ROWS):
        rows = [{**row, "model": model.name, "pin": pin.id, "recorded_at": at} for row in batch.to_pylist()]
        if rows:
            tx.execute(insert(finding), rows)


def count_by_check(found: pa.Table, checks: tuple[str, ...]) -> dict[str, int]:
    """Number of findings of each check, zeros included."""
    counted = found.group_by("check_name").aggregate([("check_name", "count")]).to_pydict()
    by_check = dict(zip(counted["check_name"], counted["check_name_count"], strict=True))
    return {name: int(by_check.get(name, 0)) for name in checks}
