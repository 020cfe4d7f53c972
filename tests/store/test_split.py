from __future__ import annotations

import pyarrow as pa

from governance.catalog.rules import RowRule, RowRules
from governance.catalog.types import ColumnType, Dataset, Field
from governance.store.lookups import DUPLICATE
from governance.store.plan import BITS, RAW, ROW, Plan, reasons_of, word
from governance.store.split import Counter, passed_rows, quarantined_rows, split

FIELD = Field("v", ColumnType("string"), "v")
DATASET = Dataset("d.t", "d", "s", "1", (FIELD,), None, "f", "h")


def plan_of(count: int, warn: tuple[int, ...] = ()) -> Plan:
    rules = tuple(RowRule(f"r{n}", "warn" if n in warn else "quarantine", ("v",), "FALSE") for n in range(count))
    return Plan(DATASET, reasons_of(DATASET, RowRules("d.t", rules, (), "h")), (), "h", "salt", {})


def judged(plan: Plan, rows: list[set[int]], duplicates: set[int] = frozenset()) -> pa.RecordBatch:  # type: ignore[assignment]
    columns = {"v": pa.array([f"value {n}" for n in range(len(rows))])}
    for number in range(plan.words):
        bits = [sum(1 << (b - number * BITS) for b in row if b // BITS == number) for row in rows]
        columns[word(number)] = pa.array(bits, pa.int64())
    columns[RAW] = pa.nulls(len(rows), pa.string())
    columns[ROW] = pa.array(range(1, len(rows) + 1), pa.int64())
    columns[DUPLICATE] = pa.array([n in duplicates for n in range(len(rows))], pa.bool_())
    return pa.RecordBatch.from_pydict(columns)


def test_more_rules_than_a_word_has_bits_keep_their_reasons_in_order() -> None:
    plan = plan_of(140)
    counter = Counter(plan)
    parts = split(plan, judged(plan, [set(), {139, 0}, {61, 62, 63}, set()]), counter)
    assert parts.passed.column("v").to_pylist() == ["value 0", "value 3"]
    rows = quarantined_rows(plan, parts, "b")
    assert rows.column("_reasons").to_pylist() == [["r0", "r139"], ["r61", "r62", "r63"]]
    assert rows.column("_row").to_pylist() == [2, 3]
    metrics = counter.metrics()
    assert metrics["r139"].unexpected == 1
    assert metrics["r1"].unexpected == 0
    assert metrics["r1"].rows == 4
    assert counter.quarantined == 2


def test_a_warning_passes_and_is_still_a_reason_of_a_row_that_is_set_aside() -> None:
    plan = plan_of(2, warn=(0,))
    counter = Counter(plan)
    parts = split(plan, judged(plan, [{0}, {0, 1}]), counter)
    assert parts.passed.num_rows == 1
    assert parts.reasons.to_pylist() == [["r0", "r1"]]
    assert counter.metrics()["r0"].unexpected == 2


def test_a_declared_duplicate_goes_nowhere_even_when_it_is_bad() -> None:
    plan = plan_of(1)
    counter = Counter(plan)
    parts = split(plan, judged(plan, [{0}, {0}, set(), set()], {1, 3}), counter)
    assert (parts.passed.num_rows, parts.quarantined.num_rows, counter.duplicates) == (1, 1, 2)
    assert passed_rows(plan, parts.passed, "b").column("_row").to_pylist() == [3]


def test_a_batch_without_rows_and_rules_splits_to_nothing() -> None:
    plan = plan_of(0)
    parts = split(plan, judged(plan, []), Counter(plan))
    assert parts.passed.num_rows == parts.quarantined.num_rows == 0
