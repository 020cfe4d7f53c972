"""A home whose declarations have faults is served for what is in order."""

from __future__ import annotations

import secrets
import shutil

import pytest

from governance.errors import DeclarationError
from governance.service.home import Home as ServedHome
from governance.service.home import open_served
from governance.use.attest import Asked, attest
from tests.use.lookup_home import ROOT, Home, number

FAMILY, PERSON, RESIDENTS = "curated/family", "curated/person", "public_security/residents"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Published tables; a test that spoils a declaration puts it right again."""
    opened = Home(tmp_path_factory.mktemp("home"))
    for table in ("curated.person", "curated.family"):
        opened.fill(table, 10)
    opened.release("curated.person", "curated.family")
    shutil.copytree(ROOT / "catalog", opened.settings.catalog)
    shutil.copytree(ROOT / "expectations", opened.settings.expectations)
    yield opened
    opened.database.close()


@pytest.fixture
def spoil(home):
    """What spoils a file of the catalogue for one test."""
    texts = {}

    def spoiled(name, old="logicalType: string", new="logicalType: strin"):
        path = home.settings.catalog / name
        texts[path] = path.read_text(encoding="utf-8")
        path.write_text(texts[path].replace(old, new, 1) if old else new, encoding="utf-8")

    yield spoiled
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("broken", "old", "served"),
    [
        (FAMILY, "logicalType: string", ["curated.person"]),
        (PERSON, "logicalType: string", ["curated.family"]),
        (PERSON, "", ["curated.family"]),
        (RESIDENTS, "logicalType: string", ["curated.family", "curated.person"]),
    ],
    ids=["family", "person", "no-yaml", "a-source"],
)
def test_a_faulty_contract_takes_away_its_own_table_and_no_other(home, spoil, broken, old, served):
    spoil(f"{broken}.odcs.yaml", old, "logicalType: strin" if old else "{{{")
    context = open_served(home.settings)
    assert [fault.file for fault in context.faults] == [f"catalog/{broken}.odcs.yaml"]
    tables = ServedHome(context).tables("user:steward", "data_quality")
    assert [table["table"] for table in tables] == served


def test_questions_about_sound_tables_are_still_answered(home, spoil):
    spoil(f"{FAMILY}.odcs.yaml")
    context = open_served(home.settings)
    given = {"settings": context.settings, "catalogue": context.catalogue, "database": context.database}
    who = {"subject": "user:wang", "purpose": "benefits", "nonce": secrets.token_hex(16)}
    assert "age" in attest(Asked("age", "18", number(1)), lake=context.lake, **given, **who)


def test_without_access_rules_nothing_is_served(home, spoil):
    spoil("access.yaml", "", "{{{")
    with pytest.raises(DeclarationError, match=r"access\.yaml"):
        open_served(home.settings)
