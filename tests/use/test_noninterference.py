"""Two random worlds that agree on what a subject may see give the locked worker the same bytes: it can show nothing
else.

The user's statement sees only these streams, so their equality covers every statement, its plans, errors and metadata.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from governance.state.values import Actor
from governance.use.guard import examine
from governance.use.published import read_published
from governance.use.query import plan_scans, record_access, scan_request
from governance.use.scanner import scan
from governance.workers import Limits
from tests.use.conftest import open_home

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
    scans = plan_scans(examine("SELECT * FROM curated.person"), published, actor, home.database)
    grant = record_access(scans, "0" * 64, published.release, actor, Limits(), home.database, home.lake)
    found = []
    scan(
        dict(scan_request(scans[0], grant, purpose, "00" * 32, home.settings)),
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
