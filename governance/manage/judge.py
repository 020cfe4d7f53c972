"""`judge`: a stored batch gets its verdict, and on go one commit lets it in. Nothing else moves what readers of a dataset see.

    counts of both sides -> GX results and verdict -> prepare both tables -> one unit of work:
    swap, judged value, replaced batches, validation, run, ledger

May be killed anywhere and called again: before the unit of work nothing is visible, after it the value is found. A stop moves nothing:
the batch's files stay where its `Stored` names them, for the steward alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from sqlalchemy import Connection, insert

from governance.catalog import dimensions
from governance.catalog.rules import RowRules, TableRule
from governance.catalog.types import Dataset
from governance.errors import Conflict, NotReady
from governance.lake.lake import Lake, Prepared, TableChange
from governance.lake.specs import quarantine_spec
from governance.ledger.entry import Json, append
from governance.lineage.event import Assertion
from governance.lineage.record import record_run
from governance.manage.counts import count
from governance.manage.verdict import verdict
from governance.state import batches
from governance.state.batches import BatchRow
from governance.state.crash import crash_point
from governance.state.database import Database
from governance.state.tables import validation
from governance.state.values import Actor, Counts, Judged, Outcome, Stored

_TRIES = 5


@dataclass(frozen=True, slots=True)
class _Decision:
    """What is committed: the verdict on one stored batch."""

    row: BatchRow
    stored: Stored
    counts: Counts
    outcome: Outcome
    reasons: tuple[str, ...]
    result: str
    rules_hash: str


def judge(
    batch: str,
    dataset: Dataset,
    rules: RowRules,
    *,
    lake: Lake,
    database: Database,
    actor: Actor,
    namespace: str = "gov",
    unlike: Sequence[str] = (),
) -> Judged:
    """The verdict on a stored batch, let in unless it is stop. A batch that was judged gives its value again. `unlike` names what stops it
    besides its rules (`manage.drift`).

    The caller holds the dataset's lease since store. Raises NotReady when it is not stored, Conflict when it has to be stored again (the
    rules changed, or the table moved under a batch that depends on it), Damaged when the conservation law does not hold.
    """
    with database.read() as connection:
        row = batches.find(connection, batch)
    if row is not None and row.judged is not None:
        return row.judged
    if row is None or row.stored is None:
        raise NotReady(f"batch {batch} is not stored", where=dataset.name, do="store it first")
    stored = row.stored
    if stored.rules_hash != rules.hash:
        raise Conflict("the rules changed since the batch was stored", where=batch, do="store it again")
    counts = count(stored, dataset, lake.root)
    meta = {"batch": batch, "base": dict(stored.base.snapshots), "code_sets": dict(stored.base.code_sets)}
    outcome, reasons, result = verdict(
        dataset,
        rules,
        stored.metrics,
        rows=counts.parsed + counts.unparsed,
        quarantined=counts.quarantined,
        meta={**meta, "counts": asdict(counts)},
        stopped_by=unlike,
    )
    crash_point("manage.after_verdict")
    decision = _Decision(row, stored, counts, outcome, reasons, result, rules.hash)
    return _commit(decision, dataset, rules, lake, database, actor, namespace)


def _commit(
    decision: _Decision,
    dataset: Dataset,
    rules: RowRules,
    lake: Lake,
    database: Database,
    actor: Actor,
    namespace: str,
) -> Judged:
    """Prepare and swap; again with the same files when somebody came first, where the batch does not depend on what the table was."""
    again = _TRIES if _is_plain_append(decision.stored, dataset, rules) else 1
    while True:
        prepared = None
        try:
            if decision.outcome != "stop":
                prepared = lake.prepare(_changes(decision.stored, dataset, rules))
            crash_point("manage.after_prepare")
            with database.unit_of_work() as tx:
                judged = _write(tx, decision, prepared, dataset, lake, database, actor, namespace)
                crash_point("manage.in_commit")
            break
        except Conflict:
            again -= 1
            if again == 0:
                raise
    crash_point("manage.after_commit")
    return judged


def _changes(stored: Stored, dataset: Dataset, rules: RowRules) -> list[TableChange]:
    plain = _is_plain_append(stored, dataset, rules)
    base: int | Literal["any"] | None = "any" if plain else stored.base.snapshots.get(dataset.name)
    changes = [TableChange(dataset.name, stored.passed_files, stored.removed_files, base)]
    if stored.quarantine_files or stored.removed_quarantine_files:
        name = quarantine_spec(dataset).name
        changes.append(TableChange(name, stored.quarantine_files, stored.removed_quarantine_files))
    return changes


def _is_plain_append(stored: Stored, dataset: Dataset, rules: RowRules) -> bool:
    """Whether the batch only adds, and nothing in it was judged against the table that it adds to."""
    of_table = any(isinstance(rule, TableRule) and rule.scope == "table" for rule in rules.rules)
    own = any(rule.kind == "reference" and getattr(rule, "dataset", "") == dataset.name for rule in rules.rules)
    return dataset.load_mode == "append" and not stored.removed_files and not of_table and not own


def _write(
    tx: Connection,
    decision: _Decision,
    prepared: Prepared | None,
    dataset: Dataset,
    lake: Lake,
    database: Database,
    actor: Actor,
    namespace: str,
) -> Judged:
    """Everything that one commit is made of; raises Conflict when the batch or a table moved."""
    at = database.clock()
    swapped = lake.swap(tx, prepared) if prepared is not None else {}
    stored, counts = decision.stored, decision.counts
    judged = Judged(
        batch=stored.batch,
        dataset=dataset.name,
        outcome=decision.outcome,
        reasons=decision.reasons,
        counts=counts,
        snapshot=swapped.get(dataset.name),
        quarantine_snapshot=swapped.get(quarantine_spec(dataset).name),
    )
    replaced = _replaced(tx, decision.row, dataset) if prepared is not None else []
    batches.save_judged(tx, judged, "judged" if prepared is not None else "stopped", at=at)
    batches.mark_replaced(tx, replaced, stored.batch, at=at)
    terms = asdict(counts)
    tx.execute(
        insert(validation).values(
            subject=dataset.name,
            batch=stored.batch,
            run=actor.run,
            outcome=judged.outcome,
            rules_hash=decision.rules_hash,
            counts=json.dumps(terms),
            result=decision.result,
            dimensions=dimensions.to_json(dimensions.tallies(decision.result)),
            recorded_at=at,
        )
    )
    versions = record_run(
        tx,
        actor=actor,
        stage="manage",
        batch=stored.batch,
        output=dataset.name,
        output_snapshot=judged.snapshot,
        outcome=judged.outcome,
        counts=terms,
        versions=_versions(decision, dataset),
        inputs=dict(stored.base.snapshots),
        edges=None,
        at=at,
        namespace=namespace,
        assertions=assertions(decision.result),
    )
    facts = _facts(decision, judged, replaced, versions)
    append(tx, "judged", facts, actor=actor, writer=database.writer, at=at)
    return judged


def _replaced(tx: Connection, row: BatchRow, dataset: Dataset) -> list[str]:
    """Live batches whose place this one takes: of a full load (and of a snapshot) all, else earlier revisions of its window."""
    others: Sequence[BatchRow] = [r for r in batches.live(tx, dataset.name) if r.id != row.id]
    if dataset.load_mode in ("full", "snapshot_diff"):
        return [r.id for r in others]
    return [r.id for r in others if r.window.start == row.window.start]


def assertions(result: str) -> tuple[Assertion, ...]:
    """A GX suite result's expectations as OpenLineage assertions: counts only."""
    found = []
    for one in json.loads(result)["results"]:
        config, counted = one["expectation_config"], one.get("result") or {}
        unexpected = counted.get("unexpected_count")
        gov = config["meta"]["gov"]
        found.append(
            Assertion(
                name=gov["id"],
                assertion=config["type"],
                success=bool(one["success"]),
                column=config["kwargs"].get("column"),
                severity="error" if gov["severity"] != "warn" else "warn",
                actual=None if unexpected is None else f"{unexpected} unexpected",
            )
        )
    return tuple(found)


def _versions(decision: _Decision, dataset: Dataset) -> dict[str, str]:
    codes = {f"code_set:{name}": digest for name, digest in decision.stored.base.code_sets.items()}
    return {"contract": dataset.text_hash, "rules": decision.rules_hash, **codes}


def _facts(
    decision: _Decision, judged: Judged, replaced: Sequence[str], versions: Mapping[str, str]
) -> dict[str, Json]:
    return {
        "batch": judged.batch,
        "dataset": judged.dataset,
        "outcome": judged.outcome,
        "reasons": list(judged.reasons),
        "counts": asdict(judged.counts),
        "snapshot": judged.snapshot,
        "quarantine_snapshot": judged.quarantine_snapshot,
        "replaced": list(replaced),
        "versions": dict(versions),
    }
