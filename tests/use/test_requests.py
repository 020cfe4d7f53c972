"""Access by request, from asking to the answer: signed by the right key over exactly this, narrowed, ended, cut off."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import text, update

from governance.errors import Damaged, Refused
from governance.policy.lattice import Outcome
from governance.state.tables_use import access_request, access_step
from governance.use import release
from governance.use.request_state import find, read_all
from governance.use.requests import Narrowing, approval, approve, ask, decline, document_hash, refusal, withdraw
from governance.use.signatures import APPROVES, DECLINES, ENDS, REVIEWS, sign, signer
from governance.use.who_sees import explain, who_sees
from tests.use.asking import ask as answered
from tests.use.asking import ledger, rows, under_way
from tests.use.conftest import ACCESS, PEOPLE, STEWARD_KEY, catalogue_of, fields, open_home
from tests.use.test_query import bring_in

HE_KEY = Ed25519PrivateKey.from_private_bytes(b"\x09" * 32)
HE_PUBLIC = HE_KEY.public_key().public_bytes_raw().hex()
WITH_HE = ACCESS.replace('  - {name: "user:idle"}', '  - {name: "user:idle"}\n  - {name: "user:he", clearance: L3}')
WITH_HE = WITH_HE.replace("approvers: [", f'approvers: [{{subject: "user:he", public_key: "{HE_PUBLIC}"}}, ')
HE = ("user:he", "research")
SQL = "SELECT * FROM curated.person ORDER BY ALL"


def now():
    return datetime.now(UTC)


@pytest.fixture
def home(tmp_path):
    opened = open_home(tmp_path, catalogue_of(WITH_HE))
    opened.fill(PEOPLE)
    opened.release()
    yield opened
    opened.database.close()


def asked(home, *names, seconds=3600, **given):
    known = {"subject": HE[0], "purpose": HE[1], "because": "a cohort study", "action": Outcome.parse("raw")}
    return ask(
        **{**known, **given},
        fields=[f"curated.person.{name}" for name in names],
        valid_to=now() + timedelta(seconds=seconds),
        catalogue=home.catalogue,
        database=home.database,
        actor=home.actor(),
    )


def approved(home, request, *, subject="user:wang", key=STEWARD_KEY, words=APPROVES, over=None, **narrowing):
    narrowed = Narrowing(**narrowing)
    with home.database.read() as connection:
        document = approval(find(connection, over or request), narrowed)
    return approve(
        request,
        subject=subject,
        signature=sign(words, document_hash(document), key),
        narrowing=narrowed,
        catalogue=home.catalogue,
        database=home.database,
        actor=home.actor(),
    )


def ended(home, request, subject="user:he"):
    sign = {"user:he": signer(HE_KEY), "user:wang": signer(STEWARD_KEY)}.get(subject)
    own = {"catalogue": home.catalogue, "database": home.database, "actor": home.actor()}
    withdraw(request, subject=subject, sign=sign, **own)


def status(home, request):
    with home.database.read() as connection:
        return find(connection, request).status(home.database.clock())


def columns_of(home, who=HE):
    try:
        return answered(home, SQL, *who).column_names
    except Refused:
        return []


def test_what_was_asked_for_is_there_once_it_is_approved_and_not_before(home):
    request = asked(home, "born", "rank")
    assert columns_of(home) == []
    approved(home, request)
    assert columns_of(home) == ["born", "rank"]
    assert rows(home, "SELECT count(born) FROM curated.person", *HE) == [(3,)]
    for other in [("user:he", "statistics"), ("user:idle", "research")]:
        assert columns_of(home, other) == []


def test_every_step_is_in_the_ledger_and_the_answer_names_the_approval(home):
    request = asked(home, "born")
    signed = approved(home, request)
    answered(home, "SELECT born FROM curated.person", *HE)
    ended(home, request)
    [first] = ledger(home, "access_asked")
    assert first["facts"]["request"] == request
    assert first["facts"]["fields"] == {"curated.person": {"born": "L3"}}
    assert "cohort" not in str(first)
    [second] = ledger(home, "access_approved")
    assert (second["facts"]["approval"], second["facts"]["approver"]) == (signed, "user:wang")
    [last] = ledger(home, "access_withdrawn")
    assert (last["facts"]["request"], last["facts"]["by"]) == (request, "user:he")
    decision = ledger(home, "access")[-1]["facts"]["tables"]["curated.person"]["decision_hash"]
    with home.database.read() as connection:
        kept = connection.execute(text("SELECT text FROM text WHERE sha256 = :sha"), {"sha": decision}).scalar_one()
    assert f'"permits":["{signed}"]' in kept


def test_explain_and_who_sees_name_the_request_as_the_rule(home):
    request = asked(home, "born")
    approved(home, request)
    known = {"catalogue": home.catalogue, "database": home.database, "lake": home.lake}
    sights = {s.field: s for s in explain("curated.person", subject=HE[0], purpose=HE[1], **known)}
    assert sights["born"].rules == (f"request:{request[:16]}",)
    assert [s.outcome for s in who_sees("curated.person.born", **known) if (s.subject, s.purpose) == HE] == ["raw"]


def test_an_approver_may_narrow_the_action_the_fields_and_the_period_and_never_widen(home):
    request = asked(home, "born", "rank")
    for wider in (
        {"fields": ("curated.person.name",)},
        {"valid_to": now() + timedelta(days=9)},
        {"action": Outcome.parse("none")},
    ):
        with pytest.raises(Refused):
            approved(home, request, **wider)
    approved(home, request, action=Outcome.parse("mask:truncate-to-year"), fields=("curated.person.born",))
    assert all(str(v).endswith("-01-01") for v in answered(home, SQL, *HE)["born"].drop_null().to_pylist())
    assert columns_of(home) == ["born"]
    masked = asked(home, "born", action=Outcome.parse("mask:truncate-to-year"))
    with pytest.raises(Refused, match="is not less than"):
        approved(home, masked, action=Outcome.parse("raw"))


def test_a_narrowing_that_no_field_takes_is_refused(home):
    request = asked(home, "rank")
    with pytest.raises(Refused, match="does not take integer"):
        approved(home, request, action=Outcome.parse("mask:phone"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"key": Ed25519PrivateKey.from_private_bytes(b"\x08" * 32)},
        {"subject": "user:li"},
        {"subject": "user:nobody"},
        {"words": REVIEWS},
        {"words": ""},
    ],
)
def test_a_signature_that_is_not_an_approvers_over_this_is_refused(home, wrong):
    request = asked(home, "born")
    with pytest.raises(Refused, match="not that of an approver"):
        approved(home, request, **wrong)
    assert columns_of(home) == []


def test_nobody_approves_their_own_request(home):
    request = asked(home, "born")
    with pytest.raises(Refused, match="their own request"):
        approved(home, request, subject="user:he", key=HE_KEY)


def test_a_signature_for_another_request_is_refused(home):
    first, second = asked(home, "born"), asked(home, "name")
    approved(home, first)
    with pytest.raises(Refused, match="not that of an approver"):
        approved(home, second, over=first)
    ended(home, first)
    again = asked(home, "born")
    assert again != first
    with pytest.raises(Refused, match="not that of an approver"):
        approved(home, again, over=first)
    assert columns_of(home) == []


def test_the_signature_of_a_release_approves_no_request(home):
    request = asked(home, "born")
    with home.database.read() as connection:
        signed = document_hash(approval(find(connection, request)))
    with pytest.raises(Refused, match="not that of an approver"):
        approve(
            request,
            subject="user:wang",
            signature=release.sign(signed, STEWARD_KEY),
            catalogue=home.catalogue,
            database=home.database,
            actor=home.actor(),
        )


def test_a_signature_that_is_put_under_another_request_in_the_state_opens_nothing(home):
    first, second = asked(home, "born"), asked(home, "name")
    approved(home, first)
    with home.database.unit_of_work() as tx:
        tx.execute(update(access_step).values(request=second))
    with pytest.raises(Damaged):
        answered(home, SQL, *HE)
    with home.database.unit_of_work() as tx:
        document = access_request.c.document
        tx.execute(update(access_request).values(document=text("replace(document, 'L3', 'L4')")))
        assert tx.execute(text("SELECT count(*) FROM access_request WHERE document LIKE '%L4%'")).scalar_one() == 2
        assert document is not None
    with pytest.raises(Damaged):
        answered(home, SQL, *HE)


def test_an_approval_ends_with_its_approver(home):
    approved(home, asked(home, "born"))
    assert columns_of(home) == ["born"]
    other = "aa" * 32
    bring_in(home, WITH_HE.replace(STEWARD_KEY.public_key().public_bytes_raw().hex(), other))
    assert columns_of(home) == []


def test_an_approval_expires_by_itself(home):
    request = asked(home, "born", seconds=3600)
    approved(home, request)
    home.database.clock = lambda: now() + timedelta(seconds=3700)
    assert columns_of(home) == []
    assert status(home, request) == "expired"
    with pytest.raises(Refused, match="is expired"):
        approved(home, asked_late(home))


def asked_late(home):
    home.database.clock = now
    request = asked(home, "rank", seconds=60)
    home.database.clock = lambda: now() + timedelta(seconds=61)
    return request


def test_a_request_that_begins_later_opens_later(home):
    request = asked(home, "born", valid_from=now() + timedelta(seconds=1800))
    approved(home, request)
    assert columns_of(home) == []
    known = {"catalogue": home.catalogue, "database": home.database, "lake": home.lake}
    home.database.clock = lambda: now() + timedelta(seconds=1900)
    sights = {s.field: s.outcome for s in explain("curated.person", subject=HE[0], purpose=HE[1], **known)}
    assert sights["born"] == "raw"


def test_what_was_declined_or_withdrawn_stays_so(home):
    request = asked(home, "born")
    known = {"catalogue": home.catalogue, "database": home.database, "actor": home.actor()}
    with pytest.raises(Refused, match="is no approver"):
        decline(request, subject="user:li", because="no", signature="", **known)
    with home.database.read() as connection:
        document = refusal(find(connection, request), because="years are enough")
    right = sign(DECLINES, document_hash(document), STEWARD_KEY)
    for wrong in ("", sign(APPROVES, document_hash(document), STEWARD_KEY)):
        with pytest.raises(Refused, match="not that of an approver"):
            decline(request, subject="user:wang", because="years are enough", signature=wrong, **known)
    with pytest.raises(Refused, match="not that of an approver"):
        decline(request, subject="user:wang", because="another reason", signature=right, **known)
    assert status(home, request) == "asked"
    for _ in range(2):
        decline(request, subject="user:wang", because="years are enough", signature=right, **known)
    assert status(home, request) == "declined"
    [entry] = ledger(home, "access_declined")
    assert (entry["facts"]["step"], entry["facts"]["signature"]) == (document_hash(document), right)
    with pytest.raises(Refused, match="is declined"):
        approved(home, request)
    again = asked(home, "born")
    with pytest.raises(Refused, match="is no approver"):
        ended(home, again, "user:li")
    approved(home, again)
    ended(home, again, "user:wang")
    ended(home, again)
    assert (status(home, again), columns_of(home)) == ("withdrawn", [])
    assert len(ledger(home, "access_withdrawn")) == 1
    with pytest.raises(Refused, match="is withdrawn"):
        approved(home, again)


def test_a_withdrawal_is_signed_by_whoever_makes_it_where_the_rules_have_a_key_of_them(home):
    request = asked(home, "born")
    own = {"catalogue": home.catalogue, "database": home.database, "actor": home.actor()}
    for wrong in (None, signer(STEWARD_KEY), lambda words, signed: sign(APPROVES, signed, HE_KEY)):
        with pytest.raises(Refused, match="not signed by user:he"):
            withdraw(request, subject="user:he", sign=wrong, **own)
    ended(home, request)
    [step] = [step for step in _found(home, request).steps if step.name == "withdrawn"]
    assert step.signature == sign(ENDS, step.hash, HE_KEY)
    unknown = asked(home, "born", subject="user:zhao", purpose="benefits")
    withdraw(unknown, subject="user:zhao", **own)
    assert status(home, unknown) == "withdrawn"


def _found(home, request):
    with home.database.read() as connection:
        return find(connection, request)


def test_asking_and_approving_the_same_again_changes_nothing(home):
    to = now() + timedelta(hours=1)
    known = {"subject": HE[0], "purpose": HE[1], "because": "a  cohort study", "valid_to": to}
    known |= {"fields": ["curated.person.born"], "catalogue": home.catalogue, "database": home.database}
    first, second = (ask(**known, actor=home.actor()) for _ in range(2))
    assert first == second
    assert approved(home, first) == approved(home, first)
    assert len(ledger(home, "access_asked")) == len(ledger(home, "access_approved")) == 1


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"names": ["id_number"]}, "it is L4, above L3"),
        ({"names": ["born"], "action": Outcome.parse("mask:phone")}, "does not take date"),
        ({"names": ["id_number"], "action": Outcome.parse("mask:sha-256-global")}, "enumerated"),
        ({"names": ["nothing"]}, "no field nothing"),
        ({"names": []}, "no field is named"),
        ({"names": ["born"], "purpose": "gossip"}, "unknown subject or purpose"),
        ({"names": ["born"], "subject": "user:nobody"}, "unknown subject or purpose"),
        ({"names": ["born"], "because": "  "}, "no reason"),
        ({"names": ["born"], "seconds": -1}, "over before it begins"),
    ],
)
def test_what_could_never_be_opened_cannot_be_asked_for(home, given, found):
    names = given.pop("names")
    with pytest.raises(Refused, match=found):
        asked(home, *names, **given)


def test_a_whole_table_means_the_fields_of_now_that_can_be_given(home):
    request = asked(home, tables=["curated.person"])
    with home.database.read() as connection:
        [found] = read_all(connection)
    assert found.names == tuple(f"curated.person.{n}" for n in ("born", "district", "income", "name", "rank"))
    approved(home, request)
    assert columns_of(home) == ["name", "born", "income", "district", "rank"]


def test_a_field_whose_level_rose_since_it_was_asked_for_is_closed_again(home):
    approved(home, asked(home, "rank", "district"))
    assert columns_of(home) == ["district", "rank"]
    raised = tuple(_raised(field) for field in fields())
    home.catalogue = catalogue_of(WITH_HE, raised)
    assert columns_of(home) == ["district"]


def _raised(field):
    from dataclasses import replace

    from governance.catalog.types import Level

    return replace(field, classification=Level.L3) if field.name == "rank" else field


def seconds_until_cut(answer):
    began = time.monotonic()
    with pytest.raises(Refused, match="stands on ended; ask again"):
        sum(batch.num_rows for batch in answer.stream() if time.monotonic() - began < 30)
    return time.monotonic() - began


def test_an_answer_under_way_is_cut_off_when_its_request_is_withdrawn(home):
    other, request = asked(home, "name"), asked(home, "born")
    approved(home, other)
    approved(home, request)
    with under_way(home, *HE) as answer:
        ended(home, request)
        assert seconds_until_cut(answer) < 5
    assert columns_of(home) == ["name"]


def test_an_answer_under_way_is_cut_off_when_its_request_expires(home):
    approved(home, asked(home, "born", seconds=8))
    with under_way(home, *HE) as answer:
        assert seconds_until_cut(answer) < 13
