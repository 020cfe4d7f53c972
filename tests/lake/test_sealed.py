"""Decrypted views of files: what PyArrow reads of a file is what DuckDB reads of its view, and nothing that was changed opens."""

import os
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from governance.errors import Damaged, Refused, StorageError
from governance.lake import plain_files, writer
from governance.lake.kms import decryptor
from governance.lake.sealed import DataKeys, PlainFile
from governance.lake.specs import ColumnSpec, TableSpec, stored_spec
from tests.lake.conftest import Home, invoice_rows, invoices

SPEC = TableSpec(
    "tax.notes",
    "tax",
    "tax.notes",
    (
        ColumnSpec("k", "long"),
        ColumnSpec("few", "string", encrypted=True, group="L3"),
        ColumnSpec("many", "string", encrypted=True, group="L4"),
        ColumnSpec("words", "list<string>", encrypted=True, group="L3"),
        ColumnSpec("paid", "decimal(12, 2)", encrypted=True, group="L3"),
    ),
    "stored",
)


def _notes(rows: int) -> pa.Table:
    numbers = range(rows)
    return pa.table(
        {
            "k": list(numbers),
            "few": [None if i % 7 == 0 else f"v{i % 3}" for i in numbers],
            "many": [f"{i * 7919:018d}中" for i in numbers],
            "words": [None if i % 5 == 0 else [f"w{i}", None][: i % 3] for i in numbers],
            "paid": pa.array(list(numbers), pa.int64()).cast(pa.decimal128(21, 2)).cast(pa.decimal128(12, 2)),
        }
    )


def _file(home: Home, spec: TableSpec, rows: pa.Table) -> tuple[Path, str]:
    """The only data file of a table that holds `rows`, and a grant for all of it."""
    snapshot = home.append(spec, rows)
    [file] = home.lake.files(spec.name, snapshot)
    return home.settings.lake / file.path, home.grant(spec.name, snapshot, [c.name for c in spec.columns]).id


def _whole(path: Path, columns: set[str], keys: DataKeys) -> bytes:
    opened = PlainFile(path, columns, keys)
    return opened.read(0, opened.size_bytes)


def test_what_pyarrow_reads_of_a_file_duckdb_reads_of_its_view(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "ROW_GROUP_ROWS", 3_000)
    rows = _notes(7_000)
    path, grant = _file(home, SPEC, rows)
    assert pq.read_metadata(path).num_row_groups == 3
    theirs = pq.ParquetFile(path, decryption_properties=decryptor(home.keyring, grant)()).read()
    assert theirs.to_pylist() == rows.to_pylist()
    with duckdb.connect() as con:
        [view] = plain_files.register(con, [(path, set(rows.column_names))], DataKeys(home.keyring, grant))
        found = con.read_parquet(view).order("k").to_arrow_table()
    assert found.cast(rows.schema).equals(rows)


def test_a_view_holds_the_columns_that_were_asked_for_and_unwraps_their_keys_alone(home: Home) -> None:
    path, grant = _file(home, SPEC, _notes(100))
    asked: list[str] = []

    class Counting:
        def unwrap(self, key: object, wrapped: str, grant_id: str) -> bytes:
            asked.append(str(key))
            return home.keyring.unwrap(key, wrapped, grant_id)  # type: ignore[arg-type]

    with duckdb.connect() as con:
        [view] = plain_files.register(con, [(path, {"many"})], DataKeys(Counting(), grant))  # type: ignore[arg-type]
        assert con.read_parquet(view).aggregate("count(DISTINCT many), max(k)").fetchall() == [(100, 99)]
        with pytest.raises(duckdb.Error):
            con.read_parquet(view).project("few").fetchall()
    assert sorted(asked) == ["tax/tax.notes/L4/1", "tax/tax.notes/footer/1"]


@pytest.mark.parametrize("seed", range(3))
def test_no_changed_byte_of_an_encrypted_column_or_footer_goes_unnoticed(home: Home, seed: int) -> None:
    path, grant = _file(home, SPEC, _notes(500))
    whole = path.read_bytes()
    columns = {column.name for column in SPEC.columns}
    before = PlainFile(path, columns, DataKeys(home.keyring, grant))
    places = [chunk.start + at for chunk in before._chunks for at in range(seed, chunk.size, 53)]
    places += range(before._body_bytes + seed, len(whole) - 8, 101)
    assert len(places) > 40
    for place in places:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises((Damaged, Refused)):  # a key's name that was changed is no key of the grant
            _whole(path, columns, DataKeys(home.keyring, grant))


def test_pages_that_changed_places_do_not_open(home: Home) -> None:
    spec = TableSpec("tax.notes", "tax", "tax.notes", SPEC.columns[:3], "stored")
    path, grant = _file(home, spec, pa.table({"k": [1], "few": ["left"], "many": ["right"]}))
    opened = PlainFile(path, {"few", "many"}, DataKeys(home.keyring, grant))
    whole = bytearray(path.read_bytes())
    first, second = opened._chunks
    assert first.start + first.size == second.start
    turned = whole[second.start : second.start + second.size] + whole[first.start : second.start]
    whole[first.start : first.start + len(turned)] = turned
    path.write_bytes(whole)
    again = PlainFile(path, {"few", "many"}, DataKeys(home.keyring, grant))
    with pytest.raises(Damaged):
        again.read(0, again.size_bytes)


def test_a_file_that_is_no_such_file_is_damaged_and_a_missing_one_a_storage_error(home: Home, tmp_path: Path) -> None:
    keys = DataKeys(home.keyring, "nobody")
    for text in (b"", b"PAR1", b"PAR1" + bytes(60) + b"PAR1", os.urandom(500)):
        path = tmp_path / "file.parquet"
        path.write_bytes(text)
        with pytest.raises(Damaged):
            PlainFile(path, {"few"}, keys)
    with pytest.raises(StorageError):
        PlainFile(tmp_path / "absent.parquet", {"few"}, keys)


def test_a_scan_of_a_changed_file_says_no_more_than_that_it_cannot_be_read(home: Home) -> None:
    spec = stored_spec(invoices())
    snapshot = home.append(spec, invoice_rows(0, 2000))
    grant = home.grant(spec.name, snapshot, ["name"])
    [file] = home.lake.files(spec.name, snapshot)
    path = home.settings.lake / file.path
    whole = bytearray(path.read_bytes())
    for at in range(4, len(whole) - 60_000 if len(whole) > 70_000 else len(whole) // 2, 97):
        whole[at] ^= 0xFF
    path.write_bytes(whole)
    with pytest.raises(StorageError, match="cannot be read") as caught:
        home.lake.scan(spec.name, snapshot, ["name"], grant_id=grant.id).read_all()
    assert "CANARY" not in str(caught.value)


def test_a_grant_that_ends_before_a_file_is_opened_opens_nothing(home: Home) -> None:
    path, _ = _file(home, SPEC, _notes(10))
    with pytest.raises(Refused):
        PlainFile(path, {"few"}, DataKeys(home.keyring, "nobody"))
