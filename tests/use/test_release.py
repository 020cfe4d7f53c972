"""Releases: what may not be proposed, whose signature counts, what publishing does."""

from __future__ import annotations

import dataclasses

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select, update

from governance.errors import Damaged, NotReady, Refused
from governance.state import tables
from governance.use import release as releases
from tests.use.asking import ledger
from tests.use.conftest import ACCESS, PEOPLE, PUBLIC_KEY, STEWARD_KEY, catalogue_of, fields, open_home


def statuses(home):
    with home.database.read() as connection:
        return {row["release"]: row["status"] for row in releases.listed(connection)}


def test_proposing_the_same_state_gives_the_same_release(home):
    assert home.propose() == home.propose()
    assert list(statuses(home).values()) == ["proposed"]


def test_a_field_without_classification_is_never_released(home):
    bare = tuple(dataclasses.replace(f, classification=None) if f.name in ("name", "rank") else f for f in fields())
    home.catalogue = catalogue_of(own_fields=bare)
    with pytest.raises(Refused, match="fields without classification: name, rank"):
        home.propose()


def test_a_table_whose_latest_build_stopped_is_not_released(home):
    home.fill(PEOPLE, outcome="stop", run="run-2")
    with pytest.raises(Refused, match="stopped by its checks"):
        home.propose()


def test_a_table_with_incomplete_lineage_is_not_released(home):
    home.fill(PEOPLE, complete=False, run="run-2")
    with pytest.raises(Refused, match="lineage is not complete"):
        home.propose()


def test_a_table_that_was_never_built_is_not_ready(tmp_path):
    with pytest.raises(NotReady, match="never built"):
        open_home(tmp_path).propose()


def test_only_an_approvers_own_signature_over_this_release_counts(home):
    release = home.propose()
    with pytest.raises(Refused, match="no valid approval"):
        home.publish(release)
    with pytest.raises(Refused, match="not that of an approver"):
        home.approve(release, key=Ed25519PrivateKey.from_private_bytes(b"\x08" * 32))
    with pytest.raises(Refused, match="not that of an approver"):
        home.approve(release, subject="user:li")
    with pytest.raises(Refused, match="not that of an approver"):
        releases.approve(
            release,
            subject="user:wang",
            signature=releases.sign("0" * 64, STEWARD_KEY),
            catalogue=home.catalogue,
            database=home.database,
            actor=home.actor(),
        )
    assert not ledger(home, "release_approved")
    home.approve(release)
    home.approve(release)
    assert len(ledger(home, "release_approved")) == 1
    assert home.publish(release).release == release
    assert statuses(home) == {release: "live"}


def test_an_approver_who_is_one_no_more_approves_nothing(home):
    release = home.propose()
    home.approve(release)
    home.catalogue = catalogue_of(ACCESS[: ACCESS.index("approvers:")] + ACCESS[ACCESS.index("rules:") :])
    with pytest.raises(Refused, match="no valid approval"):
        home.publish(release)


def test_publishing_supersedes_the_former_in_one_transaction_with_ledger_and_lineage(home):
    first = home.release().release
    home.fill(PEOPLE[:2], run="run-2")
    second = home.release()
    assert statuses(home) == {first: "superseded", second.release: "live"}
    entries = ledger(home, "release_published")
    assert [entry["facts"]["supersedes"] for entry in entries] == [[], [first]]
    with home.database.read() as connection:
        runs = connection.execute(select(tables.run.c.stage, tables.run.c.output)).all()
        assert runs.count(("use", "release")) == 2
    assert home.publish(second.release) == second
    assert len(ledger(home, "release_published")) == 2


def test_a_document_that_was_changed_after_its_hash_is_damaged(home):
    release = home.propose()
    home.approve(release)
    with home.database.unit_of_work() as tx:
        tx.execute(update(tables.release).values(document='{"tables": {}}'))
    with pytest.raises(Damaged, match="not what its id says"):
        home.publish(release)


def test_an_unknown_release_is_refused(home):
    with pytest.raises(Refused, match="no such release"):
        home.approve("0" * 64)


NEW_KEY = Ed25519PrivateKey.from_private_bytes(b"\x08" * 32)


def test_nobody_who_became_an_approver_with_a_release_vouches_for_it(home):
    """Else whoever writes access.yaml would open everything to themselves with a key of their own."""
    first = home.release().release
    theirs = NEW_KEY.public_key().public_bytes_raw().hex()
    also = f'approvers: [{{subject: "user:li", public_key: "{theirs}"}}, '
    home.catalogue = catalogue_of(ACCESS.replace("approvers: [", also))
    release = home.propose()
    home.approve(release, key=NEW_KEY, subject="user:li")
    with pytest.raises(Refused, match="under keys that the live release has not"):
        home.publish(release)
    assert statuses(home) == {first: "live", release: "proposed"}
    home.approve(release)
    assert home.publish(release).release == release
    assert ledger(home, "release_published")[-1]["facts"]["approvers"] == ["user:wang"]


def test_an_approver_changes_their_key_by_signing_with_the_one_before(home):
    home.release()
    theirs = NEW_KEY.public_key().public_bytes_raw().hex()
    home.catalogue = catalogue_of(ACCESS.replace(PUBLIC_KEY, theirs))
    release = home.propose()
    home.approve(release, key=NEW_KEY)
    with pytest.raises(Refused, match="with the key it has"):
        home.publish(release)
    home.approve(release)
    home.publish(release)
    home.fill(PEOPLE[:2], run="run-2")
    following = home.propose()
    home.approve(following, key=NEW_KEY)
    assert home.publish(following).release == following
