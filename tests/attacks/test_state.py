"""Attacks 44-48: caches, sessions, plans of another subject, policy that changes meanwhile, groups that cannot be looked up."""

from __future__ import annotations

import hashlib
import time

import pytest

from governance.config import as_request
from governance.errors import GovernanceError, Refused
from governance.state import texts
from governance.use.query import query
from governance.workers import Limits, start
from tests.attacks.worlds import IDLE, LI, RULES, ZHAO, Worlds, answer
from tests.use.asking import ask
from tests.use.conftest import Home, catalogue_of

SQL = "SELECT name FROM curated.person WHERE rank = 1"


def asked(home: Home, sql: str, who: tuple[str, str]):
    """An answer that nobody has read yet."""
    return query(
        sql,
        subject=who[0],
        purpose=who[1],
        settings=home.settings,
        catalogue=home.catalogue,
        database=home.database,
        lake=home.lake,
        keystore=home.keystore,
    )


def bring_in(home: Home, access: str) -> None:
    """Make `access` the rules in force, as another process would."""
    sha256 = hashlib.sha256(access.encode()).hexdigest()
    with home.database.unit_of_work() as tx:
        texts.record(tx, {("access", "access"): (sha256, access)}, at=home.database.clock())


CLOSED = RULES.replace(
    'where: {tags: [name]}, action: "mask:chinese-name"', "where: {tags: [name]}, action: none"
).replace(
    "where: {levels: [L1, L2, L3, L4], without_tags: [money]}",
    "where: {levels: [L1, L2, L3, L4], without_tags: [money, name]}",
)


def test_44_the_same_text_is_answered_for_each_subject_anew(worlds: Worlds) -> None:
    for _ in range(2):
        assert answer(worlds.base, SQL, ZHAO) == [("王小明",)]
        assert answer(worlds.base, SQL, LI) == [("王**",)]
        with pytest.raises(Refused):
            answer(worlds.base, SQL, IDLE)
        with pytest.raises(Refused):
            answer(worlds.base, SQL, ("user:zhao", "statistics"))


def test_44_no_answer_outlives_the_rules_that_gave_it(home: Home) -> None:
    home.release()
    assert answer(home, SQL, LI) == [("王**",)]
    home.catalogue = catalogue_of(CLOSED)
    with pytest.raises(Refused):
        answer(home, SQL, LI)
    with pytest.raises(Refused):
        answer(home, SQL, ZHAO)


def test_45_a_statement_finds_nothing_of_an_earlier_one(worlds: Worlds) -> None:
    for sql in (
        "CREATE TEMP TABLE kept AS SELECT name FROM curated.person",
        "PREPARE kept AS SELECT 1",
        "SET VARIABLE kept = 1",
    ):
        worlds.unread(sql, ZHAO)
    for sql in ("SELECT * FROM kept", "SELECT * FROM temp.kept", "EXECUTE kept", "SELECT getvariable('kept')"):
        worlds.refused(sql)
    first = worlds.rows("WITH kept AS (SELECT name FROM curated.person) SELECT count(*) FROM kept", ZHAO)
    assert first == [(2,)]
    worlds.refused("SELECT count(*) FROM kept", ZHAO)


def test_46_answers_that_are_open_together_stay_each_their_own_subjects(worlds: Worlds) -> None:
    with asked(worlds.base, SQL, ZHAO) as raw, asked(worlds.base, SQL, LI) as masked:
        assert masked.table().to_pylist() == [{"name": "王**"}]
        assert raw.table().to_pylist() == [{"name": "王小明"}]


def test_46_a_grant_of_one_subject_opens_nothing_that_only_another_may_read(worlds: Worlds) -> None:
    """The statistician's grant names no key of the identifier, nor may the scanner be asked for it under that grant."""
    home = worlds.base
    with asked(home, "SELECT rank, id_number FROM curated.person", LI) as own:
        own.table()
        request = {
            "settings": as_request(home.settings),
            "table": "curated.person",
            "snapshot": own.restrictions[0].snapshot,
            "columns": [["id_number", "string", None, None, "raw"], ["income", "decimal", 12, 2, "raw"]],
            "where": "",
            "grant": own.grant,
            "purpose": "statistics",
            "salt": "00" * 32,
            "memory_mb": 512,
        }
    with (
        start("governance.use.scanner:scan", request, limits=Limits(seconds=60)) as worker,
        pytest.raises(GovernanceError),
    ):
        worker.stream().read_all()


def test_47_rules_that_narrow_between_decision_and_reading_end_the_answer(home: Home) -> None:
    home.release()
    with asked(home, "SELECT p.name FROM curated.person p, range(100000000000) AS a(x)", LI) as under_way:
        assert under_way.stream().read_next_batch().num_rows
        bring_in(home, CLOSED)
        began = time.monotonic()
        with pytest.raises(Refused, match="ask again"):
            sum(batch.num_rows for batch in under_way.stream() if time.monotonic() - began < 20)
    with pytest.raises(Refused):
        ask(home, SQL, *LI)


def test_47_a_level_raised_after_the_release_closes_the_field_at_once(home: Home) -> None:
    from dataclasses import replace

    from governance.catalog.types import Level
    from tests.use.conftest import fields

    home.release()
    assert answer(home, "SELECT max(rank) FROM curated.person", LI) == [(4,)]
    raised = tuple(replace(f, classification=Level.L4) if f.name == "rank" else f for f in fields())
    home.catalogue = catalogue_of(RULES, raised)
    with pytest.raises(Refused):
        answer(home, "SELECT max(rank) FROM curated.person", LI)


def test_48_an_attribute_that_is_missing_never_widens_a_row_filter(home: Home) -> None:
    """`not_in` of a list that cannot be looked up would be everybody: the subject gets nothing instead."""
    excluding = RULES.replace("op: in, session: districts", "op: not_in, session: districts")
    home.catalogue = catalogue_of(excluding)
    home.release()
    assert answer(home, "SELECT count(*) FROM curated.person", ZHAO) == [(2,)]
    other = '{name: "user:wang", roles: [caseworker], attributes: {districts: ["110101"]}}'
    without = excluding.replace(', attributes: {districts: ["110101"]}', "", 1).replace('{name: "user:wang"}', other)
    home.catalogue = catalogue_of(without)
    with pytest.raises(Refused):
        answer(home, "SELECT count(*) FROM curated.person", ZHAO)
    home.catalogue = catalogue_of(excluding.replace('districts: ["110101"]', "districts: []"))
    with pytest.raises(Refused):
        answer(home, "SELECT count(*) FROM curated.person", ZHAO)


def test_48_a_subject_or_role_that_is_not_known_gets_nothing(worlds: Worlds) -> None:
    for who in (
        ("user:nobody", "statistics"),
        ("user:li", "gossip"),
        ("USER:LI", "statistics"),
        ("user:li ", "statistics"),
    ):
        for home in worlds.pair(ZHAO):
            with pytest.raises(Refused):
                answer(home, SQL, who)
