"""What is decided for a lookup at this moment: restrictions, key column and its domain.

A decision is made anew whenever something that it rests on changed: the live release, the rules in force, requests of
access and what was done about them, consents, and each instant at which a rule or request begins or ends to count. All
of it is read, and compared with the ledger, every half second (`_stamp`); deciding itself takes ten times as long.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, select

from governance.catalog.types import Catalogue
from governance.errors import Refused
from governance.lake.lake import Lake
from governance.policy.lattice import Outcome
from governance.policy.restrictions import Restrictions
from governance.state.database import Database
from governance.state.tables import in_force, release
from governance.use import history
from governance.use.consents import versions
from governance.use.published import Published, read_published
from governance.use.standing import read_standing

BY_MASKS = frozenset({"resident-number", "phone", "show-first-4", "show-last-4"})
"""Masks that show a part of the value: who sees that may ask by the whole of it."""
DECIDED_SECONDS = 0.5
"""What a decision rests on is looked at again after that time, so narrowing is felt within a second."""
MAX_ROWS = 10_000
"""Rows of one answer."""
_MOST = 256
"""Decisions that are remembered."""

_LIVE = select(
    select(release.c.id).where(release.c.status == "live").scalar_subquery(),
    select(in_force.c.sha256).where(in_force.c.kind == "access", in_force.c.valid_to.is_(None)).scalar_subquery(),
)
"""The live release and the rules in force."""


class Wanted(NamedTuple):
    """Who looks up what, by which field; empty for the table's identifier."""

    subject: str
    purpose: str
    table: str
    by: str


@dataclass(frozen=True, slots=True)
class Decided:
    """What a session stands under. `rules` is the hash of the rules in force, `domain` that of the key column."""

    release: str
    rules: str | None
    restrictions: Restrictions
    by: str
    domain: str
    hash: str
    """The restrictions' `decision_hash`."""

    @property
    def key(self) -> tuple[str, str]:
        """Subject, purpose, table, snapshot and what is seen of it are all in the decision's hash."""
        return self.hash, self.by

    @property
    def most_rows(self) -> int:
        limit = self.restrictions.max_rows
        return MAX_ROWS if limit is None else min(limit, MAX_ROWS)


@dataclass(frozen=True, slots=True)
class _Known:
    decided: Decided
    looked: float
    stamp: tuple[object, ...]
    at: datetime
    until: datetime | None


class Decisions:
    """What holds now for whoever asks. May be used by many threads."""

    def __init__(self, catalogue: Callable[[], Catalogue], database: Database, lake: Lake) -> None:
        self._catalogue, self._database, self._lake = catalogue, database, lake
        self._known: dict[Wanted, _Known] = {}

    def now(self, wanted: Wanted) -> Decided:
        """What holds at this moment, or held less than half a second ago. Raises Refused (forbidden and absent read
        alike), NotReady when nothing is published.
        """
        known = self._known.get(wanted)
        looked = time.monotonic()
        if known is not None and looked - known.looked < DECIDED_SECONDS:
            return known.decided
        at = self._database.clock()
        with self._database.read() as connection:
            stamp = _stamp(connection, wanted.subject)
            if known is not None and _still(known, stamp, at):
                self._known[wanted] = _Known(known.decided, looked, stamp, known.at, known.until)
                return known.decided
        self._known.pop(wanted, None)
        decided, stamp, until = self._made(wanted, at)
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[wanted] = _Known(decided, looked, stamp, at, until)
        return decided

    def _made(self, wanted: Wanted, at: datetime) -> tuple[Decided, tuple[object, ...], datetime | None]:
        catalogue = self._catalogue()
        with self._database.read() as connection:
            stamp = _stamp(connection, wanted.subject)
            published = read_published(connection, catalogue=catalogue, lake=self._lake, subject=wanted.subject)
        asked = wanted if wanted.by else wanted._replace(by=identifier(catalogue, wanted.table))
        return _decided(published, catalogue, asked, at), stamp, published.next_change(at)


def may_look_up_by(outcome: Outcome) -> bool:
    """Whether who sees a field like this may look up by it.

    >>> [may_look_up_by(Outcome.parse(seen)) for seen in ("raw", "mask:resident-number", "mask:token", "none")]
    [True, True, False, False]
    """
    return outcome.kind == "raw" or (outcome.mask is not None and outcome.mask.kind in BY_MASKS)


def identifier(catalogue: Catalogue, table: str) -> str:
    """The field that a table is looked up by when nobody says otherwise: its identifier, the primary key first; empty
    when it has none.
    """
    fields = catalogue.models[table].contract.fields if table in catalogue.models else ()
    identifiers = sorted((f for f in fields if f.domain), key=lambda f: f.primary_key_position or len(fields) + 1)
    return identifiers[0].name if identifiers else ""


def _still(known: _Known, stamp: tuple[object, ...], at: datetime) -> bool:
    """Whether nothing changed that the decision rests on, nor an instant passed at which something counts or no more."""
    return known.stamp == stamp and known.at <= at and (known.until is None or at < known.until)


def _decided(published: Published, catalogue: Catalogue, wanted: Wanted, at: datetime) -> Decided:
    purposes = {purpose.id for purpose in published.access.purposes}
    if published.access.subject(wanted.subject) is None or wanted.purpose not in purposes:
        raise Refused("unknown subject or purpose", do="ask the steward for access")
    restrictions = None
    if wanted.table in published.snapshots:
        restrictions = published.restrictions(wanted.subject, wanted.purpose, wanted.table, at=at)
    if restrictions is None or not restrictions.visible:
        raise Refused("the table is not there for you", do="gov explain lists what is")
    domain = _domain(restrictions, catalogue, wanted.by)
    hashed = restrictions.decision_hash
    return Decided(published.release, published.rules, restrictions, wanted.by, domain, hashed)


def _domain(restrictions: Restrictions, catalogue: Catalogue, by: str) -> str:
    """The identifier domain of the key column, when the subject may look up by it."""
    outcomes = {column.name: column.outcome for column in restrictions.columns}
    for field in catalogue.models[restrictions.table].contract.fields:
        there = field.name == by and field.token_name in outcomes
        if there and field.domain is not None and may_look_up_by(outcomes[by]):
            return field.domain
    raise Refused("there is no such field that you may look up by", do="gov explain lists what you see")


def _stamp(connection: Connection, subject: str) -> tuple[object, ...]:
    """What decisions for `subject` rest on. Raises what `history` does when the ledger says otherwise."""
    told, given, consented = history.read(connection), read_standing(connection, subject=subject), versions(connection)
    history.require(told, given)
    history.require_consents(told, consented)
    return (*connection.execute(_LIVE).one(), given, dict(consented))
