"""`gov diff`: each change of the declarations, breaking or not, and whom it reaches; nothing was ever run here."""

from __future__ import annotations

import json
import shutil
import subprocess
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from governance.cli.main import group
from tests.pipeline.home import ACCOUNTS, METERS, SUPPLY, SUPPLY_SQL, Home, empty_home
from tests.pipeline.test_asof import ACCESS

MADE = {**SUPPLY, "meter": {**SUPPLY["meter"], "tags": ["key"]}}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home and its copy `base`; the test changes the home."""
    home = empty_home(tmp_path / "home")
    home.declare("water.meters", METERS)
    home.declare("power.accounts", ACCOUNTS)
    home.declare("curated.supply", MADE, sql=SUPPLY_SQL)
    (home.folder / "catalog" / "access.yaml").write_text(ACCESS, encoding="utf-8")
    suite = {
        "name": "power.accounts",
        "expectations": [
            {
                "type": "expect_column_values_to_be_between",
                "kwargs": {"column": "kwh", "min_value": 0},
                "severity": "warning",
            }
        ],
    }
    folder = home.folder / "expectations" / "power"
    folder.mkdir(parents=True)
    (folder / "accounts.json").write_text(json.dumps(suite), encoding="utf-8")
    shutil.copytree(home.folder, tmp_path / "base")
    return home


def diff(home: Home, base: str = "") -> tuple[int, dict[str, Any]]:
    done = CliRunner().invoke(
        group, ["--home", str(home.folder), "diff", base or str(home.folder.parent / "base"), "--json"]
    )
    assert done.exit_code in (0, 3), done.output
    return done.exit_code, json.loads(done.output)


def found(home: Home) -> dict[tuple[str, str, str], bool]:
    return {(c["table"], c["column"], c["kind"]): c["breaking"] for c in diff(home)[1]["changes"]}


def meters(**changed: Any) -> dict[str, Any]:
    fields = deepcopy({name: dict(facts) for name, facts in METERS.items()})
    for name, facts in changed.items():
        if facts is None:
            del fields[name]
        else:
            fields[name] = {**fields.get(name, {}), **facts}
    return fields


def test_nothing_changed_is_told_with_exit_code_0(home: Home) -> None:
    assert diff(home) == (0, {"base": str(home.folder.parent / "base"), "breaking": False, "faults": [], "changes": []})


@pytest.mark.parametrize(
    ("changed", "column", "kind", "breaking"),
    [
        ({"holder": None}, "holder", "field dropped", True),
        ({"extra": {"logicalType": "string", "classification": "L1"}}, "extra", "field added", False),
        ({"extra": {"logicalType": "string", "classification": "L1", "required": True}}, "extra", "field added", True),
        ({"reading": {"logicalType": "string", "logicalTypeOptions": {}}}, "reading", "type changed", True),
        ({"reading": {"logicalType": "number", "physicalType": "DECIMAL(20,0)"}}, "reading", "type widened", False),
        ({"reading": {"logicalType": "number", "physicalType": "DECIMAL(9,0)"}}, "reading", "type narrowed", True),
        ({"reading": {"required": True}}, "reading", "nullability", True),
        ({"reading": {"classification": "L4"}}, "reading", "level raised", True),
        ({"holder": {"classification": "L2"}}, "holder", "level lowered", False),
        ({"reading": {"logicalTypeOptions": {"minimum": 5}}}, "reading", "rule", True),
        ({"reading": {"logicalTypeOptions": {}}}, "reading", "rule", False),
        ({"meter": {"primaryKey": False}}, "*", "key", True),
        ({"person_no": {"customProperties": []}}, "person_no", "token", True),
    ],
    ids=[
        "dropped",
        "added",
        "must",
        "type",
        "wider",
        "narrower",
        "required",
        "raised",
        "lowered",
        "rule",
        "loose",
        "key",
        "domain",
    ],
)
def test_a_changed_field_is_classified(home: Home, changed: Any, column: str, kind: str, breaking: bool) -> None:
    home.declare("water.meters", meters(**changed))
    assert found(home)["water.meters", column, kind] is breaking


def test_a_field_of_another_name_that_is_read_from_the_same_column_was_renamed(home: Home) -> None:
    fields = meters(holder=None, keeper={**METERS["holder"], "physicalName": "holder"})
    home.declare("water.meters", fields)
    told = found(home)
    assert told["water.meters", "holder", "field renamed"] is True
    assert ("water.meters", "keeper", "field added") not in told


def test_a_breaking_change_tells_whom_it_reaches(home: Home) -> None:
    home.declare("power.accounts", {**ACCOUNTS, "kwh": {"logicalType": "string", "classification": "L2"}})
    code, answer = diff(home)
    assert code == 3
    change = next(c for c in answer["changes"] if c["kind"] == "type changed")
    assert (
        change["columns"] == ["curated.supply.kwh", "landed:power.accounts.kwh"]
        or "curated.supply.kwh" in change["columns"]
    )
    assert change["models"] == ["curated.supply"]
    assert change["expectations"] == ["power.accounts: expect_column_values_to_be_between(kwh)"]
    assert set(change["policies"]) == {"rows", "window"}
    assert set(change["consumers"]) == {"user:auditor for audit", "user:clerk for service"}


def test_what_decides_the_rows_reaches_every_column_and_its_keys(home: Home) -> None:
    home.declare("water.meters", meters(person_no={"customProperties": []}))
    change = next(c for c in diff(home)[1]["changes"] if c["kind"] == "token")
    assert "curated.supply (rows)" in change["columns"]
    assert {"water/water.meters/L4/1", "curated/curated.supply/L3/1"} <= set(change["keys"])


def test_a_model_that_does_not_hold_over_a_changed_contract_breaks_though_its_text_stayed(home: Home) -> None:
    home.declare("power.accounts", {"person_no": ACCOUNTS["person_no"]})
    code, answer = diff(home)
    kinds = {(c["table"], c["kind"]): c for c in answer["changes"]}
    assert code == 3
    assert kinds["power.accounts", "field dropped"]["breaking"]
    assert "does not hold any more" in kinds["curated.supply", "model"]["what"]


def test_another_select_breaks_when_its_columns_come_from_elsewhere_and_only_then(home: Home) -> None:
    home.declare("curated.supply", MADE, sql=SUPPLY_SQL.replace("p.kwh\n", "p.kwh + 0 AS kwh\n"))
    assert found(home)["curated.supply", "*", "model"] is True
    home.declare("curated.supply", MADE, sql=SUPPLY_SQL.rstrip() + " WHERE m.meter > 0\n")
    assert found(home)["curated.supply", "*", "model"] is True
    home.declare("curated.supply", MADE, sql=SUPPLY_SQL.replace("LEFT JOIN", "JOIN"))
    assert found(home)["curated.supply", "*", "model"] is False


def test_a_column_that_is_added_changes_nothing_for_the_others(home: Home) -> None:
    more = {**MADE, "again": {**MADE["kwh"]}}
    home.declare("curated.supply", more, sql=SUPPLY_SQL.replace("p.kwh\n", "p.kwh, p.kwh AS again\n"))
    assert found(home) == {
        ("curated.supply", "again", "field added"): False,
        ("curated.supply", "*", "model"): False,
    }


SAME = {
    "comments": "-- who pays what\n" + SUPPLY_SQL.replace("SELECT", "SELECT -- all\n"),
    "form": "select (m.meter),\n  m.holder, m.reading,\n  p.kwh\nfrom water.meters m left join power.accounts p\n"
    "  on (p.person_no__token = m.person_no__token);\n",
}


@pytest.mark.parametrize("name", SAME)
def test_only_another_text_of_the_same_select_is_told_as_that(home: Home, name: str) -> None:
    home.declare("curated.supply", MADE, sql=SAME[name])
    code, answer = diff(home)
    assert code == 0
    assert [(c["kind"], c["breaking"], c["what"]) for c in answer["changes"]] == [
        ("model", False, "only its text changed (comments, form): it computes the same")
    ]


def test_what_a_head_declares_is_named_as_what_it_is(home: Home) -> None:
    head = "-- gov.tolerance: sums of doubles\n-- gov.declassify: holder L2 because initials\n"
    home.declare("curated.supply", MADE, sql=head + SUPPLY_SQL)
    answer = diff(home)[1]
    assert {(c["column"], c["kind"], c["breaking"], c["what"]) for c in answer["changes"]} == {
        ("*", "tolerance", False, "is declared: sums of doubles"),
        ("holder", "declassified", False, "is declared: L2 because initials"),
    }


DECLARED = """\
-- gov.lineage: meter from water.meters.meter because COLUMNS
-- gov.lineage: holder from water.meters.holder because COLUMNS
-- gov.lineage: reading from water.meters.reading because COLUMNS
-- gov.lineage: kwh from nothing because NULL
SELECT COLUMNS('^(meter|holder|reading)$'), CAST(NULL AS BIGINT) AS kwh FROM water.meters
"""


def test_a_declared_lineage_that_changes_breaks_like_another_source(home: Home) -> None:
    secret = {name: {**facts, "classification": "L3"} for name, facts in MADE.items()}
    base = home.folder.parent / "base"
    Home(base).declare("curated.supply", secret, sql=DECLARED)
    home.declare("curated.supply", secret, sql=DECLARED.replace("because NULL", "because it has no value"))
    assert found(home) == {("curated.supply", "kwh", "declared lineage"): False}
    home.declare(
        "curated.supply",
        secret,
        sql=DECLARED.replace("reading from water.meters.reading", "reading from water.meters.meter"),
    )
    assert found(home) == {("curated.supply", "reading", "declared lineage"): True}


def test_a_check_that_changed_in_comments_only_stops_nobody(home: Home) -> None:
    check = "-- gov.severity: stop\nSELECT person_no__token AS token FROM power.accounts WHERE kwh > 100\n"
    for folder in (home.folder, home.folder.parent / "base"):
        (folder / "catalog" / "curated" / "supply.much.check.sql").write_text(check, encoding="utf-8")
    path = home.folder / "catalog" / "curated" / "supply.much.check.sql"
    path.write_text(check.replace("SELECT", "SELECT -- who uses much\n"), encoding="utf-8")
    assert found(home) == {("curated.supply", "*", "check"): False}
    path.write_text(check.replace("100", "200"), encoding="utf-8")
    assert found(home) == {("curated.supply", "*", "check"): True}


def test_who_sees_less_breaks_and_who_sees_more_does_not(home: Home) -> None:
    access = home.folder / "catalog" / "access.yaml"
    access.write_text(ACCESS.replace("levels: [L1, L2, L3, L4]", "levels: [L1, L2]"), encoding="utf-8")
    assert found(home)["curated.supply", "holder", "mask"] is True
    access.write_text(ACCESS.replace('action: "mask:replace-with-null"', "action: raw"), encoding="utf-8")
    assert not all(breaking for (_, _, kind), breaking in found(home).items() if kind == "mask")


def test_who_sees_less_or_more_by_other_tags_and_levels_under_the_same_rules_is_told(home: Home) -> None:
    holder = {**MADE["holder"], "tags": ["key"]}
    home.declare("curated.supply", {**SUPPLY, "holder": holder}, sql=SUPPLY_SQL)
    assert found(home) == {("curated.supply", name, "mask"): True for name in ("holder", "meter")}
    home.declare("curated.supply", {**MADE, "reading": {**MADE["reading"], "tags": ["key"]}}, sql=SUPPLY_SQL)
    assert found(home) == {("curated.supply", "reading", "mask"): False}
    home.declare("curated.supply", {**MADE, "reading": {**MADE["reading"], "tags": ["other"]}}, sql=SUPPLY_SQL)
    assert found(home) == {}
    home.declare("curated.supply", {**MADE, "reading": {**MADE["reading"], "classification": "L4"}}, sql=SUPPLY_SQL)
    assert found(home)["curated.supply", "reading", "mask"] is True


def test_rules_that_do_not_hold_over_changed_contracts_are_faults(home: Home) -> None:
    home.declare("curated.supply", {**SUPPLY, "reading": {**SUPPLY["reading"], "classification": "L3"}}, sql=SUPPLY_SQL)
    code, told = diff(home)
    assert (code, told["breaking"]) == (3, True)
    assert any("unknown tag key" in str(fault) for fault in told["faults"])
    assert [change["kind"] for change in told["changes"]] == ["level raised"]


def test_tables_that_come_and_go_and_faults_are_told(home: Home) -> None:
    home.declare("water.pipes", {"pipe": {"logicalType": "string", "classification": "L1"}})
    (home.folder / "catalog" / "curated" / "supply.sql").unlink()
    (home.folder / "catalog" / "curated" / "supply.odcs.yaml").unlink()
    told = found(home)
    assert told["water.pipes", "*", "table added"] is False
    assert told["curated.supply", "*", "table dropped"] is True
    home.declare("water.pipes", {"pipe": {"logicalType": "nonsense"}})
    code, answer = diff(home)
    assert code == 3
    assert any("water" in fault for fault in answer["faults"])


def test_the_base_is_a_commit_of_the_homes_repository(home: Home) -> None:
    def git(*arguments: str) -> None:
        subprocess.run(["git", "-C", str(home.folder.parent), *arguments], check=True, capture_output=True)

    git("init", "-q")
    git("add", "home/catalog", "home/expectations")
    git("-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "base")
    assert diff(home, "HEAD")[1]["changes"] == []
    home.declare("water.meters", meters(holder=None))
    code, answer = diff(home, "HEAD")
    assert (code, answer["breaking"]) == (3, True)
    for base in ("no-such-commit", "--output=x"):
        wrong = CliRunner().invoke(group, ["--home", str(home.folder), "diff", "--", base])
        assert wrong.exit_code == 1
        assert "neither a folder nor a commit" in str(wrong.exception)
