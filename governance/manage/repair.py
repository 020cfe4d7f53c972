"""What a steward's decision on quarantined rows is made of: who may decide, the counts afterwards, and the one commit.

    rows released or corrected   leave quarantine and are rows of the dataset's table, in a new file of the same batch
    rows rejected                stay in quarantine with `_state` rejected, and count as rejected
    rows that still fail         stay, with their new reasons

So both sides of the conservation law can be read from files at any time: parsed + unparsed = rows of the passed files + rows of the
quarantine files (open and rejected) + declared duplicates.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from sqlalchemy import Connection, insert, select

from governance.catalog import dimensions
from governance.catalog.types import Dataset
from governance.errors import Conflict, Damaged, NotReady, Refused
from governance.lake.lake import Lake, Prepared, TableChange
from governance.lake.specs import quarantine_spec
from governance.ledger.entry import Json, append
from governance.lineage.record import record_run
from governance.manage.counts import _footer_rows, count
from governance.policy.access import Access
from governance.state import batches
from governance.state.batches import BatchRow
from governance.state.crash import crash_point
from governance.state.database import Database
from governance.state.tables import validation
from governance.state.values import Actor, Counts, DataFile, Stored

ROLES = frozenset({"steward", "approver"})
PURPOSE = "data_quality"
LISTED_ROWS = 1000
"""Positions of at most so many rows stand in a ledger entry; of more, their number and hash alone."""


@dataclass(frozen=True, slots=True)
class BatchRepair:
    """One batch's part of a repair: its row as it was, its value with the new files, and how many rows went where."""

    row: BatchRow
    stored: Stored
    added: tuple[DataFile, ...]
    passed: int
    rejected: int
    held: int
    positions: tuple[str, ...]
    """`<batch>:<row>` of the rows decided on, at most `LISTED_ROWS`."""
    reasons: Mapping[str, int] = field(default_factory=dict)
    """Rows decided on, by rule id (before the decision)."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What a steward decided: `kind` is release, reject or correct; `rules_hash` is of the rules in force now."""

    kind: str
    because: str
    rules_hash: str
    rows_sha256: str
    quarantine_snapshot: int


def require_steward(access: Access, subject: str, dataset: Dataset) -> None:
    """Raises Refused unless access.yaml has `subject` as an approver, or as steward (or approver by role) of the dataset's department."""
    known = access.subject(subject)
    if known is not None:
        if any(approver.subject == subject for approver in access.approvers):
            return
        if ROLES & set(known.roles) and known.department == dataset.department:
            return
    raise Refused(
        f"{subject} may not decide on quarantined rows of this dataset",
        where=dataset.name,
        allowed="approvers, and stewards of the department",
        do="ask its steward",
    )


def require_quiet(connection: Connection, row: BatchRow) -> None:
    """Raises unless the batch is live, with nothing under way that would take its files out: a repair would get lost."""
    now = batches.find(connection, row.id)
    if now is None or now.status != "judged" or now.stored is None or now.judged is None:
        raise Refused(
            f"batch {row.id} is {now.status if now else 'not there'}", allowed="live batches", where=row.dataset
        )
    if now.stored != row.stored:
        raise Conflict("another repair of the batch came first", where=row.id, do="try again")
    mine = {f.path for f in now.stored.quarantine_files} | {f.path for f in now.stored.passed_files}
    for other in batches.batches(connection, row.dataset, ("stored", "failed")):
        removed = {*other.stored.removed_files, *other.stored.removed_quarantine_files} if other.stored else set()
        if other.status == "stored" or mine & removed:
            raise NotReady(f"batch {other.id} waits for manage", where=row.dataset, do="manage it first")


def recount(stored: Stored, dataset: Dataset, root: Path) -> Counts:
    """The counts of a repaired batch from its files: rows by footer, rejected ones by the clear column `_state`.

    Raises Damaged when the conservation law does not hold.
    """
    import duckdb

    whole = count(stored, dataset, root)
    files = [str(root / f.path) for f in stored.quarantine_files]
    rejected = 0
    if files:
        with duckdb.connect(config={"temp_directory": ""}) as con:
            query = """SELECT count(*) FILTER (_state = 'rejected'), count(*) FILTER (_state NOT IN ('rejected', 'quarantined'))
                FROM read_parquet($files, hive_partitioning = false)"""
            found = con.execute(query, {"files": files}).fetchall()[0]
        rejected = int(found[0])
        if found[1]:
            raise Damaged(f"{found[1]} quarantined rows of another state", where=stored.batch, do="report it")
    held = _footer_rows(stored.quarantine_files, root) - rejected
    return Counts(whole.parsed, whole.unparsed, whole.passed, held, rejected, whole.duplicates)


def commit(
    repairs: Sequence[BatchRepair],
    decision: Decision,
    dataset: Dataset,
    *,
    lake: Lake,
    database: Database,
    actor: Actor,
    namespace: str,
) -> dict[str, int]:
    """Both tables, the batches' values, validations, runs and the ledger entry in one unit of work; snapshot by table.

    Raises Conflict when a table or batch moved, Damaged when a batch would not balance; then nothing of it is visible.
    """
    counts = {repair.row.id: recount(repair.stored, dataset, lake.root) for repair in repairs}
    prepared = lake.prepare(_changes(repairs, decision, dataset))
    crash_point("quarantine.after_prepare")
    with database.unit_of_work() as tx:
        swapped = _write(tx, repairs, decision, counts, prepared, dataset, lake, database, actor, namespace)
        crash_point("quarantine.in_commit")
    crash_point("quarantine.after_commit")
    return swapped


def _changes(repairs: Sequence[BatchRepair], decision: Decision, dataset: Dataset) -> list[TableChange]:
    name = quarantine_spec(dataset).name
    changes = []
    if added := tuple(f for repair in repairs for f in repair.added):
        changes.append(TableChange(dataset.name, added))
    new = tuple(f for repair in repairs for f in repair.stored.quarantine_files)
    old = tuple(f.path for r in repairs if r.row.stored for f in r.row.stored.quarantine_files)
    return [*changes, TableChange(name, new, old, decision.quarantine_snapshot)]


def _write(
    tx: Connection,
    repairs: Sequence[BatchRepair],
    decision: Decision,
    counts: Mapping[str, Counts],
    prepared: Prepared,
    dataset: Dataset,
    lake: Lake,
    database: Database,
    actor: Actor,
    namespace: str,
) -> dict[str, int]:
    at = database.clock()
    swapped = lake.swap(tx, prepared)
    versions: dict[str, str] = {}
    for repair in repairs:
        require_quiet(tx, repair.row)
        after = counts[repair.row.id]
        batches.save_repaired(tx, repair.stored, after, at=at)
        terms = asdict(after)
        result = _result(tx, repair, decision, terms, actor)
        tx.execute(
            insert(validation).values(
                subject=dataset.name,
                batch=repair.row.id,
                run=actor.run,
                outcome=repair.row.judged.outcome if repair.row.judged else "",
                rules_hash=decision.rules_hash,
                counts=json.dumps(terms),
                result=result,
                dimensions=dimensions.to_json(dimensions.tallies(result)),
                recorded_at=at,
            )
        )
        versions = record_run(
            tx,
            actor=actor,
            stage="manage",
            batch=repair.row.id,
            output=dataset.name,
            output_snapshot=swapped.get(dataset.name) if repair.added else None,
            outcome=decision.kind,
            counts=terms,
            versions={"contract": dataset.text_hash, "rules": decision.rules_hash},
            inputs={quarantine_spec(dataset).name: decision.quarantine_snapshot},
            edges=None,
            at=at,
            namespace=namespace,
        )
    facts = _facts(repairs, decision, counts, swapped, dataset) | {"versions": versions}
    append(tx, f"quarantine_{decision.kind}", facts, actor=actor, writer=database.writer, at=at)
    return swapped


def _result(tx: Connection, repair: BatchRepair, decision: Decision, terms: Mapping[str, int], actor: Actor) -> str:
    """The verdict's own result: it speaks of all rows before the split. Only what it says of the split is brought up to date."""
    query = select(validation.c.result).where(validation.c.batch == repair.row.id).order_by(validation.c.id.desc())
    found = tx.execute(query.limit(1)).scalar()
    if found is None:
        raise Damaged("a judged batch has no validation", where=repair.row.id, do="report it")
    result = json.loads(found)
    gov = result.setdefault("meta", {}).setdefault("gov", {})
    moved = {"released": repair.passed, "rejected": repair.rejected, "held": repair.held}
    gov |= {"counts": dict(terms), "quarantined": terms["quarantined"]}
    gov["repair"] = {"kind": decision.kind, "run": actor.run, **moved}
    return json.dumps(result, ensure_ascii=False)


def _facts(
    repairs: Sequence[BatchRepair],
    decision: Decision,
    counts: Mapping[str, Counts],
    swapped: Mapping[str, int],
    dataset: Dataset,
) -> dict[str, Json]:
    listed = [position for repair in repairs for position in repair.positions][:LISTED_ROWS]
    decided = sum(repair.passed + repair.rejected + repair.held for repair in repairs)
    moved: dict[str, Json] = {
        repair.row.id: {
            "passed": repair.passed,
            "rejected": repair.rejected,
            "still_held": repair.held,
            "reasons": dict(repair.reasons),
            "before": asdict(repair.row.judged.counts) if repair.row.judged else {},
            "after": asdict(counts[repair.row.id]),
        }
        for repair in repairs
    }
    return {
        "dataset": dataset.name,
        "because": decision.because,
        "rules": decision.rules_hash,
        "batches": moved,
        "rows": listed if decided <= LISTED_ROWS else [],
        "rows_sha256": decision.rows_sha256,
        "snapshot": swapped.get(dataset.name),
        "quarantine_snapshot": swapped.get(quarantine_spec(dataset).name),
    }
