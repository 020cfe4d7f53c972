"""What a model inherits, which keys it needs, and what its contract must say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from governance.catalog.models import parse_model
from governance.catalog.types import Field as F
from governance.catalog.types import Level, Model
from governance.develop.analyse import analyse, analyse_check, order
from governance.develop.trace import Tracer
from tests.develop.city import DATE, INTEGER, MONEY, STRING, catalogue, check, model, renamed

PERSON = (
    F("id_number", STRING, "id_number", classification=Level.L4, domain="person"),
    F("name", STRING, "name", classification=Level.L3),
    F("born", DATE, "born", classification=Level.L2),
    F("total", MONEY, "total", classification=Level.L3),
)
PERSON_SQL = """
WITH paid AS (SELECT id_number__token AS t, sum(salary) AS total FROM social.insured GROUP BY 1)
SELECT r.id_number, r.id_number__token, r.name, r.birth_date AS born, p.total
FROM police.residents r LEFT JOIN paid p ON p.t = r.id_number__token
"""


def found(sql: str, fields: tuple[F, ...], **changes: object) -> str:
    return "\n".join(str(f) for f in analyse(model(sql, fields, **changes), catalogue()).faults)


def test_a_sound_model_has_no_faults() -> None:
    analysis = analyse(model(PERSON_SQL, PERSON), catalogue())
    assert analysis.faults == ()
    assert analysis.inputs == ("police.residents", "social.insured")
    assert analysis.classification == {
        "id_number": Level.L4,
        "id_number__token": Level.L4,
        "name": Level.L3,
        "born": Level.L2,
        "total": Level.L3,
    }


def test_keys_are_exactly_those_of_the_encrypted_columns_that_the_lineage_reads() -> None:
    analysis = analyse(model(PERSON_SQL, PERSON), catalogue())
    assert [str(k) for k in analysis.keys] == [
        "police/police.residents/L3/1",
        "police/police.residents/L4/1",
        "police/police.residents/footer/1",
        "social/social.insured/L3/1",
        "social/social.insured/footer/1",
    ]
    assert analysis.needs_worker
    assert analysis.reads["social.insured"] == ("salary", "id_number__token")


def test_a_join_on_tokens_needs_no_key() -> None:
    sql = (
        "SELECT r.division, count(*) AS n FROM police.residents r "
        "JOIN social.insured i ON i.id_number__token = r.id_number__token GROUP BY r.division"
    )
    fields = (
        F("division", STRING, "division", classification=Level.L1),
        F("n", INTEGER, "n", classification=Level.L1),
    )
    analysis = analyse(model(sql, fields), catalogue())
    assert (analysis.faults, analysis.keys, analysis.needs_worker) == ((), (), False)


def test_a_column_that_is_only_filtered_on_needs_its_key_too() -> None:
    sql = "SELECT division FROM police.residents WHERE name = 'x'"
    analysis = analyse(model(sql, (F("division", STRING, "division", classification=Level.L1),)), catalogue())
    assert [k.group for k in analysis.keys] == ["L3", "footer"]


def test_a_star_in_a_cte_asks_for_no_key_that_nothing_comes_of() -> None:
    sql = "WITH r AS (SELECT * FROM police.residents) SELECT division FROM r"
    analysis = analyse(model(sql, (F("division", STRING, "division", classification=Level.L1),)), catalogue())
    assert analysis.keys == ()
    assert "name" in analysis.unread["police.residents"]


def test_an_unclassified_source_needs_its_own_group_and_makes_the_result_unclassified() -> None:
    sql = "SELECT upper(note) AS note FROM police.residents"
    analysis = analyse(model(sql, (F("note", STRING, "note"),)), catalogue())
    assert analysis.classification == {"note": None}
    assert [k.group for k in analysis.keys] == ["footer", "unclassified"]
    assert analysis.faults == ()


@pytest.mark.parametrize(
    ("sql", "field", "inherited"),
    [
        ("SELECT name AS x FROM police.residents", STRING, "L3"),
        ("SELECT name || id_number AS x FROM police.residents", STRING, "L4"),
        ("SELECT max(id_number) AS x FROM police.residents", STRING, "L4"),
        ("SELECT count(id_number) AS x FROM police.residents", INTEGER, "L4"),
        ("SELECT sha256(id_number) AS x FROM police.residents", STRING, "L4"),
        ("SELECT substr(note, 1, 2) AS x FROM police.residents", STRING, "unclassified"),
        ("WITH a AS (SELECT name AS n FROM police.residents) SELECT n AS x FROM a", STRING, "L3"),
        ("SELECT division AS x FROM police.residents UNION ALL SELECT name FROM police.residents", STRING, "L3"),
    ],
)
def test_a_contract_must_declare_what_is_inherited(sql: str, field: object, inherited: str) -> None:
    fields = (F("x", field, "x", classification=Level.L1, line=12),)  # type: ignore[arg-type]
    text = found(sql, fields)
    assert f"catalog/curated/m.odcs.yaml:12: x.classification: L1, but {inherited} is inherited" in text
    lowered = model(sql, fields, declassify={"x": (Level.L1, "approved by the steward on 2026-01-01")})
    assert analyse(lowered, catalogue()).faults == ()
    unproven = model(sql, fields, declassify={"x": (Level.L1, " ")})
    assert analyse(unproven, catalogue()).faults != ()


def test_indirect_sources_do_not_raise_a_level() -> None:
    sql = "SELECT CASE WHEN name = 'x' THEN 1 ELSE 0 END AS x FROM police.residents WHERE note IS NULL"
    assert found(sql, (F("x", INTEGER, "x", classification=Level.L1),)) == ""


def test_a_field_with_a_domain_needs_its_token_beside_it() -> None:
    sql = PERSON_SQL.replace(" r.id_number__token,", "")
    assert "gives no id_number__token" in found(sql, PERSON)


def test_output_and_contract_must_have_the_same_columns() -> None:
    text = found(PERSON_SQL, (*PERSON[:3], F("age", INTEGER, "age", classification=Level.L1, line=7)))
    assert "catalog/curated/m.odcs.yaml:7: age: not a column of the model" in text
    assert "catalog/curated/m.sql:1: total: not a field of the contract" in text


@pytest.mark.parametrize("kind", [INTEGER, DATE, MONEY])
def test_a_type_that_would_have_to_be_parsed_is_a_fault(kind: object) -> None:
    fields = (F("x", kind, "x", classification=Level.L3),)  # type: ignore[arg-type]
    assert "CAST(x AS" in found("SELECT name AS x FROM police.residents", fields)


def test_a_fault_of_the_text_names_its_line() -> None:
    text = found("-- a model\nSELECT\n  nothing\nFROM police.residents", PERSON)
    assert text.startswith("catalog/curated/m.sql:3: sql: Column 'nothing' could not be resolved")


def test_a_declassified_column_must_exist() -> None:
    text = found(PERSON_SQL, PERSON, declassify={"nobody": (Level.L1, "because")})
    assert "gov.declassify: 'nobody' is not a column" in text


def test_models_are_ordered_by_what_they_read_and_a_cycle_is_a_fault() -> None:
    base = model(PERSON_SQL, PERSON)
    first = renamed(base, "curated.b")
    second = replace(renamed(base, "curated.a"), sql="SELECT * FROM curated.b")
    models = {m.name: m for m in (first, second)}
    city = catalogue(*models.values())
    assert order(models, {n: analyse(m, city) for n, m in models.items()}) == (("curated.b", "curated.a"), ())
    models["curated.b"] = replace(first, sql="SELECT * FROM curated.a")
    city = catalogue(*models.values())
    names, faults = order(models, {n: analyse(m, city) for n, m in models.items()})
    assert names == ()
    assert "a cycle" in faults[0].found


def test_a_check_gives_tokens_and_positions() -> None:
    sql = """
    SELECT r.id_number__token AS token, r._batch AS left_batch, r._row AS left_row, i._batch AS right_batch, i._row AS
    right_row FROM police.residents r JOIN social.insured i USING (id_number__token) WHERE year(r.birth_date) <> i.month
    """
    analysis = analyse_check(check(sql), catalogue())
    assert analysis.faults == ()
    assert analysis.keys == ()
    assert analysis.inputs == ("police.residents", "social.insured")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT name FROM police.residents",
        "SELECT CAST(id_number AS BLOB) AS token FROM police.residents",
        "SELECT name AS left_batch FROM police.residents",
        "SELECT random() AS left_row FROM police.residents",
    ],
)
def test_a_check_that_gives_values_is_refused(sql: str) -> None:
    assert analyse_check(check(sql), catalogue()).faults


def test_names_in_capitals_inherit_like_any_other() -> None:
    fields = (F("FullName", STRING, "FullName", classification=Level.L1),)
    assert "L1, but L3 is inherited" in found('SELECT name AS "FullName" FROM police.residents', fields)


def test_output_columns_without_names_of_their_own_are_a_fault() -> None:
    analysis = analyse(model("SELECT name, division AS name FROM police.residents"), catalogue())
    assert not analysis.edges.complete
    assert any("cannot be told apart" in f.found for f in analysis.faults)


STARRED = """\
-- gov.lineage: name from police.residents.name because COLUMNS takes what begins with n
-- gov.lineage: * from police.residents.division because the filter
SELECT COLUMNS('^na.*') FROM police.residents WHERE division = '110101'
"""


def declared(text: str) -> Model:
    parsed, faults = parse_model(
        text, file="catalog/curated/m.sql", name="curated.m", contract=model("", (F("name", STRING, "name"),)).contract
    )
    assert faults == ()
    return parsed


def test_lineage_that_cannot_be_found_is_refused_until_it_is_declared() -> None:
    bare = "\n".join(line for line in STARRED.splitlines() if not line.startswith("--"))
    refused = analyse(declared(bare), catalogue())
    assert not refused.edges.complete
    assert any("cannot be told" in fault.found for fault in refused.faults)
    found = analyse(declared(STARRED), catalogue())
    assert found.faults == ()
    assert found.edges.complete
    assert {(e.output_column, e.input_column, e.kind) for e in found.edges.edges} == {
        ("name", "name", "DIRECT"),
        ("*", "division", "INDIRECT"),
    }
    assert found.reads["police.residents"] == ("name", "division")
    assert found.classification["name"] == Level.L3


def test_a_declared_column_has_the_level_of_all_that_is_read() -> None:
    """A column that is read to filter comes out by what nobody followed, whatever was declared."""
    lie = STARRED.replace("name from police.residents.name because", "name from police.residents.division because")
    assert analyse(declared(lie), catalogue()).classification["name"] == Level.L1
    filtered = lie + " AND name IS NOT NULL"
    assert analyse(declared(filtered), catalogue()).classification["name"] == Level.L3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("-- gov.lineage: name from", "-- gov.lineage: nome from"), "no declared lineage of name"),
        (("police.residents.name because", "police.residents.nothing because"), "is no column that the model can read"),
        (("COLUMNS('^na.*')", "name"), "its lineage is found, and declared as well"),
    ],
    ids=["another-column", "no-source", "found"],
)
def test_a_declaration_that_is_not_right_is_a_fault(change: tuple[str, str], said: str) -> None:
    faults = analyse(declared(STARRED.replace(*change)), catalogue()).faults
    assert any(said in fault.found for fault in faults)


def test_a_declaration_that_cannot_be_read_is_a_fault() -> None:
    for line in (
        "name police.residents.name",
        "name from residents.name because x",
        "name from a.b.c",
        "* from because x",
    ):
        text = f"-- gov.lineage: {line}\nSELECT 1 AS name"
        _, faults = parse_model(text, file="f", name="curated.m", contract=model("").contract)
        assert [fault.path for fault in faults] == ["gov.lineage"], line


def test_a_form_that_sqlglot_cannot_qualify_is_a_fault():
    inner = "SELECT (SELECT max(i.salary) + j.month FROM social.insured i WHERE i.kind = r.name) FROM social.insured j"
    sql = f"SELECT ({inner} WHERE j.kind = r.division ORDER BY 1 LIMIT 1) AS n FROM police.residents r"  # noqa: S608
    [fault] = analyse(model(sql), catalogue()).faults
    assert fault.found == "a form of SQL that cannot be followed"


def test_a_cte_that_nobody_names_is_not_read():
    sql = (
        "WITH u AS (SELECT name FROM police.residents), v AS (SELECT name FROM u) SELECT division FROM police.residents"
    )
    analysis = analyse(model(sql), catalogue())
    assert analysis.edges.complete
    assert analysis.reads == {"police.residents": ("division",)}


def test_a_column_that_no_trace_met_is_never_taken_for_unread(monkeypatch):
    """Unread columns are bound as NULL: what is overlooked would change the rows in silence."""
    monkeypatch.setattr(Tracer, "_clause", lambda *_: frozenset())
    analysis = analyse(model("SELECT division FROM police.residents WHERE name = 'a'"), catalogue())
    assert not analysis.edges.complete
    assert any("could not be followed" in fault.found for fault in analysis.faults)
