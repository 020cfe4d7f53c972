# ruff: noqa: S608 - the SQL is made of this module's own words
"""The deliveries of the demo city: what they look like, and that they follow from seed, size and month alone."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from stdnum.cn import ric, uscc

from governance.demo.city import generate
from governance.demo.population import stream
from governance.errors import GovernanceError
from tests.demo.conftest import Generated
from tests.demo.delivered import delivered

FILES = (
    "social_insurance/insured.csv",
    "social_insurance/contributions.csv",
    "housing_fund/accounts.xlsx",
    "tax/taxpayers.jsonl.gz",
    "tax/invoices.jsonl.gz",
)


def test_the_same_seed_size_and_month_give_the_same_content(tmp_path: Path, february: Generated) -> None:
    again = generate(tmp_path / "sources", seed=11, people=2000, month="2026-02")
    for name in FILES:
        assert (tmp_path / "sources" / name).read_bytes() == (february.sources / name).read_bytes(), name
    assert delivered(tmp_path / "sources") == february.tables
    assert pq.read_table(again.answers) == february.answers


def test_another_seed_gives_another_city(tmp_path: Path, january: Generated) -> None:
    generate(tmp_path / "sources", seed=12, people=2000, month="2026-01")
    assert delivered(tmp_path / "sources")["public_security.residents"] != january.tables["public_security.residents"]


def test_the_answer_key_stands_apart_from_the_sources(january: Generated) -> None:
    assert january.sources not in january.info.answers.parents
    assert not list(january.sources.rglob("*.parquet"))


def test_records_are_counted_as_the_sources_hold_them(january: Generated) -> None:
    assert {name: table.num_rows for name, table in january.tables.items()} == dict(january.info.records)


def test_numbers_without_an_injected_fault_are_valid(january: Generated) -> None:
    clean = "(SELECT row FROM answers WHERE kind = 'wrong_check_digit' AND dataset = '{}')"
    for name, short in (("public_security.residents", "residents"), ("housing_fund.accounts", "accounts")):
        for (number,) in january.query(f"SELECT resident_no FROM {short} WHERE row NOT IN {clean.format(name)}"):
            assert ric.calc_check_digit(str(number)) == str(number)[-1]
    codes = january.query(
        f"SELECT credit_code FROM enterprises WHERE row NOT IN {clean.format('market_supervision.enterprises')}"
    )
    assert all(uscc.is_valid(code) for (code,) in codes)


def test_every_resident_number_is_given_once(january: Generated) -> None:
    twice = january.query("SELECT count(*) FROM residents GROUP BY resident_no HAVING count(*) > 1")
    copies = january.query("SELECT count(*) FROM answers WHERE dataset = 'public_security.residents' AND role = 'copy'")
    assert len(twice) == copies[0][0]


def test_odd_sequences_are_men(january: Generated) -> None:
    wrong = january.query(
        "SELECT count(*) FROM residents WHERE (substr(resident_no, 17, 1)::INT % 2 = 1) <> (sex = '1')"
    )
    assert wrong == [(0,)]


def test_families_are_families(january: Generated) -> None:
    odd = january.query(
        """
        SELECT count(*) FROM kinship k JOIN residents p ON p.resident_no = k.resident_no
        JOIN residents r ON r.resident_no = k.relative_no
        WHERE CASE k.relation
            WHEN '01' THEN p.sex = r.sex OR p.household_no <> r.household_no
            WHEN '04' THEN r.sex <> '1' OR p.birth_date <= r.birth_date
            WHEN '05' THEN r.sex <> '2' OR p.birth_date <= r.birth_date
            ELSE k.relation <> '99' END
        """
    )
    assert odd == [(0,)]


def test_social_insurance_arrives_in_gb18030(january: Generated) -> None:
    content = (january.sources / "social_insurance" / "insured.csv").read_bytes()
    with pytest.raises(UnicodeDecodeError):
        content.decode("utf-8")
    assert content.decode("gb18030").startswith("个人编号,公民身份号码,姓名")


def test_a_later_month_shows_people_who_moved_left_and_came(january: Generated, february: Generated) -> None:
    before = {row[0]: row[1] for row in january.query("SELECT person_id, address FROM residents")}
    after = {row[0]: row[1] for row in february.query("SELECT person_id, address FROM residents")}
    moved = [person for person in before.keys() & after.keys() if before[person] != after[person]]
    assert moved
    assert len(moved) < len(before) / 10
    assert before.keys() - after.keys()
    assert after.keys() - before.keys()
    born = february.query("SELECT count(*) FROM residents WHERE birth_date BETWEEN '2026-02-01' AND '2026-02-28'")
    assert born[0][0]


def test_a_later_month_shows_firms_that_closed_and_opened(january: Generated, february: Generated) -> None:
    opened = {row[0] for row in february.query("SELECT enterprise_id FROM enterprises")} - {
        row[0] for row in january.query("SELECT enterprise_id FROM enterprises")
    }
    closed = february.query("SELECT count(*) FROM enterprises WHERE status = '3' AND closed_on LIKE '2026-02-%'")
    assert opened
    assert closed[0][0]


def test_a_later_month_brings_its_own_contributions_and_invoices_only(february: Generated) -> None:
    assert february.query("SELECT DISTINCT period FROM contributions WHERE period IS NOT NULL") == [("202602",)]
    assert february.query("SELECT DISTINCT issued_on[:7] FROM invoices WHERE issued_on IS NOT NULL") == [("2026-02",)]


def test_a_later_month_replaces_the_delivery_before(tmp_path: Path, february: Generated) -> None:
    for month in ("2026-01", "2026-02"):
        generate(tmp_path / "sources", seed=11, people=2000, month=month)
    assert delivered(tmp_path / "sources") == february.tables
    assert sorted(p.name for p in (tmp_path / "answers").iterdir()) == ["2026-01.parquet", "2026-02.parquet"]


def test_databases_have_primary_keys(january: Generated) -> None:
    connection = sqlite3.connect(january.sources / "market_supervision" / "register.sqlite")
    keys = [row[1] for row in connection.execute("PRAGMA table_info(enterprises)") if row[5]]
    connection.close()
    assert keys == ["enterprise_id"]


@pytest.mark.parametrize(
    ("people", "month", "rate"),
    [(499, "2026-01", 0.003), (500, "2025-12", 0.003), (500, "2029-01", 0), (500, "x", 0), (500, "2026-01", 0.5)],
)
def test_what_the_demo_cannot_be_is_refused(tmp_path: Path, people: int, month: str, rate: float) -> None:
    with pytest.raises(GovernanceError):
        generate(tmp_path / "sources", seed=1, people=people, month=month, rate=rate)


def test_streams_do_not_depend_on_each_other() -> None:
    assert stream(1, "a").random() == stream(1, "a").random() != stream(1, "b").random()
