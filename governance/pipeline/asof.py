"""What was in force at a past instant, from the texts and rows that the state keeps: declarations, release, runs, verdicts.

Two times are told apart. *Recorded*: what the state knew at the instant; rows written later do not count. *Valid*: the
time that data and rules speak of themselves, a batch's window, a rule's `valid_from`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from governance.catalog.load import catalogue_of_texts
from governance.catalog.types import Catalogue
from governance.config import Settings
from governance.errors import DeclarationError, GovernanceError, NotReady
from governance.lineage.graph import NOT_IN_FORCE
from governance.pipeline.context import Context
from governance.state.tables import approval, batch, build, in_force, run, text, validation
from governance.state.tables_lake import lake_snapshot
from governance.state.values import BUILT
from governance.use.release_past import live_at


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that was in force. `text` is the sha256 under which its text is kept, if it is a text."""

    what: str
    value: str
    since: datetime | None
    text: str = ""


def facts_at(connection: Connection, table: str, at: datetime, *, valid_at: datetime | None = None) -> tuple[Fact, ...]:
    """All that was in force for a dataset or curated table at `at`: contract, model or suite, checks, access rules, data,
    build, verdict, release; of a dataset also the batches whose window holds `valid_at`, if given.

    Raises NotReady when nothing of that name was known then.
    """
    found = (
        *_declared(connection, table, at),
        *_data(connection, table, at),
        *_verdict(connection, table, at),
        *_release(connection, table, at),
        *(_batches(connection, table, at, valid_at) if valid_at is not None else ()),
    )
    if not any(fact.what != "access rules" for fact in found):
        raise NotReady(f"nothing of it was known at {at.isoformat()}", where=table, do="look at a later instant")
    return found


def text_of(connection: Connection, sha256: str) -> str:
    """The text kept under a hash, or under the one that begins so. GovernanceError when there is none, or several."""
    found = connection.execute(
        select(text.c.text).where(text.c.sha256.startswith(sha256, autoescape=True)).limit(2)
    ).all()
    if len(found) != 1:
        how = "no text" if not found else "several texts"
        raise GovernanceError(f"{how} of that hash", where=sha256[:64], do="gov as-of TABLE INSTANT lists them")
    return str(found[0].text)


def declared_at(connection: Connection, at: datetime) -> Mapping[tuple[str, str], str]:
    """(kind, name) -> sha256 of every declaration that was in force at `at`."""
    rows = connection.execute(
        select(in_force.c.kind, in_force.c.name, in_force.c.sha256)
        .where(in_force.c.valid_from <= at)
        .where(in_force.c.valid_to.is_(None) | (in_force.c.valid_to > at))
    )
    return {(row.kind, row.name): row.sha256 for row in rows}


def catalogue_at(connection: Connection, at: datetime, settings: Settings) -> Catalogue:
    """The catalogue of that instant, parsed again from its texts.

    Raises NotReady when nothing was declared then, DeclarationError when this version of the program does not read a
    text that was in force.
    """
    query = (
        select(in_force.c.kind, in_force.c.name, text.c.text)
        .join(text, in_force.c.sha256 == text.c.sha256)
        .where(in_force.c.valid_from <= at)
        .where(in_force.c.valid_to.is_(None) | (in_force.c.valid_to > at))
    )
    texts = {(row.kind, row.name): row.text for row in connection.execute(query)}
    if not texts:
        raise NotReady(f"nothing was declared at {at.isoformat()}", do="ask for a later instant")
    loaded = catalogue_of_texts(texts, settings)
    if loaded.faults:
        raise DeclarationError(loaded.faults)
    return loaded.catalogue


def shown_at(connection: Connection, table: str, at: datetime) -> Row[Any] | None:
    """The snapshot that readers of a table saw at `at` (a row of `lake_snapshot`); None before its first."""
    shown = select(lake_snapshot).where(lake_snapshot.c.table_name == table, lake_snapshot.c.recorded_at <= at)
    return connection.execute(shown.order_by(lake_snapshot.c.sequence.desc()).limit(1)).first()


def catalogue_of(context: Context, at: datetime) -> Catalogue:
    """`catalogue_at`, of an open home."""
    with context.database.read() as connection:
        return catalogue_at(connection, at, context.settings)


def _declared(connection: Connection, table: str, at: datetime) -> Iterator[Fact]:
    rows = connection.execute(
        select(in_force)
        .where(in_force.c.valid_from <= at)
        .where(in_force.c.valid_to.is_(None) | (in_force.c.valid_to > at))
        .where(
            (in_force.c.name == table)
            | in_force.c.name.startswith(f"{table}.", autoescape=True)
            | (in_force.c.kind == "access")
        )
        .order_by(in_force.c.kind, in_force.c.name)
    )
    for row in rows:
        what = {"access": "access rules", "check": f"check {row.name.rpartition('.')[2]}"}.get(row.kind, row.kind)
        yield Fact(what, row.sha256, row.valid_from, row.sha256)


def _data(connection: Connection, table: str, at: datetime) -> Iterator[Fact]:
    """What readers saw, and the run that made it."""
    snapshot = shown_at(connection, table, at)
    if snapshot is not None:
        yield Fact("snapshot", str(snapshot.snapshot), snapshot.recorded_at)
    made = select(run).where(run.c.output == table, run.c.recorded_at <= at, run.c.outcome.not_in(NOT_IN_FORCE))
    latest = connection.execute(made.order_by(run.c.id.desc()).limit(1)).first()
    if latest is not None:
        yield Fact("run", f"{latest.run} ({latest.stage}, {latest.outcome})", latest.recorded_at)
        for name, sha256 in json.loads(latest.versions).items():
            yield Fact(f"run's {name}", sha256, latest.recorded_at, "" if name == "rules" else sha256)
        if latest.edge_set is not None:
            yield Fact("lineage", latest.edge_set, latest.recorded_at)
    built = select(build).where(build.c.model == table, build.c.recorded_at <= at, build.c.snapshot.is_not(None))
    row = connection.execute(built.order_by(build.c.id.desc()).limit(1)).first()
    if row is not None:
        for name, pinned in sorted(BUILT.validate_json(row.built).pin.snapshots.items()):
            yield Fact(f"built from {name}", str(pinned), row.recorded_at)


def _verdict(connection: Connection, table: str, at: datetime) -> Iterator[Fact]:
    judged = select(validation.c.outcome, validation.c.rules_hash, validation.c.recorded_at, validation.c.batch).where(
        validation.c.subject == table, validation.c.recorded_at <= at
    )
    row = connection.execute(judged.order_by(validation.c.id.desc()).limit(1)).first()
    if row is not None:
        yield Fact("verdict", f"{row.outcome} ({row.batch})" if row.batch else row.outcome, row.recorded_at)
        yield Fact("rules", row.rules_hash, row.recorded_at)


def _release(connection: Connection, table: str, at: datetime) -> Iterator[Fact]:
    found = live_at(connection, at)
    if found is None or table not in found[1]["tables"]:
        return
    release_id, document = found
    yield Fact("release", release_id, None)
    yield Fact("published snapshot", str(document["tables"][table]["snapshot"]), None)
    yield Fact("release's access rules", document["access"], None, document["access"])
    yield Fact("release's policy set", document["policy_set_hash"], None)
    signed = select(approval.c.subject, approval.c.recorded_at).where(
        approval.c.release == release_id, approval.c.recorded_at <= at
    )
    for row in connection.execute(signed.order_by(approval.c.id)):
        yield Fact("approved by", row.subject, row.recorded_at)


def _batches(connection: Connection, table: str, at: datetime, valid_at: datetime) -> Iterator[Fact]:
    """Batches of the dataset that were known at `at` and whose window holds `valid_at`, with what had become of them."""
    covering = select(batch.c.id, batch.c.recorded_at).where(
        batch.c.dataset == table,
        batch.c.recorded_at <= at,
        batch.c.window_start <= valid_at,
        (batch.c.window_end > valid_at) | (batch.c.window_start == batch.c.window_end),
    )
    for row in connection.execute(covering.order_by(batch.c.window_start, batch.c.revision)).all():
        known = select(run.c.stage, run.c.outcome).where(run.c.batch == row.id, run.c.recorded_at <= at)
        last = connection.execute(known.order_by(run.c.id.desc()).limit(1)).first()
        became = f" ({last.stage}: {last.outcome})" if last is not None else ""
        yield Fact("batch", f"{row.id}{became}", row.recorded_at)
