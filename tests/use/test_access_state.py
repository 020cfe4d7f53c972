"""Requests, broken glasses and consents on either engine of the state database."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from governance.policy.filters import Consented
from governance.state.database import Database, utc_now
from governance.state.values import Actor
from governance.use import consents
from governance.use.break_glass import break_glass, overdue
from governance.use.request_state import find, read_all
from governance.use.requests import access_of, approval, approve, ask, document_hash, withdraw
from governance.use.signatures import APPROVES, sign, signer
from governance.use.standing import permits, read_standing, still_hold
from tests.collect import postgres
from tests.use.conftest import ACCESS, STEWARD_KEY, catalogue_of
from tests.use.test_break_glass import GLASS, LI_KEY, with_key
from tests.use.test_consents import COHORT

ACTOR = Actor("user:li", "use.access", "run-1")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest, tmp_path: Path):
    if request.param == "sqlite":
        yield from _opened(f"sqlite:///{tmp_path / 'state.sqlite'}")
    elif postgres.binaries() is None:
        pytest.skip("no PostgreSQL server that can be started here")
    else:
        with postgres.server() as url:
            yield from _opened(url.render_as_string(hide_password=False))


def _opened(url: str):
    database = Database(url)
    database.create()
    yield database
    database.close()


def test_the_state_of_access_is_the_same_on_every_engine(database: Database) -> None:
    catalogue = catalogue_of(with_key(ACCESS) + COHORT + GLASS)
    known = {"catalogue": catalogue, "database": database, "actor": ACTOR}
    access, contract = access_of(catalogue), catalogue.models["curated.person"].contract
    to = utc_now() + timedelta(days=1)
    names = ["curated.person.name", "curated.person.born"]
    request = ask(subject="user:li", purpose="research", fields=names, valid_to=to, because="why", **known)
    assert request == ask(subject="user:li", purpose="research", fields=names, valid_to=to, because="why", **known)
    with database.read() as connection:
        signature = sign(APPROVES, document_hash(approval(find(connection, request[:10]))), STEWARD_KEY)
    approve(request, subject="user:wang", signature=signature, **known)
    own = {"subject": "user:li", "sign": signer(LI_KEY)}
    broken = break_glass(fields=["curated.person.income"], because="a flood", **own, **known)
    now = utc_now()
    with database.read() as connection:
        standing = read_standing(connection, subject="user:li")
        common = {"subject": "user:li", "contract": contract, "rules": [access], "at": now}
        [given] = permits(standing, purpose="research", **common)
        [glass] = permits(standing, purpose="statistics", **common)
        assert (given.fields, glass.request, glass.emergency) == (("born", "name"), broken.id, True)
        assert still_hold(connection, [given, glass], at=now)
        assert [r.id for r in overdue(connection, access, at=now + timedelta(days=9))] == [broken.id]
    withdraw(request, **own, **known)
    with database.read() as connection:
        assert not still_hold(connection, [given, glass], at=now)
        assert still_hold(connection, [glass], at=now)
        assert [r.status(now) for r in read_all(connection)] == ["withdrawn", "open"]


def test_consents_are_the_same_on_every_engine(database: Database) -> None:
    access = access_of(catalogue_of(ACCESS + COHORT))
    own = {"scope": "cohort", "domain": "person", "database": database, "actor": Actor("user:wang", "use.access", "r")}
    own |= {"access": access, "sign": signer(STEWARD_KEY)}
    persons = pa.array([b"a" * 12, b"b" * 12, b"a" * 12, None], pa.binary(12))
    first = consents.give(persons, **own)
    second = consents.withdraw(persons[:1], **own)
    asked = [Consented(scope="cohort", domain="person", column="t", version=version) for version in (first, second)]
    with database.read() as connection:
        assert consents.versions(connection) == {("cohort", "person"): second}
        assert consents.counted(connection) == {("cohort", "person"): 1}
        assert [consents.narrowed(connection, [each]) for each in asked] == [True, False]
