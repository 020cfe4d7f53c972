"""Rules about a whole table, put together from what its files add, equal a scan of all rows to the last bit; and old files stay shut."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import duckdb
import pyarrow as pa
import pytest
from sqlalchemy import func, select

from governance.catalog.rules import RowRule, TableRule
from governance.catalog.types import ColumnType, Dataset, Field, Level
from governance.keys import grants
from governance.lake.lake import TableChange
from governance.lake.specs import stored_spec
from governance.state import batches
from governance.state.tables import grant, rule_partial
from governance.state.values import Counts, Stored, Window
from governance.store import partials
from governance.store.aggregates import plain
from tests.store.conftest import ACTOR, JANUARY, Home, dataset_of, rules_of

FIELDS = (
    Field("n", ColumnType("integer"), "n", classification=Level.L1),
    Field("amount", ColumnType("decimal", 18, 2), "amount", classification=Level.L3),
    Field("kind", ColumnType("string"), "kind", classification=Level.L1),
    Field("x", ColumnType("double"), "x", classification=Level.L1),
)
MERGED = {
    "count": "COUNT(*)",
    "some": "COUNT(*) FILTER(WHERE (\"kind\" = 'a'))",
    "present": 'CAST(COUNT("amount") AS DOUBLE) / NULLIF(COUNT(*), 0)',
    "sum_n": 'CAST(SUM("n") AS DOUBLE)',
    "sum_amount": 'CAST(SUM("amount") AS DOUBLE)',
    "exact": 'SUM("amount") FILTER(WHERE ("n" > 0))',
    "mean_n": 'CAST(AVG("n") AS DOUBLE)',
    "mean_all": 'CAST(AVG("amount") AS DOUBLE)',
    "mean_amount": 'CAST(AVG("amount") FILTER(WHERE ("kind" = \'a\')) AS DOUBLE)',
}
SCANNED = {"median": 'CAST(MEDIAN("n") AS DOUBLE)', "float": 'SUM("x")', "distinct": 'COUNT(DISTINCT "kind")'}
DATASET = dataset_of(*FIELDS, load_mode="append")
ASIDE = RowRule("kind", "quarantine", ("kind",), "\"kind\" = 'held'")


def table_rules(values: dict[str, str]) -> list[TableRule]:
    return [TableRule(name, "warn", (), value, "table") for name, value in values.items()]


RULES = rules_of(ASIDE, *table_rules(MERGED))


def month(number: int) -> Window:
    return Window(JANUARY.start + timedelta(days=31 * number), JANUARY.start + timedelta(days=31 * (number + 1)))


def delivery(dice: random.Random) -> bytes:
    """Rows with NULLs, numbers of every size, and some that are set aside; sometimes none."""
    rows = []
    for _ in range(dice.choice([0, 1, 30])):
        n = dice.choice(["", str(dice.randint(-(2**62), 2**62)), str(dice.randint(-9, 9))])
        amount = dice.choice(["", str(Decimal(dice.randint(-(10**17), 10**17)) / 100), "0.01"])
        rows.append(f"{n},{amount},{dice.choice(['a', 'b', '', 'held'])},{dice.random()}")
    return "\n".join(["n,amount,kind,x", *rows, ""]).encode()


def of_table(home: Home, dataset: Dataset, values: dict[str, str]) -> dict[str, object]:
    """The same aggregates by one statement over all rows of the table."""
    snapshot = home.lake.snapshot(dataset.name)
    with home.database.unit_of_work() as tx:
        keys = sorted(home.lake.keys(dataset.name, snapshot or 0, [f.name for f in dataset.fields]))
        given = grants.issue(tx, actor=ACTOR, keys=keys, database=home.database)
    with duckdb.connect() as con:
        home.lake.bind(con, "t", dataset.name, snapshot, [f.name for f in dataset.fields], grant_id=given.id)
        row = con.execute(f"SELECT {', '.join(values.values())} FROM t").fetchall()[0]  # noqa: S608
    return {name: plain(value) for name, value in zip(values, row, strict=True)}


def release(home: Home, stored: Stored, dice: random.Random) -> Stored:
    """What a steward's release does to the table: one more file of the same batch."""
    rows = pa.table({
        "n": pa.array([dice.randint(-99, 99)], pa.int64()), "amount": pa.array([Decimal("7.77")], pa.decimal128(18, 2)),
        "kind": ["a"], "x": [0.5], "_batch": [stored.batch], "_row": pa.array([1000 + dice.randint(0, 999)], pa.int64()),
    })  # fmt: skip
    with home.lake.writer(stored_spec(DATASET), stored.batch) as writer:
        writer.write(rows)
        added = writer.close()
    prepared = home.lake.prepare([TableChange(DATASET.name, added)])
    after = replace(stored, passed_files=(*stored.passed_files, *added))
    with home.database.unit_of_work() as tx:
        home.lake.swap(tx, prepared)
        batches.save_repaired(tx, after, Counts(0, 0, 0, 0))
    return after


def values_of(stored: Stored, names: dict[str, str]) -> dict[str, object]:
    assert not [stored.metrics[name].error for name in names if stored.metrics[name].error]
    return {name: stored.metrics[name].value for name in names}


@pytest.mark.parametrize("seed", [1, 2])
def test_merged_equals_rescanned_over_batches_revisions_and_releases(home: Home, seed: int) -> None:
    dice = random.Random(seed)
    live: dict[int, Stored] = {}
    for _ in range(8):
        number = dice.choice([*live, len(live)]) if live else 0
        if live and dice.random() < 0.3:
            chosen = dice.choice(list(live))
            live[chosen] = release(home, live[chosen], dice)
            continue
        revision = int(live[number].batch.rpartition(".")[2]) + 1 if number in live else 1
        stored = home.load(DATASET, RULES, delivery(dice), window=month(number), revision=revision)
        live[number] = stored
        assert values_of(stored, MERGED) == of_table(home, DATASET, MERGED)
        rows = {stored.metrics[name].rows for name in MERGED}
        assert rows == {of_table(home, DATASET, {"count": "COUNT(*)"})["count"]}


def test_old_files_are_not_opened_and_nothing_is_granted_for_merged_rules(home: Home) -> None:
    dice = random.Random(5)
    for number in range(3):
        home.load(DATASET, RULES, delivery(dice) + b"1,1.00,a,1\n", window=month(number))
    expected = of_table(home, DATASET, MERGED)
    files = [home.lake.root / f.path for f in home.lake.files(DATASET.name, home.lake.snapshot(DATASET.name))]
    hidden = [file.rename(file.with_suffix(".hidden")) for file in files]
    landed = home.land(DATASET, b"n,amount,kind,x\n5,2.50,a,1\n", window=month(3))
    stored = home.store(landed, DATASET, RULES)
    assert values_of(stored, MERGED)["count"] == int(str(expected["count"])) + 1
    with home.database.read() as connection:
        opened = connection.execute(select(grant.c["keys"]).order_by(grant.c.issued_at)).scalars().all()
    assert not [keys for keys in opened[-1:] if "/L3/" in keys]
    home.let_in(stored, DATASET)
    scanning = rules_of(ASIDE, *table_rules(SCANNED), digest="other")
    landed = home.land(DATASET, b"n,amount,kind,x\n5,2.50,a,1\n", window=month(4))
    with pytest.raises(Exception, match=r"(?i)no such file|cannot be read|No files|unreadable|not found"):
        home.store(landed, DATASET, scanning)
    for file in hidden:
        file.rename(file.with_suffix(".parquet"))


def test_a_new_rule_scans_each_old_file_once_and_then_no_more(home: Home) -> None:
    dice = random.Random(9)
    none = rules_of(ASIDE, digest="none")
    for number in range(3):
        home.load(DATASET, none, delivery(dice) + b"1,1.00,a,1\n", window=month(number))
    stored = home.load(DATASET, RULES, delivery(dice), window=month(3))
    assert values_of(stored, MERGED) == of_table(home, DATASET, MERGED)
    with home.database.read() as connection:
        groups = connection.execute(select(func.count(rule_partial.c.files_hash.distinct()))).scalar()
    stored = home.load(DATASET, RULES, b"n,amount,kind,x\n1,1.00,a,1\n", window=month(4))
    assert values_of(stored, MERGED) == of_table(home, DATASET, MERGED)
    with home.database.read() as connection:
        assert (
            connection.execute(select(func.count(rule_partial.c.files_hash.distinct()))).scalar() == (groups or 0) + 1
        )


def test_rules_that_do_not_add_up_are_scanned_beside_merged_ones(home: Home) -> None:
    dice = random.Random(13)
    both = {**MERGED, **SCANNED}
    rules = rules_of(ASIDE, *table_rules(both))
    for number in (0, 1):
        stored = home.load(DATASET, rules, delivery(dice) + b"1,1.00,a,1\n", window=month(number))
    found, expected = values_of(stored, both), of_table(home, DATASET, both)
    assert found.pop("float") == pytest.approx(expected.pop("float"))
    assert found == expected


def test_what_adds_up_is_told_from_what_does_not() -> None:
    made = {name: partials.merged(rule, DATASET) for name, rule in zip(
        [*MERGED, *SCANNED], table_rules({**MERGED, **SCANNED}), strict=True)}  # fmt: skip
    assert {name for name, merged in made.items() if merged is None} == set(SCANNED)


def test_a_partial_is_of_the_type_that_its_column_had(home: Home) -> None:
    """A column that is widened makes other sums: what was kept before is not taken for them."""
    (rule,) = table_rules({"sum": 'SUM("n")'})
    wider = replace(DATASET, fields=(replace(FIELDS[0], type=ColumnType("decimal", 20, 0)), *FIELDS[1:]))
    (narrow,), (wide,) = (partials.leaf_rules([m]) for m in (partials.merged(rule, d) for d in (DATASET, wider)) if m)
    assert narrow.value == wide.value
    assert narrow.id != wide.id
