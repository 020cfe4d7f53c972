"""Aggregate-only columns: what comes out is of groups, and nothing tells one person's value."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from governance.errors import Refused
from governance.use.who_sees import explain
from tests.use.asking import ask, ledger, observed, rows
from tests.use.conftest import ACCESS, catalogue_of, open_home

BY_DISTRICT = "SELECT district, sum(income) AS total FROM curated.person GROUP BY district ORDER BY district"


def person(n, income, district="110101", rank=1, number=None):
    return (number or f"1101011990{n:07}X", f"王{n}", date(1950 + n % 60, 1, 1), income, district, rank)


def people(of_small=(100, 200, 300)):
    """30 in the first district, 12 in the second, 3 in the third: sums 30 x 1000 + 0..29, 12 x 2000, and `of_small`."""
    made = [person(n, Decimal(1000 + n), rank=n % 2) for n in range(30)]
    made += [person(100 + n, Decimal(2000), "110102", 5) for n in range(12)]
    return made + [
        person(200 + n, None if value is None else Decimal(value), "110103") for n, value in enumerate(of_small)
    ]


def world(folder, rows_of):
    opened = open_home(folder)
    opened.fill(rows_of)
    opened.release()
    return opened


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    opened = world(tmp_path_factory.mktemp("town"), people())
    yield opened
    opened.database.close()


def test_groups_of_enough_people_are_released_rounded_and_smaller_ones_are_not_there(town):
    assert rows(town, BY_DISTRICT) == [("110101", 30000.0), ("110102", 24000.0)]
    assert rows(town, "SELECT avg(income), count(income), count(*) FROM curated.person") == [(1200.0, 40, 45)]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT sum(income) FROM curated.person WHERE district = '110103'", []),
        ("SELECT sum(income) FROM curated.person WHERE rank > 4", [(24000.0,)]),
        ("SELECT rank, count(*) AS people FROM curated.person GROUP BY ALL HAVING avg(income) > 1500", [(5, 12)]),
        (
            'SELECT p.district AS "where", mean(p.income) FROM curated.person p GROUP BY 1 ORDER BY 2 DESC LIMIT 1',
            [("110102", 2000.0)],
        ),
        (
            "SELECT district AS d, sum(income) AS income FROM Curated.Person WHERE NOT (rank IN (7, 8)) AND district "
            "BETWEEN '110101' AND '110102' AND born IS NOT NULL GROUP BY d ORDER BY income",
            [("110102", 24000.0), ("110101", 30000.0)],
        ),
        ("SELECT name, sum(income) FROM curated.person WHERE name = '王**' GROUP BY name", [("王**", 56000.0)]),
        ("SELECT name, sum(income) FROM curated.person WHERE name = '王1' GROUP BY name", []),
        ("SELECT count(income) FROM curated.person WHERE district = '110101'", [(30,)]),
        ("SELECT district, sum(rank), avg(income) FROM curated.person GROUP BY 1 LIMIT 1", [("110101", 15.0, 1000.0)]),
        ("SELECT sum(income) FROM curated.person WHERE district = 'O''Neill'", []),
        ("SELECT sum(income) FROM curated.person WHERE born > DATE '1800-01-01' LIMIT 0", []),
    ],
)
def test_one_plain_grouped_select_is_answered(town, sql, expected):
    assert rows(town, sql) == expected


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT income FROM curated.person",
        "SELECT income, count(*) FROM curated.person GROUP BY income",
        "SELECT income, count(*) FROM curated.person GROUP BY ALL",
        "SELECT count(*) FROM curated.person GROUP BY income",
        "SELECT sum(income) FROM curated.person WHERE income > 5",
        "SELECT count(*) FROM curated.person WHERE income > 5",
        "SELECT district FROM curated.person GROUP BY district HAVING max(income) > 5",
        "SELECT district FROM curated.person ORDER BY income",
        "SELECT district, sum(income) FROM curated.person GROUP BY district ORDER BY max(income)",
        "SELECT district, sum(income) FROM curated.person GROUP BY district ORDER BY income",
        "SELECT max(income) FROM curated.person",
        "SELECT min(income) FROM curated.person",
        "SELECT median(income) FROM curated.person",
        "SELECT list(income) FROM curated.person",
        "SELECT stddev(income) FROM curated.person",
        "SELECT sum(DISTINCT income) FROM curated.person",
        "SELECT sum(income ORDER BY rank) FROM curated.person",
        "SELECT sum(income) FILTER (WHERE rank = 1) FROM curated.person",
        "SELECT sum(income) OVER () FROM curated.person",
        "SELECT sum(CASE WHEN rank = 1 THEN income END) FROM curated.person",
        "SELECT sum(income * rank) FROM curated.person",
        "SELECT sum(income + 0) FROM curated.person",
        "SELECT sum(income::DOUBLE) FROM curated.person",
        "SELECT sum(income) - sum(rank) FROM curated.person",
        "SELECT sum(if(rank = 1, income, 0)) FROM curated.person",
        "SELECT sum(-income) FROM curated.person",
        "SELECT DISTINCT sum(income) FROM curated.person GROUP BY district",
        "SELECT sum(income) FROM curated.person GROUP BY ROLLUP (district)",
        "SELECT sum(income) FROM curated.person GROUP BY GROUPING SETS ((district), ())",
        "SELECT sum(income) FROM curated.person GROUP BY id_number",
        "SELECT sum(income) FROM curated.person WHERE id_number = 'x'",
        "SELECT sum(income) FROM curated.person WHERE name LIKE '王%'",
        "SELECT sum(income) FROM curated.person WHERE rank + 1 > 2",
        "SELECT sum(income) FROM curated.person WHERE rank > district",
        "SELECT sum(income) FROM curated.person WHERE rank = 'a'",
        "SELECT sum(income) FROM curated.person WHERE born = 'soon'",
        "SELECT sum(income) FROM curated.person WHERE EXISTS (SELECT 1)",
        "SELECT sum(income) FROM curated.person WHERE rank = (SELECT max(rank) FROM curated.person)",
        "SELECT sum(income) FROM curated.person TABLESAMPLE 50%",
        "SELECT sum(income) FROM curated.person LIMIT 10%",
        "SELECT sum(income) FROM curated.person QUALIFY row_number() OVER () = 1",
        "SELECT sum(a.income) FROM curated.person a JOIN curated.person b USING (rank)",
        "SELECT sum(income) FROM curated.person, range(2)",
        "SELECT s FROM (SELECT sum(income) AS s FROM curated.person)",
        "WITH t AS (SELECT income FROM curated.person) SELECT sum(income) FROM t",
        "WITH t AS (SELECT 1) SELECT sum(income) FROM curated.person",
        "SELECT sum(income) FROM curated.person UNION ALL SELECT sum(income) FROM curated.person",
        "SELECT (SELECT sum(income) FROM curated.person)",
        "SELECT sum(other.income) FROM curated.person",
        "SELECT sum(income) FROM curated.person GROUP BY district || ''",
        "SELECT rank, sum(income) FROM curated.person GROUP BY district",
        "SELECT sum(name), sum(income) FROM curated.person",
        "SELECT sum(income), 1 FROM curated.person",
        "SELECT *, sum(income) FROM curated.person GROUP BY ALL",
        "SELECT sum(COLUMNS('income')), sum(income) FROM curated.person",
        "SELECT sum(income) FROM curated.person WHERE " + "NOT (" * 18 + "rank = 1" + ")" * 18,
        "SELECT sum(income) FROM curated.person WHERE rank = 1 OR rank = 2",
        "SELECT sum(income) FROM curated.person WHERE NOT (rank = 1 AND district = '110101')",
        "SELECT sum(income) FROM curated.person WHERE rank>1 AND rank>2 AND rank>3 AND rank>4 AND rank>5",
        f"SELECT sum(income) FROM curated.person WHERE rank IN ({'1, ' * 300}1)",  # noqa: S608
    ],
)
def test_every_other_use_of_it_is_refused_with_a_code(town, sql):
    with pytest.raises(Refused, match="the statement failed: aggregate_only") as caught:
        ask(town, sql)
    assert "income" not in str(caught.value)


def test_statements_that_do_not_touch_it_are_as_ever(town):
    assert "income" not in ask(town, "SELECT * FROM curated.person").column_names
    assert rows(town, "SELECT count(*), count(DISTINCT id_number) FROM curated.person") == [(45, 45)]


SAME = (
    BY_DISTRICT,
    "SELECT sum(income), avg(income), count(income), count(*) FROM curated.person WHERE district = '110103'",
    "SELECT district, rank, avg(income), count(income) FROM curated.person GROUP BY ALL",
    "SELECT district, sum(income) FROM curated.person GROUP BY district HAVING sum(income) < 1000",
)


def test_a_persons_value_in_a_small_group_changes_nothing_nor_whether_there_is_one(town, tmp_path):
    first = [observed(town, sql) for sql in SAME]
    for at, other in enumerate([(100, 200, 999999), (None, 200, -300), ()]):  # at last: no such group at all
        second = world(tmp_path / str(at), people(other))
        assert [observed(second, sql) for sql in SAME] == first
        second.database.close()


def test_people_are_counted_and_not_rows(tmp_path):
    often = [person(n, Decimal(1000 + n), number=f"11010119900000{n % 9:03}X") for n in range(90)]
    second = world(tmp_path, [*often, *[person(300 + n, Decimal(5), "110102", number=None) for n in range(10)]])
    assert rows(second, "SELECT district, count(*) AS n, sum(income) FROM curated.person GROUP BY district") == [
        ("110102", 10, 50.0)
    ]
    second.database.close()


def test_rows_of_nobody_are_not_counted_as_people(tmp_path):
    second = world(tmp_path, [(None, None, None, Decimal(10 + n), "110101", 1) for n in range(50)])
    assert rows(second, "SELECT sum(income) FROM curated.person") == []
    second.database.close()


def test_all_but_one_is_not_released(town, tmp_path):
    loner = world(tmp_path, [*people(), person(999, Decimal(31337), rank=77)])
    assert rows(loner, "SELECT district FROM curated.person WHERE rank = 77") == [("110101",)]
    everybody = "SELECT sum(income) FROM curated.person WHERE district = '110101'"
    assert rows(loner, everybody + " AND rank <> 77") == []
    assert rows(loner, "SELECT sum(income), district FROM curated.person WHERE rank < 70 GROUP BY 2") == [
        (24000.0, "110102")
    ]
    assert rows(loner, everybody + " AND rank = 0") == [(16000.0,)]
    loner.database.close()


def test_a_group_of_which_one_person_has_most_is_not_released(tmp_path):
    rich = [person(n, Decimal(10)) for n in range(30)] + [person(99, Decimal(10**9))]
    nothing = [person(200 + n, Decimal(0), "110102") for n in range(20)]
    second = world(tmp_path, rich + nothing)
    assert rows(second, "SELECT district, sum(income) FROM curated.person GROUP BY district") == []
    assert rows(second, "SELECT district, count(income) FROM curated.person GROUP BY district") == [
        ("110101", 30),
        ("110102", 20),
    ]
    second.database.close()


def test_no_raw_value_leaves_the_scanner_and_the_ledger_says_what_was_aggregated(town):
    ask(town, BY_DISTRICT)
    facts = ledger(town, "access")[-1]["facts"]["tables"]["curated.person"]
    assert facts["columns"] == {"district": "raw", "income": "aggregate_only(10)"}


def test_a_days_budget_of_statements_is_held_and_refusals_are_in_the_ledger(tmp_path):
    few = ACCESS.replace("action: aggregate_only(10)", "action: aggregate_only(10), obligations: {aggregates_a_day: 2}")
    second = open_home(tmp_path, catalogue_of(few))
    second.fill(people())
    second.release()
    assert len(rows(second, BY_DISTRICT)) == len(rows(second, BY_DISTRICT)) == 2
    with pytest.raises(Refused, match="budget of such statements is spent; allowed: 2 a day"):
        ask(second, BY_DISTRICT)
    assert "budget" in ledger(second, "access_refused")[-1]["facts"]["reason"]
    assert rows(second, "SELECT count(*) FROM curated.person") == [(45,)]
    second.database.close()


def test_explain_says_how_it_may_be_used(town):
    sights = explain(
        "curated.person",
        subject="user:li",
        purpose="statistics",
        catalogue=town.catalogue,
        database=town.database,
        lake=town.lake,
    )
    [income] = [sight for sight in sights if sight.field == "income"]
    assert income.outcome == "aggregate_only(10)"
    assert "groups of at least 10" in income.reason
