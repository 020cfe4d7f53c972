"""What each target makes of a policy that uses every construct, held as files; and that their names and literals cannot break out."""

from __future__ import annotations

import json
import re

import pytest
import sqlglot

from governance.policy.exports.dialect import DATABRICKS, POSTGRES, TRINO
from governance.policy.exports.targets import TARGETS
from governance.policy.exports.trino import pattern
from tests.policy.exports.golden import FOLDER, made

HOSTILE = (
    "a'b",
    'a"b',
    "a`b",
    "a;b--",
    "a\\b",
    "a\\'b",
    "%s",
    "a.*b",
    "[a]",
    "(a|b)",
    "^a$",
    "a\\Eb",
    "\\Q",
    "名",
    "a b",
    "$gov$",
)


@pytest.fixture(scope="module")
def files():
    return made()


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_the_files_are_the_ones_that_were_read_and_committed(files, target):
    """After a change that is meant: python -m tests.policy.exports.golden, and read the difference."""
    kept = {
        str(f.relative_to(FOLDER)): f.read_text(encoding="utf-8") for f in (FOLDER / target).rglob("*") if f.is_file()
    }
    own = {path: text for path, text in files.items() if path.startswith(f"{target}/")}
    assert own.keys() == kept.keys()
    for path, text in own.items():
        assert text == kept[path], path


def test_every_statement_of_the_scripts_parses(files):
    for target, dialect in (("postgres", "postgres"), ("unity", "databricks")):
        for line in files[f"{target}/policy.sql"].splitlines():
            if line.startswith(("CREATE VIEW", "GRANT", "REVOKE", "ALTER TABLE", "CREATE SCHEMA")):
                assert len(sqlglot.parse(line, dialect=dialect)) <= 2, line


def test_every_mask_and_filter_of_trino_parses(files):
    rules = json.loads(files["trino/rules.json"])["tables"]
    texts = [rule["filter"] for rule in rules if "filter" in rule]
    texts += [column["mask"] for rule in rules for column in rule.get("columns", ()) if "mask" in column]
    assert len(texts) > 25
    for text in texts:
        assert len(sqlglot.parse(text, dialect="trino")) == 1


@pytest.mark.parametrize("name", HOSTILE)
def test_a_pattern_matches_its_name_alone(name):
    assert re.fullmatch(pattern(name), name)
    assert not [
        other
        for other in (*HOSTILE, "ab", "axxb", "a", "", name + "\n", "x" + name)
        if other != name and re.fullmatch(pattern(name), other)
    ]


@pytest.mark.parametrize("dialect", [POSTGRES, TRINO, DATABRICKS], ids=lambda d: d.name)
@pytest.mark.parametrize("name", HOSTILE)
def test_names_and_texts_come_back_as_they_went_in(dialect, name):
    tree = sqlglot.parse_one(f"SELECT {dialect.text(name)} AS {dialect.identifier(name)}", dialect=dialect.name)
    assert (tree.selects[0].alias, tree.selects[0].this.name) == (name, name)
