"""Lookups by key: the records that `query` gives, for as long as the decision stands, within the budget, in the ledger."""

from __future__ import annotations

import hashlib
import random
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import delete

from governance.errors import NotReady, Refused
from governance.keys import grants
from governance.keys.names import KeyName
from governance.state import texts
from governance.state.tables_use import lookup_spent
from governance.state.values import Actor
from tests.use.asking import ask, ledger
from tests.use.lookup_home import PEOPLE, Home, number

WANG, LI, STEWARD = ("user:wang", "benefits"), ("user:li", "statistics"), ("user:steward", "data_quality")
HE, ZHOU = ("user:he", "research"), ("user:zhou", "audit")
TABLES = ("curated.person", "curated.family", "curated.enterprise")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Published; tests of this module only ask it."""
    opened = Home(tmp_path_factory.mktemp("home"))
    for table in TABLES:
        opened.fill(table)
    opened.release(*TABLES)
    yield opened
    opened.database.close()


@pytest.fixture(scope="module")
def lookups(home):
    with home.lookups() as service:
        yield service


@pytest.fixture
def own(tmp_path):
    """A home of one table that a test may change."""
    opened = Home(tmp_path)
    opened.fill("curated.person", 50)
    opened.release("curated.person")
    yield opened
    opened.database.close()


def look(service, keys, who=WANG, table="curated.person", **given):
    return service.lookup(table, keys, subject=who[0], purpose=who[1], **given)


def code(i):
    return f"9144{i % 25:014d}"


ALLOWED = [
    # who, table, by, key of person i, the condition that finds the same rows by query
    (WANG, "curated.person", "resident_no", number, "address = '广东省广州市天河区农林路{i}号'"),
    (WANG, "curated.person", "employer_code", code, "employer_code = '{key}'"),
    (WANG, "curated.enterprise", "credit_code", lambda i: f"9144{i:014d}", "credit_code = '{key}'"),
    (STEWARD, "curated.person", "resident_no", number, "address = '广东省广州市天河区农林路{i}号'"),
    (STEWARD, "curated.family", "resident_no", number, "kinship_id = {i}"),
    (STEWARD, "curated.family", "relative_no", lambda i: "44010619" + number(i + 200)[8:], "kinship_id = {i}"),
    (STEWARD, "curated.enterprise", "representative_no", number, "credit_code = '9144{i:014d}'"),
    (LI, "curated.enterprise", "credit_code", lambda i: f"9144{i:014d}", "credit_code = '{key}'"),
    (LI, "curated.person", "employer_code", code, "employer_code = '{key}'"),
]


@pytest.mark.parametrize("case", ALLOWED, ids=lambda case: f"{case[0][0]}-{case[1]}-{case[2]}")
def test_a_lookup_gives_what_a_query_gives(home, lookups, case):
    who, table, by, key, condition = case
    chosen = random.Random(str(case[:3])).sample(range(PEOPLE + 30), 12)
    if by == "relative_no":
        chosen = [i for i in chosen if (i + 200) % 7]
    chosen = list({key(i): i for i in chosen}.values())
    found = look(lookups, [key(i) for i in chosen], who, table, by=by).table
    places = found["_key"].to_pylist()
    assert places == sorted(places)
    assert set(places) <= set(range(1, len(chosen) + 1))
    wanted = " OR ".join(condition.format(i=i, key=key(i)) for i in chosen)
    expected = ask(home, f"SELECT * FROM {table} WHERE {wanted}", *who)  # noqa: S608
    own = found.drop_columns(["_key"])
    assert own.schema.names == expected.schema.names
    assert own.schema.types == expected.schema.types
    assert sorted(map(str, own.to_pylist())) == sorted(map(str, expected.to_pylist()))
    assert own.num_rows


def test_records_come_in_the_order_of_their_keys(lookups):
    keys = [number(i) for i in range(150)]
    found = look(lookups, keys).table
    assert found["_key"].to_pylist() == [i + 1 for i in range(150) if i % 7]
    assert found["name"].to_pylist() == ["王" + chr(20000 + i) for i in range(150) if i % 7]


REFUSED = [
    (LI, "curated.person", "resident_no"),  # sees nothing of it
    (HE, "curated.person", "resident_no"),  # sees pseudonyms, and must not find persons behind them
    (HE, "curated.person", "employer_code"),
    (ZHOU, "curated.person", "resident_no"),
    (ZHOU, "curated.enterprise", "credit_code"),
    (WANG, "curated.family", "resident_no"),
    (WANG, "curated.person", "name"),  # no identifier
    (WANG, "curated.person", "nothing"),
    (WANG, "curated.nothing", None),
    (("user:wang", "research"), "curated.person", None),
    (("user:nobody", "benefits"), "curated.person", None),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: f"{case[0]}-{case[1]}-{case[2]}")
def test_who_may_not_look_up_by_a_field_is_refused_and_recorded(home, lookups, case):
    who, table, by = case
    before = len(ledger(home, "access_refused"))
    with pytest.raises(Refused):
        look(lookups, [number(1)], who, table, by=by)
    refused = ledger(home, "access_refused")
    assert len(refused) == before + 1
    assert refused[-1]["actor"]["subject"] == who[0]
    assert number(1) not in str(refused[-1])


def test_a_hidden_record_and_one_that_is_not_there_look_alike(lookups):
    hidden, absent = look(lookups, [number(7)]), look(lookups, [number(PEOPLE + 1)])
    assert hidden.table.equals(absent.table)
    assert hidden.table.num_rows == 0
    with pytest.raises(Refused) as forbidden:
        look(lookups, [number(1)], LI, fields=["name"], by="employer_code")
    with pytest.raises(Refused) as unknown:
        look(lookups, [number(1)], LI, fields=["nowhere"], by="employer_code")
    assert str(forbidden.value) == str(unknown.value)


def test_fields_narrow_the_answer_and_the_ledger_says_so(home, lookups):
    found = look(lookups, [number(1), "  " + number(2).lower() + " "], fields=["phone", "name"])
    assert found.table.to_pylist() == [
        {"_key": 1, "phone": "138****0001", "name": "王" + chr(20001)},
        {"_key": 2, "phone": "138****0002", "name": "王" + chr(20002)},
    ]
    assert found.no_export
    entry = ledger(home, "access")[-1]
    assert entry["facts"]["keys"] == 2
    assert entry["facts"]["by"] == "resident_no"
    table = entry["facts"]["tables"]["curated.person"]
    assert table["columns"] == {"phone": "mask:phone", "name": "raw"}
    assert table["decision_hash"] == found.decision_hash


def test_a_second_subject_without_the_right_is_refused_though_the_firsts_keys_were_just_used(home, lookups):
    assert look(lookups, [number(1)]).table.num_rows == 1
    for who in (LI, HE, ZHOU, ("user:wang", "statistics")):
        with pytest.raises(Refused):
            look(lookups, [number(1)], who)
    first, second = look(lookups, [number(1)]), look(lookups, [number(1)], STEWARD)
    assert first.grant != second.grant
    assert first.decision_hash != second.decision_hash
    assert first.table["phone"].to_pylist() == ["138****0001"]
    assert second.table["phone"].to_pylist() == ["13800000001"]


def test_one_session_serves_many_threads_in_groups(home, lookups):
    before = len(ledger(home, "access"))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: look(lookups, [number(i)], fields=["address"]), range(40)))
    for i, found in enumerate(answers):
        assert found.table["address"].to_pylist() == ([f"广东省广州市天河区农林路{i}号"] if i % 7 else [])
    assert len({found.grant for found in answers}) == 1
    entries = ledger(home, "access")[before:]
    assert len({entry["actor"]["run"] for entry in entries}) == 40


def test_too_many_keys_or_rows_are_refused(lookups):
    for keys in ([], ["x"] * 10_001, ["a\ud800"]):
        with pytest.raises(Refused):
            look(lookups, keys)
    with pytest.raises(Refused, match="more than 200 rows"):
        look(lookups, [number(i) for i in range(PEOPLE)])
    assert look(lookups, [number(1)]).table.num_rows == 1


def test_no_key_value_rests_anywhere(home, lookups):
    look(lookups, [number(33), "440106198807HIDDEN"])
    for path in home.settings.var.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not any(value in content for value in (number(33).encode(), b"07HIDDEN")), path.name


def test_nothing_is_found_before_a_release(tmp_path):
    opened = Home(tmp_path)
    opened.fill("curated.person", 5)
    with opened.lookups() as service, pytest.raises(NotReady):
        look(service, [number(1)])


def test_the_hours_budget_holds_over_sessions_and_processes(own):
    with own.lookups(keys_per_hour=5) as service:
        look(service, [number(1), number(2), number(3)])
        with pytest.raises(Refused, match="budget of lookups"):
            look(service, [number(1), number(2), number(3)])
        assert ledger(own, "access_refused")[-1]["facts"]["keys"] == 3
    with own.lookups(keys_per_hour=5) as other:
        assert look(other, [number(1), "nobody"]).table.num_rows == 1
    with own.lookups(keys_per_hour=5) as third, pytest.raises(Refused, match="budget of lookups"):
        look(third, [number(1)])


def test_the_keystore_holds_a_session_to_its_budget_by_itself(own):
    with own.lookups(keys_per_hour=3) as service:
        look(service, [number(1), number(2), number(3)])
        with own.database.unit_of_work() as tx:
            tx.execute(delete(lookup_spent))
        with pytest.raises(Refused, match="budget is spent"):
            look(service, [number(1)])


def until_over(session):
    began = time.monotonic()
    while not session.over and time.monotonic() - began < 20:
        time.sleep(0.02)
    assert session.over
    return time.monotonic() - began


def session_of(service):
    [session] = service._sessions.values()
    return session


def test_a_session_ends_with_its_grant_and_the_next_lookup_gets_a_new_one(own):
    with own.lookups() as service:
        first = look(service, [number(1)])
        session = session_of(service)
        with own.database.unit_of_work() as tx:
            grants.revoke(tx, first.grant, actor=Actor("user:steward", "pipeline.use", "r"), database=own.database)
        with pytest.raises(Refused):
            session.ask([number(1)], first.restrictions.visible, "run")
        assert until_over(session) < 5
        second = look(service, [number(1)])
        assert second.grant != first.grant
    grants_left = [entry["facts"]["grant"] for entry in ledger(own, "grant_revoked")]
    assert {first.grant, second.grant} <= set(grants_left)


def test_narrowed_rules_end_a_session_and_hold_for_the_next(own):
    narrowed = own.catalogue.access_text.replace(
        'where: { tables: [curated.person], tags: [phone] }\n    action: "mask:phone"',
        'where: { tables: [curated.person], tags: [phone] }\n    action: "mask:replace-with-null"',
    )
    assert narrowed != own.catalogue.access_text
    with own.lookups() as service:
        assert look(service, [number(1)]).table["phone"].to_pylist() == ["138****0001"]
        session = session_of(service)
        sha256 = hashlib.sha256(narrowed.encode()).hexdigest()
        with own.database.unit_of_work() as tx:
            texts.record(tx, {("access", "access"): (sha256, narrowed)}, at=own.database.clock())
        assert until_over(session) < 5
        assert look(service, [number(1)]).table["phone"].to_pylist() == [None]


def test_a_rule_that_ends_ends_a_kept_decision(own):
    ends = own.database.clock() + timedelta(hours=1)
    phone = 'where: { tables: [curated.person], tags: [phone] }\n    action: "mask:phone"\n'
    timed = own.catalogue.access_text.replace(phone, f'{phone}    valid_to: "{ends.isoformat()}"\n')
    assert timed != own.catalogue.access_text
    with own.database.unit_of_work() as tx:
        sha256 = hashlib.sha256(timed.encode()).hexdigest()
        texts.record(tx, {("access", "access"): (sha256, timed)}, at=own.database.clock())
    with own.lookups() as service:
        first, again = look(service, [number(1)]), look(service, [number(1)])
        assert first.table["phone"].to_pylist() == ["138****0001"]
        assert again.grant == first.grant
        own.database.clock = lambda: ends
        time.sleep(0.6)
        assert "phone" not in look(service, [number(1)]).table.column_names


def test_lookups_stay_at_the_release_and_move_with_it(own):
    with own.lookups() as service:
        own.fill("curated.person", 80, address="'B' || i")
        assert look(service, [number(1), number(60)]).table["address"].to_pylist() == ["广东省广州市天河区农林路1号"]
        old = session_of(service)
        own.release("curated.person")
        time.sleep(0.6)
        assert look(service, [number(1), number(60)]).table["address"].to_pylist() == ["B1", "B60"]
        assert len(list((own.lake.root / "_serving").glob("curated.person/resident_no/*"))) == 1
        assert old is not session_of(service)
        with pytest.raises(Refused):
            old.ask([number(1)], old.decided.restrictions.visible, "run")


def test_a_destroyed_key_closes_the_copy_too(own):
    with own.lookups() as service:
        assert look(service, [number(1)]).table.num_rows == 1
    own.keystore.destroy(KeyName("curated", "curated.person", "L3"))
    with own.lookups() as service:
        with pytest.raises(Refused):
            look(service, [number(1)])
        assert look(service, [number(1)], fields=["division_code"]).table.num_rows == 1
