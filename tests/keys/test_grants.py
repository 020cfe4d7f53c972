"""A grant is in the ledger before it opens anything, and is gone when its transaction is."""

import json

import pytest
from sqlalchemy import select

from governance.errors import Refused
from governance.keys import grants
from governance.keys.names import DigestKeyName, KeyName
from governance.state.database import Database
from governance.state.tables import ledger_entry
from governance.state.values import Actor
from tests.keys.conftest import Clock

KEY = KeyName("tax", "tax.invoices", "L3")


def test_issuing_and_revoking_leave_one_ledger_entry_each(database: Database, actor: Actor) -> None:
    with database.unit_of_work() as tx:
        grant = grants.issue(
            tx,
            actor=actor,
            keys=[KEY],
            digest_keys=[DigestKeyName("domain", "person")],
            digest_budget=7,
            decision_hash="d" * 64,
            database=database,
        )
    for _ in range(2):
        with database.unit_of_work() as tx:
            grants.revoke(tx, grant.id, actor=actor, database=database)
    with database.read() as connection:
        bodies = [json.loads(body) for body in connection.execute(select(ledger_entry.c.body)).scalars()]
    assert [body["kind"] for body in bodies] == ["grant", "grant_revoked"]
    assert bodies[0]["facts"]["keys"] == ["digest:domain/person/1", str(KEY), "tax/tax.invoices/footer/1"]
    assert bodies[0]["facts"]["digest_budget"] == 7
    assert bodies[0]["actor"]["subject"] == actor.subject


def test_a_right_on_a_column_opens_its_footer_but_a_right_on_landed_bytes_does_not(
    database: Database, actor: Actor
) -> None:
    landed = KeyName("tax", "tax.invoices", "landed")
    with database.unit_of_work() as tx:
        column = grants.issue(tx, actor=actor, keys=[KEY], database=database)
        original = grants.issue(tx, actor=actor, keys=[landed], database=database)
    assert "tax/tax.invoices/footer/1" in column.keys
    assert original.keys == {str(landed)}


def test_a_grant_that_is_rolled_back_never_was(database: Database, actor: Actor) -> None:
    with database.engine.connect() as tx:
        tx.exec_driver_sql("BEGIN IMMEDIATE")
        grant = grants.issue(tx, actor=actor, keys=[KEY], database=database)
        tx.rollback()
    with database.read() as connection:
        assert grants.find(connection, grant.id) is None
        assert connection.execute(select(ledger_entry.c.id)).all() == []


def test_require_gives_the_grant_while_it_holds(database: Database, actor: Actor, clock: Clock) -> None:
    with database.unit_of_work() as tx:
        grant = grants.issue(tx, actor=actor, keys=[KEY], seconds=5, database=database)
    with database.read() as connection:
        assert grants.require(connection, grant.id, [str(KEY)], at=clock()) == grant
        clock.pass_seconds(5)
        with pytest.raises(Refused):
            grants.require(connection, grant.id, [], at=clock())


def test_revoking_an_unknown_grant_is_refused(database: Database, actor: Actor) -> None:
    with pytest.raises(Refused), database.unit_of_work() as tx:
        grants.revoke(tx, "nobody", actor=actor, database=database)


def test_a_budget_taken_ahead_is_never_more_than_the_budget_and_ends_with_the_grant(
    database: Database, actor: Actor
) -> None:
    key = DigestKeyName("domain", "person")
    with database.unit_of_work() as tx:
        first, second = (
            grants.issue(tx, actor=actor, keys=[], digest_keys=[key], digest_budget=7, database=database)
            for _ in range(2)
        )
    spending = grants.Spending(database, ahead=5)

    def left(grant_id: str) -> int:
        with database.read() as connection:
            held = grants.find(connection, grant_id)
        assert held is not None
        return held.digest_budget

    assert spending.spend(first.id, str(key), bytes(32)) == 2
    assert left(first.id) == 2
    assert spending.spend(first.id, str(key), bytes(48)) == 3
    assert left(first.id) == 2  # all five are used, nothing more was taken
    assert spending.spend(first.id, str(key), bytes(32)) == 2
    with pytest.raises(Refused, match="budget is spent"):
        spending.spend(first.id, str(key), bytes(16))
    spending.spend(second.id, str(key), bytes(16))
    with database.unit_of_work() as tx:
        grants.revoke(tx, second.id, actor=actor, database=database)
    with pytest.raises(Refused):  # though four are left of what was taken
        spending.spend(second.id, str(key), bytes(16))
    with pytest.raises(Refused):
        spending.spend(first.id, "digest:domain/enterprise/1", bytes(16))
