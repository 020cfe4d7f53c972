"""What somebody does who writes the state database by hand: nothing that was ended opens again, and it is noticed."""

from __future__ import annotations

import json
from datetime import timedelta

import duckdb
import pytest
import sqlglot
from sqlalchemy import delete, insert, select, text, update

from governance.errors import Damaged, Refused
from governance.ledger.sequencer import sequence
from governance.ledger.signer import open_signer
from governance.ledger.verify import verify
from governance.policy import filters
from governance.policy.lattice import RAW
from governance.state.database import Database
from governance.state.tables import ledger_entry
from governance.state.tables_use import access_step, consent_change
from governance.use import consents, history
from governance.use.break_glass import statement
from governance.use.published import read_published
from governance.use.request_state import Request, add_step, keep, read_all
from governance.use.requests import access_of, document_hash
from governance.use.signatures import BREAKS, CONSENTS, sign, signer
from tests.use import test_consents as consenting
from tests.use.asking import ledger
from tests.use.conftest import PEOPLE, STEWARD_KEY, catalogue_of, open_home
from tests.use.test_break_glass import GLASS, LI_KEY, LI_PUBLIC
from tests.use.test_consents import COHORT, FIRST, SECOND, tokens
from tests.use.test_requests import HE_KEY, WITH_HE, approved, asked, ended, now

RULES = WITH_HE.replace("clearance: L3}", f'clearance: L3, public_key: "{LI_PUBLIC}"}}', 1) + COHORT + GLASS
OF_ACCESS = ledger_entry.c.kind.in_([*history.STEPS, "consent_given", "consent_withdrawn"])


@pytest.fixture
def home(tmp_path):
    opened = open_home(tmp_path, catalogue_of(RULES))
    opened.fill(PEOPLE)
    opened.release()
    yield opened
    opened.database.close()


def by_hand(home, *statements):
    """Somebody else writes the database."""
    other = Database(str(home.database.engine.url))
    with other.unit_of_work() as tx:
        for each in statements:
            tx.execute(each)
    other.close()


def afresh(home):
    """The home as a process finds it that has seen nothing yet."""
    home.database.close()
    home.database = Database(str(home.database.engine.url))
    home.lake._database = home.database
    return home


NO_WITHDRAWAL = delete(access_step).where(access_step.c.step == "withdrawn")
NO_ENTRY = delete(ledger_entry).where(ledger_entry.c.kind == "access_withdrawn")


def seen(home, subject="user:he", purpose="research"):
    """The columns that an access by this subject would show now, and how: what every query begins with."""
    with home.database.read() as connection:
        published = read_published(connection, catalogue=home.catalogue, lake=home.lake, subject=subject)
    shown = published.restrictions(subject, purpose, "curated.person", at=home.database.clock())
    return {column.name: str(column.outcome) for column in shown.visible}


def consent_count(home):
    """How many persons the scanner would let pass, for whoever asks under the rule of the cohort."""
    with home.database.read() as connection:
        held = consents.standing(connection, [access_of(home.catalogue)])
    asked_for = filters.Consented(
        scope="cohort", domain="person", column="t", version=held.get(("cohort", "person"), "")
    )
    where = sqlglot.parse_one(filters.condition(asked_for, {}).sql("duckdb"), dialect="duckdb")
    with duckdb.connect() as con:
        consents.bind(con, where, home.database)
        return len(con.table(asked_for.relation).fetchall())


def withdrawn(home):
    """A request that was open and is over."""
    request = asked(home, "born")
    approved(home, request)
    assert seen(home) == {"born": "raw"}
    ended(home, request)
    assert seen(home) == {}
    return request


def test_a_withdrawal_whose_row_is_taken_away_opens_nothing_again(home):
    withdrawn(home)
    by_hand(home, NO_WITHDRAWAL)
    with pytest.raises(Damaged, match="not what the ledger says"):
        seen(home)
    with pytest.raises(Damaged, match="not what the ledger says"):
        seen(afresh(home))


def test_a_process_that_saw_a_withdrawal_does_not_forget_it_with_its_entry(home):
    withdrawn(home)
    by_hand(home, NO_WITHDRAWAL, NO_ENTRY)
    with pytest.raises(Refused, match="the one that was there before"):
        seen(home)


def test_an_entry_that_is_taken_out_of_the_middle_leaves_a_gap(home):
    withdrawn(home)
    asked(home, "rank")
    by_hand(home, NO_WITHDRAWAL, NO_ENTRY)
    with pytest.raises(Damaged, match="has a gap"):
        seen(afresh(home))


@pytest.mark.parametrize("of", ["kind", "body"])
def test_an_entry_that_is_written_anew_is_no_entry(home, of):
    withdrawn(home)
    asked(home, "rank")
    if of == "kind":
        changed = {"kind": "grant_revoked"}
    else:
        changed = {"body": text("CAST(replace(body, 'access_withdrawn', 'access_declined') AS BLOB)")}
    by_hand(home, update(ledger_entry).where(ledger_entry.c.kind == "access_withdrawn").values(**changed))
    with pytest.raises(Damaged, match="has a gap"):
        seen(afresh(home))


def test_the_last_entry_of_all_is_missed_by_the_ledgers_own_verification(home):
    """What an access cannot see: nothing came after. The ledger has a position too few for its checkpoint."""
    withdrawn(home)
    sequence(home.database, open_signer(home.settings.keyring))
    with home.database.read() as connection:
        assert verify(connection).problems == ()
    by_hand(home, NO_WITHDRAWAL, NO_ENTRY)
    assert seen(afresh(home)) == {"born": "raw"}
    with home.database.read() as connection:
        assert verify(connection).problems


def test_an_older_view_of_the_state_is_not_taken_for_a_newer_one(home):
    with home.database.read() as before:
        assert history.read(before).events == 0
        withdrawn(home)
        with home.database.read() as connection:
            assert history.read(connection).events == 3
        with pytest.raises(Refused, match="ask again"):
            history.read(before)


def forged(home, key=None, subject="user:li"):
    """A broken glass that somebody wrote into the state, with the entry that belongs to it."""
    at = now()
    made = Request("break_glass", subject, "statistics", {"curated.person": {"name": "L3"}}, RAW, at,
                   at + timedelta(hours=1), "forged", at)  # fmt: skip
    with home.database.unit_of_work() as tx:
        keep(tx, made)
        signed = document_hash(statement(made))
        signature = sign(BREAKS, signed, key) if key else None
        add_step(tx, made, "stated", subject=subject, document=statement(made), signature=signature, at=at)
        facts = {"request": made.id, "step": signed}
        history.record(tx, "break_glass", facts, actor=home.actor(), database=home.database, at=at)


@pytest.mark.parametrize("key", [None, STEWARD_KEY, HE_KEY, LI_KEY], ids=["none", "approver", "another", "own"])
def test_a_broken_glass_that_somebody_wrote_down_opens_nothing_without_its_subjects_signature(home, key):
    forged(home, key)
    assert (seen(home, "user:li", "statistics")["name"] == "raw") == (key is LI_KEY)


def change(home, at, **values):
    return update(consent_change).where(consent_change.c.id == at).values(**values)


def test_consents_count_by_an_approvers_signature_over_the_whole_set(home):
    assert consent_count(home) == 0
    consenting.give(home, FIRST)
    consenting.give(home, SECOND)
    assert consent_count(home) == 2
    by_hand(home, change(home, 1, signature="00" * 64))  # the second signature covers what the first one did
    assert consent_count(home) == 2
    by_hand(home, change(home, 2, signature=sign(CONSENTS, "0" * 64, STEWARD_KEY)))
    assert consent_count(home) == 0
    consents.confirm(**consenting.known(home))
    assert consent_count(home) == 2


def test_consents_that_an_approver_did_not_sign_are_not_recorded(home):
    for key in (HE_KEY, LI_KEY):
        with pytest.raises(Refused, match="not that of an approver"):
            consents.give(tokens(FIRST), **consenting.known(home, key=key))
    consenting.give(home, FIRST)
    with pytest.raises(Refused, match="not signed by user:wang"):
        consents.withdraw(tokens(FIRST), **consenting.known(home, key=LI_KEY))


def test_consents_end_with_their_approver_and_count_again_when_another_confirms_them(home):
    consenting.give(home, FIRST)
    access = access_of(home.catalogue)
    wang = next(approver for approver in access.approvers if approver.subject == "user:wang")
    without = access.model_copy(update={"approvers": tuple(a for a in access.approvers if a is not wang)})
    with home.database.read() as connection:
        assert set(consents.standing(connection, [access])) == {("cohort", "person")}
        assert consents.standing(connection, [access, without]) == {}
    own = {"scope": "cohort", "domain": "person", "access": access, "database": home.database}
    consents.confirm(**own, sign=signer(HE_KEY), actor=home.actor("user:he"))
    with home.database.read() as connection:
        assert set(consents.standing(connection, [without])) == {("cohort", "person")}


def test_tokens_that_are_added_to_a_recorded_set_are_noticed_by_the_scan(home):
    consenting.give(home, FIRST)
    by_hand(home, change(home, 1, tokens=tokens(FIRST)[0].as_py() + tokens(SECOND)[0].as_py()))
    with pytest.raises(Damaged, match="not what their version says"):
        consent_count(home)


def test_a_withdrawn_consent_whose_row_is_taken_away_or_put_in_by_hand_is_noticed(home):
    consenting.give(home, FIRST, SECOND)
    consenting.withdraw(home, FIRST)
    assert consent_count(home) == 1
    by_hand(home, delete(consent_change).where(consent_change.c.given.is_(False)))
    with pytest.raises(Damaged, match="not those of the ledger"):
        consent_count(home)
    row = {
        "scope": "other",
        "domain": "person",
        "given": True,
        "tokens": b"",
        "version": "0" * 64,
        "subject": "user:wang",
    }
    by_hand(home, insert(consent_change).values(**row, signature="", recorded_at=now()))
    with home.database.read() as connection, pytest.raises(Damaged):
        consents.standing(connection, [access_of(home.catalogue)])


def test_every_event_is_an_entry_that_names_the_one_before(home):
    withdrawn(home)
    consenting.give(home, FIRST)
    with home.database.read() as connection:
        rows = connection.execute(select(ledger_entry).where(OF_ACCESS).order_by(ledger_entry.c.id)).all()
        assert history.missing(history.read(connection), read_all(connection)) == ()
    facts = [json.loads(row.body)["facts"] for row in rows]
    assert [each["event"] for each in facts] == [1, 2, 3, 4]
    assert [each["before"] for each in facts] == ["", *(row.leaf_hash.hex() for row in rows[:-1])]
    assert ledger(home, "access_asked")[0]["facts"]["step"] == facts[0]["request"]


def test_a_read_looks_at_entries_of_access_alone(home):
    """However long the ledger is: an access comes by this query."""
    with home.database.read() as connection:
        sql = str(history._events(1).compile(connection, compile_kwargs={"literal_binds": True}))
        plan = " ".join(row.detail for row in connection.execute(text(f"EXPLAIN QUERY PLAN {sql}")))
    assert "USING INDEX ix_ledger_entry_access (kind=?)" in plan


def test_what_a_unit_of_work_did_not_commit_is_not_remembered(home):
    def given_up():
        with home.database.unit_of_work() as tx:
            for number in (1, 2):
                facts = {"request": str(number), "step": "x"}
                history.record(tx, "access_asked", facts, actor=home.actor(), database=home.database, at=now())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        given_up()
    with home.database.read() as connection:
        assert history.read(connection).events == 0
    withdrawn(home)
