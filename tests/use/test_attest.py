"""Attestations: one word about people, signed, to whom the question is open; and what the file of questions may say."""

from __future__ import annotations

import json
import secrets
from datetime import date, timedelta

import pytest

from governance.catalog.load import load_catalogue
from governance.config import load_settings
from governance.errors import Damaged, DeclarationError, Refused
from governance.keys.tokens import TOKEN_BYTES
from governance.policy.access import parse_access
from governance.use.attest import Asked, attest, born_by
from governance.use.attestation import open_attester, signed, verify
from governance.use.questions import parse_questions
from tests.use.asking import ledger
from tests.use.lookup_home import ROOT, Home, number

NONCE = "ab" * 16
TEXT = (ROOT / "catalog" / "attestations.yaml").read_text(encoding="utf-8")
MOTHER, FATHER = "05", "04"


def relative(i: int) -> str:
    """The relative of person `i`: the mother of even ones, the father of odd ones (`lookup_home.FIELDS`)."""
    return number(i + 200)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    opened = Home(tmp_path_factory.mktemp("home"))
    born = "CASE WHEN i % 5 = 0 THEN NULL WHEN i < 10 THEN DATE '1950-01-01' ELSE DATE '2020-01-01' END"
    opened.fill("curated.person", 30, birth_date=born)
    opened.fill("curated.family", 30)
    opened.release("curated.family", "curated.person")
    opened.settings.catalog.mkdir()
    (opened.settings.catalog / "attestations.yaml").write_text(TEXT, encoding="utf-8")
    yield opened
    opened.database.close()


def ask(home, question, claim, person, other=None, *, who=("user:wang", "benefits"), nonce=NONCE, **given):
    return attest(
        Asked(question, claim, person, other),
        nonce=nonce,
        subject=who[0],
        purpose=who[1],
        settings=home.settings,
        catalogue=home.catalogue,
        database=home.database,
        lake=home.lake,
        **given,
    )


def verified(home, document, **given):
    key = open_attester(home.settings.keyring).public_key
    return verify(document, key, at=home.database.clock() + timedelta(seconds=1), **given)


def test_my_mother_is_my_mother(home):
    document = ask(home, "kinship", "mother", number(2), relative(2))
    made = verified(home, document, nonce=NONCE)
    assert (made.question, made.claim, made.answer) == ("kinship", "mother", "yes")
    assert (made.purpose, made.asked_by) == ("benefits", "user:wang")
    assert made.expires - made.at == timedelta(minutes=60)
    assert set(made.about) == {"person", "relative"}


@pytest.mark.parametrize(
    ("claim", "person", "other", "answer"),
    [
        ("mother", 2, 3, "no"),  # the register names another mother
        ("mother", 3, 3, "unknown"),  # it names a father only
        ("father", 3, 3, "yes"),
        ("parent", 2, 2, "yes"),
        ("mother", 500, 2, "unknown"),  # it does not know the person
    ],
)
def test_the_register_says_yes_no_or_nothing(home, claim, person, other, answer):
    assert verified(home, ask(home, "kinship", claim, number(person), relative(other))).answer == answer


@pytest.mark.parametrize(("person", "answer"), [(3, "yes"), (13, "no"), (5, "unknown"), (99, "unknown")])
def test_an_age_is_reached_or_not_or_not_known(home, person, answer):
    assert verified(home, ask(home, "age", "18", number(person))).answer == answer


def test_the_document_and_the_ledger_hold_no_identifier_and_no_token(home):
    before = len(ledger(home, "attestation"))
    document = ask(home, "kinship", "mother", number(4), relative(4))
    [entry] = ledger(home, "attestation")[before:]
    assert entry["facts"]["question"] == "kinship"
    assert entry["facts"]["keys"] == 2
    assert "answer" not in entry["facts"]
    told = document + json.dumps(entry)
    assert not [value for value in (number(4), relative(4), f'"{MOTHER}"') if value in told]
    about = verified(home, document).about
    assert all(len(token) == 32 > 2 * TOKEN_BYTES for token in about.values())
    for path in home.settings.var.rglob("*"):
        assert not path.is_file() or number(4).encode() not in path.read_bytes(), path.name


def test_answers_to_two_nonces_cannot_be_joined_and_one_to_the_same_can(home):
    same = [verified(home, ask(home, "age", "60", number(3))).about for _ in range(2)]
    other = verified(home, ask(home, "age", "60", number(3), nonce=secrets.token_hex(16))).about
    assert same[0] == same[1]
    assert same[0] != other


@pytest.mark.parametrize(
    "who",
    [("user:li", "statistics"), ("user:wang", "statistics"), ("user:li", "benefits"), ("user:nobody", "benefits")],
)
def test_a_question_that_is_not_for_the_asker_is_absent(home, who):
    before = len(ledger(home, "access_refused"))
    with pytest.raises(Refused) as closed:
        ask(home, "age", "18", number(3), who=who)
    with pytest.raises(Refused) as absent:
        ask(home, "income", "18", number(3), who=who)
    assert str(closed.value) == str(absent.value)
    assert len(ledger(home, "access_refused")) == before + 2


def test_only_declared_claims_and_whole_questions_are_answered(home):
    for question, claim, other, nonce in (
        ("age", "17", None, NONCE),
        ("kinship", "cousin", relative(1), NONCE),
        ("kinship", "mother", None, NONCE),
        ("age", "18", relative(1), NONCE),
        ("age", "18", None, "ab"),
        ("age", "18", None, "zz" * 16),
    ):
        with pytest.raises(Refused):
            ask(home, question, claim, number(1), other, nonce=nonce)


def test_questions_have_a_budget(home):
    with pytest.raises(Refused, match="budget"):
        ask(home, "age", "18", number(3), keys_per_hour=0)


def test_a_question_gets_a_grant_of_exactly_its_columns_that_ends_with_it(home):
    ask(home, "age", "18", number(3))
    granted, revoked = ledger(home, "grant")[-1]["facts"], ledger(home, "grant_revoked")[-1]["facts"]
    assert granted["grant"] == revoked["grant"]
    assert granted["keys"] == [
        "curated/curated.person/L3/1",
        "curated/curated.person/footer/1",
        "digest:domain/person/1",
        "digest:purpose/benefits/1",
    ]


def test_a_changed_late_or_foreign_document_is_not_verified(home, tmp_path):
    document = ask(home, "age", "18", number(13))
    key, at = open_attester(home.settings.keyring).public_key, home.database.clock()
    for changed in (
        document.replace('"no"', '"yes"'),
        document.replace('"18"', '"60"'),
        "{}",
        "[]",
        "yes",
        document[:-5],
    ):
        with pytest.raises(Damaged):
            verify(changed, key, at=at)
    with pytest.raises(Damaged, match="signature"):
        verify(document, open_attester(tmp_path / "others").public_key, at=at)
    with pytest.raises(Refused, match="does not stand"):
        verify(document, key, at=at + timedelta(days=2))
    with pytest.raises(Refused, match="another nonce"):
        verify(document, key, at=at + timedelta(seconds=1), nonce="cd" * 16)
    with pytest.raises(Damaged):
        verify(signed({"v": 1, "question": "age"}, open_attester(home.settings.keyring)), key, at=at)


@pytest.mark.parametrize(
    ("on", "years", "expected"),
    [
        (date(2026, 11, 24), 18, date(2008, 11, 24)),
        (date(2024, 2, 29), 18, date(2006, 2, 28)),
        (date(2024, 2, 29), 16, date(2008, 2, 29)),
    ],
)
def test_an_age_is_reached_on_the_birthday(on, years, expected):
    assert born_by(on, years) == expected


def faults(text):
    catalogue = loaded()
    access = parse_access(catalogue.access_text, catalogue.access_file, catalogue)
    with pytest.raises(DeclarationError) as caught:
        parse_questions(text, "attestations.yaml", catalogue, access)
    return caught.value.faults


def loaded():
    return load_catalogue(load_settings(ROOT))


WRONG = [
    ("valid_minutes: 60", "valid_minuets: 60", "valid_minuets", "unknown key"),
    ("valid_minutes: 60", "valid_minutes: 0", "valid_minutes", "0"),
    ("kind: age_at_least", "kind: age_at_most", "kind", "no such kind"),
    ("id: age", "id: kinship", "id", "stands twice"),
    ("table: curated.family", "table: curated.families", "table", "no such curated table"),
    ("relative: relative_no", "relative: relative_name", "relative", "identifier domain"),
    ("    relation: relation\n", "    relation: same_household\n", "relation", "no such field that is text"),
    ('mother: ["05"]', 'mother: ["5"]', "relations.mother", "not in code set"),
    ("birth_date: birth_date", "birth_date: name", "birth_date", "is a date"),
    ("ages: [16, 18, 60]", "ages: []", "ages", "0 of them"),
    ("purpose: benefits", "purpose: gossip", "purpose", "no such purpose"),
    ("roles: [caseworker]", "roles: [king]", "roles", "no such role"),
    ("roles: [caseworker]", "subjects: [user:nobody]", "subjects", "does not know"),
    ("    roles: [caseworker]\n", "", "", "nobody may ask"),
]


@pytest.mark.parametrize("case", WRONG, ids=lambda case: case[1].strip() or "nobody")
def test_a_fault_of_the_file_is_told_with_its_line(case):
    right, wrong, path, found = case
    assert right in TEXT
    told = faults(TEXT.replace(right, wrong, 1))
    assert any(fault.path.endswith(path) and found in fault.found and fault.line > 3 for fault in told), told


def test_the_demos_questions_are_in_order():
    catalogue = loaded()
    access = parse_access(catalogue.access_text, catalogue.access_file, catalogue)
    assert [q.id for q in parse_questions(TEXT, "a.yaml", catalogue, access).questions] == ["kinship", "age"]
    assert not parse_questions("", "a.yaml", catalogue, access).questions
