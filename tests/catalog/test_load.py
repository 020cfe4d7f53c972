from __future__ import annotations

from pathlib import Path

import pytest

from governance.catalog.load import catalogue_of_texts
from governance.catalog.types import ColumnType, FileSource, Level, Reference
from governance.config import load_settings
from governance.errors import Fault
from tests.catalog.home import (
    CHECK,
    FILES,
    MODEL,
    MODEL_CONTRACT,
    PEOPLE,
    SEX,
    SUITE,
    VISITS,
    faults,
    line_of,
    load,
)

PEOPLE_FILE, VISITS_FILE = "catalog/health/people.odcs.yaml", "catalog/health/visits.odcs.yaml"
MODEL_FILE, CHECK_FILE = "catalog/curated/visitor.sql", "catalog/curated/visitor.twice.check.sql"
SEX_FILE, SUITE_FILE = "catalog/standards/sex.csv", "expectations/health/people.json"


def test_a_contract_becomes_the_dataset_that_it_describes(tmp_path: Path) -> None:
    people = load(tmp_path, FILES).datasets["health.people"]
    assert (people.department, people.system, people.version, people.owner) == ("health", "register", "1.2.0", "li")
    assert (people.load_mode, people.watermark, people.max_quarantine) == ("snapshot_diff", "born", 0.25)
    assert (people.deduplicate, people.update_cycle) == ("identical", "monthly")
    assert people.source == FileSource("sources/people.csv", "csv", "gb18030", ";")
    assert people.suite == SUITE_FILE
    assert people.description == "Who lives here."


def test_fields_carry_what_governs_them(tmp_path: Path) -> None:
    number, sex, born, income = load(tmp_path, FILES).datasets["health.people"].fields
    assert (number.source_name, number.required, number.unique, number.primary_key_position) == ("编号", True, True, 1)
    assert (number.classification, number.tags, number.domain) == (Level.L4, ("personal",), "person")
    assert (number.pattern, number.min_length, number.max_length) == ("^[0-9]+$", 2, 18)
    assert (number.check, number.severities) == ("resident_number", {"unique": "warn"})
    assert number.line == line_of(PEOPLE, "- name: number")
    assert (sex.code_set, sex.sharing, sex.open, sex.key_group) == ("sex", "conditional", True, "persons")
    assert (born.format, born.minimum, born.exclusive_minimum) == ("%d/%m/%Y", "1900-01-01", False)
    assert (born.maximum, born.exclusive_maximum) == ("2100-01-01", True)
    assert income.type == ColumnType("decimal", 18, 2)
    assert income.classification is None
    assert income.encrypted
    assert (income.minimum, income.exclusive_minimum, income.maximum) == ("0", True, "1500.0")


def test_references_are_found_inside_the_department(tmp_path: Path) -> None:
    assert load(tmp_path, FILES).datasets["health.visits"].field("person").references == Reference(
        "health.people", "number"
    )


def test_references_may_name_the_department(tmp_path: Path) -> None:
    files = {**FILES, "catalog/tax/visits.odcs.yaml": VISITS.replace("people.number", "health.people.number")}
    assert load(tmp_path, files).datasets["tax.visits"].field("person").references == Reference(
        "health.people", "number"
    )


def test_models_carry_their_contract_checks_and_head(tmp_path: Path) -> None:
    catalogue = load(tmp_path, FILES)
    model = catalogue.models["curated.visitor"]
    assert model.contract.name == "curated.visitor"
    assert "curated.visitor" not in catalogue.datasets
    assert model.declassify == {"visits": (Level.L1, "a count")}
    assert [(c.name, c.model, c.severity) for c in model.checks] == [("twice", "curated.visitor", "stop")]
    assert catalogue.table("curated.visitor") is model.contract


def test_code_sets_keep_their_order_and_dates(tmp_path: Path) -> None:
    sex = load(tmp_path, FILES).code_sets["sex"]
    assert (sex.codes, sex.valid_from, sex.valid_to) == (("1", "2"), {"2": "1980-01-01"}, {"2": "2030-01-01"})


def test_every_text_is_kept_under_its_hash(tmp_path: Path) -> None:
    catalogue = load(tmp_path, FILES)
    hashes = {d.text_hash for d in catalogue.datasets.values()} | {c.text_hash for c in catalogue.code_sets.values()}
    hashes |= {s.text_hash for s in catalogue.suites.values()}
    for model in catalogue.models.values():
        hashes |= {model.text_hash, model.contract.text_hash, *(c.text_hash for c in model.checks)}
    assert hashes <= set(catalogue.texts)
    assert catalogue.texts[catalogue.datasets["health.people"].text_hash] == PEOPLE


def test_an_empty_home_loads(tmp_path: Path) -> None:
    catalogue = load(tmp_path, {})
    assert (catalogue.datasets, catalogue.models, catalogue.access_text) == ({}, {}, "")


def test_faults_of_all_files_come_at_once(tmp_path: Path) -> None:
    broken = {
        PEOPLE_FILE: PEOPLE.replace("logicalType: date", "logicalType: datetime").replace("gov.domain", "gov.dommain"),
        VISITS_FILE: VISITS.replace("people.number", "people.nobody"),
        MODEL_FILE: MODEL.replace("L1 because", "L1 for"),
        CHECK_FILE: CHECK.replace("stop", "quarantine"),
        SEX_FILE: SEX.replace("2,", "1,"),
        SUITE_FILE: SUITE.replace('"kwargs"', '"kwarg"'),
    }
    found = faults(tmp_path, {**FILES, **broken})
    assert {f.file for f in found} == set(broken) - {VISITS_FILE}  # nobody is blamed for naming a broken contract
    assert found == tuple(sorted(found))
    assert not any(f.file == "" or f.line < 1 for f in found)


def test_several_faults_of_one_file_come_at_once(tmp_path: Path) -> None:
    text = (
        PEOPLE.replace("gov.domain", "gov.dommain")
        .replace("value: gb18030", "value: gb99")
        .replace("value: sex", "value: 7")
    )
    assert len(faults(tmp_path, {**FILES, PEOPLE_FILE: text})) == 3


# (file, text there, old, new, what the line holds then, path or what is found)
CASES = [
    pytest.param(PEOPLE_FILE, PEOPLE, "logicalType: date", "logicalType: datetime", "logicalType: datetime", "is not one of", id="type"),
    pytest.param(PEOPLE_FILE, PEOPLE, "        tags: [personal]", "        tag: [personal]", "tag: [", "unknown key", id="unknown-key"),
    pytest.param(PEOPLE_FILE, PEOPLE, "status: active", "status: active\nsteward: li", "steward: li", "unknown key", id="unknown-top-key"),
    pytest.param(PEOPLE_FILE, PEOPLE, "version: 1.2.0\n", "", "apiVersion", "'version' is missing", id="missing"),
    pytest.param(PEOPLE_FILE, PEOPLE, "version: 1.2.0", "version: 1.2", "version: 1.2", "wrong type", id="wrong-type"),
    pytest.param(PEOPLE_FILE, PEOPLE, "v3.1.0", "v2.2.0", "v2.2.0", "does not match", id="api-version"),
    pytest.param(PEOPLE_FILE, PEOPLE, "type: local", "type: locale", "type: locale", "is not one of", id="server-type"),
    pytest.param(PEOPLE_FILE, PEOPLE, "    format: csv\n", "", "- server: files", "'format' is missing", id="server-format"),
    pytest.param(PEOPLE_FILE, PEOPLE, "gov.domain", "gov.dommain", "gov.dommain", "not one of our properties", id="gov-name"),
    pytest.param(PEOPLE_FILE, PEOPLE, "gov.system", "gov.domain", "gov.domain, value: register", "not one of our", id="gov-place"),
    pytest.param(PEOPLE_FILE, PEOPLE, "gov.check,", "gov.domain,", "value: resident_number", "stands twice", id="gov-twice"),
    pytest.param(PEOPLE_FILE, PEOPLE, "value: warn", "value: ignore", "value: ignore", "not a value of gov.severity", id="severity"),
    pytest.param(PEOPLE_FILE, PEOPLE, "value: persons", "value: footer", "value: footer", "gov.keyGroup", id="reserved-group"),
    pytest.param(PEOPLE_FILE, PEOPLE, "value: 0.25", "value: 25", "value: 25", "gov.maxQuarantine", id="max-quarantine"),
    pytest.param(PEOPLE_FILE, PEOPLE, "value: gb18030", "value: gb99", "value: gb99", "gov.encoding", id="encoding"),
    pytest.param(PEOPLE_FILE, PEOPLE, 'value: ";"', 'value: ";;"', 'value: ";;"', "gov.delimiter", id="delimiter"),
    pytest.param(PEOPLE_FILE, PEOPLE, "snapshot_diff", "mirror", "value: mirror", "gov.loadMode", id="load-mode"),
    pytest.param(PEOPLE_FILE, PEOPLE, "        primaryKey: true\n", "", "snapshot_diff", "without a primary key", id="no-key"),
    pytest.param(PEOPLE_FILE, PEOPLE, "value: born", "value: birth", "value: birth", "'birth' is not a field", id="watermark"),
    pytest.param(PEOPLE_FILE, PEOPLE, "value: born", "value: sex", "gov.watermark", "'sex' is a string", id="watermark-type"),
    pytest.param(PEOPLE_FILE, PEOPLE, "value: sex", "value: sexes", "- name: sex", "no code set 'sexes'", id="code-set"),
    pytest.param(PEOPLE_FILE, PEOPLE, "- name: sex", "- name: _batch", "- name: _batch", "our own columns", id="reserved"),
    pytest.param(PEOPLE_FILE, PEOPLE, "- name: sex", "- name: sex__token", "- name: sex__token", "token columns", id="token-name"),
    pytest.param(PEOPLE_FILE, PEOPLE, "- name: sex", "- name: Number", "- name: Number", "is a field already", id="field-twice"),
    pytest.param(PEOPLE_FILE, PEOPLE, "- name: sex", "- name: s.e.x", "- name: s.e.x", "no field name has", id="field-name"),
    pytest.param(PEOPLE_FILE, PEOPLE, "^[0-9]+$", "^[0-9+$", "^[0-9+$", "not a regular expression", id="pattern"),
    pytest.param(PEOPLE_FILE, PEOPLE, "dd/MM/yyyy", "QQ/yyyy", "QQ/yyyy", "cannot be read", id="date-format"),
    pytest.param(PEOPLE_FILE, PEOPLE, "DECIMAL(18,2)", "DECIMAL(50,2)", "DECIMAL(50,2)", "cannot be kept", id="decimal"),
    pytest.param(PEOPLE_FILE, PEOPLE, "minLength: 2", "minLength: 20", "minLength: 20", "above maxLength", id="lengths"),
    pytest.param(PEOPLE_FILE, PEOPLE, "minimum: -5", "multipleOf: 0.5", "multipleOf", "0.5 on DECIMAL(18,2)", id="multiple"),
    pytest.param(PEOPLE_FILE, PEOPLE, "gov.sharing, value: conditional", "gov.sharing, value: maybe", "maybe", "gov.sharing", id="share"),
    pytest.param(PEOPLE_FILE, PEOPLE, "kind: DataContract", "kind: [DataContract", "id: health-people", "not YAML", id="yaml"),
    pytest.param(PEOPLE_FILE, PEOPLE, "id: health-people", "id: !!python/name:os.system ''", "python/name", "the tag", id="yaml-tag"),
    pytest.param(PEOPLE_FILE, PEOPLE, "status: active", "status: active\nid: two", "id: two", "stands twice", id="yaml-key-twice"),
    pytest.param(VISITS_FILE, VISITS, "people.number", "patients.number", "- name: person", "no dataset 'health.patients'", id="ref-dataset"),
    pytest.param(VISITS_FILE, VISITS, "people.number", "people.nobody", "- name: person", "has no field 'nobody'", id="ref-field"),
    pytest.param(VISITS_FILE, VISITS, "people.number", "people", "- to: people", "fits none of the forms", id="ref-form"),
    pytest.param(VISITS_FILE, VISITS, "value: person", "value: firm", "- name: person", "identifier domain 'firm'", id="ref-domain"),
    pytest.param(VISITS_FILE, VISITS, "people.number", "people.born", "- name: person", "identifier domain", id="ref-no-domain"),
    pytest.param(VISITS_FILE, VISITS, "logicalType: string", "logicalType: date", "- name: person", "gov.domain on a date", id="domain-type"),
    pytest.param(MODEL_FILE, MODEL, "L1 because", "L1 for", "gov.declassify", "cannot be read", id="declassify"),
    pytest.param(MODEL_FILE, MODEL, "gov.declassify", "gov.declasify", "gov.declasify", "not one of our declarations", id="head-name"),
    pytest.param(MODEL_FILE, MODEL, "GROUP BY", "-- gov.tolerance: sums\nGROUP BY", "gov.tolerance", "below the head", id="head-late"),
    pytest.param(MODEL_FILE, MODEL, "-- People", "-- gov.tolerance:\n-- People", "gov.tolerance", "without a value", id="head-empty"),
    pytest.param(CHECK_FILE, CHECK, "stop", "quarantine", "quarantine", "no severity of a check", id="check-severity"),
    pytest.param(CHECK_FILE, CHECK, "SELECT", "-- SELECT", "gov.severity", "no SQL", id="no-sql"),
    pytest.param(SEX_FILE, SEX, "2,女性", "1,女性", "1,女性", "stands in line 2 already", id="code-twice"),
    pytest.param(SEX_FILE, SEX, "code,name", "kode,name", "kode", "no column 'code'", id="no-code-column"),
    pytest.param(SEX_FILE, SEX, "1,男性,,", "1,男性,", "1,男性", "3 cells", id="cells"),
    pytest.param(SEX_FILE, SEX, "1980-01-01", "1980", "1980", "no date", id="code-date"),
    pytest.param(SEX_FILE, SEX, "2030-01-01", "1970-01-01", "1970", "not after valid_from", id="code-dates"),
    pytest.param(SEX_FILE, SEX, "男性,,", '"男"性,,', "男", "not CSV", id="csv"),
    pytest.param(SUITE_FILE, SUITE, '"kwargs"', '"kwarg"', "kwarg", "unknown key", id="suite-key"),
    pytest.param(SUITE_FILE, SUITE, '"name": "people",\n', "", "{", "'name' is missing", id="suite-name"),
    pytest.param(SUITE_FILE, SUITE, '"critical"', '"fatal"', "fatal", "no severity", id="suite-severity"),
    pytest.param(SUITE_FILE, SUITE, '"people",', '"people"', '"expectations"', "not JSON", id="json"),
    pytest.param(SUITE_FILE, SUITE, '"kwargs": {"column": "number"}', '"kwargs": [1]', "kwargs", "the wrong type", id="suite-type"),
    pytest.param(SUITE_FILE, SUITE, '"name": "people",', '"name": "a",\n"name": "b",', '"name": "b"', "twice", id="suite-key-twice"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "text", "old", "new", "there", "found"), CASES)
def test_a_fault_stands_at_its_file_and_line(
    tmp_path: Path, file: str, text: str, old: str, new: str, there: str, found: str
) -> None:
    assert old in text
    changed = text.replace(old, new, 1)
    reported = faults(tmp_path, {**FILES, file: changed})
    matching = [f for f in reported if found in f"{f.path}: {f.found}"]
    assert [(f.file, f.line) for f in matching[:1]] == [(file, line_of(changed, there))], reported
    assert all(f.allowed or f.do for f in reported)


@pytest.mark.parametrize(
    ("file", "text", "found"),
    [
        ("catalog/health/notes.yaml", "a: 1", "a file that nobody reads"),
        ("catalog/people.odcs.yaml", PEOPLE, "a file that nobody reads"),
        ("catalog/health/old/people.odcs.yaml", PEOPLE, "a file that nobody reads"),
        ("catalog/standards/sex.yaml", "a: 1", "a file that nobody reads"),
        ("catalog/curated/a.b.sql", "SELECT 1", "a file that nobody reads"),
        ("expectations/people.json", SUITE, "a file that nobody reads"),
        ("expectations/health/nobody.json", SUITE, "there is no dataset 'health.nobody'"),
        ("catalog/health/PEOPLE.odcs.yaml", PEOPLE, "declared in catalog/health/PEOPLE.odcs.yaml already"),
        ("catalog/my-health/people.odcs.yaml", PEOPLE, "the folder 'my-health'"),
        ("catalog/health/my-people.odcs.yaml", PEOPLE, "no name for a dataset"),
        ("catalog/health/people__quarantine.odcs.yaml", PEOPLE, "no name for a dataset"),
        ("catalog/curated/lonely.sql", "SELECT 1 AS a", "a model without a contract"),
        ("catalog/curated/lonely.odcs.yaml", MODEL_CONTRACT, "a curated contract without its SELECT or step"),
        ("catalog/curated/lonely.a.check.sql", "SELECT 1 AS a", "there is no model 'curated.lonely'"),
    ],
)
def test_a_file_in_the_wrong_place_is_a_fault(tmp_path: Path, file: str, text: str, found: str) -> None:
    reported = faults(tmp_path, {**FILES, file: text})
    assert [f.line for f in reported if found in f.found] == [1], reported


def test_notes_and_backups_are_no_declarations(tmp_path: Path) -> None:
    assert faults(tmp_path, {**FILES, "catalog/health/README.md": "# notes", "catalog/.git/config": "x"}) == ()


def test_a_file_that_is_not_utf8_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "catalog" / "standards").mkdir(parents=True)
    (tmp_path / "catalog" / "standards" / "kinds.csv").write_bytes("code\n类\n".encode("gb18030"))
    assert [f.found for f in faults(tmp_path, {})] == ["not UTF-8 at byte 5"]


def test_aliases_that_unfold_without_end_are_a_fault(tmp_path: Path) -> None:
    layers = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))
    found = faults(tmp_path, {"catalog/health/people.odcs.yaml": f"a0: &a0 [x]\n{layers}"})
    assert any("too large" in f.found for f in found)


def test_an_unknown_gov_name_says_which_names_there_are(tmp_path: Path) -> None:
    found = faults(tmp_path, {**FILES, PEOPLE_FILE: PEOPLE.replace("gov.domain", "gov.dommain")})
    line = line_of(PEOPLE, "gov.domain")
    path = "schema.0.properties.0.customProperties.0.property"
    assert found[0] == Fault(
        PEOPLE_FILE, line, path, "'gov.dommain' is not one of our properties here", found[0].allowed, found[0].do
    )
    assert "gov.domain" in found[0].allowed


STEP = """\
# Visitors.
# gov.tolerance: none
# gov.lineage: visits from health.visits.person because they are counted
# gov.declassify: visits L1 because a count

def rows(inputs):
    return []
"""
STEP_FILE = "catalog/curated/visitor.py"


def with_step(text: str) -> dict[str, str]:
    return {**{file: content for file, content in FILES.items() if file != MODEL_FILE}, STEP_FILE: text}


def test_a_step_is_a_model_with_its_head_in_comments_of_python(tmp_path: Path) -> None:
    model = load(tmp_path, with_step(STEP)).models["curated.visitor"]
    assert (model.language, model.file, model.sql) == ("python", STEP_FILE, STEP)
    assert model.lineage == {"visits": (("health.visits.person",), "they are counted")}
    assert (model.tolerance, model.declassify) == ("none", {"visits": (Level.L1, "a count")})
    assert [c.name for c in model.checks] == ["twice"]


def test_a_select_and_a_step_of_one_name_are_a_fault(tmp_path: Path) -> None:
    found = faults(tmp_path, {**FILES, STEP_FILE: STEP})
    assert {fault.file for fault in found if "both a SELECT and a step" in fault.found} == {MODEL_FILE, STEP_FILE}


@pytest.mark.parametrize(
    ("text", "line", "found"),
    [
        (STEP.replace("return []", "return ["), 7, "'[' was never closed"),
        (STEP.replace("def rows", "def row"), 1, "no such function"),
        (STEP.replace("def rows", "async def rows"), 6, "asynchronous"),
        (STEP.replace("(inputs)", "(inputs, more)"), 6, "other arguments"),
        (STEP.replace("(inputs)", "(inputs={})"), 6, "other arguments"),
        (STEP.replace("(inputs)", "(tables)"), 6, "other arguments"),
        (STEP.replace("def rows", "@staticmethod\ndef rows"), 7, "decorated"),
        (STEP + "def rows(inputs): pass\n", 8, "defined twice"),
        (STEP.replace("return []", "import governance.keys"), 7, "imports governance.keys"),
        (STEP.replace("return []", "from . import keys"), 7, "imports ."),
        (STEP + "# gov.lineage: x from nothing because y\n", 8, "a declaration below the head"),
        (STEP.replace("# gov.tol", "# gov.tole"), 2, "not one of our declarations here"),
        (STEP + "x = '\0'\n", 1, "null bytes"),
        (STEP + "x = " + "-" * 100_000 + "1\n", 1, "cannot be read"),
    ],
    ids=[
        "syntax",
        "name",
        "async",
        "more",
        "default",
        "argument",
        "decorated",
        "twice",
        "import",
        "relative",
        "below",
        "unknown",
        "null",
        "deep",
    ],
)
def test_what_is_wrong_with_a_step_is_told_with_its_line(tmp_path: Path, text: str, line: int, found: str) -> None:
    told = [(fault.line, fault.found) for fault in faults(tmp_path, with_step(text)) if fault.file == STEP_FILE]
    assert len(told) == 1
    assert told[0][0] == line
    assert found in told[0][1]


def test_a_step_that_the_state_keeps_is_a_step_again(tmp_path: Path) -> None:
    catalogue = load(tmp_path, with_step(STEP))
    kept = {("model", "curated.visitor"): STEP, ("contract", "curated.visitor"): MODEL_CONTRACT}
    again = catalogue_of_texts(kept, load_settings(tmp_path)).catalogue.models
    assert again["curated.visitor"].language == "python"
    assert again["curated.visitor"].file == catalogue.models["curated.visitor"].file


def test_a_multiple_of_the_last_place_makes_a_decimal_exact(tmp_path: Path) -> None:
    catalogue = load(tmp_path, {**FILES, PEOPLE_FILE: PEOPLE.replace("minimum: -5", "multipleOf: 0.01")})
    assert [f.exact for f in catalogue.datasets["health.people"].fields if f.type.kind == "decimal"] == [True]
