"""Consent from end to end: only rows of persons who consented, by token; withdrawn within a second; in the hash."""

from __future__ import annotations

import hashlib
import time

import duckdb
import pyarrow as pa
import pytest
import sqlglot
from sqlalchemy import select

from governance.errors import Refused
from governance.policy import filters
from governance.state.tables_use import consent_change
from governance.use import consents
from governance.use.query import query
from governance.use.requests import access_of
from governance.use.signatures import signer
from governance.use.who_sees import explain
from tests.use.asking import ask, ledger
from tests.use.conftest import ACCESS, PEOPLE, STEWARD_KEY, catalogue_of, open_home

COHORT = """\
  - {id: cohort, subjects: ["user:idle"], purposes: [research], where: {tags: [birth]}, action: "mask:date-decade", consent: cohort}
"""
WHO = ("user:idle", "research")
FIRST, SECOND = PEOPLE[0][0], PEOPLE[1][0]


@pytest.fixture
def home(tmp_path):
    opened = open_home(tmp_path, catalogue_of(ACCESS + COHORT))
    opened.fill(PEOPLE)
    opened.release()
    yield opened
    opened.database.close()


def tokens(*values):
    """As the lake of these tests makes them (conftest)."""
    return pa.array([hashlib.sha256(value.encode()).digest()[:12] for value in values], pa.binary(12))


def give(home, *values, scope="cohort", domain="person"):
    return consents.give(tokens(*values), **known(home, scope, domain))


def withdraw(home, *values):
    return consents.withdraw(tokens(*values), **known(home))


def known(home, scope="cohort", domain="person", key=STEWARD_KEY):
    own = {"access": access_of(home.catalogue), "database": home.database, "actor": home.actor()}
    return {"scope": scope, "domain": domain, "sign": signer(key), **own}


def decades(home):
    return [born.year for born in ask(home, "SELECT born FROM curated.person ORDER BY 1", *WHO)["born"].to_pylist()]


def test_only_rows_of_persons_who_consented_are_there(home):
    assert decades(home) == []
    give(home, FIRST)
    assert decades(home) == [1990]
    give(home, SECOND, "nobody of this table")
    assert decades(home) == [1950, 1990]
    withdraw(home, FIRST)
    assert decades(home) == [1950]
    give(home, FIRST)
    assert decades(home) == [1950, 1990]


def test_the_version_of_the_consents_is_part_of_the_decision_and_its_hash(home):
    hashes = []
    for change in (give, give, withdraw):
        version = change(home, FIRST)
        ask(home, "SELECT count(*) FROM curated.person", *WHO)
        hashes.append(ledger(home, "access")[-1]["facts"]["tables"]["curated.person"]["decision_hash"])
        with home.database.read() as connection:
            assert consents.versions(connection) == {("cohort", "person"): version}
    assert len(set(hashes)) == 2
    assert hashes[0] == hashes[1]


def test_the_ledger_has_counts_and_versions_and_the_state_tokens_alone(home):
    version = give(home, FIRST, SECOND, SECOND)
    assert give(home, FIRST) == version
    withdrawn = withdraw(home, FIRST, "somebody else")
    assert withdraw(home, FIRST) == withdrawn
    [given], [ended] = ledger(home, "consent_given"), ledger(home, "consent_withdrawn")
    assert {name: given["facts"][name] for name in ("scope", "domain", "persons", "version")} == {
        "scope": "cohort",
        "domain": "person",
        "persons": 2,
        "version": version,
    }
    assert ended["facts"]["persons"] == 1
    with home.database.read() as connection:
        blocks = connection.execute(select(consent_change.c.tokens).order_by(consent_change.c.id)).scalars().all()
        assert [len(block) for block in blocks] == [24, 12]
        assert consents.counted(connection) == {("cohort", "person"): 1}


def test_a_consent_that_no_rule_asks_for_is_refused(home):
    for given in ({"scope": "cohorts"}, {"domain": "firm"}):
        with pytest.raises(Refused, match="no rule asks consent"):
            give(home, FIRST, **given)


def test_a_row_without_a_token_has_nobody_who_could_consent(home):
    give(home, *(person[0] for person in PEOPLE if person[0]))
    assert ask(home, "SELECT count(*) AS n FROM curated.person", *WHO)["n"].to_pylist() == [3]


def test_others_see_what_they_saw(home):
    assert ask(home, "SELECT count(*) AS n FROM curated.person")["n"].to_pylist() == [4]


def test_explain_says_that_rows_are_some(home):
    own = {"catalogue": home.catalogue, "database": home.database, "lake": home.lake}
    sights = {s.field: s for s in explain("curated.person", subject=WHO[0], purpose=WHO[1], **own)}
    assert (sights["born"].outcome, sights["born"].filtered) == ("mask:date-decade", True)


def test_values_become_the_lakes_tokens_under_a_grant_that_is_over_at_once(home):
    values = pa.array([FIRST, " " + FIRST, "", None, SECOND])
    own = {"domain": "person", "database": home.database, "keystore": home.keystore, "actor": home.actor()}
    made = consents.tokens_of(values, **own).to_pylist()
    assert len(made) == 3
    assert made[0] == made[1] != made[2]
    assert made[0] != tokens(FIRST)[0].as_py()
    assert len(ledger(home, "grant")) == len(ledger(home, "grant_revoked")) == 1
    assert ledger(home, "grant")[0]["facts"]["digest_budget"] == 3


def test_a_scan_refuses_consents_of_which_one_was_withdrawn_since_its_decision(home):
    version = give(home, FIRST, SECOND)
    asked = filters.Consented(scope="cohort", domain="person", column="id_number__token", version=version)
    where = sqlglot.parse_one(filters.condition(asked, {}).sql("duckdb"), dialect="duckdb")
    give(home, "a third")
    with duckdb.connect() as con:
        consents.bind(con, where, home.database)
        assert len(con.table(asked.relation).fetchall()) == 2
        withdraw(home, SECOND)
        with pytest.raises(Refused, match="withdrawn since"):
            consents.bind(con, where, home.database)


def test_a_condition_whose_consents_nobody_provides_is_an_error():
    asked = filters.Consented(scope="cohort", domain="person", column="t", version="")
    with duckdb.connect() as con, pytest.raises(duckdb.CatalogException):
        con.sql(f"SELECT 1 AS t WHERE {filters.condition(asked, {}).sql('duckdb')}")


def test_an_answer_under_way_is_cut_off_when_a_consent_is_withdrawn_and_not_when_one_is_given(home):
    give(home, FIRST)
    answer = query(
        "SELECT a.x FROM curated.person, range(100000000000) AS a(x)",
        subject=WHO[0],
        purpose=WHO[1],
        settings=home.settings,
        catalogue=home.catalogue,
        database=home.database,
        lake=home.lake,
        keystore=home.keystore,
    )
    with answer:
        assert answer.stream().read_next_batch().num_rows
        give(home, SECOND)
        later = time.monotonic() + 1.5
        while time.monotonic() < later:
            answer.stream().read_next_batch()
        withdraw(home, FIRST)
        began = time.monotonic()
        with pytest.raises(Refused, match="a consent was withdrawn"):
            sum(batch.num_rows for batch in answer.stream() if time.monotonic() - began < 20)
        assert time.monotonic() - began < 5
