"""collect, store and manage over the datasets of a system, one failing dataset never stopping the others.

Between store and manage a dataset is under one lease, so that its batches go through in window order. Every function can be killed at
any instruction and called again with the same arguments.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from graphlib import TopologicalSorter

from sqlalchemy import select

from governance.catalog.rules import RowRules
from governance.catalog.types import Dataset
from governance.collect import collect
from governance.errors import Conflict, Damaged, GovernanceError, NotReady
from governance.manage import compile_rules, judge
from governance.pipeline.context import Context
from governance.pipeline.drift import examine
from governance.pipeline.steps import Done, Report, Step, StepOutcome, attempt, silent
from governance.state import batches, tables
from governance.state.values import Actor, Judged, Outcome, Stored, Window
from governance.store import store

LEASE_SECONDS = 3600
_TRIES = 3
_OUTCOMES: dict[Outcome, StepOutcome] = {"go": "done", "go_with_warnings": "warned", "stop": "stopped"}


def actor_of(stage: str, department: str, run: str) -> Actor:
    """The pipeline's own actor for a stage of a department (DESIGN section 3, "Actor")."""
    return Actor(f"service:{stage}@{department}", f"pipeline.{stage}", run)


def collect_datasets(
    context: Context,
    names: Sequence[str],
    window: Window,
    run: str,
    *,
    again: bool = False,
    backfill: bool = False,
    report: Report = silent,
) -> tuple[Step, ...]:
    """Land one batch of each dataset for `window`; a batch that is already landed is found again, not read again.

    `backfill` says that the window is not the present one: a source without history is not read for it.
    """

    def one(dataset: Dataset, actor: Actor) -> Done:
        landed = collect(
            dataset,
            window,
            settings=context.settings,
            database=context.database,
            keystore=context.keystore,
            actor=actor,
            again=again,
            backfill=backfill,
        )
        return Done(landed.batch)

    steps = []
    for dataset in _named(context, names):
        actor = actor_of("collect", dataset.department, run)
        work = partial(one, dataset, actor)
        steps.append(attempt("collect", dataset.name, work, actor=actor, database=context.database, report=report))
    return tuple(steps)


def store_datasets(context: Context, names: Sequence[str], run: str, *, report: Report = silent) -> tuple[Step, ...]:
    """Parse, type, judge and split every landed batch of these datasets, in window order, targets of references first.

    A batch waits while a target of its references has a batch of the same or an earlier window under way: it is to be judged against
    that one, not against the last. `manage_datasets` takes it further in the same run.
    """
    steps = []
    for dataset in _named(context, names):
        _give_up_overtaken(context, dataset)
        for batch in _waiting(context, dataset, "store"):
            actor = actor_of("store", dataset.department, run)
            work = partial(_store_one, context, dataset, batch, actor)
            step = attempt(
                "store", dataset.name, work, actor=actor, database=context.database, report=report, batch=batch
            )
            steps.append(step)
            if step.outcome == "waiting":
                break
    return tuple(steps)


def manage_datasets(
    context: Context, names: Sequence[str], run: str, *, failed: Collection[str] = (), report: Report = silent
) -> tuple[Step, ...]:
    """Judge every stored batch of these datasets; then store and judge those that waited for their turn or for a target.

    Datasets in `failed` (store has just told of them), and those that fail here, are not stored again by this call. What still waits at the
    end is among the steps.
    """
    steps = list(_manage_stored(context, names, run, report))
    bad = {*failed, *(s.subject for s in steps if s.outcome == "failed")}
    while True:
        stored = store_datasets(context, [name for name in names if name not in bad], run, report=report)
        tried = [s for s in stored if s.outcome != "waiting"]
        judged = _manage_stored(context, [s.subject for s in tried if s.outcome != "failed"], run, report)
        steps += [*tried, *judged]
        bad |= {s.subject for s in (*tried, *judged) if s.outcome in ("failed", "stopped")}
        if not any(s.outcome in ("done", "warned") for s in judged):
            return (*steps, *(s for s in stored if s.outcome == "waiting"))


def in_order(context: Context, names: Sequence[str]) -> list[str]:
    """The datasets in an order in which targets of references come before those who refer to them."""
    return [dataset.name for dataset in _named(context, names)]


def rules_of(context: Context, dataset: Dataset) -> RowRules:
    """The compiled rules of a dataset or curated table."""
    return compile_rules(dataset, context.catalogue.suites.get(dataset.name), context.catalogue.code_sets)


def let_in(context: Context, department: str, run: str) -> dict[str, int]:
    """dataset -> snapshot of what `run` let in of this department: what its readers should hear of."""
    query = (
        select(tables.run.c.output, tables.run.c.output_snapshot)
        .where(tables.run.c.run == run, tables.run.c.stage == "manage", tables.run.c.output_snapshot.is_not(None))
        .order_by(tables.run.c.id)
    )
    with context.database.read() as connection:
        rows = connection.execute(query).all()
    return {row.output: row.output_snapshot for row in rows if row.output.partition(".")[0] == department}


def _give_up_overtaken(context: Context, dataset: Dataset) -> None:
    """Of a source that is read whole, a later observation takes the place of earlier ones that failed: nobody can repair those any more."""
    if dataset.load_mode == "append":
        return
    with context.database.read() as connection:
        landed = batches.batches(connection, dataset.name, "landed")
        failed = batches.batches(connection, dataset.name, "failed")
    if not landed:
        return
    newest = max(landed, key=lambda row: row.order)
    overtaken = [row.id for row in failed if row.window.start < newest.window.start]
    if overtaken:
        with context.database.unit_of_work() as tx:
            batches.mark_replaced(tx, overtaken, newest.id, at=context.database.clock())


def _store_one(context: Context, dataset: Dataset, batch: str, actor: Actor) -> Done:
    """Store under the dataset's lease, which stays with the batch until its verdict."""
    _require_targets_settled(context, dataset, batch)
    batches.acquire_lease(context.database, dataset.name, batches.holder_of(batch), LEASE_SECONDS)
    try:
        return Done(batch, rows=_stored(context, dataset, batch, actor).parsed)
    except BaseException as error:
        batches.release_lease(context.database, dataset.name, batches.holder_of(batch))
        _mark_failed(context, batch, error)
        raise


def _stored(context: Context, dataset: Dataset, batch: str, actor: Actor) -> Stored:
    return store(
        batch,
        dataset,
        rules_of(context, dataset),
        context.catalogue.code_sets,
        settings=context.settings,
        lake=context.lake,
        database=context.database,
        keystore=context.keystore,
        actor=actor,
    )


def _mark_failed(context: Context, batch: str, error: BaseException) -> None:
    """Keep that a batch cannot go on as it is. What trying again can help, and being stopped from outside, are no failure of the batch."""
    if not isinstance(error, Exception) or (isinstance(error, GovernanceError) and error.retry):
        return
    message = str(error) if isinstance(error, GovernanceError) else ""
    with context.database.unit_of_work() as tx:
        batches.mark_failed(tx, batch, type(error).__name__, message)


def _require_targets_settled(context: Context, dataset: Dataset, batch: str) -> None:
    """Raises NotReady while a target of the dataset's references has a batch under way that this one is to be judged against."""
    targets = sorted({f.references.dataset for f in dataset.fields if f.references} - {dataset.name})
    targets = [name for name in targets if name.partition(".")[0] == dataset.department]
    with context.database.read() as connection:
        own = batches.find(connection, batch)
        assert own is not None
        under_way = [
            row
            for target in targets
            for row in batches.batches(connection, target, ("landed", "stored"))
            if row.window.start <= own.window.start
        ]
    if under_way:
        target = under_way[0].dataset
        raise NotReady(f"{target} has a batch under way", where=dataset.name, do=f"let {target} in first")


def _manage_stored(context: Context, names: Sequence[str], run: str, report: Report) -> tuple[Step, ...]:
    steps = []
    for dataset in _named(context, names):
        for batch in _waiting(context, dataset, "manage"):
            actor = actor_of("manage", dataset.department, run)
            work = partial(_manage_one, context, dataset, batch, actor, actor_of("store", dataset.department, run))
            steps.append(
                attempt(
                    "manage", dataset.name, work, actor=actor, database=context.database, report=report, batch=batch
                )
            )
    return tuple(steps)


def _manage_one(context: Context, dataset: Dataset, batch: str, actor: Actor, storing: Actor) -> Done:
    """Judge under the dataset's lease; store again when what the batch stands on has moved. The lease ends with it, however it ends."""
    batches.acquire_lease(context.database, dataset.name, batches.holder_of(batch), LEASE_SECONDS)
    try:
        judged = _judged(context, dataset, batch, actor, storing)
    except BaseException as error:
        _mark_failed(context, batch, error)
        raise
    finally:
        batches.release_lease(context.database, dataset.name, batches.holder_of(batch))
    return Done(batch, _OUTCOMES[judged.outcome], judged.counts.passed, _said(judged))


def _judged(context: Context, dataset: Dataset, batch: str, actor: Actor, storing: Actor) -> Judged:
    """The verdict. What has moved under the batch, or files that are gone, are mended by the store pass; damage that stays is raised."""
    rules = rules_of(context, dataset)
    unlike = examine(context, dataset, batch, actor.run)
    damaged = False
    for _ in range(_TRIES):
        try:
            return judge(
                batch,
                dataset,
                rules,
                lake=context.lake,
                database=context.database,
                actor=actor,
                namespace=context.settings.lineage_namespace,
                unlike=unlike,
            )
        except Conflict:
            pass
        except Damaged:
            if damaged:
                raise
            damaged = True
        _stored(context, dataset, batch, storing)
    raise Conflict(f"another batch came first {_TRIES} times", where=batch, do="run the task again")


def _said(judged: Judged) -> str:
    counts = judged.counts
    held = [f"{counts.quarantined:,} quarantined"] if counts.quarantined else []
    held += [f"{counts.duplicates:,} declared duplicates left out"] if counts.duplicates else []
    because = [f"{judged.outcome}: {', '.join(judged.reasons)}"] if judged.reasons else []
    return "; ".join(held + because)


def _named(context: Context, names: Sequence[str]) -> list[Dataset]:
    """The datasets of these names, `in_order`."""
    chosen = {name: context.catalogue.datasets[name] for name in names}
    order: TopologicalSorter[str] = TopologicalSorter()
    for name, dataset in sorted(chosen.items()):
        targets = {f.references.dataset for f in dataset.fields if f.references}
        order.add(name, *sorted(t for t in targets if t in chosen and t != name))
    return [chosen[name] for name in order.static_order()]


def _waiting(context: Context, dataset: Dataset, stage: batches.Stage) -> tuple[str, ...]:
    with context.database.read() as connection:
        return tuple(batches.ready(connection, stage, [dataset.name]))
