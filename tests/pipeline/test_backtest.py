from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner

from governance.cli.main import group
from governance.errors import DeclarationError, NotReady
from governance.pipeline.backtest import back_test
from governance.pipeline.context import Context
from governance.pipeline.quarantine import Selection, release
from governance.state.schema import metadata
from tests.pipeline.repairing import NAME, batch, entries, land, make, reopen, run


@pytest.fixture
def home(tmp_path: Path) -> Context:
    return make(tmp_path)


def suite_of(folder: Path, *expectations: dict[str, object]) -> Path:
    file = folder / "new.json"
    file.write_text(json.dumps({"name": NAME, "expectations": list(expectations)}))
    return file


def home_rows(home: Context, where: str) -> int:
    """How many rows that were let in meet a condition on clear columns."""
    with duckdb.connect() as con:
        home.lake.bind(con, "stored", NAME, home.lake.snapshot(NAME) or 0, ["_row", "amount"])
        row = con.execute(f"SELECT count(*) FROM stored WHERE {where}").fetchone()  # noqa: S608
    assert row is not None
    return int(row[0])


def between(column: str, low: int | None = None, high: int | None = None, **more: object) -> dict[str, object]:
    kwargs = {"column": column, "min_value": low, "max_value": high}
    return {
        "type": "expect_column_values_to_be_between",
        "kwargs": {k: v for k, v in kwargs.items() if v is not None},
        **more,
    }


def test_a_stricter_suite_says_what_it_would_have_held(home: Context, tmp_path: Path) -> None:
    done = back_test(home, NAME, suite_of(tmp_path, between("amount", high=5)))
    (test,) = done.batches
    assert (test.batch, test.found.rows, test.found.held) == (batch(), 8, 6)
    assert (test.found.would_hold, test.found.would_let_in) == (1, 0)
    assert dict(test.found.hold_by) == {"suite:expect_column_values_to_be_between:amount": 1}
    (place,) = (place for place in test.found.places if not place.held)
    assert place.reasons == ("suite:expect_column_values_to_be_between:amount",)
    (row,) = place.rows.to_pylist()
    assert home_rows(home, f"_row = {row} AND amount > 5") == 1


def test_the_rules_in_force_would_have_changed_nothing(home: Context) -> None:
    done = back_test(home, NAME, None)
    assert (done.would_hold, done.would_let_in) == (0, 0)


def test_a_looser_suite_says_what_it_would_have_let_in_but_never_what_did_not_convert(tmp_path: Path) -> None:
    make(tmp_path)
    strict = tmp_path / "expectations" / "health"
    strict.mkdir(parents=True, exist_ok=True)
    (strict / "visits.json").write_text(suite_of(tmp_path, between("id", high=4)).read_text())
    home = reopen(tmp_path)
    run(home, 2)
    new, old = back_test(home, NAME, suite_of(tmp_path)).batches
    assert (new.batch, old.batch) == (batch(2), batch(1))
    assert (new.found.held, new.found.would_let_in) == (7, 1)
    assert dict(new.found.let_in_by) == {"suite:expect_column_values_to_be_between:id": 1}
    assert old.found.would_let_in == 0


def test_nothing_is_changed_and_only_what_the_rules_read_is_opened(home: Context, tmp_path: Path) -> None:
    before = {t.name: _rows(home, t.name) for t in metadata.sorted_tables}
    back_test(home, NAME, suite_of(tmp_path, between("amount", high=5)))
    changed = {t for t in before if _rows(home, t) != before[t]}
    assert changed <= {"grant", "ledger_entry"}
    grant = entries(home, "grant")[-1]
    assert grant["actor"] == {**grant["actor"], "subject": "service:manage@health", "purpose": "pipeline.backtest"}
    groups = {key.split("/")[2] for key in grant["facts"]["keys"]}
    assert groups == {"L3", "footer"}  # `required` reads the name; nobody reads the person
    assert entries(home, "grant_revoked")[-1]["facts"]["grant"] == grant["facts"]["grant"]


def _rows(home: Context, table: str) -> int:
    with home.database.read() as connection:
        return len(connection.exec_driver_sql(f'SELECT * FROM "{table}"').all())  # noqa: S608


def test_a_batch_is_read_as_its_verdict_left_it_though_it_was_repaired_or_replaced_since(tmp_path: Path) -> None:
    home = make(tmp_path, "full")
    release(home, NAME, Selection(rules=("range:amount",)), subject="user:mei", because="known")
    land(tmp_path, "id,person,name,born,amount\n9,A9,Ina,31/01/1990,10\n")
    run(home, 2)
    new, old = back_test(home, NAME, suite_of(tmp_path, between("amount", high=5))).batches
    assert (new.found.rows, new.found.would_hold) == (1, 1)
    assert (old.found.rows, old.found.held, old.found.would_hold) == (8, 6, 1)
    assert len(back_test(home, NAME, None, last=1).batches) == 1


def test_a_unique_rule_is_tried_on_all_rows_of_the_batch(home: Context, tmp_path: Path) -> None:
    unique = {"type": "expect_column_values_to_be_unique", "kwargs": {"column": "born"}}
    land(tmp_path, "id,person,name,born,amount\n1,A1,Ann,31/01/1990,10\n2,A2,Bob,31/01/1990,-5\n")
    run(home, 2)
    test = back_test(home, NAME, suite_of(tmp_path, unique)).batches[0]
    assert (test.found.held, test.found.would_hold) == (1, 1)


def test_faults_of_the_suite_are_said_at_once(home: Context, tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match="unknown expectation type"):
        back_test(home, NAME, suite_of(tmp_path, {"type": "expect_miracles", "kwargs": {}}))
    with pytest.raises(NotReady):
        back_test(home, "health.nothing", None)


def test_the_command_prints_counts_alone(home: Context, tmp_path: Path) -> None:
    file = suite_of(
        tmp_path, between("amount", high=5), {"type": "expect_table_row_count_to_equal", "kwargs": {"value": 1}}
    )
    args = ["--home", str(tmp_path), "judge", NAME, "--suite", str(file)]
    text = CliRunner().invoke(group, args)
    assert text.exit_code == 0, text.output
    assert "would hold suite:expect_column_values_to_be_between:amount: 1" in text.output
    assert "not tried, since they hold no row: suite:expect_table_row_count_to_equal:table" in text.output
    answer = json.loads(CliRunner().invoke(group, [*args, "--json"]).output)
    assert (answer["would_hold"], answer["would_let_in"]) == (1, 0)
    assert len(answer["batches"][0]["found"]["would_hold_rows"][0]["rows"]) == 1
