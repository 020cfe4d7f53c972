"""Back-test: a changed suite on past batches before it is accepted. What would it have held, what would it have let in? Nothing is changed.

Each batch is read as its verdict left it: the rows that it let in and those that it set aside, at the snapshots of that commit. Only the
columns that the rules read are opened, under a grant of its own.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from governance.catalog.rules import RowRules, TableRule
from governance.catalog.suites import parse_suite
from governance.catalog.types import Dataset, Suite
from governance.errors import DeclarationError, GovernanceError, NotReady, SourceContentError
from governance.keys import grants
from governance.keys.names import KeyName
from governance.lake.reader import quoted
from governance.lake.specs import quarantine_spec
from governance.manage import compile_rules
from governance.pipeline.context import Context
from governance.pipeline.quarantine import dataset_of
from governance.pipeline.quarantine_rows import connection
from governance.state import batches
from governance.state.batches import BatchRow
from governance.state.values import Actor
from governance.store.backtest import ROWS, Found, backtest, read_by
from governance.store.parsers.relation import literal
from governance.store.replay import OTHERS, OWN, Replay, reads_own_table

PURPOSE = "pipeline.backtest"


@dataclass(frozen=True, slots=True)
class BatchTest:
    """One batch: what was found, and whether so much would have been set aside that the batch had been stopped."""

    batch: str
    found: Found
    would_stop: bool


@dataclass(frozen=True, slots=True)
class BackTest:
    """`not_tested` are rules about the whole table: they hold no row. `rules_hash` is of the rules that were tried."""

    dataset: str
    rules_hash: str
    batches: tuple[BatchTest, ...]
    not_tested: tuple[str, ...]

    @property
    def would_hold(self) -> int:
        return sum(test.found.would_hold for test in self.batches)

    @property
    def would_let_in(self) -> int:
        return sum(test.found.would_let_in for test in self.batches)


def back_test(context: Context, name: str, suite: Path | None, *, last: int = 12) -> BackTest:
    """Try a suite file (or the suite in force) with the contract in force on the dataset's last batches, newest first.

    Raises DeclarationError with every fault of the suite, NotReady when no batch was ever let in.
    """
    dataset = dataset_of(context, name)
    given = read_suite_file(suite, name) if suite is not None else context.catalogue.suites.get(name)
    rules = compile_rules(dataset, given, context.catalogue.code_sets)
    with context.database.read() as con:
        rows = [r for r in batches.batches(con, name, ("judged", "replaced")) if r.judged and r.judged.snapshot]
    if not rows:
        raise NotReady("no batch was let in yet", where=name, do="gov run")
    actor = Actor(f"service:manage@{dataset.department}", PURPOSE, uuid.uuid4().hex)
    tests = tuple(_test(context, dataset, rules, row, actor) for row in rows[::-1][: max(1, last)])
    tables = tuple(rule.id for rule in rules.rules if isinstance(rule, TableRule))
    return BackTest(name, rules.hash, tests, tables)


def read_suite_file(file: Path, dataset: str) -> Suite:
    """A suite of the dataset that is not in force. Raises SourceContentError for no text, DeclarationError for no suite."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise SourceContentError(
            "cannot be read as UTF-8", where=file.name, do="give a suite in GX's own JSON"
        ) from None
    parsed, faults = parse_suite(text, file=file.name, dataset=dataset)
    if parsed is None:
        raise DeclarationError(faults)
    return parsed


def _test(context: Context, dataset: Dataset, rules: RowRules, row: BatchRow, actor: Actor) -> BatchTest:
    assert row.judged is not None
    assert row.stored is not None
    columns = read_by(dataset, rules)
    sources = _sources(context, dataset, row, columns)
    keys: set[KeyName] = set()
    for table, snapshot, names in sources:
        keys |= context.lake.keys(table, snapshot, names)
    with context.database.unit_of_work() as tx:
        grant = grants.issue(tx, actor=actor, keys=sorted(keys), database=context.database)
    try:
        with connection(context) as con:
            _bind(context, con, dataset, row, columns, sources, grant.id)
            base = row.stored.base
            replay = Replay(dataset, rules, context.catalogue.code_sets, base, context.lake, con)
            _bind_sets(con, dataset, rules)
            found = _twice(replay, columns, row.id)
    finally:
        with context.database.unit_of_work() as tx:
            grants.revoke(tx, grant.id, actor=actor, database=context.database)
    held = found.held - found.would_let_in + found.would_hold
    too_many = found.rows > 0 and held / found.rows > dataset.max_quarantine
    return BatchTest(row.id, found, too_many or bool(found.errored))


def _twice(replay: Replay, columns: tuple[str, ...], batch: str) -> Found:
    try:
        return backtest(replay, columns)
    except duckdb.OutOfMemoryException:
        raise GovernanceError("the batch needs more memory", where=batch, do="raise engine.memory_limit_mb") from None
    except duckdb.Error:
        pass
    try:
        return backtest(replay, columns, careful=True)
    except duckdb.Error as error:
        raise GovernanceError(f"the rows cannot be judged: {type(error).__name__}", where=batch) from None


def _sources(
    context: Context, dataset: Dataset, row: BatchRow, columns: Sequence[str]
) -> list[tuple[str, int, list[str]]]:
    """Table, snapshot and columns of the batch's rows as its verdict left them; columns that the snapshot lacks are left out."""
    assert row.judged is not None
    places = [(dataset.name, row.judged.snapshot, [] if dataset.load_mode == "full" else ["_batch"])]
    places.append((quarantine_spec(dataset).name, row.judged.quarantine_snapshot, ["_batch", "_reasons"]))
    found = []
    for table, snapshot, own in places:
        if snapshot is not None:
            there = {column.name for column in context.lake.schema(table, snapshot).columns}
            found.append((table, snapshot, ["_row", *own, *(name for name in columns if name in there)]))
    return found


def _bind(
    context: Context,
    con: duckdb.DuckDBPyConnection,
    dataset: Dataset,
    row: BatchRow,
    columns: Sequence[str],
    sources: Sequence[tuple[str, int, list[str]]],
    grant_id: str,
) -> None:
    """The view `ROWS`."""
    types = {f.name: f.type.duckdb() for f in dataset.fields}
    selects = []
    for number, (table, snapshot, names) in enumerate(sources):
        held = table != dataset.name
        context.lake.bind(con, f"side_{number}", table, snapshot, names, grant_id=grant_id)
        parts = [
            quoted(name) if name in names else f"CAST(NULL AS {types.get(name, 'BLOB')}) AS {quoted(name)}"
            for name in columns
        ]
        parts += [
            "_row AS __row",
            f"{str(held).upper()} AS __held",
            "_reasons" if held else "CAST(NULL AS VARCHAR[]) AS _reasons",
        ]
        own = (
            f" WHERE _batch = {literal(row.id)}" if "_batch" in names else ""
        )  # a full load's snapshot has its rows alone
        selects.append(f"SELECT {', '.join(parts)} FROM side_{number}{own}")  # noqa: S608
    con.execute(f"CREATE TEMP VIEW {ROWS} AS {' UNION ALL '.join(selects)}")


def _bind_sets(con: duckdb.DuckDBPyConnection, dataset: Dataset, rules: RowRules) -> None:
    """There are no rows besides those of the batch, but for a reference into the table that the batch was added to."""
    names = ", ".join(f"CAST(NULL AS {f.type.duckdb()}) AS {quoted(f.name)}" for f in dataset.fields)
    con.execute(f"CREATE TEMP VIEW {OTHERS} AS SELECT {names} WHERE FALSE")
    own = f"SELECT {names} WHERE FALSE"
    if reads_own_table(dataset, rules):
        fields = {r.field for r in rules.rules if getattr(r, "dataset", "") == dataset.name and hasattr(r, "field")}
        own = f"SELECT {', '.join(sorted(map(quoted, fields)))} FROM side_0"  # noqa: S608
    con.execute(f"CREATE TEMP VIEW {OWN} AS {own}")
