"""Prepare and swap: all tables at once or none, one pointer, and whoever comes second is told."""

import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import select

from governance.errors import Conflict, Damaged, NotReady
from governance.lake.lake import TableChange
from governance.lake.specs import quarantine_spec, stored_spec
from governance.state.tables_lake import iceberg_tables
from governance.state.values import DataFile
from tests.lake.conftest import BATCH, Home, invoice_rows, invoices, open_home

SPEC = stored_spec(invoices())
QUARANTINE = quarantine_spec(invoices())


def _ids(home: Home, snapshot: int | None) -> list[int]:
    assert snapshot is not None
    return sorted(home.lake.scan(SPEC.name, snapshot, ["id"]).read_all().column("id").to_pylist())


def test_nothing_is_visible_before_the_swap_commits(home: Home) -> None:
    files = home.write(SPEC, invoice_rows(0, 3))
    prepared = home.lake.prepare([TableChange(SPEC.name, files)])
    assert home.lake.snapshot(SPEC.name) is None
    with home.database.engine.connect() as tx:
        tx.exec_driver_sql("BEGIN IMMEDIATE")
        assert home.lake.swap(tx, prepared) == prepared.snapshots
        assert home.lake.snapshot(SPEC.name, tx) == prepared.snapshots[SPEC.name]
        assert home.lake.snapshot(SPEC.name) is None
        tx.rollback()
    assert home.lake.snapshot(SPEC.name) is None
    with home.database.unit_of_work() as tx:
        home.lake.swap(tx, prepared)
    assert _ids(home, home.lake.snapshot(SPEC.name)) == [0, 1, 2]


def test_an_unknown_table_has_no_snapshot_and_cannot_be_written(home: Home) -> None:
    assert home.lake.snapshot("tax.nothing") is None
    assert home.lake.files("tax.nothing", None) == ()
    with pytest.raises(NotReady):
        home.lake.writer(SPEC, BATCH)


def test_two_tables_appear_together_or_not_at_all(home: Home) -> None:
    home.lake.ensure(QUARANTINE)
    files = home.write(SPEC, invoice_rows(0, 3))
    prepared = home.lake.prepare([TableChange(SPEC.name, files), TableChange(QUARANTINE.name)])
    home.commit(TableChange(QUARANTINE.name))
    with pytest.raises(Conflict, match="quarantine: somebody else"), home.database.unit_of_work() as tx:
        home.lake.swap(tx, prepared)
    assert home.lake.snapshot(SPEC.name) is None


def test_an_empty_first_batch_gives_a_snapshot_without_files_and_a_second_none(home: Home) -> None:
    home.lake.ensure(SPEC)
    first = home.commit(TableChange(SPEC.name))[SPEC.name]
    assert home.lake.files(SPEC.name, first) == ()
    assert _ids(home, first) == []
    assert home.commit(TableChange(SPEC.name))[SPEC.name] == first


def test_of_two_batches_at_once_the_second_is_refused_and_goes_through_when_prepared_again(home: Home) -> None:
    one, two = home.write(SPEC, invoice_rows(0, 2)), home.write(SPEC, invoice_rows(2, 4))
    first, second = (home.lake.prepare([TableChange(SPEC.name, files)]) for files in (one, two))
    with home.database.unit_of_work() as tx:
        home.lake.swap(tx, first)
    with pytest.raises(Conflict), home.database.unit_of_work() as tx:
        home.lake.swap(tx, second)
    assert _ids(home, home.lake.snapshot(SPEC.name)) == [0, 1]
    assert _ids(home, home.commit(TableChange(SPEC.name, two))[SPEC.name]) == [0, 1, 2, 3]


def test_a_change_of_a_table_that_is_not_at_its_base_is_refused(home: Home) -> None:
    one, two = home.write(SPEC, invoice_rows(0, 2)), home.write(SPEC, invoice_rows(2, 4))
    snapshot = home.commit(TableChange(SPEC.name, one, base=None))[SPEC.name]
    with pytest.raises(Conflict, match="another run changed the table"):
        home.lake.prepare([TableChange(SPEC.name, two, base=None)])
    home.commit(TableChange(SPEC.name, two, base=snapshot))


def test_replacing_files_keeps_yesterday_readable(home: Home) -> None:
    first = home.append(SPEC, invoice_rows(0, 3))
    old = home.lake.files(SPEC.name, first)
    second = home.commit(
        TableChange(SPEC.name, home.write(SPEC, invoice_rows(5, 7)), tuple(file.path for file in old))
    )[SPEC.name]
    assert _ids(home, first) == [0, 1, 2]
    assert _ids(home, second) == [5, 6]
    third = home.commit(TableChange(SPEC.name, (), tuple(f.path for f in home.lake.files(SPEC.name, second))))
    assert _ids(home, third[SPEC.name]) == []


def test_a_file_that_is_gone_cannot_be_taken_out_and_none_is_added_twice(home: Home) -> None:
    files = home.write(SPEC, invoice_rows(0, 3))
    home.commit(TableChange(SPEC.name, files))
    paths = tuple(file.path for file in files)
    home.commit(TableChange(SPEC.name, home.write(SPEC, invoice_rows(3, 4)), paths))
    with pytest.raises(Conflict, match="not in the table"):
        home.lake.prepare([TableChange(SPEC.name, (), paths)])
    with pytest.raises(Conflict, match="already"):
        home.commit(TableChange(SPEC.name, files))


def test_the_plan_and_icebergs_manifests_name_the_same_files(home: Home) -> None:
    from governance.lake import iceberg

    snapshots = [home.append(SPEC, invoice_rows(i, i + 1)) for i in range(12)]
    gone = tuple(file.path for file in home.lake.files(SPEC.name, snapshots[-1])[:5])
    snapshots.append(home.commit(TableChange(SPEC.name, (), gone))[SPEC.name])
    for snapshot, count in zip(snapshots, [*range(1, 13), 7], strict=True):
        planned = iceberg.planned(home.database, home.settings.lake, SPEC.name, snapshot)
        assert tuple(item.file for item in planned) == home.lake.files(SPEC.name, snapshot)
        assert len(planned) == count


def test_what_an_unmodified_pyiceberg_commits_is_current_and_readable(home: Home) -> None:
    from pyiceberg.catalog.sql import SqlCatalog

    home.append(SPEC, invoice_rows(0, 3))
    catalog = SqlCatalog("gov", uri=home.database.url)
    catalog.load_table(SPEC.name).append(pa.table({"id": pa.array([9], pa.int64()), "_batch": pa.array(["outside"])}))
    catalog.close()
    snapshot = home.lake.snapshot(SPEC.name)
    assert _ids(home, snapshot) == [0, 1, 2, 9]
    assert snapshot is not None
    assert {"id": 9, "name": None} in home.rows(SPEC.name, snapshot, ["id", "name"])
    home.append(SPEC, invoice_rows(3, 4))
    assert _ids(home, home.lake.snapshot(SPEC.name)) == [0, 1, 2, 3, 9]


def test_a_file_without_ids_or_with_other_rows_than_it_says_is_refused(home: Home) -> None:
    home.lake.ensure(SPEC)
    folder = home.settings.lake / "tax/invoices/data"
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"id": [1]}), folder / "plain.parquet")
    plain = DataFile("tax/invoices/data/plain.parquet", SPEC.name, 1, 100)
    with pytest.raises(Damaged, match="no field ids"):
        home.lake.prepare([TableChange(SPEC.name, (plain,))])
    (file,) = home.write(SPEC, invoice_rows(0, 3))
    wrong = DataFile(file.path, file.table, 2, file.size_bytes)
    with pytest.raises(Damaged, match="3 rows in the footer, 2 expected"):
        home.lake.prepare([TableChange(SPEC.name, (wrong,))])


def test_the_first_batch_ever_may_come_twice_at_once(tmp_path: Path) -> None:
    homes = [open_home(tmp_path) for _ in range(3)]
    failed: list[BaseException] = []

    def first(home: Home, start: int) -> None:
        try:
            files = home.write(SPEC, invoice_rows(start, start + 1))
            while True:
                try:
                    home.commit(TableChange(SPEC.name, files))
                    return
                except Conflict:
                    continue
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=first, args=(home, i)) for i, home in enumerate(homes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert _ids(homes[0], homes[0].lake.snapshot(SPEC.name)) == [0, 1, 2]
    with homes[0].database.read() as connection:
        assert len(connection.execute(select(iceberg_tables)).all()) == 1
    for home in homes:
        home.database.close()
