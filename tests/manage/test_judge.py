from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from governance.catalog.rules import RowRules
from governance.catalog.types import ColumnType, Dataset, Field, Level, LoadMode
from governance.errors import Conflict, Damaged, NotReady
from governance.lake.lake import Lake, Prepared, TableChange
from governance.manage import compile_rules, judge
from governance.manage.quarantine import reasons, reasons_of_batch
from governance.state import batches, tables
from governance.state.values import Actor, Judged, Stored
from tests.manage.tables import expect, suite
from tests.store.conftest import FEBRUARY, JANUARY, Home, dataset_of, open_home

ACTOR = Actor("service:manage@d", "pipeline.manage", "00000000-0000-0000-0000-000000000002")
ID = Field("id", ColumnType("integer"), "id", primary_key_position=1, classification=Level.L1)
NAME = Field("name", ColumnType("string"), "name", required=True, classification=Level.L3)
AMOUNT = Field("amount", ColumnType("decimal", 18, 2), "amount", minimum="0", classification=Level.L1)
TEXT = b"id,name,amount\n1,Ann,1\n2,Bob,-5\n3,,2\n4,Dee,abc\n5,Eve\n6,Fay,3\n"
MORE = b"id,name,amount\n7,Gus,1\n8,Hal,2\n"


def of(load_mode: LoadMode = "append", **facts: Any) -> Dataset:
    return dataset_of(ID, NAME, AMOUNT, load_mode=load_mode, **facts)


def stored(home: Home, dataset: Dataset, rules: RowRules, text: bytes = TEXT, **landing: Any) -> Stored:
    return home.store(home.land(dataset, text, **landing), dataset, rules)


def judged(home: Home, batch: str, dataset: Dataset, rules: RowRules) -> Judged:
    return judge(batch, dataset, rules, lake=home.lake, database=home.database, actor=ACTOR)


def row_of(home: Home, batch: str) -> batches.BatchRow:
    with home.database.read() as connection:
        row = batches.find(connection, batch)
    assert row is not None
    return row


def rows_of(home: Home, table: Any) -> list[Any]:
    with home.database.read() as connection:
        return list(connection.execute(select(table)).all())


def test_a_batch_is_let_in_with_its_quarantine_validation_run_and_ledger_entry(home: Home) -> None:
    dataset, rules = of(), compile_rules(of(), None, {})
    batch = stored(home, dataset, rules).batch
    assert home.lake.snapshot(dataset.name) is None
    found = judged(home, batch, dataset, rules)
    assert (found.outcome, found.reasons) == ("go", ())
    counts = found.counts
    assert (counts.parsed, counts.unparsed, counts.passed, counts.quarantined) == (5, 1, 2, 4)
    assert home.rows(dataset, ["id", "name"]) == [(1, "Ann"), (6, "Fay")]
    assert (found.snapshot, found.quarantine_snapshot) == (
        home.lake.snapshot("d.t"),
        home.lake.snapshot("d.t__quarantine"),
    )
    row = row_of(home, batch)
    assert (row.status, row.judged) == ("judged", found)
    (valid,) = rows_of(home, tables.validation)
    assert (valid.subject, valid.batch, valid.outcome, valid.rules_hash) == ("d.t", batch, "go", rules.hash)
    result = json.loads(valid.result)
    by_id = {r["expectation_config"]["meta"]["gov"]["id"]: r for r in result["results"]}
    assert by_id["range:amount"]["result"]["unexpected_count"] == 1
    assert by_id["type:amount"]["result"]["unexpected_count"] == 1
    assert result["meta"]["gov"]["base"] == {"d.t": None}
    run = next(r for r in rows_of(home, tables.run) if r.stage == "manage")
    assert (run.output, run.output_snapshot, run.outcome) == ("d.t", found.snapshot, "go")
    entry = next(e for e in rows_of(home, tables.ledger_entry) if e.kind == "judged")
    assert json.loads(entry.body)["facts"]["counts"]["quarantined"] == 4
    assert {c.reason: c.rows for c in reasons(dataset, lake=home.lake)} == {
        "range:amount": 1, "required:name": 1, "type:amount": 1, "unparsed": 1,
    }  # fmt: skip


def test_judging_again_gives_the_value_and_changes_nothing(home: Home) -> None:
    dataset, rules = of(), compile_rules(of(), None, {})
    batch = stored(home, dataset, rules).batch
    first = judged(home, batch, dataset, rules)
    assert judged(home, batch, dataset, rules) == first
    assert len(rows_of(home, tables.validation)) == 1


def test_a_stopped_batch_moves_nothing_and_keeps_its_files(home: Home) -> None:
    dataset = of(max_quarantine=0.5)
    rules = compile_rules(dataset, None, {})
    batch = stored(home, dataset, rules)
    found = judged(home, batch.batch, dataset, rules)
    assert (found.outcome, found.reasons, found.snapshot) == ("stop", ("max_quarantine",), None)
    assert home.lake.snapshot(dataset.name) is None
    assert home.lake.snapshot("d.t__quarantine") is None
    assert row_of(home, batch.batch).status == "stopped"
    assert all((home.lake.root / f.path).is_file() for f in (*batch.passed_files, *batch.quarantine_files))
    assert rows_of(home, tables.validation)[0].outcome == "stop"
    assert {c.reason for c in reasons_of_batch(batch, lake=home.lake)} >= {"range:amount", "unparsed"}
    assert judged(home, batch.batch, dataset, rules) == found


def test_a_suite_warning_lets_in_with_warnings(home: Home) -> None:
    dataset = of()
    warning = {**expect("expect_table_row_count_to_be_between", max_value=1), "severity": "warning"}
    rules = compile_rules(dataset, suite(warning), {})
    found = judged(home, stored(home, dataset, rules).batch, dataset, rules)
    assert found.outcome == "go_with_warnings"
    assert found.reasons == ("suite:expect_table_row_count_to_be_between:table",)


def test_a_full_load_takes_the_place_of_the_one_before(home: Home) -> None:
    dataset, rules = of("full"), compile_rules(of("full"), None, {})
    first = stored(home, dataset, rules).batch
    judged(home, first, dataset, rules)
    second = stored(home, dataset, rules, MORE, window=FEBRUARY).batch
    judged(home, second, dataset, rules)
    assert home.rows(dataset, ["id"]) == [(7,), (8,)]
    replaced = row_of(home, first)
    assert (replaced.status, replaced.replaced_by) == ("replaced", second)
    assert reasons(dataset, lake=home.lake) == ()


def test_a_revision_of_an_append_takes_the_place_of_its_own_window_alone(home: Home) -> None:
    dataset, rules = of(), compile_rules(of(), None, {})
    january = stored(home, dataset, rules).batch
    judged(home, january, dataset, rules)
    february = stored(home, dataset, rules, MORE, window=FEBRUARY).batch
    judged(home, february, dataset, rules)
    again = stored(home, dataset, rules, b"id,name,amount\n9,Ina,1\n", window=JANUARY, revision=2).batch
    judged(home, again, dataset, rules)
    assert home.rows(dataset, ["id"]) == [(7,), (8,), (9,)]
    assert [row_of(home, b).status for b in (january, february, again)] == ["replaced", "judged", "judged"]


def test_rows_of_a_dataset_with_versions_balance_though_its_files_hold_older_rows(home: Home) -> None:
    dataset = of("snapshot_diff")
    rules = compile_rules(dataset, None, {})
    judged(home, stored(home, dataset, rules).batch, dataset, rules)
    second = stored(home, dataset, rules, b"id,name,amount\n1,Ann,1\n6,Fay,-3\n", window=FEBRUARY)
    assert sum(f.rows for f in second.passed_files) > 1
    counts = judged(home, second.batch, dataset, rules).counts
    assert (counts.parsed, counts.passed, counts.quarantined) == (2, 1, 1)


def test_a_batch_that_does_not_balance_is_damaged_and_stays_out(home: Home) -> None:
    dataset, rules = of(), compile_rules(of(), None, {})
    batch = stored(home, dataset, rules)
    wrong = replace(batch, parsed=batch.parsed + 1)
    with home.database.unit_of_work() as tx:
        batches.save_stored(tx, wrong)
    with pytest.raises(Damaged, match="6 records parsed"):
        judged(home, batch.batch, dataset, rules)
    assert home.lake.snapshot(dataset.name) is None


def test_a_file_that_is_gone_or_shorter_is_damaged(home: Home) -> None:
    dataset, rules = of(), compile_rules(of(), None, {})
    batch = stored(home, dataset, rules)
    shorter = replace(batch, passed_files=tuple(replace(f, rows=f.rows + 1) for f in batch.passed_files))
    with home.database.unit_of_work() as tx:
        batches.save_stored(tx, shorter)
    with pytest.raises(Damaged, match="rows in the footer"):
        judged(home, batch.batch, dataset, rules)
    with home.database.unit_of_work() as tx:
        batches.save_stored(tx, batch)
    (home.lake.root / batch.passed_files[0].path).unlink()
    with pytest.raises(Damaged, match="is gone"):
        judged(home, batch.batch, dataset, rules)


def test_a_batch_that_is_not_stored_is_not_ready(home: Home) -> None:
    dataset, rules = of(), compile_rules(of(), None, {})
    with pytest.raises(NotReady):
        judged(home, home.land(dataset, TEXT), dataset, rules)
    with pytest.raises(NotReady):
        judged(home, "d.t@20990101T000000Z.1", dataset, rules)


def test_changed_rules_have_the_batch_stored_again(home: Home) -> None:
    dataset, rules = of(), compile_rules(of(), None, {})
    batch = stored(home, dataset, rules).batch
    other = compile_rules(dataset, suite(expect("expect_table_row_count_to_equal", value=5)), {})
    with pytest.raises(Conflict, match="store it again"):
        judged(home, batch, dataset, other)
    home.store(batch, dataset, other)
    assert judged(home, batch, dataset, other).outcome == "go"


def test_a_full_load_whose_table_moved_is_stored_again(home: Home) -> None:
    full, rules = of("full"), compile_rules(of("full"), None, {})
    batch = stored(home, full, rules, MORE)
    home.let_in(replace(batch, removed_files=()), full)  # somebody else's commit
    with home.database.unit_of_work() as tx:
        values = {"status": "stored", "judged": None}
        tx.execute(tables.batch.update().where(tables.batch.c.id == batch.batch).values(**values))
    with pytest.raises(Conflict):
        judged(home, batch.batch, full, rules)
    assert row_of(home, batch.batch).judged is None


class Overtaken(Lake):
    """A lake where, each time after a batch is prepared, somebody else's append is let in first, `times` times."""

    times = 1
    other: tuple[Home, Stored, Dataset]

    def prepare(self, changes: Sequence[TableChange]) -> Prepared:
        prepared = super().prepare(changes)
        if self.times:
            self.times -= 1
            home, stored_batch, dataset = self.other
            with home.database.unit_of_work() as tx:
                home.lake.swap(tx, home.lake.prepare([TableChange(dataset.name, stored_batch.passed_files)]))
        return prepared


def test_an_append_that_is_overtaken_prepares_again_with_the_same_files(home: Home) -> None:
    dataset, rules = of(), compile_rules(of(), None, {})
    other = stored(home, dataset, rules, MORE)
    with home.database.unit_of_work() as tx:
        batches.mark_failed(tx, other.batch, "Conflict", "in the way of nobody")
    batch = stored(home, dataset, rules, window=FEBRUARY)
    lake = Overtaken(home.settings, home.database, home.keystore)
    lake.other = (home, other, dataset)
    found = judge(batch.batch, dataset, rules, lake=lake, database=home.database, actor=ACTOR)
    assert found.outcome == "go"
    assert home.rows(dataset, ["id"]) == [(1,), (6,), (7,), (8,)]


POINTS = (
    "manage.after_verdict",
    "lake.after_stage",
    "manage.after_prepare",
    "lake.in_swap",
    "manage.in_commit",
    "manage.after_commit",
)


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_any_point_and_a_second_run_give_what_one_run_gives(point: str, tmp_path: Path) -> None:
    home = open_home(tmp_path)
    dataset, rules = of(), compile_rules(of(), None, {})
    batch = stored(home, dataset, rules).batch
    code = f"from tests.manage.test_judge import *; judge_in({str(tmp_path)!r}, {batch!r})"
    killed = subprocess.run([sys.executable, "-c", code], env={**os.environ, "GOV_CRASH_AT": point}, check=False)
    assert killed.returncode == -signal.SIGKILL
    visible = home.lake.snapshot(dataset.name)
    assert (visible is not None) == (point == "manage.after_commit")
    assert (row_of(home, batch).status == "judged") == (visible is not None)
    found = judged(home, batch, dataset, rules)
    assert found.outcome == "go"
    assert home.rows(dataset, ["id"]) == [(1,), (6,)]
    assert sum(c.rows for c in reasons(dataset, lake=home.lake)) == 4
    assert len(rows_of(home, tables.validation)) == 1
    assert len([e for e in rows_of(home, tables.ledger_entry) if e.kind == "judged"]) == 1


def judge_in(folder: str, batch: str) -> None:
    """What the killed process runs."""
    judged(open_home(Path(folder)), batch, of(), compile_rules(of(), None, {}))
