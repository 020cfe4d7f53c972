"""`Work`: one run of the store pass for one batch, from its landed originals to finished files. Holds together what the other modules do."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import duckdb
import pyarrow as pa

from governance.catalog.rules import CodeSetRule, ReferenceRule, RowRule, RowRules, UniqueRule
from governance.catalog.types import CodeSet, Dataset
from governance.config import Settings
from governance.errors import Damaged
from governance.keys.names import KeyStore
from governance.lake.lake import Lake
from governance.lake.specs import quarantine_spec, stored_spec
from governance.state.values import Landed, RuleMetric, Stored
from governance.store import base as bases
from governance.store import repeats
from governance.store.access import Access
from governance.store.aggregates import Aggregate
from governance.store.base import Standing
from governance.store.engine import Engines, aggregating, engines
from governance.store.judge_pass import Parser, Passed, Sinks, run
from governance.store.landed import Originals
from governance.store.lookups import Lookups
from governance.store.membership import membership
from governance.store.parsers.quoted_lines import Guessed
from governance.store.parsers.relation import quoted
from governance.store.partials import leaf_rules
from governance.store.plan import Plan, Reason, empty_relation, halves, judge_sql, key_hash, reasons_of, table_rules_of
from governance.store.repeats import Repeats
from governance.store.shapes import shapes
from governance.store.table_scope import TableScope, table_scope
from governance.store.versions import OLD_COLUMNS, Versions
from governance.store.watch import KeyWatch, Repeated, clear_key, watchable

log = logging.getLogger("governance.store")

_VERSION_FREE = ("_valid_to", "_current")


@dataclass(frozen=True, slots=True)
class Work:
    """Everything that one batch's pass needs; `run` may be called again after it failed."""

    standing: Standing
    dataset: Dataset
    rules: RowRules
    code_sets: Mapping[str, CodeSet]
    settings: Settings
    lake: Lake
    keystore: KeyStore
    access: Access
    look_first: bool = False

    def run(self, *, careful: bool = False) -> Stored:
        """Judge and write the batch. Raises duckdb.Error when an expression failed, with nothing left behind."""
        try:
            return self._run(careful)
        except Guessed:
            log.info("%s: values with line ends; once more, from the first record to the last", self.standing.row.id)
            return replace(self, look_first=True)._run(careful)

    def _run(self, careful: bool) -> Stored:
        with ExitStack() as stack:
            engine = stack.enter_context(engines(self.settings))
            plan = self._plan(engine.parsing, careful)
            watched = watchable(plan)
            with self.access.landed(self._landed) as grant_id:
                originals = self._originals(engine, grant_id)
                most_rows = originals.most_rows()
                found = Repeats({}, {}) if watched else repeats.scan(plan, originals, engine.parsing, engine.hashing)
            if not watched:
                return self._pass(plan, found, engine, most_rows)
            hashed = tuple(bit for bit in watched if clear_key(plan, bit) is None)
            try:
                return self._pass(replace(plan, watched=watched, hashed=hashed), found, engine, most_rows)
            except Repeated:
                log.info("%s: keys repeat; scanning them, then once more", self.standing.row.id)
            with self.access.landed(self._landed) as grant_id:
                found = repeats.scan(plan, self._originals(engine, grant_id), engine.parsing, engine.hashing)
            return self._pass(plan, found, engine, most_rows)

    def _pass(self, plan: Plan, found: Repeats, engine: Engines, most_rows: int) -> Stored:
        """One pass that knows these repeats. Raises Repeated when the plan watches for others and there are some."""
        digests = most_rows * (len(plan.identifiers) + plan.digests) * (2 if plan.digests else 1)
        with self.access.landed(self._landed, digests=digests) as grant_id, ExitStack() as stack:
            plan = replace(plan, full_hash=found.firsts is not None and found.firsts.num_rows > 0)
            originals = self._originals(engine, grant_id)
            versions = self._versions(plan, originals, engine, grant_id) if self.dataset.keeps_versions else None
            lookups = self._lookups(plan, found, engine)
            parser = Parser(plan, originals, engine.parsing, self.keystore, grant_id)
            if plan.watched:
                parser.watch = KeyWatch(plan, engine.hashing)
                stack.callback(parser.watch.stop)
            return self._write(parser, lookups, versions, engine)

    @property
    def _landed(self) -> Landed:
        assert self.standing.row.landed is not None
        return self.standing.row.landed

    def _originals(self, engine: Engines, grant_id: str) -> Originals:
        return Originals(
            self._landed, self.dataset, self.lake.root, engine.scratch, self.keystore, grant_id, self.look_first
        )

    def _plan(self, con: duckdb.DuckDBPyConnection, careful: bool) -> Plan:
        """The plan, with every rule named that does not even bind."""
        plan = Plan(
            self.dataset,
            reasons_of(self.dataset, self.rules),
            table_rules_of(self.rules),
            self.rules.hash,
            secrets.token_hex(16),
            {},
            careful=careful,
            digests=self.dataset.keeps_versions,
        )
        relation = empty_relation(self.dataset.fields)
        known = {f.name for f in self.dataset.fields}
        errored = {r.id: "UnknownColumn" for r in plan.reasons if not set(_named(r)) <= known}
        plan = replace(plan, errored=errored)
        sound = [reason for reason in plan.reasons if reason.id not in errored]
        if _bind_error(con, replace(plan, reasons=tuple(map(_bindable, sound)), digests=False), relation):
            for reason in sound:
                if error := _bind_error(con, replace(plan, reasons=(_bindable(reason),), digests=False), relation):
                    errored[reason.id] = error
        plan = replace(plan, errored=dict(errored))
        return replace(plan, beside=tuple(shape.bit for shape in shapes(plan)))

    def _lookups(self, plan: Plan, found: Repeats, engine: Engines) -> Lookups:
        lookups = Lookups(engine.judging)
        lookups.beside.extend(shapes(plan))
        for bit, reason in enumerate(plan.reasons):
            if reason.id in plan.errored:
                continue
            match reason:
                case UniqueRule() if bit in plan.watched:
                    pass
                case UniqueRule():
                    lookups.add_repeats(plan, bit, reason, found.repeated[bit])
                case CodeSetRule():
                    codes = self.code_sets[reason.code_set]
                    if member := membership(plan, bit, reason, codes):
                        lookups.beside.append(member)
                    else:
                        lookups.add_code_set(plan, bit, reason, codes)
                case ReferenceRule() if reason.dataset == self.dataset.name:
                    lookups.add_own_keys(plan, bit, reason, self._own_keys(plan, reason, found.present[bit], engine))
                case ReferenceRule():
                    self._reference(plan, bit, reason, lookups)
                case RowRule():
                    pass
        if found.firsts is not None:
            lookups.add_duplicates(found.firsts)
        return lookups

    def _reference(self, plan: Plan, bit: int, rule: ReferenceRule, lookups: Lookups) -> None:
        by_token = self.dataset.field(rule.columns[0]).domain is not None
        column = f"{rule.field}__token" if by_token else rule.field
        keys = self.lake.scan(rule.dataset, self.standing.base.snapshots[rule.dataset], [column], current=True)
        lookups.add_reference(plan, bit, rule, keys, "token" if by_token else "value")

    def _own_keys(self, plan: Plan, rule: ReferenceRule, present: pa.Table, engine: Engines) -> pa.Table:
        """Hashes of the keys that the batch has; where it adds to the table, also of those that are there."""
        if self.dataset.load_mode in ("full", "snapshot_diff"):
            return present
        with self.access.own(self.standing.before, [rule.field]) as rows:
            if rows is None:
                return present
            engine.judging.register("own_rows", rows)
            hashed = halves(key_hash([quoted(rule.field)], plan.salt), "k")
            query = f"SELECT {hashed} FROM own_rows WHERE {quoted(rule.field)} IS NOT NULL"  # noqa: S608
            before = engine.judging.sql(query).to_arrow_table().rename_columns(["low", "high"])
            engine.judging.unregister("own_rows")
        return pa.concat_tables([present, before.cast(present.schema)])

    def _versions(self, plan: Plan, originals: Originals, engine: Engines, grant_id: str) -> Versions:
        window = self.standing.row.window
        versions = Versions(self.dataset, engine.hashing, plan.salt, window.end, self._landed.observed_at)
        bare = replace(plan, reasons=(), table_rules=(), full_hash=False, beside=())
        parser = Parser(bare, originals, engine.parsing, self.keystore, grant_id)
        try:
            versions.load_new(pa.RecordBatchReader.from_batches(parser.schema(), parser.stream()))
        except duckdb.Error:
            if parser.error is not None:
                raise parser.error from None
            raise
        with self.access.own(self.standing.before, [*versions.key_columns(), *OLD_COLUMNS]) as rows:
            versions.load_old(rows)
        return versions

    def _write(self, parser: Parser, lookups: Lookups, versions: Versions | None, engine: Engines) -> Stored:
        plan, batch = parser.plan, self.standing.row.id
        join, columns = versions.join(lookups) if versions else ("", ())
        with (
            self.lake.writer(stored_spec(self.dataset), batch) as passed,
            self.lake.writer(quarantine_spec(self.dataset), batch) as quarantine,
            self._aggregates(plan, parser.schema()) as (of_batch, of_table, parts, scope),
        ):
            sinks = Sinks(
                passed,
                quarantine,
                of_batch,
                tuple(aggregate for aggregate in (of_table, parts) if aggregate is not None),
                versions.present if versions else None,
                versions.set_aside if versions else None,
            )
            counted = run(parser, lookups, sinks, batch, versions=join, version_columns=columns)
            changes = {}
            if versions:
                changes = versions.settle(unparsed=counted.unparsed)
                for rows in self._old_rows(versions, engine):
                    passed.write(rows)
            metrics = counted.counter.metrics()
            for aggregate in (of_batch, of_table):
                metrics |= aggregate.metrics() if aggregate else {}
            passed_files, quarantine_files = passed.close(), quarantine.close()
            metrics |= scope.metrics(parts.metrics(), passed_files) if parts else {}
        stored = self._stored(counted, metrics, changes)
        return replace(stored, passed_files=passed_files, quarantine_files=quarantine_files)

    def _stored(self, counted: Passed, metrics: Mapping[str, RuleMetric], changes: Mapping[str, int]) -> Stored:
        counter = counted.counter
        if counter.rows != counted.parsed:
            raise Damaged(
                f"{counted.parsed} records were parsed and {counter.rows} judged",
                where=self.standing.row.id,
                do="report it: rows went missing",
            )
        return Stored(
            batch=self.standing.row.id,
            dataset=self.dataset.name,
            base=self.standing.base,
            rules_hash=self.rules.hash,
            passed_files=(),
            quarantine_files=(),
            removed_files=bases.removed(self.standing, self.dataset, self.lake),
            removed_quarantine_files=bases.removed_quarantine(self.standing, self.dataset, self.lake),
            parsed=counted.parsed,
            unparsed=counted.unparsed,
            duplicates=counter.duplicates,
            metrics=metrics,
            changes=changes,
        )

    def _old_rows(self, versions: Versions, engine: Engines) -> Iterator[pa.RecordBatch]:
        if not versions.touches_old:
            return
        names = [column.name for column in stored_spec(self.dataset).columns if column.name not in _VERSION_FREE]
        with self.access.own(self.standing.before, names) as rows:
            if rows is not None:
                yield from versions.old_rows(rows, engine.judging)

    @contextmanager
    def _aggregates(
        self, plan: Plan, schema: pa.Schema
    ) -> Iterator[tuple[Aggregate | None, Aggregate | None, Aggregate | None, TableScope]]:
        """Aggregates of the batch's rows, of the table with them for rules that need all of its rows, and of what rules are put together of."""
        typed = pa.schema([schema.field(f.name) for f in self.dataset.fields])
        scope = table_scope(plan.table_rules, self.dataset, self.standing, self.access, self.settings)
        of_batch = tuple(rule for rule in plan.table_rules if rule.scope == "batch")
        with ExitStack() as stack:
            made: list[Aggregate | None] = []
            for rules in (of_batch, scope.rest, leaf_rules(scope.merged)):
                aggregate = None
                if rules:
                    con = aggregating(self.settings)
                    stack.callback(con.close)
                    aggregate = Aggregate(rules, typed, con)
                    stack.callback(aggregate.stop)
                made.append(aggregate)
            if made[1] is not None and self.dataset.load_mode == "append":
                scope.feed_before(made[1])
            yield made[0], made[1], made[2], scope


def _named(reason: Reason) -> tuple[str, ...]:
    return (*reason.columns, *([reason.valid_at] if isinstance(reason, CodeSetRule) and reason.valid_at else []))


def _bind_error(con: duckdb.DuckDBPyConnection, plan: Plan, relation: str) -> str:
    """Class of the error with which the plan's statement does not bind; empty when it does."""
    try:
        con.sql(judge_sql(plan, {}, relation, has_lines=False))
    except duckdb.Error as error:
        return type(error).__name__
    return ""


def _bindable(reason: Reason) -> RowRule:
    """A row rule that binds exactly when the reason's own expressions do."""
    if isinstance(reason, RowRule):
        return reason
    key = f"({reason.key}) IS NULL" if isinstance(reason, CodeSetRule) and reason.key else "FALSE"
    return RowRule(reason.id, reason.severity, reason.columns, key, reason.applies)
