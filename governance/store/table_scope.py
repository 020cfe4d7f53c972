"""Rules of scope `table` of a dataset that rows are added to: what adds up is put together, for the rest the rows that stay are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlglot import exp

from governance.catalog.rules import TableRule
from governance.catalog.types import Dataset
from governance.config import Settings
from governance.state.values import DataFile, RuleMetric
from governance.store import base as bases
from governance.store import partials
from governance.store.access import Access
from governance.store.aggregates import Aggregate
from governance.store.base import Standing
from governance.store.engine import aggregating
from governance.store.partials import Merged


@dataclass(frozen=True, slots=True)
class TableScope:
    """The rules of scope `table` of one batch: `merged` add up over files, `rest` do not."""

    dataset: Dataset
    standing: Standing
    access: Access
    settings: Settings
    merged: tuple[Merged, ...]
    rest: tuple[TableRule, ...]

    def feed_before(self, aggregate: Aggregate) -> None:
        """Rows of the table that stay: of a revision not those of the batch that it replaces."""
        replaced = [exp.column("_batch", quoted=True).neq(row.id) for row in self.standing.replaces]
        where = exp.and_(*replaced).sql("duckdb") if replaced else None
        with self.access.own(self._snapshot, aggregate.columns, where=where) as rows:
            for batch in rows if rows is not None else ():
                aggregate.feed(batch)

    def metrics(self, part: Mapping[str, RuleMetric], passed: tuple[DataFile, ...]) -> dict[str, RuleMetric]:
        """The merged rules over the files that stay and this batch, of which `part` was counted and `passed` written. Keeps what is new."""
        lake, database, name = self.access.lake, self.access.database, self.dataset.name
        removed = set(bases.removed(self.standing, self.dataset, lake))
        stays = [f for f in lake.files(name, self._snapshot, current=True) if f.path not in removed]
        keys = {rule.id for rule in partials.leaf_rules(self.merged)}
        with database.read() as connection:
            known, covered = partials.covered(connection, name, keys, [f.path for f in stays])
        scanned = {f.path: self._scanned(f) for f in stays if f.path not in covered}
        at = database.clock()
        with database.unit_of_work() as tx:
            partials.keep(tx, name, [f.path for f in passed], part, at=at)
            for path, found in scanned.items():
                partials.keep(tx, name, [path], found, at=at)
        rows = sum(file.rows for file in (*stays, *passed))
        return partials.metrics(self.merged, [part, *scanned.values()], known, rows)

    @property
    def _snapshot(self) -> int | None:
        return self.standing.base.snapshots[self.dataset.name]

    def _scanned(self, file: DataFile) -> Mapping[str, RuleMetric]:
        """The leaves over one file of which nothing is known."""
        import pyarrow as pa

        con = aggregating(self.settings)
        rules = partials.leaf_rules(self.merged)
        columns = sorted({name for rule in rules for name in rule.columns}) or [self.dataset.fields[0].name]
        try:
            with self.access.own(self._snapshot, columns, only=(file.path,)) as rows:
                assert rows is not None
                typed = pa.schema([pa.field(f.name, f.type) for f in rows.schema])
                aggregate = Aggregate(rules, typed, con)
                try:
                    for batch in rows:
                        aggregate.feed(batch)
                    return aggregate.metrics()
                finally:
                    aggregate.stop()
        finally:
            con.close()


def table_scope(
    rules: tuple[TableRule, ...], dataset: Dataset, standing: Standing, access: Access, settings: Settings
) -> TableScope:
    """The rules of scope `table` among `rules`, parted. Of other load modes none is merged: a batch is all of the table that its rules see."""
    asked = [rule for rule in rules if rule.scope == "table"]
    found = [(rule, partials.merged(rule, dataset) if dataset.load_mode == "append" else None) for rule in asked]
    merged = tuple(made for _, made in found if made is not None)
    return TableScope(dataset, standing, access, settings, merged, tuple(rule for rule, made in found if made is None))
