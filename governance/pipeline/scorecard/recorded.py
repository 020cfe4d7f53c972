"""What the scorecard reads beside the runs of each table: files, incidents, failures, lineage, releases, checkpoints, break-glasses. Few rows each,
read once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select

from governance.catalog.types import Dataset
from governance.pipeline.scorecard.standing import Around, Files, Moment, Standing
from governance.state import tables, tables_lake
from governance.use.request_state import read_all

QUARANTINE = "__quarantine"
_SIGNED_AFTER = timedelta(hours=1)


class Recorded:
    """Of one read transaction, by table."""

    def __init__(self, connection: Connection, contracts: Sequence[Dataset]) -> None:
        self.contracts: Mapping[str, Dataset] = {contract.name: contract for contract in contracts}
        self._connection = connection
        self._files = _files(connection, self.contracts)
        self._incidents = _incidents(connection)
        self._lineage = _lineage(connection)
        self._observed = _observed(connection)
        self._failures, self._releases = _told(connection)
        self._checkpoints = _checkpoints(connection)
        self._over, self._reviewed = _break_glasses(connection)

    def around(self, name: str) -> Around:
        return Around(
            self._files.get(name),
            self._incidents.get(name, ()),
            self._failures.get(name, ()),
            self._lineage.get(name, ()),
            self._observed.get(name, {}),
        )

    def moment(self, at: datetime, standing: tuple[Standing, ...]) -> Moment:
        released = [snapshots for when, snapshots in self._releases if when <= at]
        signed = [size for when, size in self._checkpoints if when <= at]
        return Moment(
            at=at,
            tables=standing,
            released=released[-1] if released else None,
            entries=self._entries(at - _SIGNED_AFTER),
            signed=signed[-1] if signed else 0,
            break_glasses=sum(when <= at for when in self._over),
            reviewed=sum(over <= at and when <= at for over, when in self._reviewed),
        )

    def _entries(self, before: datetime) -> int:
        """Ledger entries until then: their ids grow with time, so a few are looked at instead of all."""
        columns = tables.ledger_entry.c
        low, high = 0, self._connection.execute(select(func.max(columns.id))).scalar_one() or 0
        while low < high:
            middle = (low + high + 1) // 2
            query = select(columns.id, columns.recorded_at).where(columns.id >= middle).order_by(columns.id).limit(1)
            row = self._connection.execute(query).one()
            low, high = (middle, high) if row.recorded_at <= before else (low, middle - 1)
        return low


def _files(connection: Connection, contracts: Mapping[str, Dataset]) -> dict[str, Files]:
    """Files that readers see, a dataset's quarantine with the dataset; one query, grouped by which fields they encrypt."""
    columns = tables_lake.lake_file.c
    alike = columns.table_name, columns.encrypted, columns["names"]
    query = select(*alike, func.count().label("files")).where(columns.removed.is_(None)).group_by(*alike)
    found: dict[str, Files] = {}
    for row in connection.execute(query):
        name = row.table_name.removesuffix(QUARANTINE)
        if name in contracts:
            by_id = json.loads(row.names)
            encrypted = {by_id[key] for key in json.loads(row.encrypted) if key in by_id}
            sensitive = {f.name for f in contracts[name].fields if f.encrypted and f.name in by_id.values()}
            before = found.get(name, Files(0, 0))
            found[name] = Files(before.all + row.files, before.encrypted + (row.files if sensitive <= encrypted else 0))
    return found


def _incidents(connection: Connection) -> dict[str, list[tuple[datetime, datetime | None]]]:
    columns = tables.incident.c
    found: dict[str, list[tuple[datetime, datetime | None]]] = {}
    for row in connection.execute(select(columns.subject, columns.opened_at, columns.closed_at)):
        found.setdefault(row.subject, []).append((row.opened_at, row.closed_at))
    return found


def _lineage(connection: Connection) -> dict[str, list[tuple[datetime, bool]]]:
    run, edges = tables.run.c, tables.edge_set.c
    joined = tables.run.join(tables.edge_set, edges.id == run.edge_set)
    query = select(run.output, run.recorded_at, edges.complete).select_from(joined).where(run.stage == "develop")
    found: dict[str, list[tuple[datetime, bool]]] = {}
    for row in connection.execute(query.order_by(run.id)):
        found.setdefault(row.output, []).append((row.recorded_at, row.complete))
    return found


def _observed(connection: Connection) -> dict[str, dict[str, list[tuple[datetime, bool]]]]:
    columns = tables.observation.c
    query = select(columns.subject, columns.kind, columns.outcome, columns.recorded_at)
    found: dict[str, dict[str, list[tuple[datetime, bool]]]] = {}
    for row in connection.execute(query.where(columns.kind.in_(("freshness", "reconcile"))).order_by(columns.id)):
        found.setdefault(row.subject, {}).setdefault(row.kind, []).append((row.recorded_at, row.outcome == "met"))
    return found


def _told(connection: Connection) -> tuple[dict[str, list[datetime]], list[tuple[datetime, dict[str, int]]]]:
    """Failures by subject, and what each publishing made live (table -> snapshot), oldest first."""
    entry = tables.ledger_entry.c
    query = select(entry.kind, entry.body, entry.recorded_at).where(entry.kind.in_(("failure", "release_published")))
    failures: dict[str, list[datetime]] = {}
    published = []
    for row in connection.execute(query.order_by(entry.id)):
        facts = json.loads(row.body)["facts"]
        if row.kind == "failure":
            failures.setdefault(facts["subject"], []).append(row.recorded_at)
        else:
            published.append((row.recorded_at, {name: int(snapshot) for name, snapshot in facts["tables"].items()}))
    return failures, published


def _checkpoints(connection: Connection) -> list[tuple[datetime, int]]:
    columns = tables.checkpoint.c
    rows = connection.execute(select(columns.at, columns.size).order_by(columns.size))
    return [(row.at, row.size) for row in rows]


def _break_glasses(connection: Connection) -> tuple[list[datetime], list[tuple[datetime, datetime]]]:
    """When each was over, and of those that were reviewed that and the time of the review."""
    over, reviewed = [], []
    for request in read_all(connection, kind="break_glass"):
        over.append(request.ends_at)
        if review := request.step("reviewed"):
            reviewed.append((request.ends_at, review.at))
    return over, reviewed
