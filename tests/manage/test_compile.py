from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from governance.catalog.rules import CodeSetRule, ReferenceRule, RowRule, TableRule, UniqueRule
from governance.catalog.types import CodeSet, Level, Reference, Suite
from governance.errors import DeclarationError
from governance.manage import compile_rules
from tests.manage.tables import dataset, expect, field, flags, suite

CODES = {"kinds": CodeSet("kinds", "kinds.csv", "h", ("A", "B"))}
DATASET = dataset(
    field("id", "integer", primary_key_position=1),
    field("name", "string", required=True, min_length=2, pattern="^[A-Z]", severities={"pattern": "warn"}),
    field("kind", "string", code_set="kinds"),
    field("amount", "decimal", minimum="0", maximum="10.50", exclusive_maximum=True, severities={"range": "stop"}),
    field("parent", "integer", references=Reference("d.t", "id")),
    field("abroad", "integer", references=Reference("e.t", "id")),
)


def test_base_rules_follow_from_the_contract() -> None:
    rules = {rule.id: rule for rule in compile_rules(DATASET, None, CODES).rules}
    assert list(rules) == [
        "type:id", "required:id", "unique:id", "required:name", "length:name", "pattern:name", "codeSet:kind", "type:amount",
        "range:amount", "type:parent", "reference:parent", "type:abroad",
    ]  # fmt: skip
    assert rules["type:id"] == RowRule("type:id", "quarantine", ("id",), '"id__bad"', 'NOT "id" IS NULL OR "id__bad"')
    assert rules["unique:id"] == UniqueRule("unique:id", "quarantine", ("id",), 'NOT "id" IS NULL')
    assert rules["pattern:name"].severity == "warn"
    pattern = rules["pattern:name"]
    assert isinstance(pattern, RowRule)
    assert pattern.unexpected == "NOT (REGEXP_MATCHES(\"name\", '^[A-Z]'))"
    amount = rules["range:amount"]
    assert isinstance(amount, RowRule)
    assert (amount.severity, amount.unexpected) == ("stop", '"amount" < 0 OR "amount" >= 10.5')
    assert isinstance(rules["codeSet:kind"], CodeSetRule)
    assert rules["reference:parent"] == ReferenceRule(
        "reference:parent", "quarantine", ("parent",), "d.t", "id", 'NOT "parent" IS NULL'
    )


def test_a_contracts_pattern_reads_spaces_of_all_alphabets_and_words_of_ascii() -> None:
    """ECMA-262, by ODCS."""
    texts = pa.table({"name": ["a b", "a\u3000b", "a\u00a0b", "a_b", "张 三", "1\ufeff2", "٣ 3"]})
    (rule,) = compile_rules(dataset(field("name", "string", pattern=r"^\w\s\w$")), None, {}).rules
    assert isinstance(rule, RowRule)
    assert flags(texts, rule.unexpected) == [False, False, False, True, True, False, True]


def test_a_compound_key_is_required_and_unique_together() -> None:
    of = dataset(field("a", "string", primary_key_position=2), field("b", "string", primary_key_position=1))
    rules = {rule.id: rule for rule in compile_rules(of, None, {}).rules}
    assert list(rules) == ["required:a", "required:b", "key:b+a"]
    assert rules["key:b+a"].columns == ("b", "a")


def test_a_curated_table_has_no_rules_about_conversion() -> None:
    of = replace(DATASET, name="curated.t", department="curated")
    assert not [
        rule for rule in compile_rules(of, None, CODES).rules if rule.id.startswith(("type:", "reference:parent"))
    ]


def test_the_same_texts_give_the_same_hash_and_another_text_another() -> None:
    one = suite(expect("expect_column_values_to_be_between", column="amount", min_value=1))
    assert compile_rules(DATASET, one, CODES) == compile_rules(DATASET, one, CODES)
    other = suite(expect("expect_column_values_to_be_between", column="amount", min_value=2))
    hashes = {compile_rules(DATASET, s, CODES).hash for s in (None, one, other)}
    assert len(hashes) == 3


def test_a_suite_keeps_severity_mostly_and_condition() -> None:
    entry = {
        **expect("expect_column_values_to_be_between", column="amount", min_value=1, mostly=0.9),
        "severity": "warning",
        "meta": {"note": "kept"},
    }
    entry["kwargs"] |= {"row_condition": 'col("kind") == "A"', "condition_parser": "great_expectations"}
    compiled = compile_rules(DATASET, suite(entry), CODES)
    rule, rows = compiled.rules[-2:]
    assert rule == RowRule(
        "suite:expect_column_values_to_be_between:amount:if-" + rule.id[-6:],
        "warn",
        ("amount",),
        '("kind" = \'A\') AND ("amount" < 1)',
        '("kind" = \'A\') AND NOT "amount" IS NULL',
    )
    assert isinstance(rows, TableRule)
    assert rows.id == rule.id + ":rows"
    config = json.loads(compiled.expectations[-1].config)
    assert config["kwargs"]["mostly"] == 0.9
    assert config["kwargs"]["row_condition"] == {
        "type": "comparison",
        "column": {"name": "kind"},
        "operator": "==",
        "parameter": "A",
    }
    assert config["meta"] == {
        "note": "kept",
        "gov": {"id": rule.id, "rules": [rule.id, rows.id], "scope": "batch", "severity": "warn", "source": "suite"},
    }


def test_critical_sets_rows_aside_and_stops_for_tables_unless_meta_says_otherwise() -> None:
    entries = (
        expect("expect_column_values_to_not_be_null", column="kind"),
        expect("expect_table_row_count_to_be_between", min_value=1),
        {**expect("expect_column_values_to_not_be_null", column="amount"), "meta": {"gov": {"severity": "stop"}}},
        {
            **expect("expect_column_max_to_be_between", column="amount", max_value=5),
            "meta": {"gov": {"scope": "table"}},
        },
    )
    rules = compile_rules(DATASET, suite(*entries), CODES).rules[-4:]
    assert [rule.severity for rule in rules] == ["quarantine", "stop", "stop", "stop"]
    assert isinstance(rules[-1], TableRule)
    assert rules[-1].scope == "table"


def test_an_encrypted_columns_extreme_stays_in_the_pass() -> None:
    of = dataset(replace(field("salary", "decimal"), classification=Level.L3))
    compiled = compile_rules(of, suite(expect("expect_column_max_to_be_between", column="salary", max_value=99)), {})
    rule = compiled.rules[-1]
    assert isinstance(rule, TableRule)
    assert rule.value == 'MAX("salary") <= 99'
    assert compiled.expectations[-1].holds


BAD = [
    ({"type": "expect_column_values_to_be_nice", "kwargs": {}}, "unknown expectation type"),
    (expect("expect_column_values_to_be_increasing", column="id"), "not compiled"),
    (expect("expect_column_values_to_not_be_null", column="nobody"), "no column 'nobody'"),
    (expect("expect_column_values_to_not_be_null", column="id", moostly=1), "unknown kwargs: moostly"),
    (expect("expect_column_values_to_not_be_null", column="id", mostly=2), "mostly is not what it must be"),
    (expect("expect_column_values_to_match_regex", column="name", regex="(?=a)"), "pattern cannot be used"),
    (expect("expect_column_values_to_match_regex", column="id", regex="a"), "of type integer"),
    (expect("expect_column_values_to_match_regex", column="name", regex=r"[\S_]"), "within brackets"),
    (expect("expect_column_pair_values_to_be_equal", column_A="id", column_B="name"), "of different types"),
    (expect("expect_column_pair_values_a_to_be_greater_than_b", column_A="name", column_B="id"), "different types: integer, string"),
    (expect("expect_compound_columns_to_be_unique", column_list=["id", "id"]), "names a column twice"),
    (expect("expect_compound_columns_to_be_unique", column_list=["id", "name"], ignore_row_if="neither"), "ignore_row_if: 'neither'"),
    (expect("expect_column_pair_values_to_be_equal", column_A="id", column_B="amount", ignore_row_if="never"), "ignore_row_if: 'never'"),
    (expect("expect_column_values_to_be_between", column="name", min_value="a"), "which has no bounds"),
    (expect("expect_column_max_to_be_between", column="amount", min_value=3, max_value=1), "min_value is greater"),
    (expect("expect_column_mean_to_be_between", column="amount", min_value=1, max_value=1, strict_max=True), "nothing is between"),
    (expect("expect_column_values_to_be_in_set", column="id", value_set=["a"]), "does not compare"),
    (expect("expect_column_values_to_be_between", column="amount", min_value=3, max_value=1), "greater than max_value"),
    (expect("expect_column_values_to_be_between", column="amount"), "neither min_value nor max_value"),
    (expect("expect_column_type_to_be", column="id", type_="VARCHAR"), "is a integer"),
    (expect("expect_column_values_to_not_be_null", column="id", row_condition="x =", condition_parser="pandas"), "cannot be read"),
    (
        expect("expect_column_values_to_not_be_null", column="id", row_condition='col("z") > 1', condition_parser="great_expectations"),
        "row_condition: there is no column 'z'",
    ),
    (expect("expect_column_values_to_be_between", column="amount", min_value={"$PARAMETER": "p"}), "suite parameter"),
    ({**expect("expect_table_row_count_to_equal", value=1), "meta": {"gov": {"severity": "quarantine"}}}, "cannot quarantine"),
    ({**expect("expect_table_row_count_to_equal", value=1), "meta": {"gov": {"sverity": "stop"}}}, "meta.gov holds"),
    ({**expect("expect_table_row_count_to_equal", value=1), "severity": "fatal"}, "'fatal' is no severity"),
    ({**expect("expect_table_row_count_to_equal", value=1), "kwarg": 1}, "unknown key"),
    ({"expectation_type": "expect_table_row_count_to_equal", "kwargs": {"value": 1}}, "missing"),
]  # fmt: skip


@pytest.mark.parametrize(("entry", "found"), BAD, ids=[found for _, found in BAD])
def test_what_does_not_compile_is_a_fault_at_its_line(entry: dict[str, object], found: str) -> None:
    good = expect("expect_column_values_to_not_be_null", column="id")
    given = suite(good, entry)
    with pytest.raises(DeclarationError) as error:
        compile_rules(DATASET, given, CODES)
    (fault,) = error.value.faults
    lines = given.text.splitlines()
    begins = 1 + next(n for n, text in enumerate(lines) if text == "    {" and n > 3)
    assert fault.file == "expectations/d/t.json"
    assert begins <= fault.line <= len(lines)
    assert found in str(fault)


def test_a_rules_name_does_not_change_with_what_stands_around_it() -> None:
    between, equal = "expect_column_values_to_be_between", "expect_column_values_to_be_in_set"
    entries = [
        expect("expect_column_values_to_not_be_null", column="kind"),
        expect(between, column="amount", min_value=1),
        expect(between, column="amount", max_value=9),
        expect(between, column="amount", max_value=9, row_condition=only("A")),
        expect(between, column="amount", max_value=8, row_condition=only("B")),
        expect(equal, column="amount", value_set=[1]),
    ]
    names = suite_ids(*entries)
    assert len(set(names)) == len(entries)
    assert names[1:3] == [f"suite:{between}:amount", f"suite:{between}:amount:2"]
    for gone in (0, 3, 4, 5):
        assert suite_ids(*(e for e in entries if e is not entries[gone])) == [n for n in names if n != names[gone]]
    assert suite_ids(*reversed(entries[3:])) == names[:2:-1]
    changed = {**entries[1], "kwargs": {**entries[1]["kwargs"], "min_value": 2, "mostly": 0.5}}
    assert suite_ids(entries[0], changed) == names[:2]


def only(kind: str) -> dict[str, object]:
    return {"type": "comparison", "column": {"name": "kind"}, "operator": "==", "parameter": kind}


def suite_ids(*entries: dict[str, Any]) -> list[str]:
    compiled = compile_rules(DATASET, suite(*entries), CODES)
    return [e.id for e in compiled.expectations if e.id.startswith("suite:")]


def test_every_fault_of_contract_and_suite_is_told_at_once() -> None:
    of = dataset(
        replace(field("name", "string", pattern="["), line=4),
        replace(field("day", "date", minimum="soon"), line=7),
        replace(field("kind", "string", code_set="colours"), line=9),
        replace(field("no", "string", check="resident_nmber"), line=11),
    )
    with pytest.raises(DeclarationError) as error:
        compile_rules(of, suite(expect("nope"), expect("nope2")), CODES)
    assert [(f.file, f.line) for f in error.value.faults] == [
        ("catalog/d.t.odcs.yaml", 4),
        ("catalog/d.t.odcs.yaml", 7),
        ("catalog/d.t.odcs.yaml", 9),
        ("catalog/d.t.odcs.yaml", 11),
        ("expectations/d/t.json", 4),
        ("expectations/d/t.json", 8),
    ]


def test_a_broken_suite_file_is_one_fault_at_its_line() -> None:
    with pytest.raises(DeclarationError, match=r"s\.json:3: .*not JSON"):
        compile_rules(DATASET, Suite("d.t", "s.json", '{"name": "a",\n"expectations": [\n{]}', "h"), CODES)


def test_compiling_does_not_import_gx() -> None:
    code = (
        "import sys; from governance.manage import compile_rules;"
        "from tests.manage.test_compile import DATASET, CODES, suite, expect;"
        "compile_rules(DATASET, suite(expect('expect_table_row_count_to_equal', value=1)), CODES);"
        "sys.exit('great_expectations' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
