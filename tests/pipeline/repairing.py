"""A small home whose one dataset has every kind of quarantined row, and what tests ask of it. No names of real people."""

from __future__ import annotations

import json
from pathlib import Path

from sqlalchemy import select

from governance.cli.init import make_home
from governance.config import load_settings
from governance.keys import grants
from governance.lake.specs import quarantine_spec
from governance.pipeline.context import Context, open_context
from governance.pipeline.run import run_all
from governance.state import batches, tables
from governance.state.batches import BatchRow
from governance.state.schema import metadata
from governance.state.values import Actor, Window

NAME = "health.visits"
CANARY = "MarkedValue"
ROWS = """\
id,person,name,born,amount
1,A1,Ann,31/01/1990,10
2,A2,Bob,01/02/1991,-5
3,A3,,02/02/1992,3
4,A4,Dee,1993-02-30,MarkedValue
5,A5,Eve
6,A6,Fay,05/06/1994,3
7,A7,Gus,05/06/1994,3
7,A8,Hal,06/06/1994,4
"""
CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: health-visits
version: 1.0.0
status: active
servers:
  - {server: files, type: local, path: sources/visits.csv, format: csv}
schema:
  - name: visits
    customProperties:
      - {property: gov.system, value: clinics}
      - {property: gov.loadMode, value: LOADMODE}
    properties:
      - {name: id, logicalType: integer, unique: true, primaryKey: true, classification: L1}
      - name: person
        logicalType: string
        classification: L4
        customProperties: [{property: gov.domain, value: person}]
      - {name: name, logicalType: string, required: true, classification: L3, tags: [name]}
      - {name: born, logicalType: date, classification: L2, logicalTypeOptions: {format: dd/MM/yyyy}}
      - name: amount
        logicalType: number
        physicalType: DECIMAL(10,2)
        classification: L1
        logicalTypeOptions: {minimum: 0}
"""
ACCESS = """\
version: 1
roles: [{id: steward}, {id: clerk}]
purposes: [{id: data_quality}, {id: statistics}]
subjects:
  - {name: "user:mei", roles: [steward], department: health, clearance: L2}
  - {name: "user:other", roles: [steward], department: tax, clearance: L4}
  - {name: "user:clerk", roles: [clerk], department: health, clearance: L4}
  - {name: "user:chief", clearance: L4, department: bureau}
approvers: [{subject: "user:chief", public_key: "KEY"}]
rules:
  - {id: clear, roles: [steward, clerk], purposes: [data_quality], where: {levels: [L1, L2]}, action: raw}
  - {id: names, roles: [steward], purposes: [data_quality], where: {tags: [name]}, action: "mask:chinese-name"}
  - {id: all, subjects: ["user:chief"], purposes: [data_quality], where: {levels: [L1, L2, L3, L4]}, action: raw}
"""


def make(folder: Path, load_mode: str = "append", rows: str = ROWS) -> Context:
    """A home with one batch let in."""
    make_home(folder, ("health",))
    (folder / "catalog" / "health" / "visits.odcs.yaml").write_text(CONTRACT.replace("LOADMODE", load_mode))
    (folder / "catalog" / "access.yaml").write_text(ACCESS.replace("KEY", "0b" * 32))
    land(folder, rows)
    context = reopen(folder)
    run(context)
    return context


def reopen(folder: Path) -> Context:
    return open_context(load_settings(folder))


def land(folder: Path, rows: str) -> None:
    """Make these the rows of the source."""
    (folder / "sources").mkdir(exist_ok=True)
    (folder / "sources" / "visits.csv").write_text(rows)


def run(context: Context, month: int = 1, *, again: bool = False) -> None:
    from datetime import UTC, datetime

    window = Window(datetime(2026, month, 1, tzinfo=UTC), datetime(2026, month + 1, 1, tzinfo=UTC))
    result = run_all(context, window, datasets=[NAME], again=again, models=False)
    assert not result.failed, [str(step) for step in result.steps]


def batch_row(context: Context, month: int = 1, revision: int = 1) -> BatchRow:
    with context.database.read() as connection:
        row = batches.find(connection, f"{NAME}@2026{month:02}01T000000Z.{revision}")
    assert row is not None
    return row


def batch(month: int = 1, revision: int = 1) -> str:
    return f"{NAME}@2026{month:02}01T000000Z.{revision}"


def table_rows(context: Context, table: str = NAME, columns: tuple[str, ...] = ("_row", "id", "name")) -> list[tuple]:
    """Rows as a reader with every key sees them, sorted."""
    snapshot = context.lake.snapshot(table)
    if snapshot is None:
        return []
    with context.database.unit_of_work() as tx:
        keys = sorted(context.lake.keys(table, snapshot, columns))
        actor = Actor("service:scan@health", "test", "run")
        grant = grants.issue(tx, actor=actor, keys=keys, database=context.database)
    rows = context.lake.scan(table, snapshot, columns, grant_id=grant.id).read_all().to_pylist()
    return sorted((tuple(row.values()) for row in rows), key=lambda row: tuple(map(str, row)))


def quarantined(context: Context, *columns: str) -> list[tuple]:
    dataset = context.catalogue.datasets[NAME]
    return table_rows(context, quarantine_spec(dataset).name, columns or ("_row", "_state", "_reasons"))


def counts(context: Context, **where: int) -> tuple[int, ...]:
    """parsed, unparsed, passed, quarantined, rejected; the law is checked."""
    judged = batch_row(context, **where).judged
    assert judged is not None
    assert judged.counts.balanced
    c = judged.counts
    return c.parsed, c.unparsed, c.passed, c.quarantined, c.rejected


def entries(context: Context, kind: str) -> list[dict]:
    with context.database.read() as connection:
        query = select(tables.ledger_entry.c.body).where(tables.ledger_entry.c.kind == kind)
        return [json.loads(body) for body in connection.execute(query.order_by(tables.ledger_entry.c.id)).scalars()]


def says_canary(context: Context) -> bool:
    """Whether a value of the data stands anywhere in the state database."""
    with context.database.read() as connection:
        for table in metadata.sorted_tables:
            for row in connection.execute(select(table)):
                if any(CANARY in str(value) or CANARY.encode() in bytes(str(value), "utf-8") for value in row):
                    return True
    return False
