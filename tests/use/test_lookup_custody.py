"""What a key service of its own lets lookups and attestations open: exactly what they are granted, and no more."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from governance.errors import Refused
from governance.keys import grants
from governance.keys.authority import Authority, Facts
from governance.keys.names import Grant
from governance.pipeline.custody import HomeRules, facts_of
from governance.state.tables import grant as grant_table
from governance.use.attest import Asked, attest
from tests.use.lookup_home import ROOT, Home, number

AT = datetime(2026, 11, 1, tzinfo=UTC)
COPIED = ["curated/curated.person/L3/1", "curated/curated.person/footer/1", "curated/curated.family/L4/1"]
CLOSED = [
    "public_security/public_security.residents/L4/1",
    "tax/tax.invoices/landed/1",
    "curated/curated.person/landed/1",
    "digest:domain/person/1",
    "digest:purpose/benefits/1",
]


@dataclass(frozen=True)
class Declared:
    """The demo's declarations, which show a consumer nothing."""

    declared: Facts

    def facts(self) -> Facts:
        return self.declared

    def shows(self, subject: str, purpose: str, tables: Iterable[str], at: datetime) -> frozenset[str]:
        return frozenset()


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    opened = Home(tmp_path_factory.mktemp("home"))
    for table in ("curated.person", "curated.family"):
        opened.fill(table, 20)
    opened.release("curated.person", "curated.family")
    opened.settings = replace(opened.settings, home=ROOT, catalog=ROOT / "catalog", expectations=ROOT / "expectations")
    yield opened
    opened.database.close()


def grant(subject, *keys):
    return Grant("g", subject, "pipeline.serving", "r", frozenset(keys), 9, AT)


def test_copies_are_made_by_a_service_that_may_do_nothing_else(home):
    authority = Authority(Declared(facts_of(home.catalogue)))
    authority.require(grant("service:serve@curated", *COPIED), proven=False, at=AT)
    for other in ("service:scan@curated", "service:serve@tax", "service:store@curated", "user:wang"):
        with pytest.raises(Refused):
            authority.require(grant(other, *COPIED), proven=True, at=AT)
    for key in CLOSED:
        with pytest.raises(Refused):
            authority.require(grant("service:serve@curated", key), proven=True, at=AT)


def test_every_grant_of_a_lookup_and_of_a_question_is_one_that_its_subject_may_have(home):
    with home.lookups() as service:
        for subject, purpose, table in (
            ("user:wang", "benefits", "curated.person"),
            ("user:steward", "data_quality", "curated.family"),
        ):
            service.lookup(table, [number(1)], subject=subject, purpose=purpose)
    given = {"settings": home.settings, "catalogue": home.catalogue, "database": home.database, "lake": home.lake}
    for asked in (Asked("kinship", "mother", number(2), number(202)), Asked("age", "18", number(3))):
        attest(asked, nonce="ab" * 16, subject="user:wang", purpose="benefits", **given)
    with home.database.read() as connection:
        ids = connection.execute(select(grant_table.c.id)).scalars().all()
        found = [grants.find(connection, own) for own in ids]
    made = [each for each in found if each is not None and each.purpose != "pipeline.store"]
    assert len(made) == 2 * 2 + 2 + 2  # two sessions with two grants each, two copies, two questions
    authority = Authority(HomeRules(home.settings, home.database, home.keystore))
    for each in made:
        authority.require(each, proven=True, at=home.database.clock())
        if each.subject.startswith("user:"):
            with pytest.raises(Refused, match="no valid token"):
                authority.require(each, proven=False, at=home.database.clock())


def test_nobody_gets_tokens_of_identifiers_that_they_may_not_look_up_by(home):
    authority = Authority(HomeRules(home.settings, home.database, home.keystore))
    at = home.database.clock()
    for subject, purpose, allowed in (
        ("user:wang", "benefits", True),
        ("user:he", "research", False),
        ("user:zhou", "audit", False),
        ("user:li", "statistics", False),
    ):
        asked = replace(grant(subject, "digest:domain/person/1"), purpose=purpose)
        if allowed:
            authority.require(asked, proven=True, at=at)
            continue
        with pytest.raises(Refused):
            authority.require(asked, proven=True, at=at)
