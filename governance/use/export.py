"""What an export speaks of: every subject × purpose × published table, restricted as a query of this moment would be; and
the ledger's entry of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from governance.catalog.types import Catalogue
from governance.lake.lake import Lake
from governance.ledger.entry import Json, append, canonical
from governance.policy.exports.model import Scope, next_change
from governance.state.database import Database
from governance.state.values import Actor
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


def record_export(
    exported: Exported, target: str, files: Mapping[str, str], *, database: Database, actor: Actor
) -> str:
    """Keep in the ledger that the policy leaves for `target`; call it before the first file is written. Returns the hash
    of all files: SHA-256 of the canonical JSON of path -> SHA-256.
    """
    digests: dict[str, Json] = {path: hashlib.sha256(text.encode()).hexdigest() for path, text in files.items()}
    whole = hashlib.sha256(canonical(digests)).hexdigest()
    facts: dict[str, Json] = {
        "release": exported.release,
        "target": target,
        "files_sha256": whole,
        "decided_at": exported.at.isoformat(),
    }
    with database.unit_of_work() as tx:
        append(tx, "policy_exported", facts, actor=actor, writer=database.writer, at=database.clock())
    return whole
