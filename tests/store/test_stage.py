from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from governance.catalog.rules import CodeSetRule, ReferenceRule, RowRule, TableRule, UniqueRule
from governance.catalog.types import CodeSet, ColumnType, Field, Level
from governance.errors import NotReady, Refused, SourceContentError
from governance.state import batches
from tests.store.conftest import FEBRUARY, JANUARY, Home, dataset_of, rules_of

ID = Field("id", ColumnType("string"), "ID", primary_key_position=1, classification=Level.L3, domain="person")
NAME = Field("name", ColumnType("string"), "Name")
AMOUNT = Field("amount", ColumnType("decimal", 18, 2), "Amount", classification=Level.L1)
DAY = Field("day", ColumnType("date"), "Day", classification=Level.L1)
CODE = Field("code", ColumnType("string"), "Code", classification=Level.L1)
DATASET = dataset_of(ID, NAME, AMOUNT, DAY, CODE)

REQUIRED = RowRule("required:amount", "quarantine", ("amount",), '"amount" IS NULL')
RANGE = RowRule("range:amount", "quarantine", ("amount",), '"amount" < 0', '"amount" IS NOT NULL')
TYPE = RowRule("type:amount", "quarantine", ("amount",), "FALSE")
UNIQUE = UniqueRule("unique:id", "quarantine", ("id",))
RULES = rules_of(TYPE, REQUIRED, RANGE, UNIQUE)

TEXT = b"""ID,Name,Amount,Day,Code,Extra
1,Ann,10.5,2026-01-01,A,x
2,Bob,abc,2026-01-02,A,x
3,Cid,-4,2026-01-03,B,x
4,Dee,,20260104,B,x
5,Eve,1,2026-13-01,B,x
6,too,few
7,Fay,1,2026-01-07,C,x
7,Gus,2,2026-01-07,C,x
"""


def test_a_batch_is_typed_judged_and_split_in_one_pass(home: Home) -> None:
    stored = home.load(DATASET, RULES, TEXT)
    assert (stored.parsed, stored.unparsed, stored.duplicates) == (7, 1, 0)
    assert home.rows(DATASET, ["id", "name", "amount", "day", "_row"]) == [
        ("1", "Ann", Decimal("10.50"), date(2026, 1, 1), 1)
    ]
    assert home.quarantined(stored, DATASET, ["_row", "id", "amount", "_reasons", "_raw", "_line", "_state"]) == [
        (2, "2", None, ["type:amount"], '{"amount":"abc"}', None, "quarantined"),
        (3, "3", Decimal("-4.00"), ["range:amount"], None, None, "quarantined"),
        (4, "4", None, ["required:amount"], None, None, "quarantined"),
        (5, "5", Decimal("1.00"), ["type:day"], '{"day":"2026-13-01"}', None, "quarantined"),
        (6, "7", Decimal("1.00"), ["unique:id"], None, None, "quarantined"),
        (6, None, None, ["unparsed"], None, "6,too,few", "quarantined"),
        (7, "7", Decimal("2.00"), ["unique:id"], None, None, "quarantined"),
    ]
    metric = stored.metrics["range:amount"]
    assert (metric.rows, metric.skipped, metric.unexpected, metric.error) == (7, 2, 1, "")
    assert (stored.metrics["required:amount"].skipped, stored.metrics["required:amount"].unexpected) == (1, 1)
    assert (stored.metrics["type:amount"].skipped, stored.metrics["type:amount"].unexpected) == (1, 1)
    assert (stored.metrics["unique:id"].skipped, stored.metrics["unique:id"].unexpected) == (0, 2)


def test_the_files_hold_every_record_and_every_line(home: Home) -> None:
    stored = home.load(DATASET, RULES, TEXT)
    written = sum(file.rows for file in (*stored.passed_files, *stored.quarantine_files))
    assert written + stored.duplicates == stored.parsed + stored.unparsed


def test_a_second_run_gives_the_same_value_and_a_stored_batch_is_recorded(home: Home) -> None:
    batch = home.land(DATASET, TEXT)
    first = home.store(batch, DATASET, RULES)
    assert home.store(batch, DATASET, RULES) == first
    home.let_in(first, DATASET)
    assert home.store(batch, DATASET, RULES) == first
    with home.database.read() as connection:
        row = batches.find(connection, batch)
    assert row is not None
    assert row.base is not None
    assert row.base.snapshots == {"d.t": None}


def test_a_warning_passes_and_is_counted(home: Home) -> None:
    rules = rules_of(UniqueRule("unique:id", "warn", ("id",)))
    stored = home.load(DATASET, rules, b"ID,Name,Amount,Day,Code\n7,a,1,,A\n7,b,1,,A\n")
    assert stored.metrics["unique:id"].unexpected == 2
    assert len(home.rows(DATASET, ["id"])) == 2


def test_codes_are_looked_up_at_their_date(home: Home) -> None:
    home.code_sets["codes"] = CodeSet("codes", "f", "h", ("A", "B"), {"B": "2026-01-02"}, {"A": "2026-01-02"})
    rules = rules_of(
        CodeSetRule("codeSet:code", "quarantine", ("code",), "codes", valid_at="day"),
        CodeSetRule("codeSet:key", "warn", ("name",), "codes", key='left("name", 1)'),
    )
    text = b"ID,Name,Amount,Day,Code\n1,Ax,1,2026-01-01,A\n2,Bx,1,2026-01-02,A\n3,Cx,1,2026-01-02,B\n4,,1,,Z\n5,,1,,\n"
    stored = home.load(DATASET, rules, text)
    assert [row[0] for row in home.rows(DATASET, ["_row"])] == [1, 3, 5]
    assert (stored.metrics["codeSet:code"].unexpected, stored.metrics["codeSet:code"].skipped) == (2, 1)
    assert stored.metrics["codeSet:key"].unexpected == 1
    assert stored.base.code_sets == {"codes": "h"}


def test_a_reference_waits_for_its_target_and_is_compared_by_token(home: Home) -> None:
    target = dataset_of(Field("pid", ColumnType("string"), "pid", domain="person"), name="d.people")
    rules = rules_of(ReferenceRule("reference:id", "quarantine", ("id",), "d.people", "pid"))
    batch = home.land(DATASET, b"ID,Name,Amount,Day,Code\n1x,,1,,\n2,,1,,\n,,1,,\n")
    with pytest.raises(NotReady, match=r"d\.people has no data yet"):
        home.store(batch, DATASET, rules)
    home.load(target, rules_of(dataset="d.people"), b"pid\n1X\n3\n")
    stored = home.store(batch, DATASET, rules)
    assert (stored.metrics["reference:id"].unexpected, stored.metrics["reference:id"].skipped) == (1, 1)
    home.let_in(stored, DATASET)
    assert [row[0] for row in home.rows(DATASET, ["_row"])] == [1, 3]


def test_a_reference_into_the_own_dataset_sees_the_batch_and_what_it_adds_to(home: Home) -> None:
    parent = Field("parent", ColumnType("string"), "Parent", classification=Level.L3)
    dataset = dataset_of(ID, parent, load_mode="append")
    rules = rules_of(ReferenceRule("reference:parent", "quarantine", ("parent",), "d.t", "id"))
    first = home.load(dataset, rules, b"ID,Parent\n1,\n2,1\n3,9\n")
    assert first.metrics["reference:parent"].unexpected == 1
    second = home.load(dataset, rules, b"ID,Parent\n4,1\n5,4\n6,3\n", window=FEBRUARY)
    assert second.metrics["reference:parent"].unexpected == 1


def test_a_reference_to_another_department_is_refused(home: Home) -> None:
    rules = rules_of(ReferenceRule("reference:id", "quarantine", ("id",), "other.people", "pid"))
    with pytest.raises(Refused, match=r"other\.people"):
        home.store(home.land(DATASET, TEXT), DATASET, rules)


def test_identical_rows_are_declared_duplicates_and_their_key_is_still_unique(home: Home) -> None:
    dataset = dataset_of(ID, AMOUNT, deduplicate="identical")
    rules = rules_of(TYPE, UNIQUE)
    stored = home.load(dataset, rules, b"ID,Amount\n1,5\n1,5.00\n2,5\n1,5\n3,1\n3,2\n4,x\n4,x\n")
    assert stored.duplicates == 3
    assert home.rows(dataset, ["id", "_row"]) == [("1", 1), ("2", 3)]
    assert home.quarantined(stored, dataset, ["_row", "_reasons"]) == [
        (5, ["unique:id"]),
        (6, ["unique:id"]),
        (7, ["type:amount"]),
    ]


def test_a_full_load_replaces_and_an_append_adds(home: Home) -> None:
    text = b"ID,Name,Amount,Day,Code\n%d,,1,,\n"
    for mode in ("full", "append"):
        dataset = dataset_of(ID, NAME, AMOUNT, DAY, CODE, name=f"d.{mode}", load_mode=mode)
        rules = rules_of(dataset=dataset.name)
        home.load(dataset, rules, text % 1)
        home.load(dataset, rules, text % 2, window=FEBRUARY)
        assert [row[0] for row in home.rows(dataset, ["id"])] == (["2"] if mode == "full" else ["1", "2"])
        home.load(dataset, rules, text % 3, window=FEBRUARY, revision=2)
        assert [row[0] for row in home.rows(dataset, ["id"])] == (["3"] if mode == "full" else ["1", "3"])


def test_an_older_window_does_not_replace_a_later_one(home: Home) -> None:
    home.load(DATASET, RULES, TEXT, window=FEBRUARY)
    batch = home.land(DATASET, TEXT, window=JANUARY)
    with pytest.raises(Refused, match="older than live batch"):
        home.store(batch, DATASET, RULES)


def test_a_batch_waits_until_the_one_before_it_is_judged(home: Home) -> None:
    home.store(home.land(DATASET, TEXT), DATASET, RULES)
    later = home.land(DATASET, TEXT, window=FEBRUARY)
    with pytest.raises(NotReady, match="waits for manage"):
        home.store(later, DATASET, RULES)


def test_table_rules_are_measured_in_the_same_pass(home: Home) -> None:
    dataset = dataset_of(ID, AMOUNT, load_mode="append")
    rules = rules_of(
        TYPE,
        TableRule("mean", "warn", ("amount",), 'avg("amount")'),
        TableRule("rows", "warn", (), "count(*)", scope="table"),
        TableRule("broken", "warn", (), "sum(nowhere)"),
    )
    first = home.load(dataset, rules, b"ID,Amount\n1,1\n2,2\n3,x\n")
    assert (first.metrics["mean"].value, first.metrics["rows"].value) == (1.5, 2)
    assert first.metrics["broken"].error == "BinderException"
    second = home.load(dataset, rules, b"ID,Amount\n4,4\n", window=FEBRUARY)
    assert (second.metrics["mean"].value, second.metrics["rows"].value) == (4.0, 3)


def test_a_rule_that_fails_on_a_row_is_named_and_stops_nothing_else(home: Home) -> None:
    rules = rules_of(
        RowRule("suite:cast", "quarantine", ("name",), 'CAST("name" AS INTEGER) > 5'),
        RowRule("suite:absent", "quarantine", ("nowhere",), '"nowhere" IS NULL'),
        RowRule("suite:function", "quarantine", ("name",), 'no_such_function("name")'),
        RANGE,
    )
    stored = home.load(DATASET, rules, b"ID,Name,Amount,Day,Code\n1,9,1,,\n2,word,-1,,\n")
    assert stored.metrics["suite:cast"].error == "EvaluationError"
    assert stored.metrics["suite:absent"].error == "UnknownColumn"
    assert stored.metrics["suite:function"].error
    assert (stored.metrics["range:amount"].unexpected, stored.metrics["range:amount"].error) == (1, "")


def test_a_rule_that_fails_on_a_late_row_is_named_as_well(home: Home) -> None:
    rules = rules_of(RowRule("suite:cast", "quarantine", ("name",), 'CAST("name" AS INTEGER) > 500000'))
    rows = b"".join(b"%d,%d,1,,\n" % (n, n) for n in range(130_000))  # the engine's answer comes in batches of 122,880
    stored = home.load(DATASET, rules, b"ID,Name,Amount,Day,Code\n" + rows + b"130001,word,1,,\n")
    assert (stored.metrics["suite:cast"].error, stored.parsed) == ("EvaluationError", 130_001)


def test_a_long_file_with_lines_in_its_values_is_read_once_more_and_right(
    home: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("governance.store.parsers.csv_file.ONE_PIECE_BYTES", 10)
    caplog.set_level("INFO", "governance.store")
    plain = home.load(DATASET, RULES, b"ID,Name,Amount,Day,Code\n1,a,1,,\n")
    assert (plain.parsed, "once more" in caplog.text) == (1, False)
    lines = home.load(DATASET, RULES, b'ID,Name,Amount,Day,Code\n1,"a\nb",1,,\n2,c,2,,\n', window=FEBRUARY)
    assert (lines.parsed, lines.unparsed, "once more" in caplog.text) == (2, 0, True)


def test_a_column_that_the_source_does_not_have_is_named(home: Home) -> None:
    with pytest.raises(SourceContentError, match="no column Day, Code"):
        home.store(home.land(DATASET, b"ID,Name,Amount\n1,secret,1\n"), DATASET, RULES)


def test_nothing_sensitive_is_left_in_scratch(home: Home) -> None:
    home.load(DATASET, RULES, TEXT)
    assert not [path for path in home.settings.scratch.rglob("*") if path.is_file()]
