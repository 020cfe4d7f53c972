"""The commands' answers, on a home of files."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from governance.cli.main import group
from governance.errors import Refused
from governance.use.release import sign
from tests.use.conftest import ACCESS, PEOPLE, STEWARD_KEY, open_home

CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: person
name: person
version: 1.0.0
status: active
schema:
  - name: person
    properties:
"""
TYPES = {"decimal": ("number", "DECIMAL(12,2)"), "integer": ("integer", "BIGINT"), "date": ("date", "DATE")}


def write_home(folder, fields):
    text = CONTRACT
    for field in fields:
        logical, physical = TYPES.get(field.type.kind, ("string", "VARCHAR"))
        text += f"      - {{name: {field.name}, logicalType: {logical}, physicalType: '{physical}'"
        text += f", classification: {field.classification.value}, tags: [{', '.join(field.tags)}]"
        text += ", customProperties: [{property: gov.domain, value: person}]}\n" if field.domain else "}\n"
    curated = folder / "catalog" / "curated"
    curated.mkdir(parents=True)
    (folder / "gov.toml").write_text("[engine]\nthreads = 1\nmemory_limit_mb = 512\n")
    (curated / "person.odcs.yaml").write_text(text)
    columns = ", ".join(f"CAST(NULL AS {f.type.duckdb()}) AS {f.name}" for f in fields)
    (curated / "person.sql").write_text(f"SELECT {columns}, CAST(NULL AS BLOB) AS id_number__token\n")
    (folder / "catalog" / "access.yaml").write_text(ACCESS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from governance.catalog.load import load_catalogue
    from governance.config import load_settings
    from tests.use.conftest import fields

    folder = tmp_path_factory.mktemp("cli")
    write_home(folder, fields())
    home = open_home(folder, load_catalogue(load_settings(folder)))
    home.fill(PEOPLE)
    home.database.close()
    key = STEWARD_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "steward.pem").write_bytes(key)
    return folder


def gov(folder, *words):
    result = CliRunner().invoke(group, ["--home", str(folder), *words], catch_exceptions=False, standalone_mode=False)
    return result.output


def test_a_release_goes_from_proposal_to_query_by_command(folder):
    release = json.loads(gov(folder, "release", "propose", "--json"))["release"]
    pem = str(folder / "steward.pem")
    assert json.loads(gov(folder, "release", "sign", release, "--key", pem, "--json"))["signature"] == sign(
        release, STEWARD_KEY
    )
    gov(folder, "release", "approve", release, "--as", "user:wang", "--key", pem)
    assert gov(folder, "release", "publish", release).strip() == "live: curated.person"
    [listed] = json.loads(gov(folder, "release", "list", "--json"))
    assert (listed["status"], listed["approvers"]) == ("live", ["user:wang"])

    words = ("--as", "user:li", "--purpose", "statistics")
    answer = json.loads(gov(folder, "query", *words, "SELECT name, rank FROM curated.person ORDER BY rank", "--json"))
    assert answer["rows"][0] == {"name": "王**", "rank": 1}
    assert answer["fields"]["curated.person"]["name"] == "mask:chinese-name"
    assert "王**" in gov(folder, "query", *words, "SELECT name FROM curated.person")
    explained = {row["field"]: row for row in json.loads(gov(folder, "explain", *words, "curated.person", "--json"))}
    assert explained["income"]["outcome"] == "aggregate_only(10)"
    shown = gov(folder, "who-sees", "curated.person.name")
    assert "no rule opens" not in shown
    assert shown.endswith("2 other subjects see nothing\n")
    seen = json.loads(gov(folder, "who-sees", "curated.person.name", "--json"))
    assert {(s["subject"], s["outcome"]) for s in seen if s["outcome"] != "none"} == {
        ("user:li", "mask:chinese-name"),
        ("user:zhao", "raw"),
    }


def test_json_of_an_answer_is_json_whatever_is_in_it(folder):
    sql = (
        "SELECT count(*) AS c, count(rank) AS c, 'nan'::DOUBLE AS n, DATE '10000-01-01' AS d, DATE '0044-01-01 (BC)' AS e "
        "FROM curated.person"
    )
    words = ("query", "--as", "user:li", "--purpose", "statistics", sql)
    answer = json.loads(gov(folder, *words, "--json"), parse_constant=pytest.fail)
    assert answer["columns"] == ["c", "c_2", "n", "d", "e"]
    [row] = answer["rows"]
    assert row["c"] == row["c_2"] > 0
    assert (row["n"], row["d"], row["e"]) == ("nan", "10000-01-01", "-0043-01-01")
    assert "10000-01-01" in gov(folder, *words)


def test_a_query_leaves_nothing_unsigned_behind_it(folder):
    gov(folder, "ledger", "sequence")
    gov(folder, "query", "--as", "user:li", "--purpose", "statistics", "SELECT name FROM curated.person")
    assert "nothing waits" in gov(folder, "ledger", "sequence")
    with pytest.raises(Refused):
        gov(folder, "query", "--as", "user:nobody", "--purpose", "statistics", "SELECT name FROM curated.person")
    assert "nothing waits" in gov(folder, "ledger", "sequence")


def test_a_refused_query_names_no_value(folder):
    with pytest.raises(Refused) as caught:
        CliRunner().invoke(
            group,
            [
                "--home",
                str(folder),
                "query",
                "--as",
                "user:idle",
                "--purpose",
                "statistics",
                "SELECT name FROM curated.person",
            ],
            catch_exceptions=False,
            standalone_mode=False,
        )
    assert "王" not in str(caught.value)
