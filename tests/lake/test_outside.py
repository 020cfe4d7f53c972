"""What others see: an unmodified pyiceberg the clear columns, a thief of the lake nothing sensitive, nobody a canary."""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from governance.errors import Refused
from governance.keys import grants
from governance.keys.keyring import Keyring
from governance.lake.lake import Lake, TableChange
from governance.lake.specs import quarantine_spec, stored_spec
from tests.lake.conftest import ACTOR, Home, invoice_rows, invoices

SPEC = stored_spec(invoices())
QUARANTINE = quarantine_spec(invoices())
CANARIES = (b"CANARY", "金丝雀".encode())


@pytest.fixture
def filled(home: Home) -> Home:
    """A snapshot with canaries in every encrypted column of both tables."""
    rows = invoice_rows(0, 1000)
    bad = invoice_rows(0, 10, "金丝雀")
    bad = bad.append_column("_reasons", pa.array([["range:amount"]] * 10, pa.list_(pa.string())))
    bad = bad.append_column("_rules_hash", pa.array(["h"] * 10))
    for name in ("_raw", "_line"):
        bad = bad.append_column(name, pa.array(["CANARY-RAW"] * 10))
    bad = bad.append_column("_state", pa.array(["quarantined"] * 10))
    home.commit(
        TableChange(SPEC.name, home.write(SPEC, rows)), TableChange(QUARANTINE.name, home.write(QUARANTINE, bad))
    )
    return home


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_no_canary_lies_in_any_file_of_the_lake_or_the_state(filled: Home) -> None:
    files = _files(filled.settings.var)
    assert {path.suffix for path in files} >= {".parquet", ".avro", ".json", ".sqlite"}
    for path in files:
        content = path.read_bytes()
        assert not any(canary in content for canary in CANARIES), path.name


def test_footers_and_icebergs_metadata_tell_no_statistics_of_encrypted_columns(filled: Home) -> None:
    from pyiceberg.catalog.sql import SqlCatalog

    catalog = SqlCatalog("gov", uri=filled.database.url)
    for file in catalog.load_table(SPEC.name).inspect.files().to_pylist():
        metrics = file["readable_metrics"]
        assert metrics["id"]["upper_bound"] is not None
        assert all(value is None for name in ("name", "payer") for value in metrics[name].values())
    catalog.close()


def test_an_unmodified_pyiceberg_reads_the_clear_columns_and_fails_on_an_encrypted_one(filled: Home) -> None:
    from pyiceberg.catalog.sql import SqlCatalog

    catalog = SqlCatalog("gov", uri=filled.database.url)
    table = catalog.load_table(SPEC.name)
    clear = table.scan(selected_fields=("id", "amount", "payer__token"), row_filter="id >= 990").to_arrow()
    assert sorted(clear.column("id").to_pylist()) == list(range(990, 1000))
    assert table.scan().count() == 1000
    with pytest.raises(OSError, match=r"[Dd]ecrypt"):
        table.scan(selected_fields=("id", "name")).to_arrow()
    catalog.close()


def test_a_lake_copied_without_its_keyring_gives_nothing_sensitive(filled: Home, tmp_path: Path) -> None:
    """Neither to our reader, whatever it grants itself in the copied state, nor to plain PyArrow."""
    snapshot = filled.lake.snapshot(SPEC.name)
    assert snapshot is not None
    stolen = tmp_path / "stolen"
    shutil.copytree(filled.settings.lake, stolen / "lake")
    thief = Lake(filled.settings, filled.database, Keyring(stolen / "keys", filled.database))
    with filled.database.unit_of_work() as tx:
        keys = thief.keys(SPEC.name, snapshot, ["name"])
        grant = grants.issue(tx, actor=ACTOR, keys=keys, database=filled.database)
    with pytest.raises(Refused, match="cannot be used"):
        thief.scan(SPEC.name, snapshot, ["name"], grant_id=grant.id).read_all()
    for path in (stolen / "lake").rglob("*.parquet"):
        encrypted = [name for name in ("name", "payer", "_raw", "_line") if name in pq.read_schema(path).names]
        for name in encrypted:
            with pytest.raises(OSError, match=r"[Dd]ecrypt"):
                pq.read_table(path, columns=[name])
        assert pq.read_table(path, columns=["id"]).num_rows > 0
