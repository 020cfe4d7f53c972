"""Builds that really run, on a lake in a temporary folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from governance.catalog.rules import CodeSetRule, ReferenceRule, RowRule, RowRules, TableRule, UniqueRule
from governance.catalog.types import CodeSet, Level
from governance.catalog.types import Field as F
from governance.develop import run_checks
from governance.errors import Conflict, DeclarationError, GovernanceError, NotReady
from governance.state.tables import build, finding, grant, ledger_entry, outbox, pin, validation
from governance.state.tables import run as run_table
from governance.state.values import RuleMetric
from tests.develop.city import DATE, INSURED, INTEGER, MONEY, RESIDENTS, STRING, catalogue, check, model
from tests.develop.home import ACTOR, NO_RESULTS, Home, go, home, insured, number, residents, token
from tests.develop.test_analyse import PERSON, PERSON_SQL

OTHER_RUN = "1b0f6f3e-3c0f-4b8f-9d8a-6a1c2f6c7b10"
NO_RULES = RowRules("curated.m", (), (), "0" * 64)
OPEN = (
    F("division", STRING, "division", classification=Level.L1),
    F("n", INTEGER, "n", classification=Level.L1),
)
OPEN_SQL = "SELECT division, count(*) AS n FROM police.residents GROUP BY division"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Home]:
    with home(tmp_path) as made:
        yield made


def count(place: Home, table: Any) -> int:
    with place.database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def test_a_model_that_reads_encrypted_columns_is_built_in_a_worker_under_its_own_grant(place: Home) -> None:
    person = model(PERSON_SQL, PERSON)
    built = place.build(person, NO_RULES, catalogue(person))
    assert (built.outcome, built.rows, built.reasons) == ("go", 20, ())
    rows = {row["id_number"]: row for row in place.read(person)}
    assert rows[number(3)]["name"] == "居民3"
    assert rows[number(3)]["total"] == Decimal("21.20")
    assert rows[number(3)]["id_number__token"] == token(number(3))
    assert rows[number(19)]["total"] is None
    with place.database.read() as connection:
        given = connection.execute(select(grant.c["keys"], grant.c.revoked_at).order_by(grant.c.issued_at)).first()
    assert given is not None
    assert given.revoked_at is not None
    assert json.loads(given.keys) == [
        "police/police.residents/L3/1",
        "police/police.residents/L4/1",
        "police/police.residents/footer/1",
        "social/social.insured/L3/1",
        "social/social.insured/footer/1",
    ]
    assert set(built.files[0].encrypted) == {"id_number", "name", "total"}


def test_a_model_of_clear_columns_asks_for_no_grant(place: Home) -> None:
    m = model(OPEN_SQL, OPEN)
    place.build(m, NO_RULES, catalogue(m))
    assert count(place, grant) == 0
    assert place.read(m) == [{"division": f"11010{d}", "n": n} for d, n in ((0, 7), (1, 7), (2, 6))]


def test_everything_of_a_build_is_recorded_with_its_swap(place: Home) -> None:
    m = model(OPEN_SQL, OPEN)
    built = place.build(m, NO_RULES, catalogue(m))
    assert [count(place, t) for t in (pin, build, validation, run_table, outbox)] == [1, 1, 1, 1, 1]
    with place.database.read() as connection:
        body = json.loads(
            connection.execute(select(ledger_entry.c.body).where(ledger_entry.c.kind == "build")).scalar_one()
        )
        row = connection.execute(select(run_table)).one()
    assert body["facts"]["snapshots"] == {"police.residents": place.lake.snapshot("police.residents")}
    assert body["facts"]["versions"]["model"] == m.text_hash
    assert (row.stage, row.output, row.output_snapshot, row.edge_set) == (
        "develop",
        "curated.m",
        built.snapshot,
        built.edge_set,
    )


def test_the_same_run_gives_the_same_build_and_another_run_replaces_the_files(place: Home) -> None:
    m = model(OPEN_SQL, OPEN)
    first = place.build(m, NO_RULES, catalogue(m))
    assert place.build(m, NO_RULES, catalogue(m)) == first
    second = place.build(m, NO_RULES, catalogue(m), run=OTHER_RUN)
    assert second.snapshot != first.snapshot
    assert place.read(m, first.snapshot) == place.read(m)
    assert [f.path for f in place.lake.files(m.name, second.snapshot)] == [f.path for f in second.files]


def test_a_retry_reads_what_its_pin_says_though_the_inputs_moved(place: Home) -> None:
    m = model(OPEN_SQL, OPEN)

    def broken(*_: object) -> Any:
        raise Conflict("somebody else was first")

    with pytest.raises(Conflict):
        place.build(m, NO_RULES, catalogue(m), decide=broken)
    place.put(RESIDENTS, residents(3), "b2")
    assert place.build(m, NO_RULES, catalogue(m)).rows == 3
    assert sum(row["n"] for row in place.read(m)) == 20
    later = place.build(m, NO_RULES, catalogue(m), run=OTHER_RUN)
    assert later.pin.snapshots != {}
    assert sum(row["n"] for row in place.read(m)) == 3


def test_a_stop_leaves_the_previous_snapshot_in_force_and_is_recorded(place: Home) -> None:
    m = model(OPEN_SQL, OPEN)
    first = place.build(m, NO_RULES, catalogue(m))
    rules = replace(NO_RULES, rules=(RowRule("range:n", "stop", ("n",), '"n" > 6'),))
    stopped = place.build(m, rules, catalogue(m), run=OTHER_RUN)
    assert (stopped.outcome, stopped.reasons, stopped.snapshot) == ("stop", ("range:n",), None)
    assert place.lake.snapshot(m.name) == first.snapshot
    assert [count(place, t) for t in (build, validation, run_table)] == [2, 2, 2]


def test_a_model_with_faults_is_not_built(place: Home) -> None:
    m = model("SELECT division, random() AS n FROM police.residents", OPEN)
    with pytest.raises(DeclarationError, match="a clock, random number"):
        place.build(m, NO_RULES, catalogue(m))
    assert count(place, pin) == 0


def test_a_build_waits_for_an_input_without_a_snapshot(tmp_path: Path) -> None:
    with home(tmp_path, filled=False) as place:
        m = model(OPEN_SQL, OPEN)
        with pytest.raises(NotReady, match=r"no snapshot yet of police\.residents"):
            place.build(m, NO_RULES, catalogue(m))


def test_a_value_that_does_not_convert_after_the_first_rows_is_not_told(place: Home) -> None:
    sql = (
        "SELECT 'x' AS division, CAST(CASE WHEN range = 150000 THEN 'CANARY' ELSE '1' END AS BIGINT) AS n "
        "FROM range(200000)"
    )
    m = model(sql, OPEN)
    with pytest.raises(GovernanceError, match="the engine failed: ConversionException") as caught:
        place.build(m, NO_RULES, catalogue(m))
    assert "CANARY" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_an_empty_result_is_a_table_without_rows(place: Home) -> None:
    m = model(OPEN_SQL.replace("GROUP", "WHERE division = 'x' GROUP"), OPEN)
    built = place.build(m, NO_RULES, catalogue(m))
    assert (built.rows, built.files, place.read(m)) == (0, (), [])


def test_counting_rows_opens_no_file(place: Home) -> None:
    m = model("SELECT 'all' AS division, count(*) AS n FROM police.residents", OPEN)
    place.build(m, NO_RULES, catalogue(m))
    assert place.read(m) == [{"division": "all", "n": 20}]


def test_a_star_in_a_cte_reads_no_encrypted_column(place: Home) -> None:
    m = model("WITH r AS (SELECT * FROM police.residents) SELECT division, count(*) AS n FROM r GROUP BY 1", OPEN)
    place.build(m, NO_RULES, catalogue(m))
    assert count(place, grant) == 0
    assert sum(row["n"] for row in place.read(m)) == 20


def test_declared_lineage_is_in_the_ledger_and_what_is_not_declared_is_not_read(place: Home) -> None:
    sql = "SELECT COLUMNS('^(division|birth_date)$') FROM police.residents"
    fields = (
        F("birth_date", DATE, "born", classification=Level.L2),
        F("division", STRING, "d", classification=Level.L1),
    )
    said = {
        "birth_date": ((), "forgotten"),
        "division": (("police.residents.division",), "COLUMNS takes it as it is"),
    }
    m = model(sql, fields, lineage=said)
    place.build(m, NO_RULES, catalogue(m))
    assert {row["birth_date"] for row in place.read(m)} == {None}
    assert {row["division"] for row in place.read(m)} == {"110100", "110101", "110102"}
    with place.database.read() as connection:
        kind = ledger_entry.c.kind == "lineage_declared"
        bodies = connection.execute(select(ledger_entry.c.body).where(kind)).scalars().all()
    facts = json.loads(bodies[-1])["facts"]
    assert facts["text"] == m.text_hash
    assert facts["columns"]["division"] == {
        "because": "COLUMNS takes it as it is",
        "from": ["police.residents.division"],
    }


def test_only_present_rows_of_a_table_that_keeps_versions_are_read(place: Home) -> None:
    versions = replace(RESIDENTS, name="police.versions", load_mode="snapshot_diff")
    rows = [{**row, "_current": n < 5} for n, row in enumerate(residents(9))]
    place.put(versions, rows)
    m = model(OPEN_SQL.replace("police.residents", "police.versions"), OPEN)
    city = catalogue(m, datasets=(RESIDENTS, INSURED, versions))
    place.build(m, NO_RULES, city)
    assert sum(row["n"] for row in place.read(m)) == 5


def test_rules_of_every_kind_are_counted_on_the_built_rows(place: Home) -> None:
    fields = (
        F("id_number", STRING, "id_number", classification=Level.L4, domain="person"),
        F("kind", STRING, "kind", classification=Level.L1),
        F("total", MONEY, "total", classification=Level.L3),
    )
    sql = "SELECT id_number, id_number__token, kind, salary AS total FROM social.insured"
    m = model(sql, fields)
    rules = RowRules(
        "curated.m",
        (
            RowRule("required:total", "warn", ("total",), '"total" IS NULL'),
            RowRule("range:total", "warn", ("total",), '"total" > 15', "\"kind\" = 'a'"),
            UniqueRule("unique:id_number", "warn", ("id_number",)),
            UniqueRule("unique:both", "warn", ("id_number", "kind")),
            CodeSetRule("codeSet:kind", "warn", ("kind",), "kinds"),
            ReferenceRule("reference:id_number", "warn", ("id_number",), "police.residents", "id_number"),
            TableRule("suite:rows", "warn", (), "count(*)"),
            TableRule("suite:sum", "warn", ("total",), 'sum("total")'),
            RowRule("suite:wrong", "warn", ("total",), '"nothing" > 1'),
        ),
        (),
        "1" * 64,
    )
    place.put(RESIDENTS, residents(10), "b2")
    city = replace(catalogue(m), code_sets={"kinds": CodeSet("kinds", "f", "0", ("a",))})
    metrics = dict(place.build(m, rules, city, decide=lambda *_: ("go", (), NO_RESULTS)).metrics)
    assert metrics.pop("suite:wrong").error == "BinderException"
    assert metrics == {
        "required:total": RuleMetric("required:total", 20, 0, 0),
        "range:total": RuleMetric("range:total", 20, 10, 2),
        "unique:id_number": RuleMetric("unique:id_number", 20, 0, 10),
        "unique:both": RuleMetric("unique:both", 20, 0, 0),
        "codeSet:kind": RuleMetric("codeSet:kind", 20, 0, 10),
        "reference:id_number": RuleMetric("reference:id_number", 20, 0, 5),
        "suite:rows": RuleMetric("suite:rows", 20, 0, 0, value=20),
        "suite:sum": RuleMetric("suite:sum", 20, 0, 0, value=192.0),
    }


CHECK_SQL = """
SELECT r.id_number__token AS token, r._batch AS left_batch, r._row AS left_row, i._batch AS right_batch, i._row AS
right_row FROM police.residents r JOIN social.insured i USING (id_number__token) WHERE day(r.birth_date) <> i.month
AND r._row = 14
"""


def test_checks_write_findings_beside_the_build(place: Home) -> None:
    m = replace(model(OPEN_SQL, OPEN), checks=(check(CHECK_SQL),))
    built = place.build(m, NO_RULES, catalogue(m))
    assert built.findings == 1
    with place.database.read() as connection:
        row = connection.execute(select(finding)).one()
    assert (row.token, row.left_batch, row.left_row, row.right_batch, row.right_row) == (
        token(number(13)),
        "b1",
        14,
        "b1",
        14,
    )


def test_running_checks_again_replaces_their_findings(place: Home) -> None:
    m = replace(model(OPEN_SQL, OPEN), checks=(check(CHECK_SQL),))
    place.build(m, NO_RULES, catalogue(m))
    counts = run_checks(
        m, NO_RULES, catalogue(m), settings=place.settings, lake=place.lake, database=place.database, actor=ACTOR
    )
    assert counts == {"agrees": 1}
    assert count(place, finding) == 1


def test_a_check_may_read_the_table_that_is_being_built(place: Home) -> None:
    sql = "SELECT p.id_number__token AS token FROM curated.m p WHERE p.total IS NULL"
    m = replace(model(PERSON_SQL, PERSON), checks=(check(sql),))
    built = place.build(m, NO_RULES, catalogue(m))
    assert built.findings == 5


def test_no_value_of_an_encrypted_column_is_on_disk_in_the_clear(place: Home, tmp_path: Path) -> None:
    person = model(PERSON_SQL, PERSON)
    place.build(person, NO_RULES, catalogue(person))
    canaries = (number(3).encode(), "居民3".encode())
    for file in tmp_path.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert not any(canary in content for canary in canaries), file.name


def test_a_later_insured_batch_changes_the_next_build(place: Home) -> None:
    person = model(PERSON_SQL, PERSON)
    place.build(person, NO_RULES, catalogue(person))
    place.put(INSURED, insured(1), "b2")
    place.build(person, NO_RULES, catalogue(person), run=OTHER_RUN)
    totals = [row["total"] for row in place.read(person) if row["total"] is not None]
    assert totals == [Decimal("0.10")]
    assert go(NO_RULES, {}, 0)[0] == "go"
