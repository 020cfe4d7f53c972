"""Files are whole or not there, carry ids, and tell nothing of encrypted columns."""

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from governance.errors import GovernanceError, StorageError
from governance.lake.specs import quarantine_spec, stored_spec
from governance.lake.writer import ROW_GROUP_ROWS
from tests.lake.conftest import BATCH, Home, invoice_rows, invoices

SPEC = stored_spec(invoices())


def _left(home: Home) -> list[str]:
    return sorted(path.name for path in (home.settings.lake / "tax/invoices").glob("data/**/*") if path.is_file())


def test_files_name_their_rows_and_encrypted_fields_and_are_sorted(home: Home) -> None:
    files = home.write(SPEC, invoice_rows(0, 300_000))
    assert len(files) == 2
    assert list(files) == sorted(files, key=lambda file: file.path)
    assert sum(file.rows for file in files) == 300_000
    for file in files:
        assert file.encrypted == ("name", "payer")
        assert file.path.startswith(f"tax/invoices/data/{BATCH}-")
        assert (home.settings.lake / file.path).stat().st_size == file.size_bytes


def test_many_small_batches_make_few_row_groups(home: Home) -> None:
    home.lake.ensure(SPEC)
    rows = invoice_rows(0, 20_000)
    with home.lake.writer(SPEC, BATCH) as writer:
        for batch in rows.to_batches(max_chunksize=100):
            writer.write(batch)
        (file,) = writer.close()
    footer = pq.read_metadata(home.settings.lake / file.path)
    assert (footer.num_rows, footer.num_row_groups) == (20_000, 1)
    assert footer.row_group(0).num_rows <= ROW_GROUP_ROWS


def test_no_rows_make_no_file(home: Home) -> None:
    assert home.write(SPEC, invoice_rows(0, 0)) == ()
    assert _left(home) == []


def test_every_column_has_its_id_and_the_footer_says_which_are_encrypted_under_which_key(home: Home) -> None:
    (file,) = home.write(SPEC, invoice_rows(0, 5))
    footer = pq.read_metadata(home.settings.lake / file.path)
    ids = [int(field.metadata[b"PARQUET:field_id"]) for field in footer.schema.to_arrow_schema()]
    assert ids == [1, 2, 3, 4, 5, 6, 7]
    assert json.loads(footer.metadata[b"gov.encrypted"]) == {
        "0": "tax/tax.invoices/footer/1",
        "3": "tax/tax.invoices/L3/1",
        "4": "tax/tax.invoices/unclassified/1",
    }


def test_statistics_and_dictionaries_speak_of_clear_columns_only(home: Home) -> None:
    (file,) = home.write(SPEC, invoice_rows(0, 5000))
    with duckdb.connect() as connection:
        query = "SELECT path_in_schema, stats_min_value, stats_null_count, encodings FROM parquet_metadata($file)"
        found = {
            name: (low, nulls, "DICTIONARY" in encodings)
            for name, low, nulls, encodings in connection.execute(
                query, {"file": str(home.settings.lake / file.path)}
            ).fetchall()
        }
    assert found["id"][:2] == ("0", 0)
    assert found["_batch"][2]
    assert not found["id"][2]
    assert found["name"][:2] == found["payer"][:2] == (None, None)


def test_a_quarantine_list_column_goes_round(home: Home) -> None:
    spec = quarantine_spec(invoices())
    rows = invoice_rows(0, 2)
    more = {
        "_reasons": pa.array([["required:name", "type:id"], None], pa.list_(pa.string())),
        "_rules_hash": ["h", "h"],
        "_raw": ['{"id": "CANARY"}', None],
        "_line": [None, "CANARY"],
        "_state": ["quarantined", "quarantined"],
    }
    for name, values in more.items():
        rows = rows.append_column(name, pa.array(values) if isinstance(values, list) else values)
    snapshot = home.append(spec, rows)
    assert home.rows(spec.name, snapshot, ["_row", "_reasons"]) == [
        {"_row": 1, "_reasons": ["required:name", "type:id"]},
        {"_row": 2, "_reasons": None},
    ]
    assert home.rows(spec.name, snapshot, ["_line", "_reasons"])[0] == {"_line": "CANARY", "_reasons": None}


def test_a_writer_that_is_left_by_an_exception_leaves_nothing(home: Home) -> None:
    home.lake.ensure(SPEC)
    writer = home.lake.writer(SPEC, BATCH)

    def break_off() -> None:
        writer.write(invoice_rows(0, 200_000))
        raise ValueError("broken off")

    with pytest.raises(ValueError, match="broken off"), writer:
        break_off()
    assert _left(home) == []


@contextmanager
def _no_room_beyond(size_bytes: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_a_storage_error_and_leaves_nothing(home: Home) -> None:
    home.lake.ensure(SPEC)
    writer = home.lake.writer(SPEC, BATCH)
    rows = invoice_rows(0, 130_000)

    def fill() -> None:
        for _ in range(20):
            writer.write(rows)
        writer.close()

    with _no_room_beyond(200_000), pytest.raises(StorageError, match=r"tax\.invoices: cannot write"), writer:
        fill()
    assert _left(home) == []
    assert sum(file.rows for file in home.write(SPEC, rows)) == 130_000


def test_columns_must_be_the_tables_and_a_cast_error_shows_no_value(home: Home) -> None:
    home.lake.ensure(SPEC)
    rows = invoice_rows(0, 2)
    with home.lake.writer(SPEC, BATCH) as writer:
        with pytest.raises(ValueError, match=r"missing.*name"):
            writer.write(rows.drop_columns(["name"]))
        with pytest.raises(ValueError, match=r"not in the table.*surplus"):
            writer.write(rows.append_column("surplus", pa.array([1, 2])))
        with pytest.raises(GovernanceError, match="column id: string does not convert to int64") as refused:
            writer.write(rows.set_column(0, "id", pa.array(["SECRET", "2"])))
    assert "SECRET" not in str(refused.value)


def test_present_and_past_rows_lie_in_files_of_their_own(home: Home) -> None:
    spec = stored_spec(invoices("snapshot_diff"))
    rows = invoice_rows(0, 4)
    instant = pa.array([datetime(2026, 1, 1)] * 4, pa.timestamp("us"))
    rows = rows.append_column("_rowdigest", pa.array([b"d" * 16] * 4, pa.binary()))
    for name in ("_valid_from", "_valid_to", "_recorded_at"):
        rows = rows.append_column(name, instant)
    rows = rows.append_column("_current", pa.array([True, False, True, None]))
    rows = rows.append_column("_held", pa.array([False] * 4))
    snapshot = home.append(spec, rows)
    present = home.lake.files(spec.name, snapshot, current=True)
    past = home.lake.files(spec.name, snapshot, current=False)
    assert set(present) | set(past) == set(home.lake.files(spec.name, snapshot))
    assert all("/_current=true/" in file.path for file in present)
    assert home.rows(spec.name, snapshot, ["id"], current=True) == [{"id": 0}, {"id": 2}]
    assert home.rows(spec.name, snapshot, ["id"], current=False) == [{"id": 1}, {"id": 3}]
