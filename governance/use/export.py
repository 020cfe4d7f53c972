"""What an export speaks of: every subject × purpose × published table, restricted as a query of this moment would be."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from governance.catalog.types import Catalogue
from governance.lake.lake import Lake
from governance.policy.exports.model import Scope, next_change
from governance.state.database import Database
from governance.use.published import read_published


@dataclass(frozen=True, slots=True)
class Exported:
    """The live release, the instant of the decisions, and the decisions."""

    release: str
    at: datetime
    scopes: tuple[Scope, ...]


def read_scopes(*, catalogue: Catalogue, database: Database, lake: Lake) -> Exported:
    """Everything that an export is made of. Raises NotReady when nothing is published."""
    with database.read() as connection:
        published = read_published(connection, catalogue=catalogue, lake=lake)
    at = database.clock()
    scopes = tuple(
        Scope(
            published.restrictions(subject.name, purpose.id, table, at=at),
            next_change(published.accesses, subject=subject.name, purpose=purpose.id, table=table, at=at),
        )
        for subject in published.access.subjects
        for purpose in published.access.purposes
        for table in sorted(published.snapshots)
    )
    return Exported(published.release, at, scopes)
