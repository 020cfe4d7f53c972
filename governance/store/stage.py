"""`store`: a landed batch becomes files of typed rows, split by the row rules in one pass; nothing of it is visible to readers yet."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb

from governance.catalog.rules import RowRules
from governance.catalog.types import CodeSet, Dataset
from governance.config import Settings
from governance.errors import GovernanceError, StorageError
from governance.keys.names import KeyStore
from governance.lake.lake import Lake
from governance.lake.specs import quarantine_spec, stored_spec
from governance.ledger.entry import Json, append
from governance.lineage.record import record_run
from governance.lineage.store_edges import LANDED_PREFIX, edges_of_dataset
from governance.state import batches
from governance.state.crash import crash_point
from governance.state.database import Database
from governance.state.values import Actor, Stored
from governance.store import base as bases
from governance.store.access import Access
from governance.store.work import Work


def store(
    batch: str,
    dataset: Dataset,
    rules: RowRules,
    code_sets: Mapping[str, CodeSet],
    *,
    settings: Settings,
    lake: Lake,
    database: Database,
    keystore: KeyStore,
    actor: Actor,
) -> Stored:
    """Parse, type, judge and split one landed batch; its files and metrics are recorded, with lineage and ledger, in one transaction.

    Idempotent: a batch whose value still stands (same base, same rules, all files there) is returned as it is; a run that was broken off
    leaves files that nobody refers to. The caller holds the dataset's lease. Raises NotReady, Refused, Conflict (see `base.stand`),
    SourceContentError for an original that cannot be used, StorageError when it cannot be written.
    """
    standing = bases.stand(batch, dataset, rules, code_sets, lake=lake, database=database)
    if standing.done is not None:
        return standing.done
    crash_point("store.after_base")
    lake.ensure(stored_spec(dataset))
    lake.ensure(quarantine_spec(dataset))
    access = Access(dataset, lake, database, actor)
    work = Work(standing, dataset, rules, code_sets, settings, lake, keystore, access)
    stored = _twice(work)
    crash_point("store.before_commit")
    _commit(stored, dataset, rules, settings, database, actor)
    crash_point("store.after_commit")
    return stored


def _twice(work: Work) -> Stored:
    """The pass; and once more with every rule evaluated alone when one of them failed on some row, so that it is named."""
    try:
        return work.run()
    except duckdb.OutOfMemoryException:
        raise _no_memory(work.dataset) from None
    except duckdb.IOException:
        raise StorageError(
            "the pass cannot read or write its files", where=work.dataset.name, do="free space and run again"
        ) from None
    except duckdb.Error:
        pass
    try:
        return work.run(careful=True)
    except duckdb.OutOfMemoryException:
        raise _no_memory(work.dataset) from None
    except duckdb.Error as error:
        raise GovernanceError(
            f"the engine fails on these rows: {type(error).__name__}",
            where=work.dataset.name,
            do="look at the formats and conditions of contract and suite; if they are right the fault is ours: report it",
        ) from None


def _no_memory(dataset: Dataset) -> StorageError:
    return StorageError(
        "the pass needs more memory than it may use", where=dataset.name, do="raise engine.memory_limit_mb"
    )


def _commit(
    stored: Stored, dataset: Dataset, rules: RowRules, settings: Settings, database: Database, actor: Actor
) -> None:
    at = database.clock()
    counts = {
        "parsed": stored.parsed,
        "unparsed": stored.unparsed,
        "passed": sum(file.rows for file in stored.passed_files),
        "quarantined": sum(file.rows for file in stored.quarantine_files),
        "duplicates": stored.duplicates,
    }
    counts |= {f"keys_{change}": keys for change, keys in stored.changes.items()}
    versions = {"contract": dataset.text_hash, "rules": stored.rules_hash}
    versions |= {f"code_set:{name}": digest for name, digest in stored.base.code_sets.items()}
    inputs = {LANDED_PREFIX + dataset.name: None, **stored.base.snapshots}
    with database.unit_of_work() as tx:
        batches.save_stored(tx, stored, at=at)
        versions = record_run(
            tx,
            actor=actor,
            stage="store",
            batch=stored.batch,
            output=dataset.name,
            output_snapshot=None,
            outcome="stored",
            counts=counts,
            versions=versions,
            inputs=inputs,
            edges=edges_of_dataset(dataset, rules),
            at=at,
            namespace=settings.lineage_namespace,
        )
        facts: dict[str, Json] = {
            "batch": stored.batch,
            "dataset": dataset.name,
            "counts": counts,
            "versions": versions,
        }
        append(tx, "stored", facts, actor=actor, writer=database.writer, at=at)
        crash_point("store.in_commit")
