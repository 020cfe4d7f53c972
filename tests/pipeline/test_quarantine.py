from __future__ import annotations

import csv
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from governance.cli.main import group
from governance.errors import Conflict, NotReady, Refused, SourceContentError
from governance.lake.specs import quarantine_spec
from governance.ledger.sequencer import anything_waits
from governance.manage.items import Wanted, items
from governance.manage.repair import recount
from governance.pipeline.context import Context
from governance.pipeline.quarantine import Repaired, Selection, correct, reject, release
from governance.pipeline.quarantine_export import export
from governance.state import batches, tables
from tests.pipeline.repairing import (
    NAME,
    batch,
    batch_row,
    counts,
    entries,
    land,
    make,
    quarantined,
    reopen,
    run,
    says_canary,
    table_rows,
)  # fmt: skip

MEI = {"subject": "user:mei", "because": "checked with the clinic"}
PATCH = "_batch,_row,amount\nBATCH,2,5\n"


@pytest.fixture
def home(tmp_path: Path) -> Context:
    return make(tmp_path)


def patch_of(folder: Path, text: str, month: int = 1) -> Path:
    file = folder / "patch.csv"
    file.write_text(text.replace("BATCH", batch(month)), encoding="utf-8")
    return file


def rows(*keys: int, month: int = 1) -> Selection:
    return Selection(rows=tuple((batch(month), key) for key in keys))


def lawful(context: Context, **where: int) -> None:
    """The counts in the state are those of the files."""
    row = batch_row(context, **where)
    assert row.stored is not None
    assert row.judged is not None
    assert recount(row.stored, context.catalogue.datasets[NAME], context.lake.root) == row.judged.counts


def test_the_home_begins_with_every_kind_of_quarantined_row(home: Context) -> None:
    assert counts(home) == (7, 1, 2, 6, 0)
    found = dict(items_of(home))
    assert found == {
        2: ["range:amount"], 3: ["required:name"], 4: ["type:born", "type:amount"], -5: ["unparsed"],
        6: ["unique:id"], 7: ["unique:id"],
    }  # fmt: skip


def items_of(context: Context, **wanted: object) -> list[tuple[int, list[str]]]:
    dataset = context.catalogue.datasets[NAME]
    found = items(dataset, Wanted(**wanted), lake=context.lake, database=context.database)  # type: ignore[arg-type]
    return [(row["key"], row["reasons"]) for row in found.to_pylist()]


def test_released_rows_are_rows_of_the_table_and_leave_quarantine(home: Context) -> None:
    done = release(home, NAME, rows(2, 3), **MEI)
    assert (done.passed, done.held, done.already) == (2, 0, 0)
    assert table_rows(home) == [(1, 1, "Ann"), (2, 2, "Bob"), (3, 3, None), (5, 6, "Fay")]
    assert [key for key, _ in items_of(home)] == [4, -5, 6, 7]
    assert counts(home) == (7, 1, 4, 4, 0)
    lawful(home)


def test_a_release_keeps_the_tokens(home: Context) -> None:
    before = dict(quarantined(home, "_row", "person__token"))
    release(home, NAME, rows(2), **MEI)
    assert dict(table_rows(home, columns=("_row", "person__token")))[2] == before[2]


def test_a_release_by_rule_leaves_rows_that_broke_others_too(home: Context) -> None:
    done = release(home, NAME, Selection(rules=("type:born", "range:amount")), **MEI)
    assert (done.passed, done.others) == (1, 1)
    assert 4 in dict(items_of(home))


def test_rejected_rows_stay_in_quarantine_and_count_as_rejected(home: Context) -> None:
    done = reject(home, NAME, rows(4, -5), **MEI)
    assert (done.rejected, done.passed) == (2, 0)
    assert counts(home) == (7, 1, 2, 4, 2)
    assert {(row, state) for row, state, _ in quarantined(home) if state == "rejected"} == {
        (4, "rejected"),
        (5, "rejected"),
    }
    assert [key for key, _ in items_of(home)] == [2, 3, 6, 7]
    lawful(home)


def test_a_decision_is_in_the_ledger_with_who_why_and_counts_but_no_value(home: Context) -> None:
    release(home, NAME, rows(4), **MEI)
    (entry,) = entries(home, "quarantine_release")
    facts = entry["facts"]
    assert entry["actor"]["subject"] == "user:mei"
    assert (entry["actor"]["purpose"], facts["because"]) == ("data_quality", "checked with the clinic")
    moved = facts["batches"][batch()]
    assert (moved["passed"], moved["reasons"]) == (1, {"type:amount": 1, "type:born": 1})
    assert (moved["before"]["quarantined"], moved["after"]["quarantined"]) == (6, 5)
    assert facts["rows"] == [f"{batch()}:4"]
    assert not says_canary(home)


def test_the_grant_names_the_keys_of_the_quarantine_alone_and_ends(home: Context) -> None:
    before = len(entries(home, "grant"))
    release(home, NAME, rows(2), **MEI)
    (made,) = entries(home, "grant")[before:]
    assert made["actor"]["subject"] == "service:manage@health"
    assert all("/health.visits.quarantine/" in key for key in made["facts"]["keys"])
    assert made["facts"]["grant"] in [e["facts"]["grant"] for e in entries(home, "grant_revoked")]


def test_a_decision_supersedes_the_counts_with_a_validation_and_a_run(home: Context) -> None:
    done = release(home, NAME, rows(2), **MEI)
    with home.database.read() as connection:
        found = connection.execute(select(tables.validation).order_by(tables.validation.c.id)).all()
        ran = connection.execute(select(tables.run).where(tables.run.c.run == done.run)).one()
    assert [v.run == done.run for v in found] == [False, True]
    assert (ran.outcome, ran.output, ran.batch) == ("release", NAME, batch())


@pytest.mark.parametrize("subject", ["user:other", "user:clerk", "user:nobody", "service:manage@health"])
@pytest.mark.parametrize("decide", [release, reject])
def test_whoever_is_no_steward_of_the_department_may_not_decide(
    home: Context, subject: str, decide: Callable[..., Repaired]
) -> None:
    with pytest.raises(Refused, match="may not decide"):
        decide(home, NAME, rows(2), subject=subject, because="because")
    assert counts(home) == (7, 1, 2, 6, 0)


def test_an_approver_may_decide_for_every_department(home: Context) -> None:
    assert release(home, NAME, rows(2), subject="user:chief", because="known").passed == 1


def test_a_decision_without_a_justification_is_refused(home: Context) -> None:
    with pytest.raises(Refused, match="justification"):
        release(home, NAME, rows(2), subject="user:mei", because="  ")


def test_unparsed_lines_and_unknown_rows_are_not_released(home: Context) -> None:
    with pytest.raises(Refused, match="no values"):
        release(home, NAME, rows(-5), **MEI)
    with pytest.raises(Refused, match="1 rows are not open"):
        release(home, NAME, rows(2, 99), **MEI)
    reject(home, NAME, rows(2), **MEI)
    with pytest.raises(Refused, match="not open"):
        release(home, NAME, rows(2), **MEI)
    assert counts(home) == (7, 1, 2, 5, 1)


def test_deciding_twice_does_nothing_twice(home: Context) -> None:
    release(home, NAME, rows(2, 3), **MEI)
    again = release(home, NAME, rows(2, 3), **MEI)
    assert (again.passed, again.already) == (0, 2)
    reject(home, NAME, rows(4), **MEI)
    assert reject(home, NAME, rows(4), **MEI).already == 1
    assert len(entries(home, "quarantine_release")) == len(entries(home, "quarantine_reject")) == 1


def test_corrected_rows_are_judged_again_and_those_that_pass_are_let_in(home: Context, tmp_path: Path) -> None:
    patch = patch_of(tmp_path, "_batch,_row,amount,born\nBATCH,2,5.50,\nBATCH,4,7,28/02/1993\nBATCH,6,,\n")
    done = correct(home, NAME, patch, **MEI)
    assert (done.passed, done.held) == (2, 1)
    found = table_rows(home, columns=("_row", "id", "name", "born", "amount"))
    assert [tuple(map(str, row)) for row in found if row[0] in (2, 4)] == [
        ("2", "2", "Bob", "1991-02-01", "5.50"), ("4", "4", "Dee", "1993-02-28", "7.00"),
    ]  # fmt: skip
    assert [key for key, _ in items_of(home)] == [3, -5, 6, 7]
    assert counts(home) == (7, 1, 4, 4, 0)
    lawful(home)
    assert not says_canary(home)


def test_a_correction_that_still_fails_stays_with_its_new_reasons(home: Context, tmp_path: Path) -> None:
    done = correct(home, NAME, patch_of(tmp_path, "_batch,_row,amount\nBATCH,4,-1\n"), **MEI)
    assert (done.passed, done.held) == (0, 1)
    assert dict(items_of(home))[4] == ["type:born", "range:amount"]
    assert [raw for row, raw in quarantined(home, "_row", "_raw") if row == 4] == ['{"born":"1993-02-30"}']
    assert counts(home) == (7, 1, 2, 6, 0)


def test_a_correction_that_changes_nothing_writes_nothing(home: Context, tmp_path: Path) -> None:
    patch = patch_of(tmp_path, "_batch,_row,amount\nBATCH,2,-5\n")
    snapshot = home.lake.snapshot(quarantine_spec(home.catalogue.datasets[NAME]).name)
    assert correct(home, NAME, patch, **MEI).batches == ()
    assert home.lake.snapshot(quarantine_spec(home.catalogue.datasets[NAME]).name) == snapshot
    assert entries(home, "quarantine_correct") == []


def test_a_corrected_identifier_gets_its_own_token(home: Context, tmp_path: Path) -> None:
    tokens = dict(table_rows(home, columns=("person", "person__token")))
    correct(home, NAME, patch_of(tmp_path, "_batch,_row,amount,person\nBATCH,2,5, a6 \n"), **MEI)
    found = dict(table_rows(home, columns=("_row", "person__token")))
    assert found[2] == tokens["A6"]


def test_a_repeated_key_passes_when_the_group_repeats_no_more(home: Context, tmp_path: Path) -> None:
    patch = patch_of(tmp_path, "_batch,_row,id\nBATCH,6,1\nBATCH,7,8\n")
    done = correct(home, NAME, patch, **MEI)
    assert (done.passed, done.held) == (1, 1)  # 1 is the key of a row that passed; 8 is new
    assert dict(items_of(home))[6] == ["unique:id"]
    assert correct(home, NAME, patch_of(tmp_path, "_batch,_row,id\nBATCH,6,7\n"), **MEI).passed == 1
    lawful(home)


def test_the_other_of_two_rows_passes_when_one_is_rejected(home: Context, tmp_path: Path) -> None:
    reject(home, NAME, rows(7), **MEI)
    assert correct(home, NAME, patch_of(tmp_path, "_batch,_row\nBATCH,6\n"), **MEI).passed == 1


def test_an_unparsed_line_is_corrected_by_its_whole_row(home: Context, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="without person, name, born"):
        correct(home, NAME, patch_of(tmp_path, "_batch,_row,id,amount\nBATCH,L5,5,1\n"), **MEI)
    header = "_batch,_row,id,person,name,born,amount\n"
    held = correct(home, NAME, patch_of(tmp_path, f"{header}BATCH,L5,5,A5,Eve,01/01/1990,-1\n"), **MEI)
    assert (held.passed, held.held) == (0, 1)
    assert dict(items_of(home))[-5] == ["unparsed", "range:amount"]
    assert correct(home, NAME, patch_of(tmp_path, f"{header}BATCH,L5,5,A5,Eve,01/01/1990,1\n"), **MEI).passed == 1
    assert (-5, 5, "Eve") in table_rows(home)
    assert counts(home) == (7, 1, 3, 5, 0)
    lawful(home)


def test_no_value_is_written_as_such(home: Context, tmp_path: Path) -> None:
    assert correct(home, NAME, patch_of(tmp_path, "_batch,_row,amount\nBATCH,2,\\N\n"), **MEI).passed == 1
    assert dict(table_rows(home, columns=("_row", "amount")))[2] is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", "no column _batch, _row"),
        ("_batch,_row,salary\nBATCH,2,1\n", "does not name"),
        ("_batch,_row,id\nBATCH,x,1\n", "record 2 has no row number"),
        ("_batch,_row,id\nBATCH,2,1\nBATCH,2,2\n", "twice"),
        ("", "CSV"),
    ],
)
def test_a_file_that_is_no_patch_says_what_is_wrong(home: Context, tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SourceContentError, match=said):
        correct(home, NAME, patch_of(tmp_path, text), **MEI)


def test_a_patch_in_the_encoding_of_a_chinese_spreadsheet_is_told_apart(home: Context, tmp_path: Path) -> None:
    (tmp_path / "patch.csv").write_bytes("_batch,_row,备注\n甲,2,乙\n".encode("gbk"))
    with pytest.raises(SourceContentError, match="UTF-8"):
        correct(home, NAME, tmp_path / "patch.csv", **MEI)


def test_what_could_be_a_formula_stands_as_text_and_comes_back_as_it_was(home: Context, tmp_path: Path) -> None:
    again = correct(home, NAME, patch_of(tmp_path, "_batch,_row,name\nBATCH,2,'=1+1\n"), **MEI)
    assert again.held == 1
    header, *body = exported(home, tmp_path)
    (shown,) = [row[header.index("amount")] for row in body if row[1] == "2"]
    assert shown == "-5.00"
    assert correct(home, NAME, patch_of(tmp_path, "_batch,_row,amount\nBATCH,2,5\n"), **MEI).passed == 1
    assert (2, 2, "=1+1") in table_rows(home)


def test_masked_columns_of_a_patch_are_not_read(home: Context, tmp_path: Path) -> None:
    correct(home, NAME, patch_of(tmp_path, "_batch,_row,name (masked),amount\nBATCH,2,B**,5\n"), **MEI)
    assert (2, 2, "Bob") in table_rows(home)


def test_a_replacing_revision_takes_released_rows_out_and_supersedes_open_items(home: Context, tmp_path: Path) -> None:
    release(home, NAME, rows(2), **MEI)
    land(tmp_path, "id,person,name,born,amount\n1,A1,Ann,31/01/1990,10\n2,A2,Bob,01/02/1991,-6\n")
    run(home, again=True)
    assert table_rows(home) == [(1, 1, "Ann")]
    assert [(row, state) for row, state, _ in quarantined(home)] == [(2, "quarantined")]
    dataset = home.catalogue.datasets[NAME]
    old = items(dataset, Wanted(batch=batch(), open_only=False), lake=home.lake, database=home.database)
    assert set(old.column("state").to_pylist()) == {"superseded"}
    lawful(home, revision=1)
    lawful(home, revision=2)
    with pytest.raises(Refused, match="not open"):
        release(home, NAME, rows(3), **MEI)


def test_a_full_load_is_repaired_and_the_next_one_takes_its_place(tmp_path: Path) -> None:
    home = make(tmp_path, "full")
    release(home, NAME, rows(2), **MEI)
    assert correct(home, NAME, patch_of(tmp_path, "_batch,_row,name\nBATCH,3,Cal\n"), **MEI).passed == 1
    assert table_rows(home) == [(1, 1, "Ann"), (2, 2, "Bob"), (3, 3, "Cal"), (5, 6, "Fay")]
    land(tmp_path, "id,person,name,born,amount\n9,A9,Ina,31/01/1990,10\n")
    run(home, 2)
    assert table_rows(home) == [(1, 9, "Ina")]
    assert quarantined(home) == []


def test_several_batches_are_decided_on_in_one_commit(home: Context) -> None:
    run(home, 2)
    done = release(home, NAME, Selection(rules=("range:amount",)), **MEI)
    assert (done.passed, done.batches) == (2, (batch(1), batch(2)))
    assert len(entries(home, "quarantine_release")) == 1
    lawful(home, month=1)
    lawful(home, month=2)


@pytest.mark.parametrize("mode", ["snapshot_diff", "upsert"])
def test_versions_are_not_released_but_may_be_rejected(tmp_path: Path, mode: str) -> None:
    home = make(tmp_path, mode)
    with pytest.raises(Refused, match=f"{mode} are versions .*allowed: reject"):
        release(home, NAME, rows(2), **MEI)
    with pytest.raises(Refused, match=f"{mode} are versions .*collect again"):
        correct(home, NAME, patch_of(tmp_path, PATCH), **MEI)
    assert reject(home, NAME, rows(2), **MEI).rejected == 1
    lawful(home)


def test_nothing_is_decided_while_a_batch_is_under_way(home: Context) -> None:
    batches.acquire_lease(home.database, NAME, "somebody", 60)
    with pytest.raises(Conflict, match="working"):
        release(home, NAME, rows(2), **MEI)
    batches.release_lease(home.database, NAME, "somebody")
    with home.database.unit_of_work() as tx:
        values = {
            "id": batch(3),
            "dataset": NAME,
            "revision": 1,
            "status": "stored",
            "recorded_at": home.database.clock(),
        }
        row = batch_row(home)
        windows = {"window_start": row.window.end, "window_end": row.window.end, "updated_at": home.database.clock()}
        tx.execute(tables.batch.insert().values(**values, **windows))
    with pytest.raises(NotReady, match="waits for manage"):
        release(home, NAME, rows(2), **MEI)


POINTS = (
    "lake.after_write",
    "quarantine.after_write",
    "lake.after_stage",
    "quarantine.after_prepare",
    "lake.in_swap",
    "quarantine.in_commit",
    "quarantine.after_commit",
)


@pytest.mark.pipeline
@pytest.mark.parametrize("kind", ["release", "correct"])
@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_any_point_and_a_second_run_give_what_one_run_gives(point: str, kind: str, tmp_path: Path) -> None:
    home = make(tmp_path)
    patch_of(tmp_path, "_batch,_row,amount\nBATCH,2,5\nBATCH,4,7\n")
    code = f"from tests.pipeline.test_quarantine import *; decide_in({str(tmp_path)!r}, {kind!r})"
    killed = subprocess.run([sys.executable, "-c", code], env={**os.environ, "GOV_CRASH_AT": point}, check=False)
    assert killed.returncode == -signal.SIGKILL
    committed = point == "quarantine.after_commit"
    assert len(table_rows(home)) == (3 if committed else 2)
    lawful(home)
    decide_in(str(tmp_path), kind)
    assert len(table_rows(home)) == 3
    assert counts(home) == (7, 1, 3, 5, 0)
    assert len(entries(home, f"quarantine_{kind}")) == 1
    lawful(home)


def decide_in(folder: str, kind: str) -> None:
    """What the killed process runs."""
    home = reopen(Path(folder))
    if kind == "release":
        release(home, NAME, rows(2), **MEI)
    else:
        correct(home, NAME, Path(folder) / "patch.csv", **MEI)


def exported(home: Context, folder: Path, subject: str = "user:mei", purpose: str = "data_quality") -> list[list[str]]:
    export(home, NAME, folder / "out.csv", subject=subject, purpose=purpose)
    with (folder / "out.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


def test_an_export_has_the_fields_that_policy_opens_masks_included(home: Context, tmp_path: Path) -> None:
    header, *body = exported(home, tmp_path)
    assert header == ["_batch", "_row", "_reasons", "id", "name (masked)", "born", "amount"]
    assert [tuple(row[1:]) for row in body] == [
        ("2", "range:amount", "2", "B**", "1991-02-01", "-5.00"),
        ("3", "required:name", "3", "", "1992-02-02", "3.00"),
        ("4", "type:born type:amount", "4", "D**", "1993-02-30", "MarkedValue"),
        ("L5", "unparsed", "", "", "", ""),
        ("6", "unique:id", "7", "G**", "1994-06-05", "3.00"),
        ("7", "unique:id", "7", "H**", "1994-06-06", "4.00"),
    ]
    assert stat.S_IMODE((tmp_path / "out.csv").stat().st_mode) == 0o600


def test_the_grant_of_an_export_names_exactly_the_keys_that_it_needs(home: Context, tmp_path: Path) -> None:
    exported(home, tmp_path)
    grant = entries(home, "grant")[-1]
    assert grant["actor"]["subject"] == "user:mei"
    assert grant["facts"]["keys"] == [f"health/health.visits.quarantine/{group}/1" for group in ("L3", "footer", "raw")]
    (access,) = entries(home, "access")
    assert access["facts"]["grant"] == grant["facts"]["grant"]
    assert access["facts"]["tables"]["health.visits__quarantine"]["columns"]["name"] == "mask:chinese-name"
    assert grant["facts"]["grant"] == entries(home, "grant_revoked")[-1]["facts"]["grant"]


def test_an_unparsed_line_is_shown_where_every_field_is_raw(home: Context, tmp_path: Path) -> None:
    header, *body = exported(home, tmp_path, "user:chief")
    assert header == ["_batch", "_row", "_reasons", "id", "person", "name", "born", "amount", "_line"]
    assert [row[-1] for row in body if row[1] == "L5"] == ["5,A5,Eve"]


@pytest.mark.parametrize(
    ("subject", "purpose"),
    [("user:other", "data_quality"), ("user:clerk", "data_quality"), ("user:mei", "statistics"), ("user:x", "y")],
)
def test_whoever_may_not_gets_no_file_and_is_in_the_ledger(
    home: Context, tmp_path: Path, subject: str, purpose: str
) -> None:
    with pytest.raises(Refused):
        export(home, NAME, tmp_path / "out.csv", subject=subject, purpose=purpose)
    assert not (tmp_path / "out.csv").exists()
    assert [entry["actor"]["subject"] for entry in entries(home, "access_refused")] == [subject]
    assert entries(home, "access") == []


@pytest.mark.parametrize("obligation", ["no_export: true", "max_rows: 3"])
def test_obligations_of_the_rules_hold_for_an_export(tmp_path: Path, obligation: str) -> None:
    make(tmp_path)
    file = tmp_path / "catalog" / "access.yaml"
    old = "where: {levels: [L1, L2]}, action: raw}"
    file.write_text(file.read_text().replace(old, old[:-1] + f", obligations: {{{obligation}}}}}"))
    home = reopen(tmp_path)
    with pytest.raises(Refused):
        export(home, NAME, tmp_path / "out.csv", subject="user:mei", purpose="data_quality")
    assert not (tmp_path / "out.csv").exists()
    assert not list(tmp_path.glob(".out.csv*"))


def test_a_row_filter_holds_for_quarantined_rows_and_closes_unparsed_lines(tmp_path: Path) -> None:
    make(tmp_path)
    file = tmp_path / "catalog" / "access.yaml"
    old = "where: {levels: [L1, L2]}, action: raw}"
    new = (
        'where: {tables: [health.visits], levels: [L1, L2]}, action: raw, row_filter: {column: id, op: "<", value: 4}}'
    )
    file.write_text(file.read_text().replace(old, new))
    _, *body = exported(reopen(tmp_path), tmp_path)
    assert [row[1] for row in body] == ["2", "3"]


def test_an_exported_file_corrected_by_hand_is_a_patch(home: Context, tmp_path: Path) -> None:
    exported(home, tmp_path)
    text = (tmp_path / "out.csv").read_text(encoding="utf-8")
    patched = text.replace("-5.00", "5.00").replace("1993-02-30", "1993-02-28").replace("MarkedValue", "4")
    (tmp_path / "out.csv").write_text(patched, encoding="utf-8")
    done = correct(home, NAME, tmp_path / "out.csv", **MEI)
    assert (done.passed, done.held) == (2, 3)
    assert (2, 2, "Bob") in table_rows(home)
    assert (4, 4, "Dee") in table_rows(home)
    again = correct(home, NAME, tmp_path / "out.csv", **MEI)
    assert (again.passed, again.already, again.batches) == (0, 2, ())


def gov(folder: Path, *args: str) -> Result:
    return CliRunner().invoke(group, ["--home", str(folder), "quarantine", *args])


def test_the_command_goes_the_whole_way(home: Context, tmp_path: Path) -> None:
    listed = gov(tmp_path, "list", NAME, "--json")
    assert listed.exit_code == 0, listed.output
    assert [(row["row"], row["state"]) for row in json.loads(listed.output)][3] == ("L5", "quarantined")
    assert "6 rows" in gov(tmp_path, "list", NAME).output
    file, who = str(tmp_path / "p.csv"), ["--as", "user:mei", "--because", "told by telephone"]
    out = gov(tmp_path, "export", NAME, "--to", file, "--as", "user:mei", "--purpose", "data_quality")
    assert "name: mask:chinese-name" in out.output
    assert "closed to you: person" in out.output
    patch_of(tmp_path, PATCH)
    assert "1 let in" in gov(tmp_path, "correct", NAME, "--patch", str(tmp_path / "patch.csv"), *who).output
    assert "2 rejected" in gov(tmp_path, "reject", NAME, "--rows", f"{batch()}:4,L5", *who).output
    assert "1 let in" in gov(tmp_path, "release", NAME, "--rule", "required:name", *who).output
    assert "1 already let in" in gov(tmp_path, "release", NAME, "--rows", f"{batch(1)}:1", *who).output
    assert counts(home) == (7, 1, 4, 2, 2)
    lawful(home)
    assert not anything_waits(home.database), "a command signs what it writes into the ledger"


@pytest.mark.parametrize("args", [[], ["--rows", "x"], ["--rows", "b:0"], ["--rows", "b:1", "--rule", "r"]])
def test_the_command_says_how_rows_are_named(home: Context, tmp_path: Path, args: list[str]) -> None:
    done = gov(tmp_path, "release", NAME, *args, "--as", "user:mei", "--because", "x")
    assert done.exit_code == 2
