"""Batches: what a retry, another run, `again`, a backfill and a changed file do; and what is recorded of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from governance.catalog.types import FileSource
from governance.errors import DeclarationError, Refused
from governance.state import batches
from governance.state.tables import ledger_entry, run, run_input
from governance.state.values import Window
from tests.collect.home import DAY, Home, day, meters

Deliver = Callable[[str, bytes], Path]
DATASET = meters(FileSource("in/a.csv", "csv"))
REPOSITORY = Path(__file__).parents[2]


def test_a_retry_uses_the_landed_batch_and_does_not_read_the_source(home: Home, deliver: Deliver) -> None:
    path = deliver("a.csv", b"Meter\n1\n")
    first = home.collect(DATASET, run="r")
    path.unlink()
    assert home.collect(DATASET, run="r") == first
    path.write_bytes(b"Meter\n2\n")
    assert home.collect(DATASET, run="r") == first


def test_a_retry_of_again_lands_no_third_revision(home: Home, deliver: Deliver) -> None:
    deliver("a.csv", b"Meter\n1\n")
    home.collect(DATASET)
    second = home.collect(DATASET, run="r", again=True)
    assert second.batch.endswith(".2")
    assert home.collect(DATASET, run="r", again=True) == second


def test_another_run_makes_a_revision_only_of_a_changed_file(home: Home, deliver: Deliver) -> None:
    deliver("a.csv", b"Meter\n1\n")
    first = home.collect(DATASET)
    assert home.collect(DATASET) == first
    deliver("a.csv", b"Meter\n2\n")
    second = home.collect(DATASET)
    assert second.batch == first.batch.removesuffix(".1") + ".2"
    with home.database.read() as connection:
        row = batches.find(connection, first.batch)
    assert row is not None
    assert (row.status, row.replaced_by) == ("replaced", second.batch)


def test_a_file_that_is_gone_leaves_the_landed_batch_in_place(home: Home, deliver: Deliver) -> None:
    path = deliver("a.csv", b"Meter\n1\n")
    first = home.collect(DATASET)
    path.unlink()
    assert home.collect(DATASET) == first


def test_a_batch_that_no_stage_could_use_is_landed_again_by_a_retry_after_the_repair(
    home: Home, deliver: Deliver
) -> None:
    deliver("a.csv", b"broken")
    first = home.collect(DATASET, run="r")
    with home.database.unit_of_work() as tx:
        batches.mark_failed(tx, first.batch, "SourceContentError", "no header")
    assert home.collect(DATASET, run="r") == first
    deliver("a.csv", b"Meter\n1\n")
    assert home.collect(DATASET, run="r").batch.endswith(".2")


def test_a_backfill_uses_what_was_landed_even_when_the_file_has_changed(home: Home, deliver: Deliver) -> None:
    deliver("a.csv", b"Meter\n1\n")
    first = home.collect(DATASET, day(0))
    deliver("a.csv", b"Meter\n2\n")
    home.collect(DATASET, day(1))
    assert home.collect(DATASET, day(0)) == first
    assert home.collect(DATASET, day(0), backfill=True) == first


def test_a_backfill_of_a_window_that_never_landed_is_refused_without_history(home: Home, deliver: Deliver) -> None:
    deliver("a.csv", b"Meter\n1\n")
    with pytest.raises(Refused, match=r"2026-03-02T00:00:00\+00:00 was never landed, and in/a\.csv keeps no history"):
        home.collect(DATASET, day(1), backfill=True)
    home.collect(DATASET, day(2))
    with pytest.raises(Refused, match="was never landed"):
        home.collect(DATASET, day(1))
    assert home.collect(DATASET, day(3)).batch.startswith("water.meters@20260304")


def test_again_is_refused_for_a_window_that_is_not_the_newest(home: Home, deliver: Deliver) -> None:
    deliver("a.csv", b"Meter\n1\n")
    home.collect(DATASET, day(0))
    home.collect(DATASET, day(1))
    with pytest.raises(Refused, match="is older than what the source holds now"):
        home.collect(DATASET, day(0), again=True)


def test_windows_are_taken_to_whole_seconds_so_that_ids_and_rows_agree(home: Home, deliver: Deliver) -> None:
    deliver("a.csv", b"Meter\n1\n")
    instant = DAY + timedelta(microseconds=7)
    first = home.collect(DATASET, Window(instant, instant))
    again = DAY + timedelta(microseconds=9)
    assert home.collect(DATASET, Window(again, again)) == first


def test_a_dataset_without_source_is_a_fault_of_its_contract(home: Home) -> None:
    with pytest.raises(DeclarationError, match=r"meters\.odcs\.yaml:1: servers: no source is declared"):
        home.collect(meters(None))


def test_the_run_and_the_ledger_say_what_landed(home: Home, deliver: Deliver) -> None:
    deliver("a.csv", b"Meter,holder\n1,CANARY\n")
    landed = home.collect(DATASET, run="r")
    with home.database.read() as connection:
        recorded = connection.execute(select(run)).one()
        inputs = connection.execute(select(run_input.c.input)).scalars().all()
        entries = connection.execute(select(ledger_entry)).all()
    assert (recorded.stage, recorded.batch, recorded.output) == ("collect", landed.batch, "landed:water.meters")
    assert json.loads(recorded.counts) == {"bytes": 22, "files": 1}
    assert inputs == ["metering:a.csv"]
    (entry,) = entries
    body = json.loads(entry.body)
    assert (entry.kind, body["actor"]["run"]) == ("landed", "r")
    assert body["facts"]["files"][0]["sha256"] == landed.files[0].sha256
    assert b"CANARY" not in entry.body


def test_of_two_processes_that_land_one_batch_one_manifest_stands_and_its_files_alone(
    home: Home, deliver: Deliver
) -> None:
    deliver("a.csv", b"Meter\n1\n")
    both, results = threading.Barrier(2), []

    def meet(_done: int, _total: int | None) -> None:
        both.wait(10)

    threads = [threading.Thread(target=lambda: results.append(home.collect(DATASET, progress=meet))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results[0] == results[1]
    assert [f"_landed/{name}" for name in home.landed_files()] == [results[0].files[0].path]
    assert home.bytes_of(results[0].files[0]) == b"Meter\n1\n"


@pytest.mark.parametrize("point", ["before_rename", "before_commit", "in_commit", "after_commit"])
def test_a_kill_at_a_commit_point_leaves_nothing_visible_and_a_retry_completes(
    home: Home, deliver: Deliver, point: str
) -> None:
    data = b"Meter\n1\n"
    deliver("a.csv", data)
    script = (
        "from pathlib import Path\n"
        "from tests.collect.home import meters, open_home\n"
        "from governance.catalog.types import FileSource\n"
        f"open_home(Path({str(home.settings.home)!r})).collect(meters(FileSource('in/a.csv', 'csv')), run='r')\n"
    )
    environ = {**os.environ, "GOV_CRASH_AT": f"collect.{point}"}
    killed = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, env=environ, check=False)
    assert killed.returncode == -signal.SIGKILL
    with home.database.read() as connection:
        assert len(batches.batches(connection, "water.meters")) == (point == "after_commit")
    landed = home.collect(DATASET, run="r")
    assert landed.batch.endswith(".1")
    assert home.bytes_of(landed.files[0]) == data
    with home.database.read() as connection:
        assert len(connection.execute(select(run.c.id)).all()) == 1
        assert len(connection.execute(select(ledger_entry).where(ledger_entry.c.kind == "landed")).all()) == 1
