"""Rows of batches: where each `(dataset, window, revision)` stands and what its stages committed; and leases.

    landed -> stored -> judged     what readers see is made of judged batches
                    `-> stopped    the verdict was stop; its files are for the steward alone
    any    -> failed               the stage raised; the values that are there say which stage has to be tried again
    any    -> replaced             a later revision (or a later full load) took its place

Writing functions take the connection of a `Database.unit_of_work`, reading ones any connection.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

from pydantic import TypeAdapter
from sqlalchemy import Connection, Row, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from governance.errors import Conflict
from governance.state.database import Database, utc_now
from governance.state.tables import batch as table
from governance.state.tables import lease
from governance.state.values import JUDGED, LANDED, STORED, Base, Counts, Judged, Landed, Status, Stored, Window

Stage = Literal["store", "manage"]

_BASE: TypeAdapter[Base] = TypeAdapter(Base)


@dataclass(frozen=True, slots=True)
class BatchRow:
    """One revision of one window of one dataset; a value is None until its stage has committed it."""

    id: str
    dataset: str
    window: Window
    revision: int
    status: Status
    replaced_by: str | None
    landed: Landed | None
    base: Base | None
    stored: Stored | None
    judged: Judged | None
    error_class: str | None
    error: str | None
    recorded_at: datetime
    updated_at: datetime

    @property
    def order(self) -> tuple[datetime, int]:
        """Window order, revisions of one window one after another."""
        return self.window.start, self.revision


def insert_landed(tx: Connection, landed: Landed, window: Window, revision: int, at: datetime) -> None:
    """Make the batch's row. Earlier revisions of the window that only landed, or failed, are replaced by it.

    Raises Conflict when the row is there already.
    """
    if find(tx, landed.batch) is not None:
        raise Conflict(f"batch {landed.batch} has landed already", do="use what has landed, or collect again")
    tx.execute(
        insert(table).values(
            id=landed.batch,
            dataset=landed.dataset,
            window_start=window.start,
            window_end=window.end,
            revision=revision,
            status="landed",
            landed=LANDED.dump_json(landed).decode("utf-8"),
            recorded_at=at,
            updated_at=at,
        )
    )
    earlier = [row for row in _revisions(tx, landed.dataset, window) if row.revision < revision]
    mark_replaced(tx, [row.id for row in earlier if row.status in ("landed", "failed")], landed.batch, at=at)


def find(connection: Connection, batch: str) -> BatchRow | None:
    row = connection.execute(select(table).where(table.c.id == batch)).one_or_none()
    return _row(row) if row is not None else None


def batches(
    connection: Connection, dataset: str | None = None, status: Status | Sequence[Status] | None = None
) -> tuple[BatchRow, ...]:
    """Batches of one dataset or of all, of one or several statuses or of all, in window order."""
    query = select(table)
    if dataset is not None:
        query = query.where(table.c.dataset == dataset)
    if status is not None:
        query = query.where(table.c.status.in_([status] if isinstance(status, str) else list(status)))
    ordered = query.order_by(table.c.dataset, table.c.window_start, table.c.revision)
    return tuple(_row(row) for row in connection.execute(ordered))


def ready(connection: Connection, stage: Stage, datasets: Iterable[str]) -> tuple[str, ...]:
    """Ids of the batches that wait for `stage`, in the order of `datasets` and, within each, of windows.

    For store at most one landed batch a dataset, and none while a stored one waits for manage: the next one is judged
    against what this one becomes. Call again after manage until nothing is ready. Failed batches are tried again unless
    a later one is live; they hold up nobody.
    """
    if stage not in get_args(Stage):
        raise ValueError(f"no batches wait for stage {stage!r}; allowed: {', '.join(get_args(Stage))}")
    found: list[str] = []
    for dataset in datasets:
        rows = batches(connection, dataset, ("landed", "stored", "judged", "failed"))
        if stage == "manage":
            retry = {row.id for row in _failed(rows)}
            found += [row.id for row in rows if row.stored and (row.status == "stored" or row.id in retry)]
        elif not any(row.status == "stored" for row in rows):
            found += _waiting_for_store(rows)
    return tuple(found)


def save_base(tx: Connection, batch: str, base: Base, *, at: datetime | None = None) -> None:
    """What the batch is judged against, recorded before its store pass; written again when a batch takes a new base."""
    _change(tx, batch, ("landed", "stored", "failed"), at, base=_BASE.dump_json(base).decode("utf-8"))


def save_stored(tx: Connection, stored: Stored, *, at: datetime | None = None) -> None:
    """The store pass is done. Raises Conflict when the batch has been judged, stopped or replaced since."""
    value = STORED.dump_json(stored).decode("utf-8")
    _change(tx, stored.batch, ("landed", "stored", "failed"), at, status="stored", stored=value, error=None)


def save_judged(tx: Connection, judged: Judged, status: Status, *, at: datetime | None = None) -> None:
    """The verdict and its status: `judged` or `stopped`; the batch's lease ends with it. Raises Conflict when the batch is not a stored one."""
    value = JUDGED.dump_json(judged).decode("utf-8")
    _end_leases(tx, [judged.batch])
    _change(tx, judged.batch, ("stored", "failed"), at, status=status, judged=value, error=None)


def save_repaired(tx: Connection, stored: Stored, counts: Counts, *, at: datetime | None = None) -> None:
    """A steward decided on quarantined rows of a live batch: its files and counts are these now. Verdict and snapshots stay those of manage.

    Raises Conflict when the batch is not live.
    """
    row = find(tx, stored.batch)
    if row is None or row.judged is None:
        raise Conflict(f"batch {stored.batch} is not judged", do="look at its present state")
    judged = JUDGED.dump_json(replace(row.judged, counts=counts)).decode("utf-8")
    _change(tx, stored.batch, ("judged",), at, stored=STORED.dump_json(stored).decode("utf-8"), judged=judged)


def mark_replaced(tx: Connection, replaced: Sequence[str], by: str, *, at: datetime | None = None) -> None:
    """These batches are no longer what readers see: `by` took their place. Whoever still worked on one has lost its lease.

    Does nothing for an empty list.
    """
    if replaced:
        _end_leases(tx, replaced)
        query = update(table).where(table.c.id.in_(list(replaced)))
        tx.execute(query.values(status="replaced", replaced_by=by, updated_at=at or utc_now()))


def mark_failed(tx: Connection, batch: str, error_class: str, message: str, *, at: datetime | None = None) -> None:
    """A stage raised. `message` is a governance error's own text, without values. Finished batches stay as they are."""
    query = update(table).where(table.c.id == batch, table.c.status.in_(("landed", "stored", "failed")))
    tx.execute(query.values(status="failed", error=json.dumps([error_class, message]), updated_at=at or utc_now()))


def live(connection: Connection, dataset: str) -> tuple[BatchRow, ...]:
    """The judged batches that make up what readers see, in window order; of a full load the last one is the table."""
    return batches(connection, dataset, "judged")


def latest(connection: Connection, dataset: str, window: Window) -> BatchRow | None:
    """The last revision of the window, whatever its status; None when it was never landed."""
    rows = _revisions(connection, dataset, window)
    return rows[-1] if rows else None


def next_revision(connection: Connection, dataset: str, window: Window) -> int:
    """1 for a window that was never landed."""
    query = select(func.coalesce(func.max(table.c.revision), 0) + 1)
    return int(
        connection.execute(query.where(table.c.dataset == dataset, table.c.window_start == window.start)).scalar_one()
    )


def holder_of(batch: str) -> str:
    """The holder's name under which a batch has its dataset's lease: every try of the same batch renews it."""
    return hashlib.sha256(batch.encode("utf-8")).hexdigest()


_WRONG_CLOCK = 10
"""So many times as long as a lease may be: machines whose clocks differ by less hold their leases."""


def acquire_lease(database: Database, name: str, holder: str, seconds: float) -> None:
    """`holder` alone works on `name` (a dataset) until it releases it or `seconds` have passed; renews its own lease.

    A lease that ends much later than anybody may take one comes of a clock that was wrong, and holds nobody off. Raises
    Conflict while another holds it. Taken by one conditional UPDATE (or by the INSERT of the primary key), so
    that of several processes that find a lease free or expired at once exactly one gets it.
    """
    try:
        with database.unit_of_work() as tx:
            now = database.clock()
            until = now + timedelta(seconds=seconds)
            no_lease = now + _WRONG_CLOCK * (until - now)
            free = or_(lease.c.holder == holder, lease.c.expires_at <= now, lease.c.expires_at > no_lease)
            taken = tx.execute(update(lease).where(lease.c.name == name, free).values(holder=holder, expires_at=until))
            if taken.rowcount:
                return
            ends = tx.execute(select(lease.c.expires_at).where(lease.c.name == name)).scalar_one_or_none()
            if ends is None:
                tx.execute(insert(lease).values(name=name, holder=holder, expires_at=until))
                return
    except IntegrityError:
        raise Conflict("another run has just begun to work on it", where=name, do="try again") from None
    do = f"try again; its lease ends at {ends.isoformat(timespec='seconds')}"
    raise Conflict("another run is working on it", where=name, do=do)


def release_lease(database: Database, name: str, holder: str) -> None:
    """Give the lease back; does nothing when it is no longer ours."""
    with database.unit_of_work() as tx:
        tx.execute(delete(lease).where(lease.c.name == name, lease.c.holder == holder))


def _end_leases(tx: Connection, ids: Sequence[str]) -> None:
    tx.execute(delete(lease).where(lease.c.holder.in_([holder_of(id) for id in ids])))


def _waiting_for_store(rows: Sequence[BatchRow]) -> list[str]:
    retry = [row.id for row in _failed(rows) if row.stored is None]
    return retry + [row.id for row in rows if row.status == "landed"][:1]


def _failed(rows: Sequence[BatchRow]) -> list[BatchRow]:
    """Failed batches after the last live one."""
    last_live = max((row.order for row in rows if row.status == "judged"), default=None)
    return [row for row in rows if row.status == "failed" and (last_live is None or row.order > last_live)]


def _revisions(connection: Connection, dataset: str, window: Window) -> tuple[BatchRow, ...]:
    query = select(table).where(table.c.dataset == dataset, table.c.window_start == window.start)
    return tuple(_row(row) for row in connection.execute(query.order_by(table.c.revision)))


def _change(tx: Connection, batch: str, allowed: tuple[Status, ...], at: datetime | None, **values: Any) -> None:
    query = update(table).where(table.c.id == batch, table.c.status.in_(allowed))
    if tx.execute(query.values(updated_at=at or utc_now(), **values)).rowcount != 1:
        row = find(tx, batch)
        raise Conflict(
            f"batch {batch} is {row.status if row else 'not landed'}",
            allowed=", ".join(allowed),
            do="another run went on with it: look at its present state",
        )


def _row(row: Row[Any]) -> BatchRow:
    error_class, error = json.loads(row.error) if row.error else (None, None)
    return BatchRow(
        id=row.id,
        dataset=row.dataset,
        window=Window(row.window_start, row.window_end),
        revision=row.revision,
        status=row.status,
        replaced_by=row.replaced_by,
        landed=LANDED.validate_json(row.landed) if row.landed else None,
        base=_BASE.validate_json(row.base) if row.base else None,
        stored=STORED.validate_json(row.stored) if row.stored else None,
        judged=JUDGED.validate_json(row.judged) if row.judged else None,
        error_class=error_class,
        error=error,
        recorded_at=row.recorded_at,
        updated_at=row.updated_at,
    )
