"""Queries from end to end: what each subject gets, the ledger before the answer, and the ways around that lead
nowhere.
"""

from __future__ import annotations

import hashlib
import time
from datetime import date

import pytest
from sqlalchemy import select, update

from governance.config import as_request
from governance.errors import NotReady, Refused, WorkerFailed
from governance.keys import grants
from governance.state import texts
from governance.state.tables import grant as grant_table
from governance.state.tables import text
from governance.use.query import query
from governance.use.scanner import scan
from governance.workers import Limits, start
from tests.use.asking import ask, ledger, observed, rows, under_way
from tests.use.conftest import ACCESS, CANARIES, PEOPLE, catalogue_of, open_home

EVERYTHING = "SELECT * FROM curated.person ORDER BY rank"


def test_a_statistician_sees_masks_and_not_the_rest(published_home):
    table = ask(published_home, EVERYTHING)
    assert table.column_names == ["id_number", "name", "born", "district", "rank"]
    assert table["name"].to_pylist() == ["王**", "李**", "张**", None]
    assert table["born"].to_pylist() == [date(1990, 1, 1), date(1950, 1, 1), date(1980, 1, 1), None]
    tokens = table["id_number"].to_pylist()
    assert tokens[3] is None
    assert all(len(token) == 24 for token in tokens[:3])
    assert len(set(tokens)) == 4


def test_a_caseworker_sees_the_rows_of_the_own_district_raw(published_home):
    table = ask(published_home, EVERYTHING, "user:zhao", "benefits")
    assert table.column_names == ["id_number", "name", "born", "district", "rank"]
    assert table["name"].to_pylist() == ["王小明", "李HIDDEN"]
    assert rows(published_home, "SELECT count(*) FROM curated.person", "user:zhao", "benefits") == [(2,)]


def test_tokens_of_two_purposes_cannot_be_joined_and_those_of_one_are_stable(published_home):
    sql = "SELECT id_number FROM curated.person WHERE id_number IS NOT NULL"
    statistics, again, research = (
        set(rows(published_home, sql, "user:li", purpose)) for purpose in ("statistics", "statistics", "research")
    )
    assert statistics == again
    assert not statistics & research
    domain = {hashlib.sha256(person[0].encode()).digest()[:12].hex() for person in PEOPLE if person[0]}
    assert not domain & {token for (token,) in statistics | research}


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT count(*), max(name) FROM curated.person", [(4, "王**")]),
        ("WITH t AS (SELECT name FROM curated.person) SELECT count(name) FROM t", [(3,)]),
        ("SELECT a.rank FROM curated.person a JOIN curated.person b USING (name) ORDER BY 1", [(1,), (2,), (3,)]),
        (
            "SELECT district, count(*) FROM curated.person GROUP BY ALL ORDER BY 1",
            [("110101", 2), ("110102", 1), ("110103", 1)],
        ),
        ("SELECT rank FROM curated.person WHERE born = DATE '1980-01-01'", [(3,)]),
        ("SELECT 1 + 1", [(2,)]),
    ],
)
def test_ordinary_sql_works(published_home, sql, expected):
    assert rows(published_home, sql) == expected


LEAKS = [
    "SELECT income FROM curated.person",
    "SELECT max(income) FROM curated.person",
    "SELECT name FROM curated.person WHERE income > 5000",
    "SELECT CAST(name AS INTEGER) FROM curated.person",
    "SELECT name::DATE FROM curated.person",
    "SELECT rank::UTINYINT - 200::UTINYINT FROM curated.person",
    "SELECT regexp_matches(name, '(') FROM curated.person",
    "SELECT rank FROM curated.person WHERE name LIKE '王小%'",
    "SELECT id_number__token FROM curated.person",
    "SELECT * FROM curated.person p, curated.secret",
    "SELECT * FROM person",
    "WITH person AS (SELECT * FROM person) SELECT * FROM person",
    "SELECT (WITH t AS (SELECT 1 z) SELECT z FROM t), (SELECT max(name) FROM t)",
    "SELECT * FROM input_0",
    "SELECT * FROM information_schema.columns",
    "SELECT repeat(name, 1000000000) FROM curated.person",
    "SELECT p FROM curated.person p",
    "SELECT COLUMNS('.*') FROM curated.person",
]


@pytest.mark.parametrize("sql", LEAKS)
def test_no_probe_shows_a_hidden_value(published_home, sql):
    shown = str(observed(published_home, sql))
    assert not [canary for canary in (*CANARIES, "7777", "1990-3-7", "1990-03-07") if canary in shown]
    assert "Did you mean" not in shown


def test_forbidden_and_absent_look_alike(published_home):
    pairs = [
        ("SELECT income FROM curated.person", "SELECT nowhere FROM curated.person"),
        ("SELECT id_number__token FROM curated.person", "SELECT id_number__nothing FROM curated.person"),
    ]
    for forbidden, absent in pairs:
        who = ("user:zhao", "benefits")
        assert observed(published_home, forbidden, *who) == observed(published_home, absent, *who)
    who = ("user:idle", "statistics")
    forbidden = observed(published_home, "SELECT name FROM curated.person", *who)
    assert forbidden == observed(published_home, "SELECT name FROM curated.nothing", *who)
    assert observed(published_home, "SELECT 1 FROM curated.person", "user:nobody", "statistics") == observed(
        published_home, "SELECT 1 FROM curated.person", "user:li", "gossip"
    )


def test_two_worlds_that_differ_in_what_is_hidden_cannot_be_told_apart(tmp_path):
    hidden = [
        (PEOPLE[0][0], PEOPLE[0][1], PEOPLE[0][2], None, "110101", 1),
        (PEOPLE[1][0], PEOPLE[1][1], PEOPLE[1][2], PEOPLE[2][3], "110101", 2),
        *(("110102199912310000", "赵HIDDEN", date(1999, 12, 31), None, "110102", 50 + n) for n in range(7)),
    ]
    masked = [
        ("110101199003074514", "王大锤", date(1999, 1, 1), None, "110101", 1),
        ("110101195512240011", "李某", date(1951, 5, 5), PEOPLE[0][3], "110101", 2),
        ("110102198001010022", "张三", date(1989, 9, 9), None, "110102", 3),
        PEOPLE[3],
    ]
    first = open_home(tmp_path / "first")
    first.fill(PEOPLE)
    first.release()
    second = open_home(tmp_path / "second")
    second.fill(hidden)
    second.release()
    for sql in ("SELECT * FROM curated.person ORDER BY rank", "SELECT 1 // (rank - 2), name::INT FROM curated.person"):
        assert observed(first, sql, "user:zhao", "benefits") == observed(second, sql, "user:zhao", "benefits")
    second.fill(masked, run="run-2")
    second.release()
    for sql in (
        "SELECT name, born, district, rank FROM curated.person ORDER BY rank",
        "SELECT name::INT FROM curated.person",
        "SELECT born, count(*), min(name) FROM curated.person GROUP BY ALL ORDER BY ALL",
    ):
        assert observed(first, sql) == observed(second, sql)


def test_the_ledger_has_the_access_before_its_first_byte_and_never_a_value(home):
    home.release()
    answer = query(
        "SELECT name FROM curated.person WHERE name = '王小明'",
        subject="user:zhao",
        purpose="benefits",
        settings=home.settings,
        catalogue=home.catalogue,
        database=home.database,
        lake=home.lake,
        keystore=home.keystore,
    )
    with answer:
        [entry] = ledger(home, "access")
        assert answer.table().num_rows == 1
        assert answer.no_export
    facts = entry["facts"]
    assert entry["actor"]["subject"] == "user:zhao"
    assert facts["tables"]["curated.person"]["columns"] == {"name": "raw"}
    assert facts["tables"]["curated.person"]["decision_hash"] == answer.decision_hash
    assert facts["grant"] == answer.grant
    [granted] = [e for e in ledger(home, "grant") if e["facts"]["grant"] == answer.grant]
    assert granted["facts"]["keys"] == ["curated/curated.person/L3/1", "curated/curated.person/footer/1"]
    assert "王小明" not in str(entry)


def test_a_refusal_is_in_the_ledger(home):
    home.release()
    with pytest.raises(Refused):
        ask(home, "SELECT name FROM curated.person", "user:idle", "statistics")
    [entry] = ledger(home, "access_refused")
    assert entry["actor"]["subject"] == "user:idle"
    assert not ledger(home, "access")


def test_an_answer_longer_than_the_obligation_is_refused(published_home):
    with pytest.raises(Refused, match="more than 2 rows"):
        ask(published_home, "SELECT 1 FROM curated.person a, curated.person b", "user:zhao", "benefits")


def test_nothing_is_answered_before_a_release(home):
    with pytest.raises(NotReady, match="nothing is published"):
        ask(home, EVERYTHING)


def test_narrowing_the_policy_acts_at_once_and_widening_needs_a_release(home):
    home.release()
    home.catalogue = catalogue_of(
        ACCESS.replace('where: {tags: [name]}, action: "mask:chinese-name"', "where: {tags: [name]}, action: none")
    )
    assert "name" not in ask(home, EVERYTHING).column_names
    home.catalogue = catalogue_of(ACCESS.replace('action: "mask:chinese-name"', "action: raw"))
    assert ask(home, EVERYTHING)["name"].to_pylist()[0] == "王**"
    home.release()
    assert ask(home, EVERYTHING)["name"].to_pylist()[0] == "王小明"


def test_a_query_stays_at_the_snapshot_of_the_release(home):
    home.release()
    home.fill([*PEOPLE, (None, None, None, None, "110101", 5)], run="run-2")
    assert rows(home, "SELECT count(*) FROM curated.person") == [(4,)]
    home.release()
    assert rows(home, "SELECT count(*) FROM curated.person") == [(5,)]


def test_a_scan_whose_grant_is_gone_gives_nothing(home):
    home.release()
    answer = query(
        "SELECT name FROM curated.person",
        subject="user:zhao",
        purpose="benefits",
        settings=home.settings,
        catalogue=home.catalogue,
        database=home.database,
        lake=home.lake,
        keystore=home.keystore,
    )
    answer.table()
    with home.database.unit_of_work() as tx:
        tx.execute(update(grant_table).values(revoked_at=home.database.clock()))
    request = {
        "settings": as_request(home.settings),
        "table": "curated.person",
        "snapshot": answer.restrictions[0].snapshot,
        "columns": [["name", "string", None, None, "raw"]],
        "where": "",
        "grant": answer.grant,
        "purpose": "benefits",
        "salt": "00" * 32,
        "memory_mb": 512,
    }
    entry = f"{scan.__module__}:{scan.__name__}"
    with start(entry, request, limits=Limits(seconds=60)) as worker, pytest.raises(Refused):
        worker.stream().read_all()


def seconds_until_cut(answer):
    began = time.monotonic()
    with pytest.raises(Refused, match="ask again"):
        sum(batch.num_rows for batch in answer.stream() if time.monotonic() - began < 20)
    return time.monotonic() - began


def test_an_answer_under_way_ends_with_its_grant(home):
    home.release()
    with under_way(home) as answer:
        with home.database.unit_of_work() as tx:
            grants.revoke(tx, answer.grant, actor=home.actor(), database=home.database)
        assert seconds_until_cut(answer) < 5


def test_an_answer_under_way_ends_when_the_rules_change(home):
    home.release()
    with under_way(home) as answer:
        bring_in(home, ACCESS + "\n# narrowed\n")
        assert seconds_until_cut(answer) < 5


def bring_in(home, access):
    """Make `access` what is in force, as another process would."""
    sha256 = hashlib.sha256(access.encode()).hexdigest()
    with home.database.unit_of_work() as tx:
        texts.record(tx, {("access", "access"): (sha256, access)}, at=home.database.clock())


def test_rules_that_another_process_brought_in_narrow_this_one_too(home):
    home.release()
    bring_in(
        home,
        ACCESS.replace('where: {tags: [name]}, action: "mask:chinese-name"', "where: {tags: [name]}, action: none"),
    )
    assert "name" not in ask(home, EVERYTHING).column_names
    bring_in(home, ACCESS.replace('action: "mask:chinese-name"', "action: raw"))
    assert ask(home, EVERYTHING)["name"].to_pylist()[0] == "王**"
    bring_in(home, "roles: [")
    with pytest.raises(Refused, match="do not fit the catalogue"):
        ask(home, EVERYTHING)


def test_the_decision_is_kept_by_its_hash(published_home):
    answer_hash = ledger_decision(published_home)
    with published_home.database.read() as connection:
        body = connection.execute(select(text.c.text).where(text.c.sha256 == answer_hash)).scalar_one()
    assert hashlib.sha256(body.encode()).hexdigest() == answer_hash
    assert '"action":"gov:chinese-name"' in body


def ledger_decision(home):
    ask(home, "SELECT rank FROM curated.person")
    return ledger(home, "access")[-1]["facts"]["tables"]["curated.person"]["decision_hash"]


def test_a_query_that_takes_too_long_ends(published_home):
    with pytest.raises(WorkerFailed, match="time limit"):
        ask(published_home, "SELECT sum(x) FROM range(10000000000000) AS a(x)", limits=Limits(memory_mb=512, seconds=4))
