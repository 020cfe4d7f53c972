"""The stage: one source, one window -> one `Landed`, committed with its run, its lineage and its ledger entry.

What a second call for the same dataset and window does:

    the same run again (a retry)    the batch that it landed; the source is not read - unless a later stage could not
                                    use the batch and a local file has changed since
    another run                     the landed batch; of local files the digests are compared, and a changed file makes
                                    revision n+1
    another run, `again=True`       revision n+1
    a window that is not the newest the landed batch. What a source without history holds now belongs to the newest
                                    window, so `again`, and a window that was never landed, are refused
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime

from sqlalchemy import Connection, select
from sqlalchemy.exc import IntegrityError, OperationalError

from governance.catalog.types import Dataset
from governance.collect.adapters import adapter_for
from governance.collect.inspection import Progress
from governance.collect.landing import Place, Received, discard, receive
from governance.collect.source import Adapter
from governance.config import Settings
from governance.errors import Conflict, GovernanceError, Refused, SourceContentError, StorageError
from governance.keys.epochs import current_key
from governance.keys.names import KeyName, KeyStore
from governance.ledger.entry import Json, append
from governance.lineage.record import record_run
from governance.lineage.store_edges import LANDED_PREFIX, landed_edges, source_name
from governance.state import batches
from governance.state.batches import BatchRow
from governance.state.crash import crash_point
from governance.state.database import Database
from governance.state.tables import batch as batch_table
from governance.state.tables import run as run_table
from governance.state.values import Actor, Landed, LandedFile, Window, batch_id


def collect(
    dataset: Dataset,
    window: Window,
    *,
    settings: Settings,
    database: Database,
    keystore: KeyStore,
    actor: Actor,
    again: bool = False,
    backfill: bool = False,
    progress: Progress | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Landed:
    """The batch of `window` (taken to whole seconds), landed now or before; see the module for which.

    `backfill` says that the window is not the present one: then a source without history is never read.
    Raises SourceUnavailable, SourceContentError, StorageError, Refused, Conflict, DeclarationError; then nothing
    became visible.
    """
    window = Window(_whole_seconds(window.start), _whole_seconds(window.end))
    adapter = adapter_for(dataset, settings, environ)
    with database.read() as connection:
        standing = batches.latest(connection, dataset.name, window)
        past = backfill or _is_past(connection, dataset.name, window)
        ours = standing is not None and _landed_by(connection, standing.id, actor.run)
        revision = batches.next_revision(connection, dataset.name, window)
    if standing is not None and standing.landed is not None:
        if ours or not again:
            if not _has_changed(adapter, window, standing, ours=ours, past=past):
                return standing.landed
        elif past and not adapter.has_history:
            raise _no_history(dataset, adapter, window, "is older than what the source holds now")
    elif past and not adapter.has_history:
        raise _no_history(dataset, adapter, window, "was never landed")
    return _land(dataset, window, revision, adapter, settings, database, keystore, actor, progress)


def _land(
    dataset: Dataset,
    window: Window,
    revision: int,
    adapter: Adapter,
    settings: Settings,
    database: Database,
    keystore: KeyStore,
    actor: Actor,
    progress: Progress | None,
) -> Landed:
    batch = batch_id(dataset.name, window, revision)
    with database.read() as connection:
        key = current_key(connection, KeyName(dataset.department, dataset.name, "landed"))
    place = Place(settings, dataset.name, batch, secrets.token_hex(4), adapter.shown, keystore, key)
    observed_at = database.clock()
    try:
        received = _receive_all(place, adapter, window, observed_at, progress)
        landed = Landed(
            batch, dataset.name, tuple(r.file for r in received), adapter.format, observed_at, adapter.shown
        )
        _commit(landed, received, dataset, window, revision, settings, database, actor)
    except (IntegrityError, Conflict):
        discard(place)
        return _landed_by_another(batch, database)
    except BaseException:
        discard(place)
        raise
    return landed


def _receive_all(
    place: Place, adapter: Adapter, window: Window, at: datetime, progress: Progress | None
) -> list[Received]:
    received: list[Received] = []
    done = 0
    with closing(adapter.originals(window)) as originals:
        for number, original in enumerate(originals):
            received.append(receive(place, number, original, at=at, done_before=done, progress=progress))
            done += received[-1].file.size_bytes
    if not received:
        raise SourceContentError(
            "it sent nothing", where=adapter.shown, do="have it delivered, then run the task again"
        )
    return received


def _commit(
    landed: Landed,
    received: list[Received],
    dataset: Dataset,
    window: Window,
    revision: int,
    settings: Settings,
    database: Database,
    actor: Actor,
) -> None:
    """Batch row, run, lineage and ledger entry: visible together or not at all."""
    at = database.clock()
    counts = _counts(received)
    crash_point("collect.before_commit")
    try:
        with database.unit_of_work() as tx:
            batches.insert_landed(tx, landed, window, revision, at)
            versions = record_run(
                tx,
                actor=actor,
                stage="collect",
                batch=landed.batch,
                output=LANDED_PREFIX + dataset.name,
                output_snapshot=None,
                outcome="landed",
                counts=counts,
                versions={"contract": dataset.version, "contract_hash": dataset.text_hash},
                inputs={source_name(dataset): None},
                edges=landed_edges(dataset),
                at=at,
                namespace=settings.lineage_namespace,
            )
            append(tx, "landed", _facts(landed, counts, versions), actor=actor, writer=database.writer, at=at)
            crash_point("collect.in_commit")
    except OperationalError as error:
        raise StorageError(
            f"the state database does not take the manifest: {type(error.orig).__name__}",
            where=landed.batch,
            do="free or repair its storage, then run the task again",
        ) from None
    crash_point("collect.after_commit")


def _counts(received: list[Received]) -> dict[str, int]:
    counts = {"files": len(received), "bytes": sum(r.file.size_bytes for r in received)}
    for name in sorted({name for r in received for name in r.counts}):
        counts[name] = sum(r.counts.get(name, 0) for r in received)
    return counts


def _facts(landed: Landed, counts: Mapping[str, int], versions: Mapping[str, str]) -> dict[str, Json]:
    return {
        "batch": landed.batch,
        "source": landed.source,
        "observed_at": landed.observed_at.isoformat(),
        "files": [_file_facts(file) for file in landed.files],
        "counts": dict(counts),
        "versions": dict(versions),
    }


def _file_facts(file: LandedFile) -> dict[str, Json]:
    return {"name": file.name, "sha256": file.sha256, "size_bytes": file.size_bytes, "rows": file.rows}


def _has_changed(adapter: Adapter, window: Window, standing: BatchRow, *, ours: bool, past: bool) -> bool:
    """Whether local files differ from what was landed, where the module lets us ask. An absent file has not changed."""
    if not adapter.can_compare or past or (ours and standing.status != "failed") or standing.landed is None:
        return False
    landed = [(file.name, file.sha256) for file in standing.landed.files]
    try:
        with closing(adapter.originals(window)) as originals:
            present = [(o.name, hashlib.file_digest(o.stream, "sha256").hexdigest()) for o in originals]
    except GovernanceError:
        return False
    return present != landed


def _is_past(connection: Connection, dataset: str, window: Window) -> bool:
    """Whether a later window of the dataset has landed."""
    later = select(batch_table.c.id).where(batch_table.c.dataset == dataset, batch_table.c.window_start > window.start)
    return connection.execute(later.limit(1)).first() is not None


def _landed_by(connection: Connection, batch: str, run: str) -> bool:
    """Whether `run` itself landed the batch."""
    query = select(run_table.c.id).where(
        run_table.c.run == run, run_table.c.stage == "collect", run_table.c.batch == batch
    )
    return connection.execute(query.limit(1)).first() is not None


def _landed_by_another(batch: str, database: Database) -> Landed:
    """What the process that was faster has committed for the same batch."""
    with database.read() as connection:
        row = batches.find(connection, batch)
    if row is None or row.landed is None:
        raise Conflict("another process is landing it", where=batch, do="run the task again")
    return row.landed


def _no_history(dataset: Dataset, adapter: Adapter, window: Window, found: str) -> Refused:
    return Refused(
        f"the window {window.start.isoformat()} {found}, and {adapter.shown} keeps no history",
        where=dataset.name,
        allowed="windows that have landed, or a database source with a watermark",
        do="collect the present window instead",
    )


def _whole_seconds(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(microsecond=0)
