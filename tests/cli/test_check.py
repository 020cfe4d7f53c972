from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from governance.catalog.index import read_index
from governance.cli.main import group
from governance.config import load_settings
from governance.errors import DeclarationError, Fault
from tests.catalog.home import FILES, MODEL, PEOPLE, SUITE, VISITS, line_of, write

CHECK = """\
SELECT
    number__token AS token, _batch AS left_batch, _row AS left_row,
    CAST(NULL AS VARCHAR) AS right_batch, CAST(NULL AS BIGINT) AS right_row
FROM health.people
"""
ACCESS = f"""\
version: 1
roles: [{{id: analyst}}]
purposes: [{{id: statistics}}]
subjects: [{{name: "user:li", roles: [analyst]}}]
approvers: [{{subject: "user:li", public_key: "{"0a" * 32}"}}]
rules: [{{id: r, roles: [analyst], purposes: [statistics], where: {{tables: [health.people]}}, action: raw}}]
"""
SQL = """\
-- gov.declassify: income L4 because the people are few and known by sight
SELECT number, number__token, CAST(income AS DECIMAL(18, 2)) AS income FROM health.people
"""
CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: curated-visitor
version: 1.0.0
status: active
schema:
  - name: visitor
    properties:
      - name: number
        logicalType: string
        classification: L4
        customProperties: [{property: gov.domain, value: person}]
      - {name: income, logicalType: number, physicalType: "DECIMAL(18,2)", classification: L4}
"""
GOOD = {
    **FILES,
    "catalog/curated/visitor.sql": SQL,
    "catalog/curated/visitor.odcs.yaml": CONTRACT,
    "catalog/curated/visitor.twice.check.sql": CHECK,
    "catalog/access.yaml": ACCESS,
}


def gov(home: Path, *arguments: str) -> Result:
    return CliRunner().invoke(group, ["--home", str(home), *arguments])


def test_check_prints_the_exact_keys_and_writes_the_index(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    result = gov(tmp_path, "check")
    assert result.exit_code == 0, result.output
    granted = [line.split()[-1] for line in result.output.splitlines() if "is granted" in line]
    table = "health/health.people"
    assert sorted(granted) == [f"{table}/L4/1", f"{table}/footer/1", f"{table}/unclassified/1"]
    index = read_index(load_settings(tmp_path).index)
    assert (index["curated"], index["approvers"]) == ({"curated.visitor": ["health.people"]}, ["li"])


def test_check_answers_as_json(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    answer = json.loads(gov(tmp_path, "check", "--json").output)
    assert (answer["ok"], answer["departments"]) == (True, ["health"])
    assert answer["without_source"] == ["health.visits"]
    assert answer["unclassified"] == ["health.people.income"]
    model = answer["models"]["curated.visitor"]
    assert (model["inputs"], model["checks"]) == (["health.people"], ["twice"])
    assert model["declassified"]["income"]["level"] == "L4"


BROKEN = {
    "catalog/health/visits.odcs.yaml": VISITS.replace("status", "statos"),
    "expectations/health/people.json": SUITE.replace("not_be_null", "not_be_nil"),
    "catalog/curated/visitor.sql": SQL.replace("FROM health.people", "FROM health.persons"),
    "catalog/curated/visitor.twice.check.sql": CHECK,
    "catalog/access.yaml": ACCESS.replace("roles: [analyst], purposes", "roles: [analist], purposes"),
}


def test_faults_of_every_stage_come_at_once(tmp_path: Path) -> None:
    write(tmp_path, {**GOOD, **BROKEN})
    result = gov(tmp_path, "check")
    assert result.exit_code == 1
    reported = {
        line.partition(":")[0] for line in result.output.splitlines() if line.startswith(("catalog/", "expectations/"))
    }
    assert reported == set(BROKEN) - {"catalog/curated/visitor.twice.check.sql"}
    assert not load_settings(tmp_path).index.joinpath("index.json").exists()


def test_json_has_the_same_faults(tmp_path: Path) -> None:
    write(tmp_path, {**GOOD, **BROKEN})
    text, answer = gov(tmp_path, "check"), gov(tmp_path, "check", "--json")
    assert answer.exit_code == 1
    faults = json.loads(answer.output)["faults"]
    places = [str(Fault(f["file"], f["line"], f["path"], f["found"])) for f in faults]
    lines = [line for line in text.output.splitlines() if line.startswith(("catalog/", "expectations/"))]
    assert len(places) == len(lines) >= 4
    assert all(line.startswith(place) for line, place in zip(lines, places, strict=True))


@pytest.mark.parametrize(
    ("file", "text", "there"),
    [
        ("expectations/health/people.json", BROKEN["expectations/health/people.json"], "not_be_nil"),
        ("catalog/curated/visitor.sql", BROKEN["catalog/curated/visitor.sql"], "health.persons"),
        ("catalog/access.yaml", BROKEN["catalog/access.yaml"], "analist"),
        ("catalog/health/people.odcs.yaml", PEOPLE.replace("resident_number", "residence"), "- name: number"),
    ],
)
def test_each_stage_names_file_and_line(tmp_path: Path, file: str, text: str, there: str) -> None:
    write(tmp_path, {**GOOD, file: text})
    result = gov(tmp_path, "check")
    assert result.exit_code == 1
    assert f"{file}:{line_of(text, there)}: " in result.output


def test_a_broken_contract_puts_no_blame_on_what_reads_it(tmp_path: Path) -> None:
    write(tmp_path, {**GOOD, "catalog/health/people.odcs.yaml": PEOPLE.replace("status", "statos")})
    result = gov(tmp_path, "check", "--json")
    assert {f["file"] for f in json.loads(result.output)["faults"]} == {"catalog/health/people.odcs.yaml"}


def test_access_rules_that_cannot_be_read_put_no_blame_on_the_cases_beside_them(tmp_path: Path) -> None:
    cases = "version: 1\ncases:\n  - {subject: 'user:li', purpose: p, field: curated.visitor.income, expect: none}\n"
    write(tmp_path, {**GOOD, "catalog/access.cases.yaml": cases})
    (tmp_path / "catalog/access.yaml").write_bytes(b"# \xff\n")
    lines = gov(tmp_path, "check").output.splitlines()
    assert lines[0].startswith("catalog/access.yaml:1: not UTF-8 at byte 2")
    assert lines[1] == "1 fault; no index was written"


def test_a_model_that_is_not_repeatable_is_refused(tmp_path: Path) -> None:
    write(
        tmp_path,
        {**GOOD, "catalog/curated/visitor.sql": SQL.replace("SELECT number,", "SELECT any_value(number) AS number,")},
    )
    assert "catalog/curated/visitor.sql:2: " in gov(tmp_path, "check").output


def test_models_that_read_one_another_in_a_circle_are_a_fault(tmp_path: Path) -> None:
    files = {**GOOD, "catalog/curated/visitor.sql": MODEL.replace("health.people", "curated.visitor")}
    write(tmp_path, files)
    assert "cycle" in gov(tmp_path, "check").output


def test_an_old_index_stays_until_the_faults_are_gone(tmp_path: Path) -> None:
    settings = write(tmp_path, GOOD)
    gov(tmp_path, "check")
    before = (settings.index / "index.json").read_text()
    write(tmp_path, BROKEN)
    assert gov(tmp_path, "check").exit_code == 1
    assert (settings.index / "index.json").read_text() == before


def test_a_second_check_gives_the_same_answer_from_what_is_kept(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    assert gov(tmp_path, "check").output == gov(tmp_path, "check").output
    write(tmp_path, {"expectations/health/people.json": BROKEN["expectations/health/people.json"]})
    assert gov(tmp_path, "check").exit_code == 1
    assert gov(tmp_path, "check").exit_code == 1


TOML = """\
[engine]
threads = 0

[paths]
catalogue = "catalog"

[sources.water]
location = "elsewhere"
"""


def test_faults_of_gov_toml_stand_at_their_line(tmp_path: Path) -> None:
    (tmp_path / "gov.toml").write_text(TOML)
    with pytest.raises(DeclarationError) as raised:
        load_settings(tmp_path)
    assert [(f.line, f.path, f.found) for f in raised.value.faults] == [
        (2, "engine.threads", "0 does not fit"),
        (5, "paths.catalogue", "unknown key"),
    ]


def test_a_source_of_no_system_is_a_fault_that_lists_the_systems(tmp_path: Path) -> None:
    write(tmp_path, {**GOOD, "gov.toml": TOML.replace("threads = 0", "threads = 1").replace("catalogue", "catalog")})
    result = gov(tmp_path, "check")
    assert result.exit_code == 1
    assert "gov.toml:7: sources.water: no such system; allowed: health, register; correct or remove it" in result.output


def test_a_suite_that_cannot_be_read_hides_no_fault_of_what_reads_its_table(tmp_path: Path) -> None:
    unrepeatable = SQL.replace("SELECT number,", "SELECT any_value(number) AS number,")
    write(tmp_path, {**GOOD, "catalog/curated/visitor.sql": unrepeatable, "expectations/health/people.json": "{"})
    files = {f["file"] for f in json.loads(gov(tmp_path, "check", "--json").output)["faults"]}
    assert files == {"catalog/curated/visitor.sql", "expectations/health/people.json"}


def test_a_suite_of_a_wrong_shape_hides_none_of_its_other_faults(tmp_path: Path) -> None:
    lines = [
        '"none"',
        '{"type": "expect_nothing", "kwargs": {}}',
        '{"type": "expect_column_values_to_not_be_null", "kwargs": {}}',
    ]
    text = '{"name": "people", "expectations": [\n' + ",\n".join(lines) + "\n]}"
    write(tmp_path, {**GOOD, "expectations/health/people.json": text})
    faults = json.loads(gov(tmp_path, "check", "--json").output)["faults"]
    assert [f["line"] for f in faults if f["file"] == "expectations/health/people.json"] == [2, 3, 4]


def test_a_link_to_nowhere_is_a_fault_among_the_others(tmp_path: Path) -> None:
    write(tmp_path, {**GOOD, **BROKEN})
    others = json.loads(gov(tmp_path, "check", "--json").output)["faults"]
    (tmp_path / "catalog" / "health" / "gone.odcs.yaml").symlink_to(tmp_path / "nowhere.yaml")
    faults = json.loads(gov(tmp_path, "check", "--json").output)["faults"]
    [link] = [f for f in faults if f not in others]
    assert (link["file"], link["found"]) == (
        "catalog/health/gone.odcs.yaml",
        "cannot be read: No such file or directory",
    )
    assert len(faults) == len(others) + 1


def test_a_range_in_which_nothing_lies_is_a_fault(tmp_path: Path) -> None:
    options = "        logicalTypeOptions: {minimum: 5, maximum: 1}\n"
    field = "      - name: rooms\n        logicalType: integer\n        classification: L1\n"
    house = (
        PEOPLE.partition("    properties:\n")[0]
        .replace("name: people", "name: houses")
        .replace("health-people", "houses")
    )
    house = house.replace("snapshot_diff", "full").replace("      - {property: gov.watermark, value: born}\n", "")
    write(tmp_path, {**GOOD, "catalog/health/houses.odcs.yaml": f"{house}    properties:\n{field}{options}"})
    assert "rooms: range: nothing is between 5 and 1" in gov(tmp_path, "check").output


def test_a_password_in_an_address_is_a_fault_and_is_not_repeated(tmp_path: Path) -> None:
    settings = write(tmp_path, GOOD)
    (tmp_path / "gov.toml").write_text('[sources.register]\nlocation = "postgresql://li:s3cret@db/x"\n')
    output = gov(tmp_path, "check").output
    assert "a password in the clear in [sources.register] of gov.toml" in output
    assert "s3cret" not in output
    assert not any("s3cret" in p.read_text(errors="replace") for p in settings.var.rglob("*") if p.is_file())
