"""The main pass: every landed record parsed, typed, judged once, and written to where it belongs.

    originals -> parse, type, row rules (ordered) -> count positions, make tokens -> look-ups (any order) -> split -> two writers

Rows stream; the connections of the pass never spill, because what they hold may be sensitive. A row's position is counted on the ordered stream
that leaves the parser, before any join.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import duckdb
import numpy as np
import pyarrow as pa

from governance.errors import SourceContentError
from governance.keys.names import DigestKeyName, KeyStore
from governance.keys.tokens import row_digests, tokens
from governance.lake.stream import batches
from governance.lake.writer import TableWriter
from governance.store.aggregates import Aggregate
from governance.store.ahead import ahead
from governance.store.landed import Originals
from governance.store.lookups import DUPLICATE, Lookups
from governance.store.membership import marked
from governance.store.parsers.relation import LINE, UNPARSED, Relation
from governance.store.plan import DIGEST, ROW, Plan, empty_relation, judge_sql, key_name, standard_of
from governance.store.repeats import ordinals
from governance.store.split import Counter, Parts, passed_rows, quarantined_rows, split, unparsed_rows
from governance.store.watch import KeyWatch

BATCH_ROWS = 122_880

Present = Callable[[pa.RecordBatch, pa.RecordBatch], pa.RecordBatch]
"""(judged rows that passed, their table columns) -> the table's rows: where version columns are added."""


@dataclass(slots=True)
class Parser:
    """The ordered stream of parsed records with positions and tokens, over all files; and the lines that were not parsed."""

    plan: Plan
    originals: Originals
    con: duckdb.DuckDBPyConnection
    keystore: KeyStore
    grant_id: str
    watch: KeyWatch | None = None
    parsed: int = 0
    unparsed: int = 0
    lines: deque[pa.Table] = field(default_factory=deque)
    error: BaseException | None = None

    def schema(self) -> pa.Schema:
        """Schema of the stream; binds the statement without opening a file, and raises duckdb.Error when a rule does not bind."""
        sql = judge_sql(self.plan, {}, empty_relation(self.plan.dataset.fields), has_lines=False)
        schema = self.con.sql(sql).to_arrow_table().schema
        rows = pa.RecordBatch.from_arrays([pa.array([], f.type) for f in schema], schema=schema)
        return self._complete(rows).schema

    def stream(self) -> Iterator[pa.RecordBatch]:
        """The batches. Whoever consumes this through DuckDB finds a source's own error in `error`."""
        try:
            for source in self.originals(self.con):
                with source as relation:
                    yield from self._file(relation)
        except BaseException as error:
            self.error = error
            raise

    def _file(self, relation: Relation) -> Iterator[pa.RecordBatch]:
        before, lines = self.parsed + self.unparsed, 0
        sql = judge_sql(self.plan, relation.types, relation.sql, has_lines=relation.has_lines)
        seen: set[str] = set()
        for given in batches(self.con.sql(sql).to_arrow_reader(BATCH_ROWS)):
            batch = given
            if relation.has_lines:
                batch = self._without_lines(given, before + lines)
                lines += given.num_rows
            if batch.num_rows:
                seen |= {name for name in relation.doubtful - seen if batch.column(name).null_count < batch.num_rows}
                complete = self._complete(batch)
                self.parsed += complete.num_rows
                yield complete
        rejected = relation.rejected()
        self._missing(relation, seen)
        if rejected.num_rows:
            numbers = pa.array(rejected.column("record").to_numpy() + before)
            self._keep(rejected.set_column(0, "record", numbers))

    def _missing(self, relation: Relation, seen: set[str]) -> None:
        names = [f.source_name for f in self.plan.dataset.fields if f.name in relation.doubtful - seen]
        if names:
            raise SourceContentError(
                f"the source has no column {', '.join(names)}",
                where=self.plan.dataset.name,
                do="correct physicalName in the contract, or land a file that has it",
            )

    def _without_lines(self, batch: pa.RecordBatch, before: int) -> pa.RecordBatch:
        """The parsed records of a batch; its broken lines are kept with their number."""
        line = batch.column(LINE)
        rest = batch.drop_columns([LINE])
        if line.null_count == batch.num_rows:
            return rest
        parsed = line.is_null()
        at = np.flatnonzero(~parsed.to_numpy(zero_copy_only=False))
        self._keep(pa.table([pa.array(at + before + 1), line.take(pa.array(at))], schema=UNPARSED))
        return rest.filter(parsed)

    def _keep(self, lines: pa.Table) -> None:
        self.unparsed += lines.num_rows
        self.lines.append(lines)

    def _complete(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Positions, tokens and row digests added, what they are made of left out."""
        if self.watch is not None:
            self.watch.feed(batch)
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        for bit in self.plan.hashed:
            del columns[f"{key_name(bit)}_low"], columns[f"{key_name(bit)}_high"]
        columns[ROW] = ordinals(self.parsed, batch.num_rows)
        for identifier in self.plan.identifiers:
            values = columns.pop(standard_of(identifier))
            key = DigestKeyName("domain", identifier.domain or "")
            columns[identifier.token_name or ""] = tokens(
                values, keystore=self.keystore, key=key, grant_id=self.grant_id
            )
        if self.plan.digests:
            key = DigestKeyName("rowdigest", self.plan.dataset.name)
            columns[DIGEST] = row_digests(columns[DIGEST], keystore=self.keystore, key=key, grant_id=self.grant_id)
        return pa.RecordBatch.from_pydict(columns)


@dataclass(frozen=True, slots=True)
class Passed:
    """What the pass counted; what it wrote is in the writers."""

    counter: Counter
    parsed: int
    unparsed: int


@dataclass(frozen=True, slots=True)
class Sinks:
    """Where the pass puts rows: writers, aggregates of table rules, and whoever wants to see the set-aside rows."""

    passed: TableWriter
    quarantine: TableWriter
    batch_aggregate: Aggregate | None = None
    table_aggregates: tuple[Aggregate, ...] = ()
    present: Present | None = None
    set_aside: Callable[[pa.RecordBatch], None] | None = None


def run(
    parser: Parser,
    lookups: Lookups,
    sinks: Sinks,
    id_of_batch: str,
    *,
    versions: str = "",
    version_columns: Sequence[str] = (),
) -> Passed:
    """Run the pass into the writers, which the caller closes. Raises the source's own error, or duckdb.Error without having hidden it."""
    plan, counter = parser.plan, Counter(parser.plan)
    schema = parser.schema()
    blank = quarantined_rows(plan, Parts(*_empty(schema)), id_of_batch).schema
    try:
        for judged in _judged(parser, lookups, schema, versions, version_columns):
            batch = marked(lookups.beside, judged)
            if sinks.batch_aggregate:
                sinks.batch_aggregate.feed(batch)
            parts = split(plan, batch, counter)
            _write(plan, parts, sinks, id_of_batch)
            _write_lines(parser, sinks, id_of_batch, blank)
    except duckdb.Error:
        if parser.error is not None and not isinstance(parser.error, duckdb.Error):
            raise parser.error from None
        raise
    if parser.watch is not None:
        parser.watch.finish()
    _write_lines(parser, sinks, id_of_batch, blank)
    return Passed(counter, parser.parsed, parser.unparsed)


def careful(plan: Plan) -> Plan:
    """The same plan with every row rule evaluated alone: for the second try, after one of them failed on some row."""
    return replace(plan, careful=True)


def _judged(
    parser: Parser, lookups: Lookups, schema: pa.Schema, versions: str, version_columns: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    with ahead(parser.stream()) as stream:
        if lookups or versions:
            yield from _looked_up(lookups, parser.plan, schema, stream, versions, version_columns)
            return
        for batch in stream:
            yield batch.append_column(DUPLICATE, pa.repeat(pa.scalar(False), batch.num_rows))


def _looked_up(
    lookups: Lookups,
    plan: Plan,
    schema: pa.Schema,
    stream: Iterator[pa.RecordBatch],
    versions: str,
    version_columns: Sequence[str],
) -> Iterator[pa.RecordBatch]:
    reader = pa.RecordBatchReader.from_batches(schema, stream)
    lookups.con.register("counted", reader)
    sql = lookups.select(plan, "counted", versions, version_columns)
    yield from batches(lookups.con.sql(sql).to_arrow_reader(BATCH_ROWS))


def _write(plan: Plan, parts: Parts, sinks: Sinks, id_of_batch: str) -> None:
    if parts.passed.num_rows:
        rows = passed_rows(plan, parts.passed, id_of_batch)
        for aggregate in sinks.table_aggregates:
            aggregate.feed(rows)
        sinks.passed.write(sinks.present(parts.passed, rows) if sinks.present else rows)
    if parts.quarantined.num_rows:
        sinks.quarantine.write(quarantined_rows(plan, parts, id_of_batch))
        if sinks.set_aside:
            sinks.set_aside(parts.quarantined)


def _write_lines(parser: Parser, sinks: Sinks, id_of_batch: str, schema: pa.Schema) -> None:
    while parser.lines:
        sinks.quarantine.write(unparsed_rows(parser.plan, parser.lines.popleft(), id_of_batch, schema))


def _empty(schema: pa.Schema) -> tuple[pa.RecordBatch, pa.RecordBatch, pa.Array]:
    rows = pa.RecordBatch.from_arrays([pa.array([], f.type) for f in schema], schema=schema)
    return rows, rows, pa.array([], pa.list_(pa.string()))
