"""Lake care removes what nothing names, and nothing else."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert

from governance.errors import Conflict
from governance.lake.care import remove_unreferenced
from governance.lake.lake import TableChange
from governance.lake.specs import stored_spec
from governance.state.tables import batch
from governance.state.values import STORED, Base, DataFile, Stored
from tests.lake.conftest import BATCH, Home, invoice_rows, invoices

SPEC = stored_spec(invoices())
AT_ONCE = timedelta(seconds=-60)
"""Older than a minute from now: every file there is."""


def _files(home: Home) -> set[Path]:
    return {path for path in home.settings.lake.rglob("*") if path.is_file()}


def test_every_file_of_every_snapshot_stays(home: Home) -> None:
    first = home.append(SPEC, invoice_rows(0, 3))
    old = tuple(file.path for file in home.lake.files(SPEC.name, first))
    second = home.commit(TableChange(SPEC.name, home.write(SPEC, invoice_rows(3, 5)), old))[SPEC.name]
    before = _files(home)
    assert remove_unreferenced(home.lake, older_than=AT_ONCE) == ()
    assert _files(home) == before
    assert [len(home.rows(SPEC.name, snapshot, ["name"])) for snapshot in (first, second)] == [3, 2]


def test_what_a_refused_swap_and_a_broken_write_left_goes_but_young_files_stay(home: Home) -> None:
    home.append(SPEC, invoice_rows(0, 3))
    kept = _files(home)
    lost = home.write(SPEC, invoice_rows(3, 4))
    prepared = home.lake.prepare([TableChange(SPEC.name, lost)])
    (home.settings.lake / "tax/invoices/data/.half.tmp").write_bytes(b"half")
    kept_after = home.append(SPEC, invoice_rows(5, 6))
    with pytest.raises(Conflict), home.database.unit_of_work() as tx:
        home.lake.swap(tx, prepared)
    assert remove_unreferenced(home.lake, older_than=timedelta(hours=1)) == ()
    removed = remove_unreferenced(home.lake, older_than=AT_ONCE)
    assert {lost[0].path, "tax/invoices/data/.half.tmp"} < set(removed)
    assert kept < _files(home)
    assert len(home.rows(SPEC.name, kept_after, ["name"])) == 4


def _stored(files: tuple[DataFile, ...]) -> str:
    value = Stored(
        batch=BATCH,
        dataset=SPEC.name,
        base=Base(),
        rules_hash="h",
        passed_files=files,
        quarantine_files=(),
        removed_files=(),
        removed_quarantine_files=(),
        parsed=1,
        unparsed=0,
        duplicates=0,
        metrics={},
    )
    return STORED.dump_json(value).decode()


def test_files_of_a_stopped_batch_stay_for_the_steward(home: Home) -> None:
    files = home.write(SPEC, invoice_rows(0, 1))
    now = home.database.clock()
    with home.database.unit_of_work() as tx:
        tx.execute(
            insert(batch).values(
                id=BATCH,
                dataset=SPEC.name,
                window_start=now,
                window_end=now,
                revision=1,
                status="stopped",
                stored=_stored(files),
                recorded_at=now,
                updated_at=now,
            )
        )
    assert remove_unreferenced(home.lake, older_than=AT_ONCE) == ()
    assert (home.settings.lake / files[0].path).exists()
