"""Values of table rules: one aggregate over the rows as they stream by, in a thread and a connection of its own that never spills."""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal

import duckdb
import pyarrow as pa
import sqlglot
from sqlglot import exp

from governance.catalog.rules import TableRule
from governance.state.values import RuleMetric


class Aggregate:
    """Feed it batches that have the rules' columns, then take `metrics`. It takes rows as fast as they come, never ahead of them."""

    def __init__(self, rules: Sequence[TableRule], schema: pa.Schema, con: duckdb.DuckDBPyConnection) -> None:
        self._rules = tuple(rules)
        self._con = con
        self._errors = dict(_errors(self._rules, schema, con))
        self._good = tuple(rule for rule in self._rules if rule.id not in self._errors)
        names = {name for rule in self._good for name in columns_of(rule)} & set(schema.names)
        self.columns = tuple(name for name in schema.names if name in names) or schema.names[:1]
        self._schema = pa.schema([schema.field(name) for name in self.columns])
        self._rows = 0
        self._queue: queue.Queue[pa.RecordBatch | None] = queue.Queue(maxsize=4)
        self._values: tuple[object, ...] = ()
        self._failed = ""
        self._thread = threading.Thread(target=self._run, name="table-rules", daemon=True)
        if self._good:
            self._thread.start()

    def feed(self, batch: pa.RecordBatch) -> None:
        self._rows += batch.num_rows
        if self._good and batch.num_rows:
            self._queue.put(batch.select(list(self.columns)))

    def metrics(self) -> Mapping[str, RuleMetric]:
        """One metric a rule; its `error` says the class of what went wrong with it."""
        self.stop()
        values = dict(zip([rule.id for rule in self._good], self._values, strict=False))
        found = {}
        for rule in self._rules:
            error = self._errors.get(rule.id, self._failed)
            value = None if error else plain(values.get(rule.id))
            found[rule.id] = RuleMetric(rule.id, self._rows, 0, 0, value=value, error=error)
        return found

    def stop(self) -> None:
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _run(self) -> None:
        try:
            reader = pa.RecordBatchReader.from_batches(self._schema, self._batches())
            self._con.register("table_rows", reader)
            values = ", ".join(rule.value for rule in self._good)
            self._values = tuple(self._con.execute(f"SELECT {values} FROM table_rows").fetchall()[0])  # noqa: S608
        except Exception as error:
            self._failed = type(error).__name__
        while not self._ended:
            self._ended = self._queue.get() is None

    _ended = False

    def _batches(self) -> Iterator[pa.RecordBatch]:
        while (batch := self._queue.get()) is not None:
            yield batch
        self._ended = True


def columns_of(rule: TableRule) -> frozenset[str]:
    """Columns that the rule's aggregate reads."""
    tree = sqlglot.parse_one(rule.value, dialect="duckdb")
    return frozenset(rule.columns) | {column.name for column in tree.find_all(exp.Column)}


def _errors(rules: Sequence[TableRule], schema: pa.Schema, con: duckdb.DuckDBPyConnection) -> Iterator[tuple[str, str]]:
    con.register("no_rows", schema.empty_table())
    for rule in rules:
        try:
            con.execute(f"SELECT {rule.value} FROM no_rows").fetchall()  # noqa: S608
        except duckdb.Error as error:
            yield rule.id, type(error).__name__
    con.unregister("no_rows")


def plain(value: object) -> object:
    """A JSON scalar or list of them."""
    match value:
        case list() | tuple():
            return [plain(item) for item in value]
        case Decimal():
            return float(value)
        case float() if not math.isfinite(value):
            return None
        case datetime() | date():
            return value.isoformat()
        case None | bool() | int() | float() | str():
            return value
        case _:
            return str(value)
