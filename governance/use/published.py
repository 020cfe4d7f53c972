"""What is published, and under which restrictions it stands for a subject now: the release's policy met with the
current one, each with the access that was asked for and approved beside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from governance.catalog.types import Catalogue, ColumnType, Level
from governance.errors import DeclarationError, NotReady, Refused
from governance.lake.lake import Lake
from governance.policy.access import Access, parse_access
from governance.policy.decide import Column, Decider
from governance.policy.restrictions import Policy, Restrictions, compile_restrictions
from governance.state import tables, texts
from governance.use import consents, history, release
from governance.use.release_past import live_at
from governance.use.request_state import Request
from governance.use.standing import permits, read_standing

_TEXT = ColumnType("string")  # of the lake's own columns nobody ever sees more than that they are closed


@dataclass(frozen=True, slots=True)
class Published:
    """The live release with both policies compiled. `access` is the current one."""

    release: str
    snapshots: Mapping[str, int]
    access: Access
    rules: str | None
    """Hash of the access rules in force when this was read."""
    _document: Mapping[str, Any]
    _deciders: tuple[tuple[Decider, str], ...]
    """The release's first, then the current one's: this process's, and the one in force, when another process brought
    it in.
    """
    _standing: tuple[Request, ...]
    _consents: Mapping[tuple[str, str], str]
    _catalogue: Catalogue
    _lake: Lake

    @property
    def accesses(self) -> tuple[Access, ...]:
        """All access rules that are met: the release's and the current ones."""
        return tuple(decider.access for decider, _ in self._deciders)

    def restrictions(self, subject: str, purpose: str, table: str, *, at: datetime) -> Restrictions:
        """What holds for `subject` and `purpose` on `table` (which must be one of `snapshots`) at this moment."""
        contract = self._catalogue.models[table].contract
        fields = self._document["tables"][table]["fields"]
        snapshot = self.snapshots[table]
        field_ids = {column.name: column.id for column in self._lake.schema(table, snapshot).columns}
        declared = tuple(map(Column.of, contract.fields))
        own = tuple(Column(name, _TEXT, None) for name in field_ids if name not in {c.name for c in declared})
        reviewed = tuple(
            Column(c.name, c.type, _level(fields[c.name]["level"]), tuple(fields[c.name]["tags"]), c.domain)
            for c in declared
            if c.name in fields
        )
        rules = [decider.access for decider, _ in self._deciders]
        given = permits(self._standing, subject=subject, purpose=purpose, contract=contract, rules=rules, at=at)
        (reviewed_decider, reviewed_hash), *current = ((own.with_permits(given), sha) for own, sha in self._deciders)
        policies = [Policy(reviewed_decider, reviewed + own, reviewed_hash)]
        policies += [Policy(decider, declared + own, access_hash) for decider, access_hash in current]
        return compile_restrictions(
            policies,
            subject=subject,
            purpose=purpose,
            table=table,
            snapshot=snapshot,
            field_ids=field_ids,
            at=at,
            consents=self._consents,
        )

    def next_change(self, at: datetime) -> datetime | None:
        """The first instant after `at` at which a rule or a request begins or ends to count; None when there is none."""
        bounds = [
            bound for access in self.accesses for rule in access.rules for bound in (rule.valid_from, rule.valid_to)
        ]
        for request in self._standing:
            bounds += [request.valid_from, request.valid_to]
            for step in request.steps:
                bounds += [datetime.fromisoformat(step.facts[name]) for name in ("from", "to") if name in step.facts]
        return min((bound for bound in bounds if bound is not None and bound > at), default=None)


def read_published(
    connection: Connection,
    *,
    catalogue: Catalogue,
    lake: Lake,
    subject: str | None = None,
    as_of: datetime | None = None,
) -> Published:
    """The live release as it stands now; with `subject`, what was given beside the rules is read for them alone. With
    `as_of` the release that was live then, under what holds now. Raises NotReady when nothing is published.

    A release whose access rules no longer fit the catalogue opens nothing: Refused, until a new one is approved.
    """
    found = release.live(connection) if as_of is None else live_at(connection, as_of)
    if found is None:
        raise NotReady("nothing is published yet", do="gov release propose, approve, publish")
    release_id, document = found
    access = parse_access(catalogue.access_text, catalogue.access_file, catalogue)
    own_hash = hashlib.sha256(catalogue.access_text.encode("utf-8")).hexdigest()
    compiled = {own_hash: Decider(access)}
    rules = in_force(connection)
    newest = rules or own_hash
    for access_hash in (document["access"], newest):
        if access_hash not in compiled:
            compiled[access_hash] = Decider(_kept(connection, access_hash, catalogue))
    snapshots = {name: at for name, at in release.snapshots_of(document).items() if name in catalogue.models}
    order = (document["access"], *dict.fromkeys((own_hash, newest)))
    deciders = tuple((compiled[access_hash], access_hash) for access_hash in order)
    standing = read_standing(connection, subject=subject)
    history.require(history.read(connection), standing)
    held = consents.standing(connection, [compiled[access_hash].access for access_hash in order])
    return Published(release_id, snapshots, access, rules, document, deciders, standing, held, catalogue, lake)


def in_force(connection: Connection) -> str | None:
    """Hash of the access rules that are in force now, as whichever process recorded them; None before the first."""
    current = select(tables.in_force.c.sha256).where(
        tables.in_force.c.kind == "access", tables.in_force.c.valid_to.is_(None)
    )
    return connection.execute(current).scalar_one_or_none()


def _kept(connection: Connection, access_hash: str, catalogue: Catalogue) -> Access:
    body = texts.kept(connection, access_hash)
    if body is None:
        raise Refused(
            "access rules that hold are not kept", do="start again with the present catalogue, or approve a new release"
        )
    try:
        return parse_access(body, f"access rules {access_hash[:12]}", catalogue)
    except DeclarationError:
        raise Refused(
            "the access rules that hold do not fit the catalogue",
            do="start again with the present catalogue, or approve a new release",
        ) from None


def _level(value: str | None) -> Level | None:
    return None if value is None else Level(value)
