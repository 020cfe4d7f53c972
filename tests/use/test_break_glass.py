"""Break-glass from end to end: raw at once, bounded, loud, reviewed by a signature, and none before that review."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from governance.errors import Refused
from governance.use.break_glass import break_glass, overdue, record_review, review
from governance.use.request_state import find
from governance.use.requests import access_of, document_hash, withdraw
from governance.use.signatures import APPROVES, REVIEWS, sign, signer
from tests.use.asking import ask, ledger
from tests.use.conftest import ACCESS as PLAIN
from tests.use.conftest import PEOPLE, STEWARD_KEY, catalogue_of, open_home

LI_KEY = Ed25519PrivateKey.from_private_bytes(b"\x0b" * 32)
LI_PUBLIC = LI_KEY.public_key().public_bytes_raw().hex()
LI = "roles: [statistician], clearance: L3"


def with_key(access):
    """The rules, knowing the key of user:li."""
    return access.replace(LI, f'{LI}, public_key: "{LI_PUBLIC}"', 1)


ACCESS = with_key(PLAIN)
GLASS = "break_glass: {roles: [statistician], purposes: [statistics], max_level: L3, max_hours: 4, review_days: 2}\n"
WHO = {"subject": "user:li", "purpose": "statistics"}


def now():
    return datetime.now(UTC)


@pytest.fixture
def home(tmp_path):
    opened = open_home(tmp_path, catalogue_of(ACCESS + GLASS))
    opened.fill(PEOPLE)
    opened.release()
    yield opened
    opened.database.close()


def broken(home, *names, **given):
    known = {"subject": "user:li", "because": "a flood", "sign": signer(LI_KEY)}
    known |= {"fields": [f"curated.person.{name}" for name in names]}
    return break_glass(
        **{**known, **given}, catalogue=home.catalogue, database=home.database, actor=home.actor("user:li")
    )


def reviewed(home, request, *, subject="user:wang", key=STEWARD_KEY, words=REVIEWS, verdict="justified", signed=None):
    document = review(request, verdict=signed or verdict, because="the flood of June")
    record_review(
        request.id,
        subject=subject,
        verdict=verdict,
        because="the flood of June",
        signature=sign(words, document_hash(document), key),
        catalogue=home.catalogue,
        database=home.database,
        actor=home.actor(),
    )


def later(home, **much):
    home.database.clock = lambda: now() + timedelta(**much)


def names_seen(home):
    return ask(home, "SELECT name FROM curated.person WHERE name IS NOT NULL ORDER BY name")["name"].to_pylist()


def test_a_broken_glass_shows_raw_at_once_until_it_is_over(home):
    assert "王小明" not in names_seen(home)
    made = broken(home, "name", "income")
    assert made.valid_to - made.valid_from == timedelta(hours=1)
    assert "王小明" in names_seen(home)
    assert ask(home, "SELECT max(income) AS m FROM curated.person").num_rows == 1
    [entry] = ledger(home, "break_glass")
    assert entry["facts"]["request"] == made.id
    assert entry["actor"]["subject"] == "user:li"
    assert ledger(home, "access")[-1]["facts"]["tables"]["curated.person"]["permits"] == [f"break-glass:{made.id[:16]}"]
    later(home, hours=1, seconds=1)
    assert "王小明" not in names_seen(home)
    assert "permits" not in ledger(home, "access")[-1]["facts"]["tables"]["curated.person"]


def test_ending_it_early_ends_it(home):
    made = broken(home, "name")
    withdraw(
        made.id,
        subject="user:wang",
        sign=signer(STEWARD_KEY),
        catalogue=home.catalogue,
        database=home.database,
        actor=home.actor("user:wang"),
    )
    assert "王小明" not in names_seen(home)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"subject": "user:zhao"}, "may not break the glass"),
        ({"purpose": "benefits"}, "may not break the glass"),
        ({"subject": "user:nobody"}, "unknown subject"),
        ({"hours": 5}, "5 hours"),
        ({"hours": 0}, "0 hours"),
        ({"because": ""}, "no reason"),
        ({"fields": ["curated.person.id_number"]}, "it is L4, above L3"),
        ({"fields": []}, "no field is named"),
    ],
)
def test_who_may_not_is_refused(home, given, found):
    with pytest.raises(Refused, match=found):
        broken(home, "name", **given)


@pytest.mark.parametrize(
    "sign",
    [signer(STEWARD_KEY), lambda words, signed: "", lambda words, signed: sign(APPROVES, signed, LI_KEY)],
    ids=["another", "none", "other words"],
)
def test_whoever_breaks_the_glass_signs_it_themselves(home, sign):
    with pytest.raises(Refused, match="not signed by user:li"):
        broken(home, "name", sign=sign)
    assert ledger(home, "break_glass") == []


def test_without_a_key_in_the_rules_nobody_breaks_it_and_with_another_key_it_is_over(home):
    broken(home, "name")
    other = Ed25519PrivateKey.from_private_bytes(b"\x0c" * 32).public_key().public_bytes_raw().hex()
    for rules in (PLAIN, ACCESS.replace(LI_PUBLIC, other)):
        home.catalogue = catalogue_of(rules + GLASS)
        assert "王小明" not in names_seen(home)
        with pytest.raises(Refused, match="not signed by user:li"):
            broken(home, "income")


def test_without_a_section_nobody_may(home):
    home.catalogue = catalogue_of(ACCESS)
    with pytest.raises(Refused, match="nobody may break the glass"):
        broken(home, "name")


def test_it_opens_nothing_before_a_release_has_the_section(tmp_path):
    home = open_home(tmp_path, catalogue_of(ACCESS))
    home.fill(PEOPLE)
    home.release()
    home.catalogue = catalogue_of(ACCESS + GLASS)
    broken(home, "name")
    assert "王小明" not in names_seen(home)
    home.release()
    assert "王小明" in names_seen(home)
    home.database.close()


def test_it_ends_when_the_section_goes(home):
    broken(home, "name")
    home.catalogue = catalogue_of(ACCESS)
    assert "王小明" not in names_seen(home)


def test_one_that_waits_for_its_review_keeps_its_subject_from_another(home):
    made = broken(home, "name")
    second = broken(home, "income")
    assert second.id != made.id
    later(home, hours=1, minutes=1)
    with pytest.raises(Refused, match="it was not reviewed"):
        broken(home, "name")
    reviewed(home, made)
    with pytest.raises(Refused, match="it was not reviewed"):
        broken(home, "name")
    reviewed(home, second)
    broken(home, "name")
    [first, _] = ledger(home, "break_glass_reviewed")
    assert (first["facts"]["verdict"], first["facts"]["approver"]) == ("justified", "user:wang")


def test_one_after_another_they_last_no_longer_than_one_may(home):
    first = broken(home, "name", hours=4)
    later(home, hours=3)
    second = broken(home, "income", hours=4)
    assert second.valid_to == first.valid_from + timedelta(hours=4)


def test_a_review_is_an_approvers_signature_over_its_verdict_once_it_is_over(home):
    made = broken(home, "name")
    with pytest.raises(Refused, match="it is open"):
        reviewed(home, made)
    later(home, hours=2)
    for wrong in ({"words": APPROVES}, {"signed": "misused"}, {"subject": "user:li"}, {"subject": "user:zhao"}):
        with pytest.raises(Refused, match="not that of an approver"):
            reviewed(home, made, **wrong)
    reviewed(home, made)
    reviewed(home, made)
    assert len(ledger(home, "break_glass_reviewed")) == 1
    with home.database.read() as connection:
        assert find(connection, made.id).status(home.database.clock()) == "reviewed"


def test_left_without_a_review_it_is_overdue(home):
    made = broken(home, "name")
    access = access_of(home.catalogue)
    with home.database.read() as connection:
        for much, expected in [
            ({"hours": 2}, []),
            ({"days": 2, "minutes": 59}, []),
            ({"days": 2, "minutes": 61}, [made.id]),
        ]:
            assert [r.id for r in overdue(connection, access, at=now() + timedelta(**much))] == expected
