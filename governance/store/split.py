"""Splitting judged rows: passed rows to the one writer, those with a reason to the other, declared duplicates to none; and counting.

All of it is arithmetic on the words of a batch: a row is bad when one of the bits that set rows aside is in its words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from governance.state.values import RuleMetric
from governance.store.lookups import DUPLICATE
from governance.store.plan import BITS, RAW, ROW, Plan, Skip, error_word, flag, word

Words = list[npt.NDArray[np.int64]]

REASONS_TYPE = pa.list_(pa.string())


@dataclass(slots=True)
class Counter:
    """What the rules counted over all typed rows so far, before the split."""

    plan: Plan
    rows: int = 0
    duplicates: int = 0
    quarantined: int = 0
    unexpected: dict[int, int] = field(default_factory=dict)
    skipped: dict[int, int] = field(default_factory=dict)
    errors: set[int] = field(default_factory=set)
    asked: frozenset[str] = field(init=False)
    """Columns that say what is wrong with a row: nobody reads them of one that passed."""
    _type_bits: dict[str, int] = field(init=False)
    _skips: tuple[Skip, ...] = field(init=False)
    _flags: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self._skips = tuple(self.plan.skip(reason) for reason in self.plan.reasons)
        self._flags = {speaks: flag(n) for n, speaks in enumerate(self.plan.flags())}
        types = ((r.columns[0], bit) for bit, r in enumerate(self.plan.reasons) if r.id.startswith("type:"))
        self._type_bits = dict(types)
        numbers = range(self.plan.words)
        self.asked = frozenset({RAW, *map(word, numbers), *map(error_word, numbers), *self._flags.values()})

    def add(self, batch: pa.RecordBatch, words: Words) -> None:
        self.rows += batch.num_rows
        broken = _by_bit(words)
        for bit, rows in broken.items():
            self.unexpected[bit] = self.unexpected.get(bit, 0) + rows
        for bit in range(len(self.plan.reasons)):
            skipped = self._skipped(batch, bit, broken)
            if skipped:
                self.skipped[bit] = self.skipped.get(bit, 0) + skipped
        if self.plan.careful:
            self.errors |= set(_by_bit([_numbers(batch, error_word(n)) for n in range(self.plan.words)]))

    def metrics(self) -> dict[str, RuleMetric]:
        found = {}
        for bit, reason in enumerate(self.plan.reasons):
            error = self.plan.errored.get(reason.id, "EvaluationError" if bit in self.errors else "")
            counted = RuleMetric(
                reason.id, self.rows, self.skipped.get(bit, 0), self.unexpected.get(bit, 0), error=error
            )
            found[reason.id] = counted
        return found

    def _skipped(self, batch: pa.RecordBatch, bit: int, broken: Mapping[int, int]) -> int:
        skip = self._skips[bit]
        match skip.kind:
            case "none":
                return 0
            case "nulls":
                return int(batch.column(skip.name).null_count)
            case "type":
                return int(batch.column(skip.name).null_count) - broken.get(bit, 0)
            case "bad":
                return broken.get(self._type_bits[skip.name], 0)
            case "flag":
                return int(batch.num_rows) - int(batch.column(self._flags[skip.name]).true_count)


@dataclass(frozen=True, slots=True)
class Parts:
    """A batch's passed and quarantined rows, still with the columns that the pass needs."""

    passed: pa.RecordBatch
    quarantined: pa.RecordBatch
    reasons: pa.Array


def split(plan: Plan, batch: pa.RecordBatch, counter: Counter) -> Parts:
    """Split one judged batch and count it."""
    words = [_numbers(batch, word(number)) for number in range(plan.words)]
    counter.add(batch, words)
    bad = np.zeros(batch.num_rows, dtype=bool)
    for values, mask in zip(words, plan.quarantine_masks(), strict=True):
        bad |= (values & mask) != 0
    duplicate = batch.column(DUPLICATE)
    dropped = np.zeros(0, dtype=bool)
    if duplicate.true_count:
        dropped = duplicate.to_numpy(zero_copy_only=False).astype(bool)
        counter.duplicates += int(dropped.sum())
        bad &= ~dropped
    counter.quarantined += int(bad.sum())
    good = ~(bad | dropped) if dropped.size else ~bad
    passed = batch if good.all() else _filtered(counter, batch, pa.array(good))
    if not bad.any():
        return Parts(passed, batch.slice(0, 0), pa.array([], REASONS_TYPE))
    return Parts(passed, batch.take(pa.array(np.flatnonzero(bad))), _reasons(plan, [values[bad] for values in words]))


def _filtered(counter: Counter, batch: pa.RecordBatch, good: pa.BooleanArray) -> pa.RecordBatch:
    """The good rows, without what only the others are asked for. Column by column: filtering a batch takes half as long again."""
    names = [name for name in batch.schema.names if name not in counter.asked]
    return pa.RecordBatch.from_arrays([batch.column(name).filter(good) for name in names], names=names)


def passed_rows(plan: Plan, batch: pa.RecordBatch, id_of_batch: str) -> pa.RecordBatch:
    """The columns of the dataset's table, without those of versions."""
    names = [f.name for f in plan.dataset.fields] + [f.token_name or "" for f in plan.identifiers]
    columns = {name: batch.column(name) for name in names}
    columns["_batch"] = constant(id_of_batch, batch.num_rows)
    columns["_row"] = batch.column(ROW)
    return pa.RecordBatch.from_pydict(columns)


def quarantined_rows(plan: Plan, parts: Parts, id_of_batch: str) -> pa.RecordBatch:
    """The columns of the quarantine table for rows that were parsed."""
    rows = passed_rows(plan, parts.quarantined, id_of_batch)
    count = rows.num_rows
    extra = {
        "_reasons": parts.reasons,
        "_rules_hash": constant(plan.rules_hash, count),
        "_raw": parts.quarantined.column(RAW),
        "_line": pa.nulls(count, pa.string()),
        "_state": constant("quarantined", count),
    }
    return pa.RecordBatch.from_pydict({**dict(zip(rows.schema.names, rows.columns, strict=True)), **extra})


def unparsed_rows(plan: Plan, lines: pa.Table, id_of_batch: str, schema: pa.Schema) -> pa.RecordBatch:
    """The columns of the quarantine table for lines that no parser accepts; `_row` is the number of the record in the batch."""
    count = lines.num_rows
    columns = {name: pa.nulls(count, schema.field(name).type) for name in schema.names}
    columns |= {
        "_batch": constant(id_of_batch, count),
        "_row": lines.column("record").combine_chunks(),
        "_reasons": pa.array([[UNPARSED_REASON]] * count, REASONS_TYPE),
        "_rules_hash": constant(plan.rules_hash, count),
        "_line": lines.column("line").combine_chunks(),
        "_state": constant("quarantined", count),
    }
    return pa.RecordBatch.from_pydict(columns)


UNPARSED_REASON = "unparsed"
"""The reason of a line that no parser accepts."""


def constant(value: str, rows: int) -> pa.Array:
    return pa.repeat(pa.scalar(value, pa.string()), rows)


def _numbers(batch: pa.RecordBatch, name: str) -> npt.NDArray[np.int64]:
    values: npt.NDArray[np.int64] = batch.column(name).to_numpy(zero_copy_only=False).astype(np.int64, copy=False)
    return values


def _by_bit(words: Words) -> dict[int, int]:
    """Rows by bit; bits that no row has are left out."""
    found: dict[int, int] = {}
    for number, values in enumerate(words):
        some = values[values != 0]
        present = int(np.bitwise_or.reduce(some)) if some.size else 0
        for bit in range(BITS):
            if present >> bit & 1:
                found[number * BITS + bit] = int(np.count_nonzero(some & (1 << bit)))
    return found


def _reasons(plan: Plan, words: Words) -> pa.Array:
    """The list of rule ids of each row, in the order of the rules."""
    rows, bits = [], []
    for number, values in enumerate(words):
        for bit in range(min(BITS, len(plan.reasons) - number * BITS)):
            met = np.flatnonzero(values & (1 << bit))
            rows.append(met)
            bits.append(np.full(met.size, number * BITS + bit))
    row, reason = np.concatenate(rows), np.concatenate(bits)
    order = np.argsort(row, kind="stable")
    offsets = np.zeros(len(words[0]) + 1, dtype=np.int32)
    np.cumsum(np.bincount(row, minlength=len(words[0])), out=offsets[1:])
    ids = pa.array([reason.id for reason in plan.reasons], pa.string())
    return pa.ListArray.from_arrays(pa.array(offsets), pc.take(ids, pa.array(reason[order])))
