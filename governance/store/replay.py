"""Judging rows again that were judged before: corrected ones, and past batches under a changed suite. By the expressions of the store pass.

The caller binds views in one connection that never spills; nothing is written here. Corrected rows come as raw text and are typed anew; rows of
a past batch come typed, with their tokens. What a rule about sets of rows needs of the batch's other rows comes as a view of its own.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace

import duckdb
import pyarrow as pa
import sqlglot
from sqlglot import exp

from governance.catalog.rules import CodeSetRule, ReferenceRule, RowRule, RowRules, UniqueRule
from governance.catalog.types import CodeSet, Dataset
from governance.errors import GovernanceError, NotReady
from governance.keys.names import DigestKeyName, KeyStore
from governance.keys.tokens import tokens
from governance.lake.lake import Lake
from governance.state.values import Base
from governance.store.lookups import Lookups
from governance.store.parsers.relation import LINE, quoted
from governance.store.plan import ROW, Plan, halves, judge_sql, key_hash, reasons_of, standard_of
from governance.store.split import Counter, passed_rows, quarantined_rows, split

CARRIED = LINE
"""Column of a relation that is carried through judging as it is: here the key of the row."""

OTHERS = "other_rows"
"""View of the batch's other rows (typed), where keys may repeat."""

OWN = "own_rows"
"""View of the rows (typed) into which a reference to the own dataset may point, besides those that are judged."""


@dataclass(frozen=True, slots=True)
class Replay:
    """One batch's rules, to be asked again. `base` is the batch's own; what it does not name is read as it is now."""

    dataset: Dataset
    rules: RowRules
    code_sets: Mapping[str, CodeSet]
    base: Base
    lake: Lake
    con: duckdb.DuckDBPyConnection

    def plan(self, *, careful: bool = False) -> Plan:
        """Dates and times are read as ISO 8601: whoever makes the raw text has undone the contract's format."""
        fields = tuple(replace(f, format=None) for f in self.dataset.fields)
        dataset = replace(self.dataset, fields=fields)
        reasons = reasons_of(dataset, self.rules)
        return Plan(dataset, reasons, (), self.rules.hash, secrets.token_hex(16), {}, careful=careful)

    def lookups(self, plan: Plan, judged: str) -> Lookups:
        """Joins for `judged` (a view of rows as `judge_sql` gives them). The views `OTHERS` and `OWN` must be there when `needed` says so."""
        lookups = Lookups(self.con)
        for bit, reason in enumerate(plan.reasons):
            match reason:
                case UniqueRule():
                    lookups.add_repeated_values(plan, bit, reason, (judged, OTHERS))
                case CodeSetRule() if reason.valid_at is None:
                    lookups.add_codes(plan, bit, reason, self.code_sets[reason.code_set])
                case CodeSetRule():
                    lookups.add_code_set(plan, bit, reason, self.code_sets[reason.code_set])
                case ReferenceRule() if reason.dataset == self.dataset.name:
                    lookups.add_own_keys(plan, bit, reason, self._own(plan, reason, judged))
                case ReferenceRule():
                    self._reference(plan, bit, reason, lookups)
                case RowRule():
                    pass
        return lookups

    def _own(self, plan: Plan, rule: ReferenceRule, judged: str) -> pa.Table:
        """Hashes of the keys that there are."""
        hashed, column = key_hash([quoted(rule.field)], plan.salt), quoted(rule.field)
        parts = (
            f"SELECT {halves(hashed, 'k')} FROM {source} WHERE {column} IS NOT NULL"  # noqa: S608
            for source in (judged, OWN)
        )
        return self.con.sql(" UNION ALL ".join(parts)).to_arrow_table().rename_columns(["low", "high"])

    def _reference(self, plan: Plan, bit: int, rule: ReferenceRule, lookups: Lookups) -> None:
        by_token = self.dataset.field(rule.columns[0]).domain is not None
        column = f"{rule.field}__token" if by_token else rule.field
        snapshot = self.base.snapshots.get(rule.dataset) or self.lake.snapshot(rule.dataset)
        if snapshot is None:
            raise NotReady(f"{rule.dataset} has no data yet, and a rule refers to it", where=self.dataset.name)
        keys = self.lake.scan(rule.dataset, snapshot, [column], current=True)
        lookups.add_reference(plan, bit, rule, keys, "token" if by_token else "value")


def needed(dataset: Dataset, rules: RowRules) -> tuple[str, ...]:
    """Fields that rules about sets of rows read of the batch's other rows; empty when there is no such rule."""
    names: set[str] = set()
    for rule in rules.rules:
        if isinstance(rule, UniqueRule):
            names |= set(rule.columns) | _columns(rule.applies)
        elif isinstance(rule, ReferenceRule) and rule.dataset == dataset.name:
            names.add(rule.field)
    return tuple(f.name for f in dataset.fields if f.name in names)


def reads_own_table(dataset: Dataset, rules: RowRules) -> bool:
    """Whether a rule refers into the dataset's own table, to which the batch was added."""
    own = any(isinstance(rule, ReferenceRule) and rule.dataset == dataset.name for rule in rules.rules)
    return own and dataset.load_mode not in ("full", "snapshot_diff")


@dataclass(frozen=True, slots=True)
class Again:
    """Corrected rows after judging: columns of the dataset's table, and of its quarantine. `_row` is the carried key."""

    passed: pa.Table
    held: pa.Table


def judge_again(replay: Replay, relation: str, batch: str, *, keystore: KeyStore, grant_id: str) -> Again:
    """Type and judge the raw rows of `relation` (columns by `raw_name`, and `CARRIED`). Every identifier gets its token.

    `grant_id` names the digest keys. Raises GovernanceError for a rule that cannot be evaluated: an error is never a pass.
    """
    try:
        return _judge_again(replay, replay.plan(), relation, batch, keystore, grant_id)
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error:
        pass
    try:
        return _judge_again(replay, replay.plan(careful=True), relation, batch, keystore, grant_id)
    except duckdb.Error as error:
        raise GovernanceError(
            f"the rows cannot be judged: {type(error).__name__}", where=batch, do="check contract, suite and patch"
        ) from None


def _judge_again(replay: Replay, plan: Plan, relation: str, batch: str, keystore: KeyStore, grant: str) -> Again:
    con = replay.con
    typed = con.sql(judge_sql(plan, {}, relation, has_lines=True)).to_arrow_table()
    typed = _complete(typed, plan, keystore, grant)
    con.register("__again", typed)
    lookups = replay.lookups(plan, "__again")
    columns = con.sql(lookups.select(plan, "__again")).to_arrow_table().combine_chunks()
    con.unregister("__again")
    rows = columns.to_batches()[0] if columns.num_rows else pa.RecordBatch.from_pylist([], schema=columns.schema)
    counter = Counter(plan)
    parts = split(plan, rows, counter)
    if plan.careful and counter.errors:
        names = ", ".join(plan.reasons[bit].id for bit in sorted(counter.errors))
        raise GovernanceError(f"rules that cannot be evaluated on these rows: {names}", where=batch, do="correct them")
    passed = passed_rows(plan, parts.passed, batch)
    return Again(pa.Table.from_batches([passed]), pa.Table.from_batches([quarantined_rows(plan, parts, batch)]))


def _complete(typed: pa.Table, plan: Plan, keystore: KeyStore, grant_id: str) -> pa.Table:
    columns = {name: typed.column(name).combine_chunks() for name in typed.column_names}
    columns[ROW] = columns.pop(CARRIED)
    for identifier in plan.identifiers:
        key = DigestKeyName("domain", identifier.domain or "")
        values = columns.pop(standard_of(identifier))
        columns[identifier.token_name or ""] = tokens(values, keystore=keystore, key=key, grant_id=grant_id)
    return pa.table(columns)


def _columns(condition: str) -> set[str]:
    return {c.name for c in sqlglot.parse_one(condition, dialect="duckdb").find_all(exp.Column)} if condition else set()
