from __future__ import annotations

from pathlib import Path

import pytest

from governance.catalog.rules import RowRule
from governance.catalog.types import ColumnType, Field, Kind, Level
from governance.errors import Refused
from tests.store.conftest import FEBRUARY, JANUARY, MARCH, Home, dataset_of, rules_of

CHICAGO = Path(__file__).parents[2].parent / "shared" / "data" / "chicago"

ID = Field("id", ColumnType("string"), "id", primary_key_position=1, classification=Level.L3, domain="person")
VALUE = Field("v", ColumnType("integer"), "v", classification=Level.L3)
DATASET = dataset_of(ID, VALUE, load_mode="snapshot_diff")
UPSERT = dataset_of(ID, VALUE, load_mode="upsert")
RULES = rules_of(RowRule("range:v", "quarantine", ("v",), '"v" < 0'))

PRESENT = ["id", "v", "_held", "_batch"]
FIRST, SECOND, THIRD = (f"d.t@2026{month}01T000000Z.1" for month in ("01", "02", "03"))


def changes(**expected: int) -> dict[str, int]:
    return {"new": 0, "changed": 0, "gone": 0, "held": 0, "same": 0, **expected}


def test_keys_are_new_changed_gone_or_the_same_and_history_keeps_what_was(home: Home) -> None:
    first = home.load(DATASET, RULES, b"id,v\n1,10\n2,20\n3,30\n")
    assert first.changes == changes(new=3)
    second = home.load(DATASET, RULES, b"id,v\n1,10.0\n2,21\n4,40\n", window=FEBRUARY)
    assert second.changes == changes(new=1, changed=1, gone=1, same=1)
    assert home.rows(DATASET, PRESENT, current=True) == [
        ("1", 10, False, SECOND),
        ("2", 21, False, SECOND),
        ("4", 40, False, SECOND),
    ]
    assert home.rows(DATASET, ["id", "v", "_valid_from", "_valid_to"], current=False) == [
        ("2", 20, JANUARY.end.replace(tzinfo=None), FEBRUARY.end.replace(tzinfo=None)),
        ("3", 30, JANUARY.end.replace(tzinfo=None), FEBRUARY.end.replace(tzinfo=None)),
    ]
    since = {row[0]: row[1] for row in home.rows(DATASET, ["id", "_valid_from"], current=True)}
    assert since["1"] == JANUARY.end.replace(tzinfo=None)
    assert since["2"] == since["4"] == FEBRUARY.end.replace(tzinfo=None)


def test_a_key_with_a_quarantined_row_keeps_its_last_passed_version_marked_held(home: Home) -> None:
    home.load(DATASET, RULES, b"id,v\n1,10\n2,20\n")
    second = home.load(DATASET, RULES, b"id,v\n1,-1\n2,20\n", window=FEBRUARY)
    assert second.changes == changes(held=1, same=1)
    assert home.rows(DATASET, PRESENT, current=True) == [("1", 10, True, FIRST), ("2", 20, False, SECOND)]
    third = home.load(DATASET, RULES, b"id,v\n1,10\n2,20\n", window=MARCH)
    assert third.changes == changes(same=2)
    assert home.rows(DATASET, PRESENT, current=True) == [("1", 10, False, THIRD), ("2", 20, False, THIRD)]


def test_only_the_rows_of_a_held_key_that_no_passed_row_repeats_are_kept(home: Home) -> None:
    home.load(DATASET, RULES, b"id,v\n1,10\n1,11\n1,11\n")
    second = home.load(DATASET, RULES, b"id,v\n1,11\n1,-5\n", window=FEBRUARY)
    assert second.changes == changes(held=1)
    assert home.rows(DATASET, PRESENT, current=True) == [
        ("1", 10, True, FIRST),
        ("1", 11, False, SECOND),
        ("1", 11, True, FIRST),
    ]


def test_a_new_key_that_is_quarantined_opens_nothing(home: Home) -> None:
    home.load(DATASET, RULES, b"id,v\n1,10\n")
    second = home.load(DATASET, RULES, b"id,v\n1,10\n9,-1\n", window=FEBRUARY)
    assert second.changes == changes(same=1)
    assert home.rows(DATASET, ["id"], current=True) == [("1",)]


@pytest.mark.parametrize("extra", [b"broken,line,here\n", b",-3\n"])
def test_nothing_closes_while_a_key_cannot_be_known(home: Home, extra: bytes) -> None:
    home.load(DATASET, RULES, b"id,v\n1,10\n2,20\n")
    second = home.load(DATASET, RULES, b"id,v\n1,10\n" + extra, window=FEBRUARY)
    assert second.changes == changes(same=1, held=1)
    assert home.rows(DATASET, PRESENT, current=True) == [("1", 10, False, SECOND), ("2", 20, True, FIRST)]


def test_rows_of_a_repeated_key_are_compared_as_a_multiset(home: Home) -> None:
    home.load(DATASET, RULES, b"id,v\n1,10\n1,11\n2,5\n2,5\n")
    second = home.load(DATASET, RULES, b"id,v\n1,11\n1,10\n2,5\n", window=FEBRUARY)
    assert second.changes == changes(same=1, changed=1)


def test_a_revision_takes_back_what_the_one_before_it_said(home: Home) -> None:
    home.load(DATASET, RULES, b"id,v\n1,10\n2,20\n")
    home.load(DATASET, RULES, b"id,v\n1,99\n", window=FEBRUARY)
    revised = home.load(DATASET, RULES, b"id,v\n1,10\n2,21\n", window=FEBRUARY, revision=2)
    assert revised.changes == changes(same=1, changed=1)
    assert home.rows(DATASET, ["id", "v"], current=True) == [("1", 10), ("2", 21)]
    assert home.rows(DATASET, ["id", "v"], current=False) == [("2", 20)]


def test_the_first_batch_ever_can_be_revised(home: Home) -> None:
    home.load(DATASET, RULES, b"id,v\n1,10\n2,20\n")
    revised = home.load(DATASET, RULES, b"id,v\n1,11\n", revision=2)
    assert revised.changes == changes(new=1)
    assert home.rows(DATASET, ["id", "v"]) == [("1", 11)]


def test_history_grows_and_is_never_rewritten(home: Home) -> None:
    for n, window in enumerate((JANUARY, FEBRUARY, MARCH)):
        stored = home.load(DATASET, RULES, b"id,v\n1,%d\n" % n, window=window)
        assert all("_current=true" in path for path in stored.removed_files)
    assert home.rows(DATASET, ["v"], current=False) == [(0,), (1,)]
    assert home.rows(DATASET, ["v"], current=True) == [(2,)]


def test_an_upsert_says_nothing_of_absent_keys(home: Home) -> None:
    home.load(UPSERT, RULES, b"id,v\n1,10\n2,20\n")
    second = home.load(UPSERT, RULES, b"id,v\n2,21\n3,30\n", window=FEBRUARY)
    assert second.changes == changes(same=1, changed=1, new=1)
    assert home.rows(UPSERT, ["id", "v", "_held"], current=True) == [
        ("1", 10, False),
        ("2", 21, False),
        ("3", 30, False),
    ]
    assert home.rows(UPSERT, ["id", "v"], current=False) == [("2", 20)]


def test_an_older_snapshot_cannot_be_put_under_a_later_one(home: Home) -> None:
    home.load(DATASET, RULES, b"id,v\n1,10\n", window=FEBRUARY)
    with pytest.raises(Refused):
        home.store(home.land(DATASET, b"id,v\n1,9\n"), DATASET, RULES)


def complaint(
    name: str, kind: Kind = "string", *, precision: int | None = None, scale: int | None = None, key: int | None = None
) -> Field:
    return Field(
        name.lower(), ColumnType(kind, precision, scale), name, primary_key_position=key, classification=Level.L1
    )


COMPLAINTS = dataset_of(
    complaint("Creation_Date", "date"),
    complaint("Status"),
    complaint("Completion_Date", "date"),
    complaint("Service_Request_Number", key=1),
    complaint("Type_of_Service_Request"),
    complaint("What_is_the_Nature_of_this_Code_Violation"),
    complaint("Street_Address"),
    complaint("ZIP_Code", "integer"),
    complaint("X_Coordinate", "decimal", precision=18, scale=8),
    complaint("Y_Coordinate", "decimal", precision=18, scale=8),
    complaint("Ward", "integer"),
    complaint("Police_District", "integer"),
    complaint("Community_Area", "integer"),
    complaint("Latitude", "decimal", precision=18, scale=13),
    complaint("Longitude", "decimal", precision=18, scale=13),
    name="streets.complaints",
    department="streets",
    load_mode="snapshot_diff",
)


@pytest.mark.skipif(not CHICAGO.is_dir(), reason="the shared real data are not here")
def test_between_chicagos_two_snapshots_242_numbers_changed_1553_are_new_and_1_is_gone(home: Home) -> None:
    rules = rules_of(dataset="streets.complaints")
    earlier, later = (
        (CHICAGO / f"streets_sanitation_complaints{day}.csv.gz").read_bytes() for day in ("_20141110", "")
    )
    first = home.load(COMPLAINTS, rules, {"complaints.csv.gz": earlier})
    assert (first.parsed, first.unparsed) == (72_847, 0)
    second = home.load(COMPLAINTS, rules, {"complaints.csv.gz": later}, window=FEBRUARY)
    assert second.parsed == 74_401
    assert {name: second.changes[name] for name in ("changed", "new", "gone", "held")} == {
        "changed": 242,
        "new": 1553,
        "gone": 1,
        "held": 0,
    }
