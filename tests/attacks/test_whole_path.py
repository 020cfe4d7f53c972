"""Some of the attacks again through `query` itself, with its processes started anew: what the kept ones say is what it says."""

from __future__ import annotations

import pytest

from tests.attacks.worlds import LI, ZHAO, Worlds, clean
from tests.use.asking import observed


@pytest.mark.parametrize(
    ("sql", "who"),
    [
        (
            "WITH person AS (SELECT * FROM curated.person) SELECT name, born FROM person WHERE name <> '王小明' ORDER BY ALL",
            LI,
        ),
        ("SELECT id_number::UUID FROM curated.person", LI),
        ("SELECT name, rank, 1 // (rank - 41) FROM curated.person ORDER BY rank", ZHAO),
    ],
    ids=["masks", "error", "rows"],
)
def test_query_says_the_same_in_both_worlds(worlds: Worlds, sql: str, who: tuple[str, str]) -> None:
    first, second = (observed(home, sql, *who) for home in worlds.pair(who))
    assert first == second
    clean(first, who)
    kind, shown = worlds.same(sql, who)
    assert kind == first[0]
    if isinstance(shown, list):
        assert len(shown) == len(first[1])
    else:
        assert shown == first[1]
