"""What store may open while it runs: landed bytes and digest keys of its own dataset; own columns only where rows of before must be read."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa

from governance.catalog.types import Dataset
from governance.keys import grants
from governance.keys.names import DigestKeyName, KeyName
from governance.lake.lake import Lake
from governance.state.database import Database
from governance.state.values import Actor, Landed
from governance.store.landed import key_of


@dataclass(frozen=True, slots=True)
class Access:
    """Issues the grants of one run; each ends with what it was needed for."""

    dataset: Dataset
    lake: Lake
    database: Database
    actor: Actor

    @contextmanager
    def landed(self, batch: Landed, *, digests: int = 0) -> Iterator[str]:
        """A grant on the originals of a batch, and for `digests` values on the dataset's digest keys."""
        keys = sorted({key_of(file, self.dataset) for file in batch.files})
        domains = sorted({f.domain for f in self.dataset.fields if f.domain})
        names = [DigestKeyName("domain", domain) for domain in domains]
        if self.dataset.keeps_versions:
            names.append(DigestKeyName("rowdigest", self.dataset.name))
        with self._granted(keys, names if digests else [], digests) as grant_id:
            yield grant_id

    @contextmanager
    def own(
        self,
        snapshot: int | None,
        columns: Sequence[str],
        *,
        where: str | None = None,
        only: Collection[str] | None = None,
    ) -> Iterator[pa.RecordBatchReader | None]:
        """Present rows of the own dataset at `snapshot`, under a grant where a column of them is encrypted; None without a snapshot.

        Columns that the snapshot does not have yet come as NULL. `only`: rows of these data files alone.
        """
        if snapshot is None:
            yield None
            return
        there = {column.name for column in self.lake.schema(self.dataset.name, snapshot).columns}
        known = [name for name in columns if name in there]
        keys = self.lake.keys(self.dataset.name, snapshot, known)
        if not keys:
            yield self._scan(snapshot, known, columns, None, where, only)
            return
        with self._granted(sorted(keys), [], 0) as grant_id:
            yield self._scan(snapshot, known, columns, grant_id, where, only)

    def _scan(
        self,
        snapshot: int,
        known: Sequence[str],
        columns: Sequence[str],
        grant_id: str | None,
        where: str | None,
        only: Collection[str] | None,
    ) -> pa.RecordBatchReader:
        reader = self.lake.scan(
            self.dataset.name, snapshot, known, grant_id=grant_id, where=where, current=True, only=only
        )
        missing = [name for name in columns if name not in known]
        if not missing:
            return reader
        schema = pa.schema([*reader.schema, *(pa.field(name, pa.null()) for name in missing)])
        batches = (
            pa.record_batch([*b.columns, *(pa.nulls(b.num_rows) for _ in missing)], schema=schema) for b in reader
        )
        return pa.RecordBatchReader.from_batches(schema, batches)

    @contextmanager
    def _granted(self, keys: Sequence[KeyName], digest_keys: Sequence[DigestKeyName], budget: int) -> Iterator[str]:
        with self.database.unit_of_work() as tx:
            made = grants.issue(
                tx, actor=self.actor, keys=keys, digest_keys=digest_keys, digest_budget=budget, database=self.database
            )
        try:
            yield made.id
        finally:
            with self.database.unit_of_work() as tx:
                grants.revoke(tx, made.id, actor=self.actor, database=self.database)
