"""Who sees what, and why: every subject and purpose for one field, every field for one subject and purpose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from governance.catalog.types import Catalogue
from governance.errors import Refused
from governance.lake.lake import Lake
from governance.policy.restrictions import Restricted
from governance.state.database import Database
from governance.use.published import Published, read_published
from governance.use.published_at import published_at

_TOLD = 20
"""Names of subjects or purposes that an error tells."""


@dataclass(frozen=True, slots=True)
class Sight:
    """One field for one subject and purpose. `filtered`: only rows that a row filter lets pass."""

    subject: str
    purpose: str
    field: str
    outcome: str
    rules: tuple[str, ...]
    reason: str
    filtered: bool

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def who_sees(
    field: str,
    *,
    catalogue: Catalogue,
    database: Database,
    lake: Lake,
    as_of: datetime | None = None,
    valid_at: datetime | None = None,
) -> tuple[Sight, ...]:
    """Every subject × purpose for `<schema>.<table>.<field>` at this moment, those who see nothing included.

    With `as_of` as it was then, `catalogue` being that of then; rules, requests and break-glasses that begin or end count
    as at `valid_at` (default: the same instant).
    """
    published = _published(catalogue, database, lake, as_of)
    table, _, name = field.rpartition(".")
    if table not in published.snapshots:
        raise Refused(f"{table or field} is not published", allowed=", ".join(sorted(published.snapshots)))
    at = valid_at or as_of or database.clock()
    sights = []
    for subject in published.access.subjects:
        for purpose in published.access.purposes:
            restrictions = published.restrictions(subject.name, purpose.id, table, at=at)
            found = {column.name: column for column in restrictions.columns}
            if name not in found:
                raise Refused(f"no field {name} in {table}", allowed=", ".join(sorted(found)))
            sights.append(_sight(subject.name, purpose.id, found[name], restrictions.row_filter is not None))
    return tuple(sights)


def explain(
    table: str,
    *,
    subject: str,
    purpose: str,
    catalogue: Catalogue,
    database: Database,
    lake: Lake,
    as_of: datetime | None = None,
    valid_at: datetime | None = None,
) -> tuple[Sight, ...]:
    """Every field of `table` for one subject and purpose, for the steward's eyes; of the past as `who_sees` has it. Raises Refused for a
    subject or purpose that the rules do not name.
    """
    published = _published(catalogue, database, lake, as_of)
    _require(subject, "subject", [known.name for known in published.access.subjects])
    _require(purpose, "purpose", [known.id for known in published.access.purposes])
    if table not in published.snapshots:
        raise Refused(f"{table} is not published", allowed=", ".join(sorted(published.snapshots)))
    restrictions = published.restrictions(subject, purpose, table, at=valid_at or as_of or database.clock())
    filtered = restrictions.row_filter is not None
    return tuple(_sight(subject, purpose, column, filtered) for column in restrictions.columns)


def _require(name: str, what: str, known: Sequence[str]) -> None:
    if name not in known:
        more = f" and {len(known) - _TOLD} more" if len(known) > _TOLD else ""
        allowed = ", ".join(sorted(known)[:_TOLD]) + more
        raise Refused(f"no {what} {name} in the access rules", allowed=allowed or "none yet", do=f"correct the {what}")


def _published(catalogue: Catalogue, database: Database, lake: Lake, as_of: datetime | None) -> Published:
    with database.read() as connection:
        if as_of is not None:
            return published_at(connection, as_of, catalogue=catalogue, lake=lake)
        return read_published(connection, catalogue=catalogue, lake=lake)


def _sight(subject: str, purpose: str, column: Restricted, filtered: bool) -> Sight:
    reason = column.reason
    if column.outcome.kind == "aggregate_only":
        reason += f"; in count, sum and avg over groups of at least {column.outcome.min_group} (docs/USE.md)"
    filtered = filtered and column.opened
    return Sight(subject, purpose, column.name, str(column.outcome), column.rules, reason, filtered)
