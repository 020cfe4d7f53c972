"""What is published, and under which restrictions it stands for a subject now: the release's policy met with the
current one.
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
from governance.state.tables import text
from governance.use import release

_TEXT = ColumnType("string")  # of the lake's own columns nobody ever sees more than that they are closed


@dataclass(frozen=True, slots=True)
class Published:
    """The live release with both policies compiled. `access` is the current one."""

    release: str
    snapshots: Mapping[str, int]
    access: Access
    _document: Mapping[str, Any]
    _deciders: tuple[tuple[Decider, str], tuple[Decider, str]]
    _catalogue: Catalogue
    _lake: Lake

    def restrictions(self, subject: str, purpose: str, table: str, *, at: datetime) -> Restrictions:
        """What holds for `subject` and `purpose` on `table` (which must be one of `snapshots`) at this moment."""
        contract = self._catalogue.models[table].contract
        fields = self._document["tables"][table]["fields"]
        snapshot = self.snapshots[table]
        field_ids = {column.name: column.id for column in self._lake.schema(table, snapshot).columns}
        declared = tuple(map(Column.of, contract.fields))
        own = tuple(Column(name, _TEXT, None) for name in field_ids if name not in {c.name for c in declared})
        reviewed = tuple(
            Column(c.name, c.type, _level(fields[c.name]["level"]), tuple(fields[c.name]["tags"]))
            for c in declared
            if c.name in fields
        )
        (reviewed_decider, reviewed_hash), (current_decider, current_hash) = self._deciders
        policies = (
            Policy(reviewed_decider, reviewed + own, reviewed_hash),
            Policy(current_decider, declared + own, current_hash),
        )
        return compile_restrictions(
            policies,
            subject=subject,
            purpose=purpose,
            table=table,
            snapshot=snapshot,
            field_ids=field_ids,
            at=at,
        )


def read_published(connection: Connection, *, catalogue: Catalogue, lake: Lake) -> Published:
    """The live release as it stands now. Raises NotReady when nothing is published.

    A release whose access rules no longer fit the catalogue opens nothing: Refused, until a new one is approved.
    """
    found = release.live(connection)
    if found is None:
        raise NotReady("nothing is published yet", do="gov release propose, approve, publish")
    release_id, document = found
    access = parse_access(catalogue.access_text, catalogue.access_file, catalogue)
    current_hash = hashlib.sha256(catalogue.access_text.encode("utf-8")).hexdigest()
    current = Decider(access)
    reviewed = current
    if document["access"] != current_hash:
        reviewed = Decider(_reviewed(connection, document["access"], catalogue))
    snapshots = {name: at for name, at in release.snapshots_of(document).items() if name in catalogue.models}
    deciders = ((reviewed, document["access"]), (current, current_hash))
    return Published(release_id, snapshots, access, document, deciders, catalogue, lake)


def _reviewed(connection: Connection, access_hash: str, catalogue: Catalogue) -> Access:
    body = connection.execute(select(text.c.text).where(text.c.sha256 == access_hash)).scalar_one_or_none()
    if body is None or hashlib.sha256(body.encode("utf-8")).hexdigest() != access_hash:
        raise Refused("the release's access rules are not kept", do="propose and approve a new release")
    try:
        return parse_access(body, f"access rules {access_hash[:12]}", catalogue)
    except DeclarationError:
        raise Refused(
            "the release's access rules no longer fit the catalogue", do="propose and approve a new release"
        ) from None


def _level(value: str | None) -> Level | None:
    return None if value is None else Level(value)
