"""Repairing a quarantine: a steward releases, rejects or corrects its rows; what became of them is visible at once or not at all.

    who may -> which rows (clear columns) -> grant -> new files -> recount -> prepare both tables -> one unit of work

May be killed anywhere and called again with the same arguments: rows that were moved are found moved, and nothing is done twice.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import duckdb
import pyarrow as pa

from governance.catalog.types import Dataset
from governance.errors import NotReady, Refused
from governance.lake.specs import quarantine_spec, stored_spec
from governance.manage import compile_rules
from governance.manage.items import UNPARSED, key_text
from governance.manage.items import Wanted as Wanted
from governance.manage.items import items as items_of
from governance.manage.patch import read_patch
from governance.manage.repair import PURPOSE, BatchRepair, Decision, commit, require_quiet, require_steward
from governance.pipeline.context import Context
from governance.pipeline.quarantine_replay import replay_batch
from governance.pipeline.quarantine_rows import Opened, opened
from governance.policy.access import parse_access
from governance.state import batches
from governance.state.batches import BatchRow
from governance.state.crash import crash_point
from governance.state.values import Actor
from governance.store.replay import needed

LEASE_SECONDS = 1800
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Selection:
    """Open items by position (`batch`, `key`), or by the rules that they broke."""

    rows: tuple[tuple[str, int], ...] = ()
    rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Repaired:
    """What one decision did. `already` were where the decision would have put them; `others` broke more rules than those named."""

    run: str
    passed: int = 0
    rejected: int = 0
    held: int = 0
    already: int = 0
    others: int = 0
    batches: tuple[str, ...] = ()


def release(context: Context, name: str, selection: Selection, *, subject: str, because: str) -> Repaired:
    """Move rows as they are into the dataset's table. By rule: those rows that broke no other rule than those named.

    Raises Refused for whoever may not, without a justification, for unparsed lines (they have no values) and for rows that are not open;
    NotReady or Conflict while a batch of the dataset is under way.
    """
    return _decide(context, name, selection, "release", subject, because)


def reject(context: Context, name: str, selection: Selection, *, subject: str, because: str) -> Repaired:
    """Close rows as rejected: they stay in quarantine and count as rejected. By rule: every row that broke it. Raises as `release`."""
    return _decide(context, name, selection, "reject", subject, because)


def correct(context: Context, name: str, patch: Path, *, subject: str, because: str) -> Repaired:
    """Judge rows again with the values of a patch file, by the rules in force against the batch's base.

    Rows that pass are rows of the dataset's table, with new tokens; the others stay with their new reasons. Raises as `release`, and
    SourceContentError for a file that is no patch.
    """
    dataset, actor = _authorised(context, name, subject, because)
    _require_no_versions(dataset)
    given = read_patch(patch, dataset)
    rows = given.select(["batch", "key"])
    digest = hashlib.sha256(patch.read_bytes()).hexdigest()
    with _leased(context, dataset, f"correct {digest}"):
        chosen, already = _open_rows(context, dataset, rows, "passed")
        if not chosen.num_rows:
            return Repaired(actor.run, already=already)
        rules = compile_rules(dataset, context.catalogue.suites.get(name), context.catalogue.code_sets)
        own = (*needed(dataset, rules), "_batch")
        snapshot = _snapshot(context, dataset)
        with opened(context, dataset, snapshot, actor, own=own, digests=chosen.num_rows) as quarantine:
            quarantine.choose(chosen)
            repairs = []
            for row in _live(context, dataset, chosen):
                done = replay_batch(quarantine, row, rules, given)
                if done is not None:
                    repairs.append(done)
            return _finish(context, dataset, repairs, actor, "correct", because, rules.hash, quarantine, already)


def _decide(
    context: Context, name: str, selection: Selection, kind: Literal["release", "reject"], subject: str, because: str
) -> Repaired:
    dataset, actor = _authorised(context, name, subject, because)
    if kind == "release":
        _require_no_versions(dataset)
    with _leased(context, dataset, f"{kind} {selection!r}"):
        chosen, already, others = _selected(context, dataset, selection, kind)
        if not chosen.num_rows:
            return Repaired(actor.run, already=already, others=others)
        rules = compile_rules(dataset, context.catalogue.suites.get(name), context.catalogue.code_sets)
        with opened(context, dataset, _snapshot(context, dataset), actor) as quarantine:
            quarantine.choose(chosen)
            repairs = []
            for row in _live(context, dataset, chosen):
                added = quarantine.released(row.id) if kind == "release" else ()
                kept = quarantine.kept(row.id, rejected=kind == "reject")
                repairs.append(quarantine.repaired(row, added=added, quarantine=kept, rejected=kind == "reject"))
            return _finish(context, dataset, repairs, actor, kind, because, rules.hash, quarantine, already, others)


def _finish(
    context: Context,
    dataset: Dataset,
    repairs: Sequence[BatchRepair],
    actor: Actor,
    kind: str,
    because: str,
    rules_hash: str,
    quarantine: Opened,
    already: int,
    others: int = 0,
) -> Repaired:
    crash_point("quarantine.after_write")
    if not repairs:
        return Repaired(actor.run, already=already, others=others)
    decision = Decision(kind, because.strip(), rules_hash, quarantine.rows_sha256(), quarantine.snapshot)
    commit(
        repairs,
        decision,
        dataset,
        lake=context.lake,
        database=context.database,
        actor=actor,
        namespace=context.settings.lineage_namespace,
    )
    return Repaired(
        run=actor.run,
        passed=sum(r.passed for r in repairs),
        rejected=sum(r.rejected for r in repairs),
        held=sum(r.held for r in repairs),
        already=already,
        others=others,
        batches=tuple(r.row.id for r in repairs),
    )


def _authorised(context: Context, name: str, subject: str, because: str) -> tuple[Dataset, Actor]:
    dataset = dataset_of(context, name)
    catalogue = context.catalogue
    require_steward(parse_access(catalogue.access_text, catalogue.access_file, catalogue), subject, dataset)
    if not because.strip():
        raise Refused("no justification", where=name, do="say why with --because; it is kept in the ledger")
    return dataset, Actor(subject, PURPOSE, uuid.uuid4().hex)


def dataset_of(context: Context, name: str) -> Dataset:
    """The dataset called `name`; NotReady when the catalogue has none."""
    if name not in context.catalogue.datasets:
        raise NotReady("no such dataset", where=name, allowed=", ".join(sorted(context.catalogue.datasets)))
    return context.catalogue.datasets[name]


def _require_no_versions(dataset: Dataset) -> None:
    if dataset.keeps_versions:
        raise Refused(
            f"rows of a dataset with load mode {dataset.load_mode} are versions of their key, made by the store pass alone",
            where=dataset.name,
            allowed="reject",
            do="have it corrected at the source and collect again",
        )


def _snapshot(context: Context, dataset: Dataset) -> int:
    """Where the quarantine is now, both tables brought to the contract first."""
    context.lake.ensure(stored_spec(dataset))
    context.lake.ensure(quarantine_spec(dataset))
    snapshot = context.lake.snapshot(quarantine_spec(dataset).name)
    assert snapshot is not None
    return snapshot


@contextmanager
def _leased(context: Context, dataset: Dataset, what: str) -> Iterator[None]:
    """The dataset's lease: no store or manage beside a repair. The same decision tried again has it again."""
    holder = hashlib.sha256(f"quarantine {dataset.name} {what}".encode()).hexdigest()
    batches.acquire_lease(context.database, dataset.name, holder, LEASE_SECONDS)
    try:
        yield
    finally:
        batches.release_lease(context.database, dataset.name, holder)


def _live(context: Context, dataset: Dataset, chosen: pa.Table) -> list[BatchRow]:
    """The batches of the chosen rows; raises unless each is live and nothing under way concerns it."""
    rows = []
    with context.database.read() as connection:
        for batch in sorted(set(chosen.column("batch").unique().to_pylist())):
            row = batches.find(connection, batch)
            if row is None or row.dataset != dataset.name:
                raise Refused("a batch of another dataset", where=dataset.name)
            require_quiet(connection, row)
            rows.append(row)
    return rows


def _selected(
    context: Context, dataset: Dataset, selection: Selection, kind: Literal["release", "reject"]
) -> tuple[pa.Table, int, int]:
    """The open rows that are meant, how many are there already, and how many a release by rule leaves since they broke others."""
    if selection.rows:
        given = dict.fromkeys(selection.rows)
        rows = pa.table({"batch": [b for b, _ in given], "key": pa.array([k for _, k in given], pa.int64())})
        if kind == "release" and any(key < 0 for _, key in given):
            raise _lines(dataset)
        chosen, already = _open_rows(context, dataset, rows, "passed" if kind == "release" else "rejected")
        return chosen, already, 0
    if not selection.rules:
        raise Refused("no rows are named", where=dataset.name, do="give --rows or --rule")
    if kind == "release" and UNPARSED in selection.rules:
        raise _lines(dataset)
    there = items_of(dataset, Wanted(), lake=context.lake, database=context.database)
    with duckdb.connect(config={"temp_directory": ""}) as con:
        con.register("items", there)
        given_rules = {"rules": list(selection.rules)}
        broke = "SELECT batch, key, reasons FROM items WHERE list_has_any(reasons, $rules)"
        count = con.execute(f"SELECT count(*) FROM ({broke})", given_rules).fetchall()[0]  # noqa: S608
        only = " WHERE list_has_all($rules, reasons)" if kind == "release" else ""
        chosen = con.sql(f"SELECT batch, key FROM ({broke}){only}", params=given_rules).to_arrow_table()  # noqa: S608
    return chosen, 0, int(count[0]) - chosen.num_rows


def _lines(dataset: Dataset) -> Refused:
    return Refused(
        "unparsed lines have no values to release", where=dataset.name, allowed="correct, reject", do="give whole rows"
    )


def _open_rows(
    context: Context, dataset: Dataset, rows: pa.Table, to: Literal["passed", "rejected"]
) -> tuple[pa.Table, int]:
    """Those of `rows` that are open, and how many were moved already. Raises Refused when any is neither."""
    lake = context.lake
    there = items_of(dataset, Wanted(open_only=False), lake=lake, database=context.database)
    with duckdb.connect(config={"temp_directory": ""}) as con:
        con.register("items", there)
        con.register("given", rows)
        found = con.sql(
            "SELECT g.batch, g.key, i.state FROM given g LEFT JOIN items i USING (batch, key)"
        ).to_arrow_table()
        con.register("found", found)
        moved = "SELECT batch, key FROM found WHERE state = 'rejected'"
        if to == "passed":
            snapshot = lake.snapshot(dataset.name)
            if snapshot is not None:
                lake.bind(con, "passed_rows", dataset.name, snapshot, ["_batch", "_row"])
                moved = (
                    "SELECT f.batch, f.key FROM found f SEMI JOIN passed_rows p ON p._batch = f.batch AND p._row = f.key"
                    " WHERE f.state IS NULL"
                )
            else:
                moved = "SELECT batch, key FROM found WHERE FALSE"
        already = con.sql(moved).to_arrow_table()
        con.register("already", already)
        chosen = con.sql("SELECT batch, key FROM found WHERE state = 'quarantined'").to_arrow_table()
        wrong = con.sql(
            "SELECT batch, key FROM found ANTI JOIN already USING (batch, key)"
            " WHERE state IS DISTINCT FROM 'quarantined' ORDER BY batch, key"
        ).to_arrow_table()
    if wrong.num_rows:
        raise Refused(
            f"{wrong.num_rows} rows are not open: {_positions(wrong)}",
            where=dataset.name,
            allowed="rows that gov quarantine list shows",
            do="correct the positions",
        )
    return chosen, already.num_rows


def _positions(rows: pa.Table) -> str:
    """The first few positions; a batch id that a person typed is shown only where it looks like one."""
    shown: Sequence[Mapping[str, object]] = rows.slice(0, _SHOWN).to_pylist()
    texts = [f"{str(row['batch'])[:100]}:{key_text(int(str(row['key'])))}" for row in shown]
    return ", ".join(texts) + (", ..." if rows.num_rows > _SHOWN else "")
