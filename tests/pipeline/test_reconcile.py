"""The live source against the lake: what changed since is told apart from what got lost, and nothing but counts and positions comes out."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import select

from governance.collect.pushdown import push_down
from governance.errors import DeclarationError, NotReady, Refused, SourceContentError, SourceUnavailable
from governance.lake.lake import TableChange
from governance.manage.reconcile import Difference, Reconciled
from governance.pipeline.incidents import incidents
from governance.pipeline.observations import observations
from governance.pipeline.quarantine import Selection, correct, reject, release
from governance.pipeline.reconcile import reconcile
from governance.state import batches, tables
from governance.state.values import Window
from tests.collect import postgres
from tests.pipeline import repairing
from tests.pipeline.home import FIRST, METERS, Home, empty_home, month

pytestmark = pytest.mark.pipeline

BAD = "4,11010119900307001X,赵六丁,-5"
BROKEN = '5,"x'


def csv_home(folder: Path, lines: list[str], mode: str = "full", **ours: object) -> Home:
    home = empty_home(folder)
    home.declare("water.meters", METERS, mode=mode, **ours)
    home.deliver("water.meters", lines)
    home.run(month(1))
    return home


def reconciled(home: Home, window: Window | None = None, **options: bool) -> Reconciled:
    with home.opened() as context:
        return reconcile(context, "water.meters", window, **options)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Versions of a whole table, with a row in quarantine and a line that is none."""
    return csv_home(tmp_path_factory.mktemp("csv"), [*FIRST, BAD, BROKEN], "snapshot_diff")


def test_what_the_source_changed_since_is_no_loss(files: Home) -> None:
    files.deliver(
        "water.meters", [FIRST[0], FIRST[1].replace("20", "21"), BAD, "7,110101199003070044,周七戊,1", "8,,,2"]
    )
    try:
        found = reconciled(files)
    finally:
        files.deliver("water.meters", [*FIRST, BAD, BROKEN])
    assert (found.verdict, found.how, found.lake.rows) == ("changed", "rows", 0)
    since = found.since
    assert (since.only_first, since.only_second, since.altered) == (
        1,
        2,
        1,
    )  # 3 is gone, 7 and 8 are new, 2 reads otherwise
    assert (since.first_at, since.second_at, since.altered_at) == ((3,), (4, 5), (2,))
    assert since.columns == ("reading",)


def test_an_unchanged_file_agrees_and_run_fact_and_ledger_entry_are_recorded_without_values(files: Home) -> None:
    before = files.entries()
    found = reconciled(files)
    assert (found.verdict, found.how) == ("agrees", "digest")
    assert (found.source_rows, found.landed_rows, found.lake_rows, found.unparsed) == (4, 4, 4, 1)
    assert found.sums == {"meter": ("10", "10"), "reading": ("55", "55")}
    after = files.entries()
    assert after["observed"] == before.get("observed", 0) + 1
    with files.opened() as context, context.database.read() as connection:
        one = observations(connection, kind="reconcile", subject="water.meters", last=1)[0]
        subjects = connection.execute(
            select(tables.grant.c.subject, tables.grant.c.purpose, tables.grant.c.revoked_at)
        ).all()
        stages = set(connection.execute(select(tables.run.c.stage)).scalars())
        bodies = b"".join(connection.execute(select(tables.ledger_entry.c.body)).scalars())
    assert (one.outcome, one.batch, one.facts["verdict"]) == ("met", found.batch, "agrees")
    used = {(s.subject, s.revoked_at is None) for s in subjects if s.purpose == "pipeline.reconcile"}
    assert used == {("service:store@water", False), ("service:manage@water", False)}
    assert "reconcile" in stages
    said = json.dumps(dict(one.facts), ensure_ascii=False).encode() + bodies
    assert not [value for value in ("张三甲", "110101199003070028") if value.encode() in said]
    assert not list((files.folder / "var" / "lake" / "_landed").rglob("_again-*"))


def test_a_row_that_the_lake_lost_opens_an_incident_that_no_verdict_closes(tmp_path: Path) -> None:
    home = csv_home(tmp_path, [*FIRST, BAD])
    with home.opened() as context:
        with context.database.read() as connection:
            row = batches.live(connection, "water.meters")[0]
        assert row.stored is not None
        kept = row.stored.quarantine_files
        change = TableChange("water.meters__quarantine", (), tuple(f.path for f in kept))
        prepared = context.lake.prepare([change])
        with context.database.unit_of_work() as tx:
            context.lake.swap(tx, prepared)
    found = reconciled(home)
    assert (found.verdict, found.lake.only_first, found.lake.first_at) == ("differs", 1, (4,))
    with home.opened() as context, context.database.read() as connection:
        (one,) = [i for i in incidents(connection) if i.expectation == "reconcile:lake"]
    assert (one.unexpected, one.severity, one.batch) == (1, "stop", found.batch)
    home.run(month(2))
    with home.opened() as context, context.database.read() as connection:
        assert {i.expectation for i in incidents(connection)} == {
            "reconcile:lake",
            "range:reading",
        }  # a verdict ends none


def test_of_upsert_the_newest_batch_agrees_and_declared_duplicates_are_no_loss(tmp_path: Path) -> None:
    home = csv_home(tmp_path, FIRST, "upsert", deduplicate="identical")
    home.deliver("water.meters", [FIRST[1], FIRST[2].replace("30", "31"), BAD, FIRST[1], FIRST[1]])
    home.run(month(2))
    found = reconciled(home)
    assert (found.verdict, found.duplicates, found.landed_rows, found.lake_rows) == ("agrees", 2, 5, 3)


def test_what_stewards_released_rejected_and_corrected_is_no_loss(tmp_path: Path) -> None:
    context = repairing.make(tmp_path / "home")
    steward = {"subject": "user:mei", "because": "as on paper"}
    patch = tmp_path / "patch.csv"
    line = f"{repairing.batch()},L5,5,A5,Eve,07/06/1994,5"
    patch.write_text(f"_batch,_row,id,person,name,born,amount\n{repairing.batch()},4,,,,28/02/1993,7\n{line}\n")
    assert correct(context, repairing.NAME, patch, **steward).passed == 2
    release(context, repairing.NAME, Selection(rows=((repairing.batch(), 2),)), **steward)
    reject(context, repairing.NAME, Selection(rows=((repairing.batch(), 3),)), **steward)
    found = reconcile(context, repairing.NAME)
    context.database.close()
    assert (found.verdict, found.corrected, found.unparsed, found.lake) == ("agrees", 1, 1, Difference())


def test_a_source_that_is_down_or_no_source_at_all_records_nothing(tmp_path: Path) -> None:
    home = csv_home(tmp_path, FIRST)
    file = tmp_path / "sources" / "water.meters.csv"
    text = file.read_bytes()
    file.unlink()
    with pytest.raises(SourceUnavailable):
        reconciled(home)
    file.write_bytes(b"")
    with pytest.raises(SourceContentError):
        reconciled(home)
    file.write_bytes(text)
    home.declare("power.accounts", {"kwh": {"logicalType": "integer", "classification": "L2"}})
    with home.opened() as context:
        with pytest.raises(NotReady, match="no live batch"):
            reconcile(context, "power.accounts")
        sourceless = replace(context.catalogue.datasets["power.accounts"], source=None)
        changed = replace(context, catalogue=replace(context.catalogue, datasets={"power.accounts": sourceless}))
        with pytest.raises(DeclarationError):
            reconcile(changed, "power.accounts")
    with pytest.raises(NotReady):
        reconciled(home, month(2))
    assert "observed" not in home.entries()


# -- databases

READINGS = {
    "id": {"logicalType": "integer", "classification": "L1", "primaryKey": True},
    "holder": {"logicalType": "string", "classification": "L3"},
    "amount": {"logicalType": "number", "physicalType": "DECIMAL(12,2)", "classification": "L2"},
    "read_at": {"logicalType": "timestamp", "classification": "L1"},
}
COLUMNS = "id INTEGER PRIMARY KEY, holder VARCHAR(40), amount NUMERIC(12,2), read_at TIMESTAMP"
ROWS = [
    (1, "甲", "10.50", "2026-01-05 08:00:00"),
    (2, "", "0.10", "2026-01-20 00:00:00"),
    (3, None, "-3.00", "2026-02-02 12:30:00"),
]


def database_home(folder: Path, url: str, mode: str) -> Home:
    home = empty_home(folder)
    more = {"watermark": "read_at"} if mode == "append" else {}
    home.declare("water.meters", READINGS, mode=mode, server={"url": url}, **more)
    file = folder / "catalog" / "water" / "meters.odcs.yaml"
    contract = json.loads(file.read_text(encoding="utf-8"))
    contract["servers"] = [
        {"server": "s", "type": "custom", "customProperties": [{"property": "gov.url", "value": url}]}
    ]
    file.write_text(json.dumps(contract), encoding="utf-8")
    return home


def sqlite(folder: Path, *statements: str) -> None:
    with closing(sqlite3.connect(folder / "city.db")) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def insert(row: tuple[object, ...]) -> str:
    values = ", ".join("NULL" if v is None else str(v) if isinstance(v, int) else f"'{v}'" for v in row)
    return f"INSERT INTO meters VALUES ({values})"  # noqa: S608


def test_sqlite_is_asked_for_counts_and_sums_and_read_again_for_checksums(tmp_path: Path) -> None:
    home = database_home(tmp_path / "h", f"sqlite:///{tmp_path}/city.db", "full")
    sqlite(tmp_path, f"CREATE TABLE meters ({COLUMNS})", *map(insert, ROWS))
    home.run(month(1))
    sqlite(tmp_path, "UPDATE meters SET holder = '乙' WHERE id = 1")
    quick = reconciled(home, quick=True)
    assert (quick.verdict, quick.how) == ("agrees", "sums")  # which do not show it
    found = reconciled(home)
    assert (found.verdict, found.since.altered, found.since.columns) == ("changed", 1, ("holder",))
    sqlite(tmp_path, "DROP TABLE meters")
    with pytest.raises(SourceContentError, match="no such table"):
        reconciled(home)


def test_an_append_batch_is_compared_within_its_window_and_late_rows_are_an_incident(tmp_path: Path) -> None:
    home = database_home(tmp_path / "h", f"sqlite:///{tmp_path}/city.db", "append")
    sqlite(tmp_path, f"CREATE TABLE meters ({COLUMNS})", *map(insert, ROWS))
    home.run(month(1))
    home.run(month(2))
    sqlite(tmp_path, insert((4, "丁", "1.00", "2026-01-30 10:00:00")))
    found = reconciled(home, month(1))
    assert (found.verdict, found.since.only_second, found.source_rows) == ("late", 1, 3)
    with home.opened() as context, context.database.read() as connection:
        (one,) = incidents(connection)
    assert (one.expectation, one.severity) == ("reconcile:source", "warn")


@pytest.mark.skipif(postgres.binaries() is None, reason="there is no PostgreSQL server to start")
def test_postgresql_makes_the_checksum_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with postgres.server() as url:
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        with engine.begin() as connection:
            connection.execute(sa.text(f"CREATE TABLE meters ({COLUMNS})"))
            for row in ROWS:
                connection.execute(sa.text(insert(row)))
        monkeypatch.setenv("CITY_URL", url.render_as_string(hide_password=False))
        home = database_home(tmp_path / "h", "${CITY_URL}", "full")
        home.run(month(1), models=False)
        found = reconciled(home)
        assert (found.verdict, found.how, found.source_rows) == ("agrees", "checksum", 3)
        with home.opened() as context:
            asked = partial(
                push_down, context.catalogue.datasets["water.meters"], month(1), "s", settings=context.settings
            )
            before = asked()
            with engine.begin() as connection:
                connection.execute(sa.text("UPDATE meters SET amount = amount + 1 WHERE id = 3"))
            after = asked()
        assert (before.rows, before.present["holder"], before.sums["amount"]) == (3, 1, "7.60")
        assert (after.checksum != before.checksum, after.sums["amount"]) == (True, "8.60")
        engine.dispose()
    with pytest.raises(SourceUnavailable):
        reconciled(home)


def test_a_file_source_shows_its_newest_batch_alone(tmp_path: Path) -> None:
    home = csv_home(tmp_path, FIRST, "append")
    home.run(month(2))
    with pytest.raises(Refused, match="keeps no history"):
        reconciled(home, month(1))
