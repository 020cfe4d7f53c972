"""What a batch is judged against, recorded once before its store pass; and what of the table it takes the place of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from governance.catalog.rules import CodeSetRule, ReferenceRule, RowRules, TableRule
from governance.catalog.types import CodeSet, Dataset
from governance.errors import Conflict, GovernanceError, NotReady, Refused
from governance.lake.lake import Lake
from governance.lake.specs import quarantine_spec
from governance.state import batches
from governance.state.batches import BatchRow
from governance.state.database import Database
from governance.state.values import Base, DataFile, Stored


@dataclass(frozen=True, slots=True)
class Standing:
    """A batch that may be stored now.

    `replaces` are live batches whose place it takes: earlier revisions of its window, of a full load all. `before` is the own snapshot
    without what these revisions did: what a dataset that keeps versions is compared with.
    """

    row: BatchRow
    base: Base
    replaces: tuple[BatchRow, ...]
    before: int | None
    done: Stored | None = None
    """The value of an earlier run that still stands: nothing is left to do."""


def stand(
    batch: str, dataset: Dataset, rules: RowRules, code_sets: Mapping[str, CodeSet], *, lake: Lake, database: Database
) -> Standing:
    """Where the batch stands, its base taken and recorded when it has none that still holds.

    Raises NotReady for a batch that never landed, that has another one before it in manage, or whose reference has no snapshot yet; Refused
    for a window that a later one has overtaken; Conflict for a batch that was replaced.
    """
    with database.read() as connection:
        row = batches.find(connection, batch)
        if row is None or row.landed is None:
            raise NotReady(f"batch {batch} has not landed", where=dataset.name, do="collect it first")
        others = tuple(r for r in batches.batches(connection, dataset.name) if r.id != batch)
        now = _snapshots(dataset, rules, lake, connection)
    if row.status in ("judged", "stopped") and row.stored is not None and row.base is not None:
        return Standing(row, row.base, (), None, row.stored)
    if row.status == "replaced":
        raise Conflict(f"batch {batch} was replaced by {row.replaced_by}", where=dataset.name)
    _require_turn(row, dataset, others)
    base = _base(row, dataset, rules, code_sets, now)
    if base != row.base:
        with database.unit_of_work() as tx:
            batches.save_base(tx, batch, base, at=database.clock())
    replaces = _replaces(row, dataset, others)
    done = row.stored if base == row.base and _stands(row.stored, rules, lake) else None
    return Standing(row, base, replaces, _before(row, dataset, base, others), done)


def removed(standing: Standing, dataset: Dataset, lake: Lake) -> tuple[str, ...]:
    """Paths of the dataset's table that the batch's swap takes out.

    A full load takes all of it. A revision of an append takes what it replaces. Where versions are kept, present rows are written anew, and of
    a revision all goes that the replaced ones had added: what stays is the history before them.
    """
    there = [file.path for file in _files(lake, dataset.name)]
    if dataset.load_mode == "full":
        return tuple(there)
    if dataset.keeps_versions:
        before = standing.before
        history = {f.path for f in lake.files(dataset.name, before, current=False)} if before is not None else set()
        return tuple(path for path in there if path not in history)
    mine = {file.path for row in standing.replaces if row.stored for file in row.stored.passed_files}
    return tuple(path for path in there if path in mine)


def removed_quarantine(standing: Standing, dataset: Dataset, lake: Lake) -> tuple[str, ...]:
    """Paths of the quarantine whose open items this batch supersedes."""
    mine = {file.path for row in standing.replaces if row.stored for file in row.stored.quarantine_files}
    return tuple(file.path for file in _files(lake, quarantine_spec(dataset).name) if file.path in mine)


def _snapshots(dataset: Dataset, rules: RowRules, lake: Lake, connection: Connection) -> dict[str, int | None]:
    names = {dataset.name} | {rule.dataset for rule in rules.rules if isinstance(rule, ReferenceRule)}
    return {name: lake.snapshot(name, connection) for name in sorted(names)}


def _require_turn(row: BatchRow, dataset: Dataset, others: Sequence[BatchRow]) -> None:
    waiting = [r.id for r in others if r.status == "stored"]
    if waiting:
        raise NotReady(f"batch {waiting[0]} waits for manage", where=dataset.name, do="manage it first")
    later = [r.id for r in others if r.status == "judged" and r.window.start > row.window.start]
    if later and dataset.load_mode != "append":
        raise Refused(
            f"window {row.window.start:%Y-%m-%d %H:%M} is older than live batch {later[-1]}",
            where=dataset.name,
            allowed="revisions of the latest window",
            do="land the latest window again",
        )


def _base(
    row: BatchRow, dataset: Dataset, rules: RowRules, code_sets: Mapping[str, CodeSet], now: Mapping[str, int | None]
) -> Base:
    hashes = _code_sets(dataset, rules, code_sets)
    known = row.base
    own_moved = known is None or known.snapshots.get(dataset.name) != now[dataset.name]
    keeps = dataset.load_mode == "append" and not _reads_own(dataset, rules) and not _was_replaced(row, known)
    if (
        known is not None
        and known.code_sets == hashes
        and set(known.snapshots) == set(now)
        and (keeps or not own_moved)
    ):
        return known
    for name, snapshot in now.items():
        if name == dataset.name:
            continue
        if name.partition(".")[0] != dataset.department:
            raise Refused(
                f"a rule refers to {name}",
                where=dataset.name,
                allowed="datasets of the same department",
                do="make it a check beside a model",
            )
        if snapshot is None:
            raise NotReady(
                f"{name} has no data yet, and a rule refers to it", where=dataset.name, do=f"load {name} first"
            )
    return Base(dict(now), hashes)


def _was_replaced(row: BatchRow, known: Base | None) -> bool:
    """A revision takes files out of the own table, so that it always needs the table as it is."""
    return known is None or row.revision > 1


def _reads_own(dataset: Dataset, rules: RowRules) -> bool:
    return any(
        (isinstance(rule, TableRule) and rule.scope == "table")
        or (isinstance(rule, ReferenceRule) and rule.dataset == dataset.name)
        for rule in rules.rules
    )


def _code_sets(dataset: Dataset, rules: RowRules, code_sets: Mapping[str, CodeSet]) -> dict[str, str]:
    names = sorted({rule.code_set for rule in rules.rules if isinstance(rule, CodeSetRule)})
    if missing := [name for name in names if name not in code_sets]:
        raise GovernanceError(f"no code set {', '.join(missing)}", where=dataset.name, do="add it to catalog/standards")
    return {name: code_sets[name].text_hash for name in names}


def _replaces(row: BatchRow, dataset: Dataset, others: Sequence[BatchRow]) -> tuple[BatchRow, ...]:
    live = [r for r in others if r.status == "judged"]
    if dataset.load_mode in ("full", "snapshot_diff"):
        return tuple(live)
    return tuple(r for r in live if r.window.start == row.window.start)


def _before(row: BatchRow, dataset: Dataset, base: Base, others: Sequence[BatchRow]) -> int | None:
    """The own snapshot before the first revision of this window became visible."""
    let_in = [
        r
        for r in others
        if r.window.start == row.window.start and r.base and r.judged and r.judged.snapshot is not None
    ]
    first = min(let_in, key=lambda r: r.revision, default=None)
    found = first.base if first is not None and first.base is not None else base
    return found.snapshots.get(dataset.name)


def _stands(stored: Stored | None, rules: RowRules, lake: Lake) -> bool:
    """An earlier value stands when the rules are the same and all of its files are there."""
    if stored is None or stored.rules_hash != rules.hash:
        return False
    return all((lake.root / file.path).is_file() for file in (*stored.passed_files, *stored.quarantine_files))


def _files(lake: Lake, table: str) -> tuple[DataFile, ...]:
    snapshot = lake.snapshot(table)
    return lake.files(table, snapshot) if snapshot is not None else ()
