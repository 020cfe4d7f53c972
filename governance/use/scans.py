"""What is asked of the scanners for one statement: a `Scan` for each table, by the restrictions that hold now."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlglot import exp

from governance.catalog.types import TOKEN_SUFFIX
from governance.config import Settings, as_request
from governance.errors import Refused
from governance.policy import filters
from governance.policy.restrictions import Restricted, Restrictions
from governance.state.database import Database
from governance.state.values import Actor
from governance.use import aggregate, direct, scanner
from governance.use.direct import Direct
from governance.use.guard import Statement
from governance.use.published import Published
from governance.use.terms import Grouped
from governance.workers import Limits


@dataclass(frozen=True, slots=True)
class Scan:
    """One table of one statement: the restrictions on it, and which of its columns the statement reads. `grouped` when
    it aggregates columns that are aggregate-only: then the scanner streams released groups, never rows. `direct` when the
    scanner's stream is the answer. `narrowed` is what of an ordinary statement's WHERE it holds itself.
    """

    restrictions: Restrictions
    columns: tuple[Restricted, ...]
    grouped: Grouped | None = None
    direct: Direct | None = None
    narrowed: str = ""

    @property
    def where(self) -> exp.Expr | None:
        if self.restrictions.row_filter is None:
            return None
        types = {column.name: column.type for column in self.restrictions.columns}
        return filters.condition(self.restrictions.row_filter, types)

    @property
    def reads(self) -> list[str]:
        """Columns of the lake that the scanner opens."""
        own = [(c.name, c.type, c.outcome) for c in self.columns]
        return scanner.needed(own, self.where, self.identifiers if self.grouped else ())

    @property
    def identifiers(self) -> list[str]:
        """The table's token columns: persons are counted by each of them."""
        names = {column.name for column in self.restrictions.columns}
        return sorted(n for n in names if n.endswith(TOKEN_SUFFIX) and n.removesuffix(TOKEN_SUFFIX) in names)


def plan_scans(statement: Statement, published: Published, actor: Actor, database: Database) -> tuple[Scan, ...]:
    """A scan for each table. A table of which the subject may see no column is absent, but to a statement that only
    aggregates what is aggregate-only.
    """
    purposes = {purpose.id for purpose in published.access.purposes}
    if published.access.subject(actor.subject) is None or actor.purpose not in purposes:
        raise Refused("unknown subject or purpose", do="ask the steward for access")
    at = database.clock()
    scans = []
    by_name = {name.lower(): name for name in published.snapshots}
    found = [
        published.restrictions(actor.subject, actor.purpose, by_name[name], at=at)
        for name in statement.tables
        if name in by_name
    ]
    absent = Refused("the statement names a table that is not there for you", do="gov explain lists what is")
    if len(found) < len(statement.tables) or not all(any(c.opened for c in each.columns) for each in found):
        raise absent
    grouped = aggregate.plan(statement, found)
    if grouped is not None:
        return (Scan(found[0], grouped.columns, grouped),)
    for restrictions in found:
        if not restrictions.visible:
            raise absent
        made = direct.plan(statement, restrictions) if len(found) == 1 else None
        if made is not None:
            return (Scan(restrictions, made.columns, direct=made),)
        read = tuple(column for column in restrictions.visible if statement.reads(column.name))
        narrowed = direct.narrowed(statement, restrictions) if len(found) == 1 else ""
        scans.append(Scan(restrictions, read or restrictions.visible[:1], narrowed=narrowed))
    return tuple(scans)


def decision_hash(scans: Sequence[Scan]) -> str:
    """One hash for all tables of a statement: that of the restrictions, or of their hashes when there are several."""
    hashes = sorted(scan.restrictions.decision_hash for scan in scans)
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("\n".join(hashes).encode("ascii")).hexdigest()


def scan_request(
    scan: Scan, grant: str, purpose: str, salt: str, settings: Settings, limits: Limits
) -> Mapping[str, Any]:
    """What `scanner.scan` is asked, for the grant that the access was recorded with."""
    where, made = scan.where, scan.direct
    memory_mb = settings.memory_limit_mb
    return {
        "settings": as_request(settings),
        "table": scan.restrictions.table,
        "snapshot": scan.restrictions.snapshot,
        "columns": [
            [column.name, column.type.kind, column.type.precision, column.type.scale, str(column.outcome)]
            for column in scan.columns
        ],
        "where": where.sql("duckdb") if where is not None else "",
        "grant": grant,
        "purpose": purpose,
        "salt": salt,
        "memory_mb": min(memory_mb, limits.memory_mb) if made and made.grouped else memory_mb,
        "grouped": scan.grouped.request(scan.identifiers) if scan.grouped else None,
        "direct": {"sql": made.sql, "rows": list(made.rows)} if made else None,
        "narrowed": scan.narrowed,
        "max_rows": None if scan.grouped else scan.restrictions.max_rows,
    }
