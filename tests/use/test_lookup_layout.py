"""The serving layout: sorted, small row groups, encrypted like its table, whole or not there, gone with its release."""

from __future__ import annotations

import os
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import select

from governance.errors import GovernanceError, NotReady, Refused, WorkerFailed
from governance.keys import grants
from governance.keys.names import KeyName
from governance.lake import plan, serving, serving_copy
from governance.pipeline.copies import read_copies
from governance.state.tables_use import serving as registered
from governance.state.values import Actor
from governance.use.lookup_copies import COPIER, ensure_layout
from tests.pipeline.canaries import clear_columns
from tests.use.lookup_home import Home, number

TABLE, ROWS = "curated.person", 9_000
ACTOR = Actor(COPIER, "pipeline.serving", "r")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    opened = Home(tmp_path_factory.mktemp("home"))
    number_or_none = "CASE WHEN i % 100 = 0 THEN NULL ELSE '44010619' || lpad(CAST(i AS VARCHAR), 9, '0') || 'X' END"
    opened.fill(TABLE, ROWS, resident_no=number_or_none)
    opened.release(TABLE)
    yield opened
    opened.database.close()


def granted(home, table=TABLE):
    snapshot = home.lake.snapshot(table)
    columns = [column.name for column in home.lake.schema(table, snapshot).columns]
    with home.database.unit_of_work() as tx:
        keys = home.lake.keys(table, snapshot, columns)
        return snapshot, columns, grants.issue(tx, actor=ACTOR, keys=keys, database=home.database).id


def forgotten(home):
    """Take the copies of before away."""
    serving.remove_stale(home.lake, {})


def made(home, by, **given):
    snapshot, columns, grant = granted(home)
    layout = serving_copy.build(
        home.lake, TABLE, by, snapshot, keystore=home.keystore, grant_id=grant, actor=ACTOR, **given
    )
    return layout, columns, points_of(home, layout, grant), grant


def points_of(home, layout, grant):
    return serving.Points(home.lake, layout, keystore=home.keystore, grant_id=grant, before_opening=lambda _: None)


@pytest.mark.parametrize("bucket_rows", [1 << 19, 1_000])
@pytest.mark.parametrize("by", ["resident_no", "employer_code"])
def test_every_row_is_found_by_its_token_in_one_bucket_or_many(home, by, bucket_rows):
    forgotten(home)
    layout, columns, points, grant = made(home, by, bucket_rows=bucket_rows)
    with home.lake.scan(TABLE, layout.snapshot, columns, grant_id=grant) as reader:
        whole = reader.read_all()
    whole = whole.filter(whole.column(layout.token_column).is_valid())
    assert layout.rows == whole.num_rows < ROWS
    tokens = whole.column(layout.token_column).cast(pa.binary(12)).combine_chunks().unique()
    found = points.rows(tokens, columns).select(columns)
    with duckdb.connect() as con:
        con.register("a", whole)
        con.register("b", found)
        for one, other in (("a", "b"), ("b", "a")):
            assert not con.sql(f"SELECT * FROM {one} EXCEPT ALL SELECT * FROM {other}").fetchall()  # noqa: S608
    sample = tokens.slice(17, 3)
    some = points.rows(sample, ["name"])
    assert set(some.column(layout.token_column).to_pylist()) == set(sample.to_pylist())
    assert points.rows(pa.array([b"\xff" * 12, b"\0" * 12], pa.binary(12)), ["name"]).num_rows == 0
    assert points.rows(tokens.slice(0, 0), ["name"]).num_rows == 0
    files = list((home.lake.root / layout.path).glob("bucket-*.parquet"))
    assert len(files) == (16 if bucket_rows == 1_000 else 1)
    assert not list((home.lake.root / layout.path).glob("split-*"))
    for file in files:
        metadata = pq.read_metadata(file)
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        assert all(group.num_rows <= serving_copy.ROW_GROUP_ROWS <= 8_192 for group in groups)


def test_the_copy_is_encrypted_like_its_table_and_under_the_same_keys(home):
    forgotten(home)
    layout, _, _, _ = made(home, "resident_no")
    with home.database.read() as connection:
        [file] = plan.files_of(connection, TABLE, layout.snapshot)
        [row] = connection.execute(select(registered)).all()
        copies = read_copies(connection)
    assert dict(layout.keys) == dict(file.keys)
    assert row.path == layout.path
    assert {str(key) for key in file.keys.values()} - {"curated/curated.person/footer/1"} <= set(copies.columns)
    path = home.lake.root / layout.path / "bucket-000.parquet"
    shown = b"\n".join(clear_columns(path))
    assert b"440106" in shown  # the district is open
    for hidden in ("王" + chr(20_001), "农林路", "13800000001", number(1)):  # long enough not to come up by chance
        assert hidden.encode() not in shown
        assert hidden.encode() not in path.read_bytes()
    with pytest.raises((OSError, pa.ArrowException)):
        pq.ParquetFile(path).read(columns=["name"])


def test_a_grant_that_does_not_open_a_column_reads_none_of_it(home):
    forgotten(home)
    layout, _, _, _ = made(home, "resident_no")
    with home.database.unit_of_work() as tx:
        narrow = grants.issue(tx, actor=ACTOR, keys=[KeyName("curated", TABLE, "L4")], database=home.database).id
    points = points_of(home, layout, narrow)
    with pytest.raises((GovernanceError, OSError, pa.ArrowException)):
        points.rows(pa.array([b"\x80" * 12], pa.binary(12)), ["name"])


def ensure(home):
    snapshot = home.lake.snapshot(TABLE)
    given = {"settings": home.settings, "database": home.database, "lake": home.lake}
    ensure_layout(TABLE, "resident_no", snapshot, **given)
    return snapshot


def folders(home):
    return sorted(path.name for path in (home.lake.root / "_serving").glob(f"{TABLE}/*/*"))


@pytest.mark.parametrize("point", ["lake.serving_written", "lake.serving_renamed"])
def test_a_crash_leaves_no_copy_that_counts_and_the_next_call_makes_it(home, point, monkeypatch):
    forgotten(home)
    monkeypatch.setenv("GOV_CRASH_AT", point)
    with pytest.raises(WorkerFailed):
        ensure(home)
    monkeypatch.delenv("GOV_CRASH_AT")
    with home.database.read() as connection:
        assert serving.find(connection, TABLE, "resident_no", home.lake.snapshot(TABLE)) is None
    snapshot = ensure(home)
    for path in [*(home.lake.root / "_serving").glob("*/*/*"), *(home.lake.root / "_serving").glob(".*")]:
        os.utime(path, (time.time() - 200_000,) * 2)
    serving.remove_stale(home.lake, {TABLE: snapshot})
    with home.database.read() as connection:
        layout = serving.find(connection, TABLE, "resident_no", snapshot)
    assert folders(home) == [layout.path.rpartition("/")[2]]
    assert not list((home.lake.root / "_serving").glob(".*"))


def test_two_that_make_it_at_once_end_with_one(home):
    forgotten(home)
    before = folders(home)
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: made(home, "resident_no")[0], range(2)))
    assert both[0].path == both[1].path
    assert len(folders(home)) == len(before) + 1


def test_a_table_whose_snapshot_nobody_planned_is_not_copied(home):
    with pytest.raises((NotReady, Refused)):
        serving_copy.build(
            home.lake, TABLE, "resident_no", 1, keystore=home.keystore, grant_id=uuid.uuid4().hex, actor=ACTOR
        )
