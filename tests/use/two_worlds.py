"""A generated pair of worlds in a real home: what the asker observes of a statement in each.

The guard, the decision, the grant and the scanner are the real ones, in this process; the statement runs in the real locked worker
(`tests/attacks/locked.py`). Keys are the same in both worlds, as one home holds first the one and then the other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from sqlalchemy import insert

from governance.errors import Refused
from governance.lake.lake import TableChange
from governance.lake.specs import curated_spec
from governance.lineage.edges import EdgeSet
from governance.state.tables import build, edge_set, pin
from governance.state.values import BUILT, Actor, Built, Pin
from governance.use.guard import Statement, examine
from governance.use.published import Published
from governance.use.scanner import answered
from governance.use.scans import Scan, plan_scans
from tests.attacks.locked import SALT, Session, published, scanned
from tests.attacks.locked import told as shown
from tests.use.conftest import Home, open_home
from tests.use.generated import WHO, Row, Table, World, token
from tests.use.reference import same


@dataclasses.dataclass(frozen=True)
class Side:
    """One world as published: the decision's inputs, and what the scanner streams of each table."""

    name: str
    published: Published
    scans: Mapping[str, Scan]
    streams: Mapping[str, pa.Table]


class TwoWorlds:
    """Use as a context manager. `first` and `second` look alike to the asker, or something leaks."""

    def __init__(self, folder: Path, world: World) -> None:
        self.world = world
        self.home = open_home(folder, world.catalogue)
        self._actor = Actor(*WHO, "attack")
        self._direct: dict[tuple[str, str], Scan] = {}
        self._sources: dict[tuple[str, str], duckdb.DuckDBPyConnection] = {}
        self.first = self._side("first", world.first)
        self.second = self._side("second", world.second)
        both = {
            f"{side.name} {name}": table for side in (self.first, self.second) for name, table in side.streams.items()
        }
        self._session = Session(both)

    def __enter__(self) -> TwoWorlds:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.__exit__()
        self.home.database.close()

    def observe(self, statements: Sequence[str]) -> list[tuple[list[Any], list[Any]]]:
        """What is observed of each in the two worlds: a refusal, or what is told of the tables and [schema, rows] or [code]."""
        found: list[tuple[list[Any], list[Any]]] = []
        asked: list[tuple[str, Mapping[str, tuple[str, list[str]]]]] = []
        waiting: list[list[Any]] = []
        for sql in statements:
            try:
                statement = examine(sql)
            except Refused as refused:
                found.append(([str(refused)], [str(refused)]))
                continue
            pair = self._told(statement, self.first), self._told(statement, self.second)
            for told, wanted in pair:
                if wanted is not None:
                    asked.append((sql, wanted))
                    waiting.append(told)
            found.append((pair[0][0], pair[1][0]))
        for told, answer in zip(waiting, self._session.ask_all(asked), strict=True):
            told += answer
        return found

    def direct(self, sql: str) -> list[list[Any]] | None:
        """What the scanner itself answers in the two worlds, as [columns, rows], if it is a statement that it answers; tokens are the
        lake's.
        """
        if (self.first.name, sql) not in self._direct:
            try:
                statement = examine(sql)
            except Refused:
                return None
            for side in (self.first, self.second):
                self._told(statement, side)
        sides = ((self.first, self.world.first), (self.second, self.world.second))
        scans = [self._direct.get((side.name, sql)) for side, _ in sides]
        return [
            self._answered(side, rows, scan)
            for (side, rows), scan in zip(sides, scans, strict=True)
            if scan is not None and scan.direct is not None
        ] or None

    def answering(self, sql: str) -> Scan:
        """The scan that answers a statement by itself."""
        return self._direct[self.first.name, sql]

    def _answered(self, side: Side, rows: Mapping[str, Sequence[Row]], scan: Scan) -> list[Any]:
        assert scan.direct is not None
        name = scan.restrictions.table
        con = self._sources.get((side.name, name))
        if con is None:
            con = self._sources[side.name, name] = duckdb.connect(config={"threads": 1})
            table = next(table for table in self.world.tables if table.name == name)
            con.register("held", pa.table(arrays(table, rows[name])))
            con.execute("CREATE TABLE source AS FROM held")
        columns = [(column.name, column.type, column.outcome) for column in scan.columns]
        made = {"sql": scan.direct.sql, "rows": list(scan.direct.rows)}
        found = con.sql(answered(columns, scan.where, salt=SALT, direct=made)).to_arrow_table()
        return [found.column_names, [list(map(shown, row.values())) for row in found.to_pylist()]]

    def wrong(self, side: Side, rows: Mapping[str, Sequence[Row]]) -> list[str]:
        """Tables of which the scanner streams something else than the reference says."""
        return [
            table.name
            for table in self.world.tables
            if table.name in side.streams and not right(table, rows[table.name], side.streams[table.name])
        ]

    def rescanned(self, side: Side, scan: Scan) -> pa.Table:
        """What the scanner would stream under another decision."""
        return scanned(self.home, [scan], WHO, side.published.release)[scan.restrictions.table]

    def _told(self, statement: Statement, side: Side) -> tuple[list[Any], dict[str, tuple[str, list[str]]] | None]:
        """What is told before the statement runs, and the tables that it runs over; None when it does not."""
        try:
            scans = plan_scans(statement, side.published, self._actor, self.home.database)
        except Refused as refused:
            return [str(refused)], None
        if scans and scans[0].direct is not None:
            self._direct[side.name, statement.sql] = scans[0]
        told = [[(c.name, str(c.type), str(c.outcome)) for c in scan.restrictions.visible] for scan in scans]
        wanted = {
            s.restrictions.table: (f"{side.name} {s.restrictions.table}", [c.name for c in s.columns]) for s in scans
        }
        return [told], wanted

    def _side(self, name: str, rows: Mapping[str, Sequence[Row]]) -> Side:
        for table in self.world.tables:
            fill(self.home, table, rows[table.name], f"run-{name}-{table.name.partition('.')[2]}")
        self.home.release()
        now = published(self.home)
        scans: dict[str, Scan] = {}
        streams: dict[str, pa.Table] = {}
        for table in self.world.tables:
            try:
                [made] = plan_scans(examine(f"SELECT * FROM {table.name}"), now, self._actor, self.home.database)  # noqa: S608
            except Refused:
                continue
            scan = dataclasses.replace(made, direct=None)  # what the locked worker would have
            scans[table.name] = scan
            streams |= scanned(self.home, [scan], WHO, now.release)
        return Side(name, now, scans, streams)


def right(table: Table, rows: Sequence[Row], stream: pa.Table) -> bool:
    """Whether the stream is, row by row and cell by cell, what the reference makes of `rows`."""
    expected, given = table.expected(rows, SALT), stream.to_pylist()
    return len(expected) == len(given) and all(
        set(ours) == set(theirs) and all(same(ours[name], theirs[name]) for name in ours)
        for ours, theirs in zip(expected, given, strict=True)
    )


def fill(home: Home, table: Table, rows: Sequence[Row], run: str) -> None:
    """Replace a table by `rows` and record the build."""
    spec = curated_spec(home.catalogue.models[table.name])
    home.lake.ensure(spec)
    made = arrays(table, rows)
    names = [column.name for column in spec.columns]
    writer = home.lake.writer(spec, run)
    writer.write(pa.RecordBatch.from_arrays([made[name] for name in names], names=names))
    files = writer.close()
    before = home.lake.snapshot(table.name)
    old = tuple(file.path for file in home.lake.files(table.name, before)) if before else ()
    prepared = home.lake.prepare([TableChange(table.name, add=files, remove=old)])
    edges, at_now = EdgeSet(table.name, run, (), True), home.database.clock()
    with home.database.unit_of_work() as tx:
        snapshot = home.lake.swap(tx, prepared)[table.name]
        own = Pin(f"pin-{run}", table.name, run, {})
        built = Built(table.name, "go", (), snapshot, own, files, len(rows), edges.id, {})
        tx.execute(insert(pin).values(id=own.id, model=table.name, run=run, pin="{}", recorded_at=at_now))
        tx.execute(
            insert(edge_set).values(id=edges.id, output=edges.output, stage=run, complete=True, recorded_at=at_now)
        )
        facts = {"model": table.name, "run": run, "pin": own.id, "outcome": "go", "snapshot": snapshot}
        tx.execute(insert(build).values(**facts, built=BUILT.dump_json(built).decode(), recorded_at=at_now))


def arrays(table: Table, rows: Sequence[Row]) -> dict[str, pa.Array]:
    """Columns of the lake's table, tokens among them."""
    made: dict[str, pa.Array] = {}
    for at, column in enumerate(table.columns):
        values = [row[at] for row in rows]
        made[column.name] = pa.array(values, _arrow(column.field.type.kind))
        if column.field.domain is not None:
            made[f"{column.name}__token"] = pa.array([token(value) for value in values], pa.binary(12))
    return made


def _arrow(kind: str) -> pa.DataType:
    kinds = {"string": pa.string(), "date": pa.date32(), "timestamp": pa.timestamp("us"), "integer": pa.int64()}
    return {**kinds, "decimal": pa.decimal128(12, 2), "double": pa.float64(), "boolean": pa.bool_()}[kind]
