"""A lake in a temporary home, with the two contracts that these tests write."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest

from governance.catalog.types import ColumnType, Dataset, Field, Level, LoadMode
from governance.config import Settings
from governance.keys import grants
from governance.keys.keyring import Keyring
from governance.keys.names import Grant
from governance.lake.lake import Lake, TableChange
from governance.lake.specs import TableSpec
from governance.state.database import Database
from governance.state.values import Actor, DataFile

ACTOR = Actor("service:store@tax", "pipeline.store", "run-1")
BATCH = "tax.invoices@20260101T000000Z.1"


@dataclass(frozen=True)
class Home:
    settings: Settings
    database: Database
    keyring: Keyring
    lake: Lake

    def write(self, spec: TableSpec, rows: pa.Table, batch: str = BATCH) -> tuple[DataFile, ...]:
        """Data files of `rows`, in a table that is ensured first; visible to nobody."""
        self.lake.ensure(spec)
        with self.lake.writer(spec, batch) as writer:
            writer.write(rows)
            return writer.close()

    def commit(self, *changes: TableChange) -> dict[str, int]:
        prepared = self.lake.prepare(changes)
        with self.database.unit_of_work() as tx:
            return self.lake.swap(tx, prepared)

    def append(self, spec: TableSpec, rows: pa.Table) -> int:
        """Write and commit; the snapshot."""
        return self.commit(TableChange(spec.name, self.write(spec, rows)))[spec.name]

    def grant(self, table: str, snapshot: int, columns: Sequence[str]) -> Grant:
        """A grant of exactly the keys that reading `columns` takes."""
        with self.database.unit_of_work() as tx:
            keys = self.lake.keys(table, snapshot, columns)
            return grants.issue(tx, actor=ACTOR, keys=keys, database=self.database)

    def rows(self, table: str, snapshot: int, columns: Sequence[str], **given: object) -> list[dict[str, object]]:
        """Rows under a grant of exactly what they take, sorted by their text."""
        grant = self.grant(table, snapshot, columns)
        scanned = self.lake.scan(table, snapshot, columns, grant_id=grant.id, **given)  # type: ignore[arg-type]
        return sorted(scanned.read_all().to_pylist(), key=str)


def open_home(folder: Path) -> Home:
    """A home in `folder`; the same folder gives the same home."""
    var = folder / "var"
    settings = Settings(
        folder, folder / "catalog", folder / "expectations", var, folder / "keys", f"sqlite:///{var / 'state.sqlite'}"
    )
    database = Database(settings.database_url)
    database.create()
    keyring = Keyring(settings.keyring, database)
    return Home(settings, database, keyring, Lake(settings, database, keyring))


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = open_home(tmp_path)
    yield made
    made.database.close()


def invoices(load_mode: LoadMode = "append") -> Dataset:
    """Two clear fields, one sensitive, one unclassified with a token."""
    text = ColumnType("string")
    fields = (
        Field("id", ColumnType("integer"), "id", classification=Level.L1, primary_key_position=1),
        Field("amount", ColumnType("decimal", 18, 2), "amount", classification=Level.L2),
        Field("name", text, "name", classification=Level.L3),
        Field("payer", text, "payer", domain="person"),
    )
    return Dataset("tax.invoices", "tax", "billing", "1.0.0", fields, None, "f", "h", load_mode=load_mode)


def invoice_rows(start: int, stop: int, mark: str = "CANARY") -> pa.Table:
    """Rows of `stored_spec(invoices())`; sensitive values hold `mark`."""
    ids = list(range(start, stop))
    return pa.table(
        {
            "id": ids,
            "amount": pa.array(ids, pa.int64()).cast(pa.decimal128(21, 2)).cast(pa.decimal128(18, 2)),
            "name": [f"{mark}-NAME-{i}" for i in ids],
            "payer": [f"{mark}-PAYER-{i}" for i in ids],
            "payer__token": pa.array([i.to_bytes(12, "big") for i in ids], pa.binary(12)),
            "_batch": [BATCH] * len(ids),
            "_row": [i + 1 for i in ids],
        }
    )


SpecOf = Callable[[Dataset], TableSpec]
