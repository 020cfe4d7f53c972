"""Pins: which snapshot of each input a run of a model reads. Resolved once; a retry of the run finds and uses it
again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from governance.errors import NotReady
from governance.lake.lake import Lake
from governance.state.database import Database
from governance.state.tables import pin as pin_table
from governance.state.values import PIN, Actor, Pin


def resolve(model: str, inputs: Iterable[str], *, lake: Lake, database: Database, actor: Actor) -> Pin:
    """The pin of (model, run): as recorded, else what readers see of all inputs in one read transaction, recorded now.

    Raises NotReady when an input has no snapshot yet.
    """
    with database.read() as connection:
        known = find(connection, model, actor.run)
        if known is not None:
            return known
        snapshots = {name: lake.snapshot(name, connection) for name in sorted(set(inputs))}
    absent = sorted(name for name, snapshot in snapshots.items() if snapshot is None)
    if absent:
        raise NotReady(
            f"no snapshot yet of {', '.join(absent)}", where=model, do="let manage judge a batch of it first"
        )
    identity = hashlib.sha256(f"{model}\n{actor.run}".encode()).hexdigest()
    made = Pin(identity, model, actor.run, {name: s for name, s in snapshots.items() if s is not None})
    with database.unit_of_work() as tx:
        dialect = postgresql if tx.dialect.name == "postgresql" else sqlite
        values = {
            "id": made.id,
            "model": model,
            "run": actor.run,
            "pin": PIN.dump_json(made).decode("utf-8"),
            "recorded_at": database.clock(),
        }
        tx.execute(dialect.insert(pin_table).values(values).on_conflict_do_nothing())
        return find(tx, model, actor.run) or made


def find(connection: Connection, model: str, run: str) -> Pin | None:
    """The recorded pin of a run, if there is one."""
    query = select(pin_table.c.pin).where(pin_table.c.model == model, pin_table.c.run == run)
    text = connection.execute(query).scalar_one_or_none()
    return PIN.validate_json(text) if text is not None else None
