"""Two random worlds that agree on what a subject may see cannot be told apart by any statement.

Schemas, rules, rows and statements are generated (`generated.py`, `statements.py`): 500 statements here, as many as wanted by
`make attack QUERIES=10000`. What a scanner streams is also compared with a reference that evaluates filters and masks row by row in Python, and
decisions that are changed a little must be told from the right ones. At the end hypothesis looks for rows of one table that break it: the
user's statement sees only what the scanner streams, so that equal streams cover every statement, its plans, errors and metadata.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from itertools import islice

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from governance.policy.filters import And
from governance.policy.lattice import NONE, RAW, Outcome
from governance.state.values import Actor
from governance.use.guard import examine
from governance.use.published import read_published
from governance.use.query import DEFAULT_LIMITS, record_access
from governance.use.scanner import is_token, scan
from governance.use.scans import Scan, plan_scans, scan_request
from governance.workers import Limits
from tests.use.asking import observed
from tests.use.conftest import open_home
from tests.use.generated import WHO, world
from tests.use.statements import plain_statements, statements, table_of
from tests.use.two_worlds import TwoWorlds, right

SEEDS, EACH = range(10), 50
MUTATED = (108, 103)
SWAPS = ("mask:replace-with-null", "mask:mask-to-fixed-value")


@pytest.mark.parametrize("seed", SEEDS)
def test_no_statement_tells_two_worlds_apart(tmp_path, seed):
    made = world(seed)
    asked = list(islice(statements(made, seed), EACH))
    with TwoWorlds(tmp_path, made) as pair:
        assert pair.wrong(pair.first, made.first) == []
        assert pair.wrong(pair.second, made.second) == []
        for name, stream in pair.first.streams.items():
            assert stream.equals(pair.second.streams[name]), name
        for sql, (first, second) in zip(asked, pair.observe(asked), strict=True):
            assert first == second, sql
            answers = pair.direct(sql)
            if answers is not None and not any(is_token(column.outcome) for column in pair.answering(sql).columns):
                assert sorted(map(repr, answers[0][1])) == sorted(map(repr, first[-1])), sql
        found = [(sql, pair.direct(sql)) for sql in (*asked, *islice(plain_statements(made, seed), EACH // 2))]
        direct = [(sql, answers) for sql, answers in found if answers is not None]
        assert [sql for sql, (one, other) in direct if one != other] == []
        assert len(direct) > EACH // 6


def test_the_generator_makes_what_matters():
    """Hidden rows and cells differ between the worlds, filters cut some rows off and leave some, every kind of mask comes up."""
    worlds = [world(seed) for seed in range(120)]
    pairs = [(t, made.first[t.name], made.second[t.name]) for made in worlds for t in made.tables]
    different = [t for t, first, second in pairs if first != second]
    assert len(different) > len(pairs) * 0.8
    assert {str(c.outcome).partition("(")[0] for t, _, _ in pairs for c in t.columns} >= {
        "none",
        "raw",
        "token",
        "phone",
        "number-bucket",
    }
    cut = [sum(map(t.passes, first)) / len(first) for t, first, _ in pairs if t.condition]
    assert sum(0 < share < 1 for share in cut) > len(cut) * 0.5


def test_the_whole_path_answers_what_was_compared(tmp_path):
    """`query` itself, its processes started anew, for some of the statements."""
    made = world(4)
    asked = [sql for sql in islice(statements(made, 44), 30) if "sha-256-query-local" not in sql]
    with TwoWorlds(tmp_path, made) as pair:
        assert not any(str(c.outcome) == "sha-256-query-local" for t in made.tables for c in t.columns)
        compared = [
            (sql, second) for sql, (_, second) in zip(asked, pair.observe(asked), strict=True) if len(second) > 1
        ]
        for sql, second in compared[:: len(compared) // 4]:
            shown, found = observed(pair.home, sql, *WHO)
            if len(second) == 2:
                assert (shown, found) == ("Refused", second[1]), sql
            else:
                told = [
                    [v if v is None or isinstance(v, (bool, int, str)) else repr(v) for v in row.values()]
                    for row in found
                ]
                assert [shown, told] == second[1:], sql


def test_decisions_that_are_changed_a_little_are_told_from_the_right_ones(tmp_path):
    alive, tried = [], 0
    for seed in MUTATED:
        made = world(seed)
        with TwoWorlds(tmp_path / str(seed), made) as pair:
            for name, scan_of in pair.first.scans.items():
                for what, mutant in mutated(scan_of):
                    other = dict(mutated(pair.second.scans[name]))[what]
                    first, second = pair.rescanned(pair.first, mutant), pair.rescanned(pair.second, other)
                    table = table_of(made, name)
                    tried += 1
                    if (
                        first.equals(second)
                        and right(table, made.first[name], first)
                        and right(table, made.second[name], second)
                    ):
                        alive.append(f"{seed} {name}: {what}")
    assert tried > 40
    assert len(alive) <= tried * 0.05, alive


def mutated(scan_of: Scan) -> Iterator[tuple[str, Scan]]:
    """Decisions on one table that are wrong in one place: a filter dropped or cut short, a mask dropped or swapped, a column opened or closed."""
    restrictions = scan_of.restrictions
    if restrictions.row_filter is not None:
        yield "no filter", replace(scan_of, restrictions=replace(restrictions, row_filter=None))
        parts = restrictions.row_filter.parts
        for at in range(len(parts)) if len(parts) > 1 else ():
            rest = And.model_construct(parts=parts[:at] + parts[at + 1 :])
            yield f"without conjunct {at}", replace(scan_of, restrictions=replace(restrictions, row_filter=rest))
    for column in restrictions.columns:
        if column.name.startswith("_") or column.name.endswith("__token"):
            continue
        outcomes = (
            [RAW]
            if not column.visible
            else [NONE, *map(Outcome.parse, SWAPS)] + ([RAW] if column.outcome != RAW else [])
        )
        for outcome in outcomes:
            if outcome == column.outcome:
                continue
            changed = tuple(replace(c, outcome=outcome) if c.name == column.name else c for c in restrictions.columns)
            visible = tuple(c for c in changed if c.outcome != NONE and c.visible)
            if visible:
                yield (
                    f"{column.name} {outcome}",
                    replace(scan_of, columns=visible, restrictions=replace(restrictions, columns=changed)),
                )


IDS = st.none() | st.from_regex(r"[0-9]{17}[0-9X]", fullmatch=True)
TEXT = st.none() | st.text("王李张小明无忌HIDDEN😀", max_size=4)
DAYS = st.none() | st.dates(date(1900, 1, 1), date(2026, 1, 1))
MONEY = st.none() | st.integers(0, 10**6).map(lambda cents: Decimal(cents) / 100)
ROW = st.tuples(IDS, TEXT, DAYS, MONEY, st.sampled_from(["110101", "110102", "110103"]), st.none() | st.integers(0, 9))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    opened = open_home(tmp_path_factory.mktemp("worlds"))
    yield opened
    opened.database.close()


def streams(home, people, run, subject, purpose):
    """What the scanner gives of `people` to a subject: schema and rows."""
    home.fill(people, run=run)
    home.release()
    actor = Actor(subject, purpose, run)
    with home.database.read() as connection:
        published = read_published(connection, catalogue=home.catalogue, lake=home.lake)
    [made] = plan_scans(examine("SELECT * FROM curated.person"), published, actor, home.database)
    scans = [replace(made, direct=None)]  # the rows as they are seen, of which an answer may have no more than some
    grant = record_access(scans, "0" * 64, published.release, actor, Limits(), home.database, home.lake)
    found = []
    scan(
        {**scan_request(scans[0], grant, purpose, "00" * 32, home.settings, DEFAULT_LIMITS), "max_rows": None},
        {},
        lambda reader: found.append(reader.read_all()),
    )
    return found[0].schema, found[0].to_pylist()


NUMBER = iter(range(10**9))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(people=st.lists(ROW, min_size=1, max_size=8), others=st.lists(ROW, max_size=8), money=MONEY)
def test_rows_and_columns_that_a_caseworker_may_not_see_change_nothing(home, people, others, money):
    seen = [row for row in people if row[4] == "110101"]
    elsewhere = [(*row[:4], "110102", row[5]) for row in others]
    other_world = [(*row[:3], money, *row[4:]) for row in seen] + elsewhere
    who = ("user:zhao", "benefits")
    if not other_world:
        other_world = [(None, None, None, None, "110103", 0)]
    first = streams(home, people, f"run-{next(NUMBER)}", *who)
    second = streams(home, other_world, f"run-{next(NUMBER)}", *who)
    assert first == second


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    people=st.lists(ROW, min_size=1, max_size=8),
    day=st.integers(0, 3650),
    name=st.text("四五六😀H", min_size=1, max_size=3),
    money=MONEY,
)
def test_what_a_mask_hides_changes_nothing(home, people, day, name, money):
    other_world = [
        (
            row[0],
            row[1] if row[1] is None or len(row[1]) < 2 else row[1][0] + name,
            row[2] if row[2] is None else date(row[2].year // 10 * 10 + day % 10, 1 + day % 12, 1 + day % 28),
            money,
            *row[4:],
        )
        for row in people
    ]
    who = ("user:li", "statistics")
    first = streams(home, people, f"run-{next(NUMBER)}", *who)
    second = streams(home, other_world, f"run-{next(NUMBER)}", *who)
    assert first == second
