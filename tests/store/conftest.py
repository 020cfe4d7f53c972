from __future__ import annotations

import io
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pytest

from governance.catalog.rules import RowRules, Rule
from governance.catalog.types import CodeSet, Dataset, Field, FileSource
from governance.config import Settings
from governance.keys import grants
from governance.keys.frames import encrypt
from governance.keys.keyring import Keyring
from governance.keys.names import KeyName
from governance.lake.lake import Lake, TableChange
from governance.lake.specs import quarantine_spec, stored_spec
from governance.state import batches
from governance.state.database import Database
from governance.state.values import Actor, Counts, Judged, Landed, LandedFile, Stored, Window, batch_id
from governance.store import store

JANUARY = Window(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))
FEBRUARY = Window(datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC))
MARCH = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC))
ACTOR = Actor("service:store@d", "pipeline.store", str(uuid.UUID(int=1)))

Format = Literal["csv", "jsonl", "excel", "parquet", "arrow"]


def dataset_of(*fields: Field, name: str = "d.t", **facts: object) -> Dataset:
    source = FileSource("unused", "csv")
    return replace(Dataset(name, "d", "s", "1", fields, source, "d/t.odcs.yaml", "text"), **facts)  # type: ignore[arg-type]


def rules_of(*rules: Rule, dataset: str = "d.t", digest: str = "rules") -> RowRules:
    return RowRules(dataset, rules, (), digest)


@dataclass
class Home:
    """A home in a temporary folder, with the neighbours of store done by hand: landing before it, letting in after it."""

    settings: Settings
    database: Database
    keystore: Keyring
    lake: Lake
    code_sets: dict[str, CodeSet] = field(default_factory=dict)

    def land(
        self,
        dataset: Dataset,
        files: Mapping[str, bytes] | bytes,
        *,
        window: Window = JANUARY,
        revision: int = 1,
        format: Format = "csv",
        rows: int | None = None,
    ) -> str:
        batch = batch_id(dataset.name, window, revision)
        landed = tuple(
            self._file(dataset, batch, name, content, rows)
            for name, content in ({"data": files} if isinstance(files, bytes) else files).items()
        )
        value = Landed(batch, dataset.name, landed, format, datetime(2026, 5, window.start.month, tzinfo=UTC), "test")
        with self.database.unit_of_work() as tx:
            batches.insert_landed(tx, value, window, revision, self.database.clock())
        return batch

    def store(self, batch: str, dataset: Dataset, rules: RowRules) -> Stored:
        return store(
            batch,
            dataset,
            rules,
            self.code_sets,
            settings=self.settings,
            lake=self.lake,
            database=self.database,
            keystore=self.keystore,
            actor=ACTOR,
        )

    def let_in(self, stored: Stored, dataset: Dataset) -> int:
        """What manage does for a batch that may go."""
        table, quarantine = stored_spec(dataset).name, quarantine_spec(dataset).name
        changes = [TableChange(table, stored.passed_files, stored.removed_files)]
        if stored.quarantine_files or stored.removed_quarantine_files:
            changes.append(TableChange(quarantine, stored.quarantine_files, stored.removed_quarantine_files))
        prepared = self.lake.prepare(changes)
        counts = Counts(stored.parsed, stored.unparsed, 0, 0)
        with self.database.unit_of_work() as tx:
            snapshot = self.lake.swap(tx, prepared)[table]
            row = batches.find(tx, stored.batch)
            assert row is not None
            older = [r.id for r in batches.live(tx, dataset.name) if r.window == row.window]
            batches.save_judged(tx, Judged(stored.batch, dataset.name, "go", (), counts, snapshot, None), "judged")
            batches.mark_replaced(tx, older, stored.batch)
        return snapshot

    def load(self, dataset: Dataset, rules: RowRules, files: Mapping[str, bytes] | bytes, **landing: object) -> Stored:
        """Land, store and let in."""
        stored = self.store(self.land(dataset, files, **landing), dataset, rules)  # type: ignore[arg-type]
        self.let_in(stored, dataset)
        return stored

    def rows(
        self, dataset: Dataset, columns: Sequence[str], *, current: bool | None = None
    ) -> list[tuple[object, ...]]:
        """What readers see of the dataset, sorted."""
        return self._rows(dataset.name, columns, current)

    def quarantined(self, stored: Stored, dataset: Dataset, columns: Sequence[str]) -> list[tuple[object, ...]]:
        """The batch's quarantined rows, from its files that nobody sees yet or from the table."""
        name = quarantine_spec(dataset).name
        if self.lake.snapshot(name) is None:
            prepared = self.lake.prepare([TableChange(name, stored.quarantine_files)])
            with self.database.unit_of_work() as tx:
                self.lake.swap(tx, prepared)
        return self._rows(name, columns, None)

    def _rows(self, table: str, columns: Sequence[str], current: bool | None) -> list[tuple[object, ...]]:
        snapshot = self.lake.snapshot(table)
        assert snapshot is not None
        with self.database.unit_of_work() as tx:
            keys = sorted(self.lake.keys(table, snapshot, columns))
            grant = grants.issue(tx, actor=ACTOR, keys=keys, database=self.database)
        read = self.lake.scan(table, snapshot, columns, grant_id=grant.id, current=current).read_all()
        found = [tuple(row.values()) for row in read.to_pylist()]
        return sorted(found, key=lambda row: tuple(str(value) for value in row))

    def _file(self, dataset: Dataset, batch: str, name: str, content: bytes, rows: int | None) -> LandedFile:
        path = self.settings.landed / f"{uuid.uuid4().hex}.frames"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as target:
            key = KeyName(dataset.department, dataset.name, "landed")
            done = encrypt(io.BytesIO(content), target, keystore=self.keystore, key=key)
        place = path.relative_to(self.lake.root).as_posix()
        return LandedFile(place, name, done.sha256, done.size_bytes, done.wrapped_key, rows)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return open_home(tmp_path)


def open_home(folder: Path) -> Home:
    """The home in `folder`, made when it is new."""
    var = folder / "var"
    settings = Settings(
        home=folder,
        catalog=folder / "catalog",
        expectations=folder / "expectations",
        var=var,
        keyring=folder / "keys",
        database_url=f"sqlite:///{var / 'state.sqlite'}",
        memory_limit_mb=1024,
    )
    database = Database(settings.database_url)
    database.create()
    keystore = Keyring(settings.keyring, database)
    return Home(settings, database, keystore, Lake(settings, database, keystore))


def arrow_stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())
