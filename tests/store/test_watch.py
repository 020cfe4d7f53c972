from __future__ import annotations

from dataclasses import replace
from datetime import date

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.catalog.rules import CodeSetRule, ReferenceRule, UniqueRule
from governance.catalog.types import CodeSet, ColumnType, Dataset, Field, FileSource, Level
from governance.store.lookups import Lookups
from governance.store.membership import marked, membership
from governance.store.plan import BITS, ROW, Plan, reasons_of, word
from governance.store.watch import KeyWatch, Repeated, Rising, clear_key, watchable
from tests.store.conftest import Home, dataset_of, rules_of

NUMBER = Field("n", ColumnType("integer"), "n", classification=Level.L1)
SECRET = Field("s", ColumnType("integer"), "s", classification=Level.L3)
TEXT = Field("t", ColumnType("string"), "t", classification=Level.L1)
DAY = Field("day", ColumnType("date"), "day", classification=Level.L1)
DATASET = dataset_of(NUMBER, SECRET, TEXT, DAY)


def plan_of(*rules: object, dataset: Dataset = DATASET) -> Plan:
    return Plan(dataset, reasons_of(dataset, rules_of(*rules)), (), "h", "salt", {})  # type: ignore[arg-type]


def unique(*names: str) -> UniqueRule:
    return UniqueRule("u", "quarantine", names)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.lists(st.integers(-5, 12), max_size=5), max_size=5))
def test_keys_that_are_not_told_of_are_all_different(batches: list[list[int]]) -> None:
    plan = plan_of(unique("n"))
    bit = len(plan.reasons) - 1
    with duckdb.connect() as con:
        watch = KeyWatch(replace(plan, watched=(bit,)), con)
        keys = [key for batch in batches for key in batch]
        try:
            for batch in batches:
                watch.feed(pa.RecordBatch.from_pydict({"n": pa.array(batch, pa.int64())}))
            watch.finish()
        except Repeated:
            assert len(keys) > len(set(keys)) or keys != sorted(keys)
        else:
            assert len(keys) == len(set(keys))
        finally:
            watch.stop()


def test_rising_numbers_are_taken_until_they_stop_rising() -> None:
    rising = Rising()
    assert rising.takes(np.array([1, 4]))
    assert not rising.takes(np.array([9, 8]))
    assert not rising.takes(np.array([10]))
    with pytest.raises(Repeated):
        rising.takes(np.array([2]))


def test_only_integers_that_are_stored_in_the_clear_are_their_own_hash() -> None:
    for rule, name in ((unique("n"), "n"), (unique("s"), None), (unique("t"), None), (unique("n", "t"), None)):
        plan = plan_of(rule)
        assert clear_key(plan, len(plan.reasons) - 1) == name


def test_a_scan_that_is_needed_anyhow_leaves_nothing_to_watch() -> None:
    own = ReferenceRule("r", "quarantine", ("n",), "d.t", "n")
    assert watchable(plan_of(unique("n"))) == (len(plan_of(unique("n")).reasons) - 1,)
    assert watchable(plan_of(unique("n"), own)) == ()
    assert watchable(plan_of(unique("n"), dataset=replace(DATASET, deduplicate="identical"))) == ()
    assert watchable(plan_of(unique("n"), dataset=replace(DATASET, load_mode="snapshot_diff"))) == ()


@pytest.mark.parametrize(
    "rows", [[(3, "a"), (1, "b"), (2, "c")], [(1, "a"), (2, "b"), (2, "b")], [(5, "a"), (6, ""), (7, "")]]
)
def test_repeats_are_found_whether_watched_or_scanned(home: Home, rows: list[tuple[int, str]]) -> None:
    dataset = dataset_of(NUMBER, TEXT)
    text = "n,t\n" + "".join(f"{n},{t}\n" for n, t in rows)
    rules = rules_of(UniqueRule("un", "quarantine", ("n",)), UniqueRule("ut", "quarantine", ("t",)))
    stored = home.load(dataset, rules, text.encode())
    repeated = sum(1 for n, _ in rows if [r[0] for r in rows].count(n) > 1)
    assert stored.metrics["un"].unexpected == stored.metrics["ut"].unexpected == repeated
    assert stored.metrics["ut"].skipped == sum(1 for _, t in rows if not t)
    assert sum(file.rows for file in stored.passed_files) == len(rows) - repeated


@settings(deadline=None, max_examples=150)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["A", "B", "C", "", None]),
            st.one_of(st.none(), st.dates(date(2025, 12, 31), date(2026, 1, 3))),
            st.sampled_from([1, 2, 7, None]),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_codes_looked_up_in_arrow_are_those_that_a_join_finds(
    rows: list[tuple[str | None, date | None, int | None]],
) -> None:
    codes = CodeSet("c", "f", "h", ("A", "B", "1", "2"), {"B": "2026-01-02"}, {"A": "2026-01-02"})
    rules = (
        CodeSetRule("plain", "quarantine", ("t",), "c"),
        CodeSetRule("dated", "quarantine", ("t",), "c", valid_at="day"),
        CodeSetRule("number", "quarantine", ("n",), "c"),
    )
    plan = plan_of(*rules)
    batch = pa.RecordBatch.from_pydict(
        {
            "t": pa.array([row[0] for row in rows], pa.string()),
            "day": pa.array([row[1] for row in rows], pa.date32()),
            "n": pa.array([row[2] for row in rows], pa.int64()),
            ROW: pa.array(range(len(rows)), pa.int64()),
            word(0): pa.array([0] * len(rows), pa.int64()),
        }
    )
    first = len(plan.reasons) - len(rules)
    assert len(plan.reasons) < BITS
    members = [membership(plan, first + number, rule, codes) for number, rule in enumerate(rules)]
    here = marked([member for member in members if member is not None], batch).column(word(0)).to_pylist()
    with duckdb.connect() as con:
        lookups = Lookups(con)
        for number, rule in enumerate(rules):
            lookups.add_code_set(plan, first + number, rule, codes)
        con.register("src_rows", batch)
        joined = con.sql(f"SELECT {word(0)} FROM ({lookups.select(plan, 'src_rows')}) ORDER BY {ROW}").fetchall()  # noqa: S608
    assert None not in members
    assert here == [value for (value,) in joined]


def test_rules_with_a_key_of_their_own_or_a_time_of_day_are_joined() -> None:
    codes = CodeSet("c", "f", "h", ("A",))
    plan = plan_of()
    assert membership(plan, 0, CodeSetRule("k", "warn", ("t",), "c", key='left("t", 1)'), codes) is None
    assert membership(plan, 0, CodeSetRule("d", "warn", ("day",), "c"), codes) is None


def test_broken_lines_are_numbered_alike_in_a_file_that_is_sought_and_one_that_is_piped(home: Home) -> None:
    lines = [f"{n},x{n},,2026-01-01" if n % 1000 else f"{n},broken" for n in range(1, 20_001)]
    text = "n,t,s,day\n" + "\n".join(lines) + "\n"
    numbers = []
    for encoding in ("utf-8", "gb18030"):
        source = FileSource("unused", "csv", encoding=encoding)
        dataset = dataset_of(NUMBER, TEXT, SECRET, DAY, name=f"d.{encoding.replace('-', '')}", source=source)
        rules = rules_of(unique("n"), dataset=dataset.name)
        stored = home.load(dataset, rules, text.encode(encoding))
        assert (stored.parsed, stored.unparsed) == (19_980, 20)
        numbers.append(home.quarantined(stored, dataset, ["_row", "_line"]))
        assert home.rows(dataset, ["_row"])[-1] == (9999,)
    assert numbers[0] == numbers[1]
    assert sorted(row[0] for row in numbers[0]) == list(range(1000, 20_001, 1000))
