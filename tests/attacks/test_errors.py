"""Attacks 23-30: errors, evaluation order, exhaustion, and guesses at what a mask hides."""

from __future__ import annotations

import hashlib

import pytest

from governance.errors import Refused, WorkerFailed
from governance.workers import Limits
from tests.attacks.worlds import BASE, LI, ZHAO, Worlds
from tests.use.asking import ask


def code(worlds: Worlds, sql: str, who: tuple[str, str] = LI) -> str:
    """The code of the error that `sql` must end with."""
    text = worlds.refused(sql, who)
    assert text.startswith("the statement failed: "), text
    return text.removeprefix("the statement failed: ").partition(";")[0]


@pytest.mark.parametrize(
    ("sql", "who"),
    [
        ("SELECT CAST(name AS INTEGER) FROM curated.person", LI),
        ("SELECT name::DATE FROM curated.person", LI),
        ("SELECT name::INT FROM curated.person WHERE district <> '110101'", LI),
        ("SELECT id_number::UUID FROM curated.person", LI),
    ],
)
def test_23_a_cast_that_fails_tells_no_value(worlds: Worlds, sql: str, who: tuple[str, str]) -> None:
    assert code(worlds, sql, who) == "conversion"


def test_23_a_cast_fails_on_no_hidden_row(worlds: Worlds) -> None:
    """The hidden rows' names are no numbers; with the own rows cut off there is nothing left to fail on."""
    assert worlds.rows("SELECT name::INT FROM curated.person WHERE rank > 2", ZHAO) == []
    assert worlds.rows("SELECT CASE WHEN rank > 2 THEN name::INT ELSE rank END AS a FROM curated.person", ZHAO) == [
        (1,),
        (2,),
    ]


def test_24_error_of_a_value_is_refused(worlds: Worlds) -> None:
    for sql in ("SELECT error(name) FROM curated.person", "SELECT error(income) FROM curated.person"):
        worlds.unread(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 // (rank - 41) FROM curated.person",
        "SELECT sqrt(2 - rank) FROM curated.person",
        "SELECT ln(3 - rank) FROM curated.person",
        "SELECT (rank + 214)::UTINYINT FROM curated.person",
        "SELECT regexp_matches(name, CASE WHEN rank > 2 THEN '(' ELSE 'x' END) FROM curated.person",
        "SELECT factorial(CAST(rank * 2 AS INTEGER))::BIGINT FROM curated.person",
        "SELECT strptime(name, '%Y') FROM curated.person WHERE rank > 2",
        "SELECT chr(CASE WHEN rank > 2 THEN -1 ELSE 65 END) FROM curated.person",
        "SELECT (2000000000 * rank)::INT FROM curated.person WHERE rank > 2",
    ],
)
def test_25_arithmetic_that_only_hidden_rows_would_fail_on_does_not_fail(worlds: Worlds, sql: str) -> None:
    """Ranks 3, 4 and 41-63 are hidden from the caseworker: an engine that evaluated there would fail, or differ."""
    assert len(worlds.rows(sql, ZHAO)) <= 2


def test_25_arithmetic_that_fails_on_what_is_seen_fails_by_code(worlds: Worlds) -> None:
    assert code(worlds, "SELECT (rank * 100 + 200)::UTINYINT FROM curated.person", ZHAO) in (
        "conversion",
        "out_of_range",
    )
    assert code(worlds, "SELECT regexp_matches(name, '(') FROM curated.person", ZHAO) == "invalid_value"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT CASE WHEN income > 5000 THEN 1 // 0 END FROM curated.person",
        "SELECT CASE WHEN born = DATE '1990-03-07' THEN name::INT ELSE 0 END AS a FROM curated.person",
        "SELECT CASE WHEN name LIKE '王小%' THEN name::INT ELSE 0 END AS a FROM curated.person",
        "SELECT 1 FROM curated.person WHERE CASE WHEN name > '王五' THEN name::INT = 1 ELSE true END",
    ],
)
def test_26_an_error_on_a_condition_is_an_error_on_the_masked_value(worlds: Worlds, sql: str) -> None:
    worlds.same(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 FROM curated.person WHERE rank <= 2 OR name::INT = 1",
        "SELECT count(*) FROM curated.person a JOIN curated.person b ON a.rank // (b.rank - 3) = 1",
        "SELECT sum(CASE WHEN district <> '110101' THEN name::INT END) FROM curated.person",
    ],
)
def test_26_no_condition_is_evaluated_on_a_row_that_the_filter_cut_off(worlds: Worlds, sql: str) -> None:
    worlds.rows(sql, ZHAO)


def test_27_work_memory_and_time_depend_on_visible_rows_alone(worlds: Worlds) -> None:
    assert worlds.rows("SELECT 1 FROM curated.person LIMIT 1") == [(1,)]
    text = worlds.refused("SELECT repeat(name, 1000000000) FROM curated.person WHERE rank > 2 OR rank = 1", ZHAO)
    assert text.startswith("the statement failed: ")
    assert worlds.rows("SELECT repeat(name, 1000000000) FROM curated.person WHERE rank > 2", ZHAO) == []
    cross = "SELECT count(*) FROM curated.person a, range(1000000) r(x), range(CASE WHEN a.rank > 2 THEN 1000 ELSE 1 END) s(y)"
    assert worlds.rows(cross, ZHAO) == [(2_000_000,)]


def test_27_a_time_limit_ends_with_the_same_words_in_both_worlds(worlds: Worlds) -> None:
    said = []
    for home in worlds.pair(ZHAO):
        with pytest.raises((WorkerFailed, Refused)) as caught:
            ask(
                home,
                "SELECT sum(x) FROM curated.person, range(10000000000000) AS a(x)",
                *ZHAO,
                limits=Limits(memory_mb=512, seconds=4),
            )
        said.append(str(caught.value))
    assert said[0] == said[1]


def test_28_predicates_groups_orders_and_windows_work_on_masked_values(worlds: Worlds) -> None:
    for sql in (
        "SELECT rank FROM curated.person WHERE name = '王小明'",
        "SELECT rank FROM curated.person WHERE born = DATE '1990-03-07' OR born BETWEEN DATE '1955-12-01' AND DATE '1955-12-31'",
        "SELECT rank FROM curated.person WHERE id_number = '110101199003074514'",
        "SELECT rank FROM curated.person WHERE length(name) <> 3",
    ):
        assert worlds.rows(sql) == []
    for sql in (
        "SELECT name, count(*) FROM curated.person GROUP BY name ORDER BY ALL",
        "SELECT rank FROM curated.person ORDER BY born DESC, name, rank",
        "SELECT rank, dense_rank() OVER (ORDER BY born), lag(name) OVER (ORDER BY rank) FROM curated.person ORDER BY 1",
        "SELECT DISTINCT born FROM curated.person ORDER BY 1",
        "SELECT count(DISTINCT name), min(born), max(name), approx_count_distinct(born) FROM curated.person",
        "SELECT hash(name), md5(name), unicode(right(name, 1)) FROM curated.person ORDER BY rank",
        "SELECT rank FROM curated.person WHERE date_part('month', born) <> 1 OR date_part('day', born) <> 1",
    ):
        worlds.rows(sql)


def test_29_no_dictionary_of_guesses_joins_with_a_masked_column(worlds: Worlds) -> None:
    """Tokens are made with a key of the purpose: neither hashes nor the lake's own tokens of a known number match."""
    numbers = [person[0] for person in BASE if person[0]]
    guesses = [*numbers]
    for number in numbers:
        for made in (hashlib.sha256, hashlib.md5, hashlib.sha1):
            guesses += [made(number.encode()).hexdigest()[:length] for length in (24, 32, 64)]
    values = ", ".join(f"('{guess}')" for guess in dict.fromkeys(guesses))
    sql = f"SELECT count(*) FROM curated.person JOIN (VALUES {values}) g(x) ON x = id_number"  # noqa: S608
    assert worlds.rows(sql) == [(0,)]
    names = "', '".join(person[1] for person in BASE if person[1])
    sql = f"SELECT count(*) FROM curated.person WHERE name IN ('{names}') OR sha256(name) IN (sha256('{names[:3]}'))"  # noqa: S608
    assert worlds.rows(sql) == [(0,)]


def test_30_a_binary_search_by_patterns_finds_the_mask_and_nothing_behind_it(worlds: Worlds) -> None:
    tests = [f"count_if(name LIKE '王{c}%')" for c in "小明大一丁"] + [f"count_if(name > '王{c}')" for c in "一小明龥"]
    tests += [f"count_if(name SIMILAR TO '.{{{n}}}')" for n in (2, 4)] + ["count_if(contains(name, '明'))"]
    counted = ", ".join(f"CAST({test} AS INTEGER)" for test in tests)
    sql = f"SELECT {counted} FROM curated.person WHERE rank = 1"  # noqa: S608
    [found] = worlds.rows(sql)
    assert {int(number) for number in found} == {0}
    for digit in range(0, 10, 3):
        worlds.refused(f"SELECT count(*) FROM curated.person WHERE CAST(income AS VARCHAR) LIKE '{digit}%'")  # noqa: S608
