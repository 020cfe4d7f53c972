"""One suite over both readers: DuckDB by field id (clear columns) and the decrypting dataset (encrypted ones)."""

import time
from dataclasses import replace

import duckdb
import pyarrow as pa
import pytest

from governance.errors import Conflict, DeclarationError, Refused
from governance.keys import grants
from governance.keys.names import KeyName
from governance.lake.lake import TableChange
from governance.lake.specs import ColumnSpec, TableSpec, stored_spec
from governance.lake.stream import GRANT_SECONDS
from tests.lake.conftest import ACTOR, Home, invoice_rows, invoices

TABLE = "tax.notes"


def _spec(*columns: ColumnSpec) -> TableSpec:
    return TableSpec(TABLE, "tax", TABLE, (ColumnSpec("k", "long"), *columns), "stored")


@pytest.fixture(params=[False, True], ids=["clear", "encrypted"])
def encrypted(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def _column(encrypted: bool, name: str, kind: str = "string", own_id: str = "") -> ColumnSpec:
    return ColumnSpec(name, kind, encrypted=encrypted, group="L3" if encrypted else "", id=own_id)


def _rows(**columns: list[object]) -> pa.Table:
    return pa.table(columns)


def _read(home: Home, snapshot: int, *columns: str) -> list[dict[str, object]]:
    """The rows as `scan` gives them, which must be those that `bind` gives, twice over in a self-join."""
    scanned = home.rows(TABLE, snapshot, ["k", *columns])
    grant = home.grant(TABLE, snapshot, ["k", *columns])
    with duckdb.connect() as connection:
        home.lake.bind(connection, "tax.notes", TABLE, snapshot, ["k", *columns], grant_id=grant.id)
        query = "SELECT a.* FROM tax.notes AS a JOIN tax.notes AS b USING (k)"
        assert sorted(connection.sql(query).to_arrow_table().to_pylist(), key=str) == scanned
    return scanned


def test_a_renamed_column_keeps_its_values_and_the_old_snapshot_its_name(home: Home, encrypted: bool) -> None:
    first = home.append(_spec(_column(encrypted, "old", own_id="f-1")), _rows(k=[1], old=["a"]))
    second = home.append(_spec(_column(encrypted, "new", own_id="f-1")), _rows(k=[2], new=["b"]))
    assert _read(home, second, "new") == [{"k": 1, "new": "a"}, {"k": 2, "new": "b"}]
    assert _read(home, first, "old") == [{"k": 1, "old": "a"}]
    with pytest.raises(Refused, match="no column old"):
        home.lake.scan(TABLE, second, ["old"])


def test_an_added_column_is_null_in_older_files(home: Home, encrypted: bool) -> None:
    old, more = _column(encrypted, "a"), _column(encrypted, "b", "decimal(9, 2)")
    home.append(_spec(old), _rows(k=[1], a=["x"]))
    snapshot = home.append(_spec(old, more), _rows(k=[2], a=["y"], b=[None]))
    assert _read(home, snapshot, "a", "b") == [{"k": 1, "a": "x", "b": None}, {"k": 2, "a": "y", "b": None}]
    assert _read(home, snapshot, "b") == [{"k": 1, "b": None}, {"k": 2, "b": None}]


def test_a_dropped_column_is_gone_and_comes_back_empty(home: Home, encrypted: bool) -> None:
    kept, dropped = _column(encrypted, "a"), _column(encrypted, "b")
    first = home.append(_spec(kept, dropped), _rows(k=[1], a=["x"], b=["gone"]))
    second = home.append(_spec(kept), _rows(k=[2], a=["y"]))
    with pytest.raises(Refused, match="no column b"):
        home.lake.scan(TABLE, second, ["b"])
    third = home.append(_spec(kept, dropped), _rows(k=[3], a=["z"], b=["new"]))
    assert [row["b"] for row in _read(home, third, "b")] == [None, None, "new"]
    assert _read(home, first, "b") == [{"k": 1, "b": "gone"}]


@pytest.mark.parametrize(
    ("before", "after", "small", "big"),
    [
        ("int", "long", pa.array([7], pa.int32()), pa.array([2**40], pa.int64())),
        ("float", "double", pa.array([0.5], pa.float32()), pa.array([1e300], pa.float64())),
        (
            "decimal(5, 2)",
            "decimal(20, 2)",
            pa.array([7], pa.int32()).cast(pa.decimal128(12, 2)).cast(pa.decimal128(5, 2)),
            pa.array([10**15], pa.int64()).cast(pa.decimal128(21, 2)).cast(pa.decimal128(20, 2)),
        ),
    ],
)
def test_a_promoted_column_reads_old_and_new_values(
    home: Home, encrypted: bool, before: str, after: str, small: pa.Array, big: pa.Array
) -> None:
    first = home.append(_spec(_column(encrypted, "n", before)), pa.table({"k": [1], "n": small}))
    second = home.append(_spec(_column(encrypted, "n", after)), pa.table({"k": [2], "n": big}))
    assert [row["n"] for row in _read(home, second, "n")] == [small[0].as_py(), big[0].as_py()]
    assert [row["n"] for row in _read(home, first, "n")] == [small[0].as_py()]


@pytest.mark.parametrize(("before", "after"), [("long", "string"), ("decimal(20, 2)", "decimal(5, 2)")])
def test_a_change_of_type_that_loses_values_is_refused(home: Home, before: str, after: str) -> None:
    home.lake.ensure(_spec(ColumnSpec("n", before)))
    with pytest.raises(DeclarationError, match=r"n: type .* cannot become"):
        home.lake.ensure(_spec(ColumnSpec("n", after)))


def test_reclassified_columns_are_read_file_by_file(home: Home) -> None:
    home.append(_spec(_column(False, "a")), _rows(k=[1], a=["clear"]))
    raised = home.append(_spec(_column(True, "a")), _rows(k=[2], a=["secret"]))
    lowered = home.append(_spec(_column(False, "a")), _rows(k=[3], a=["clear again"]))
    assert [row["a"] for row in _read(home, lowered, "a")] == ["clear", "secret", "clear again"]
    assert {file.encrypted for file in home.lake.files(TABLE, raised)} == {(), ("a",)}
    assert home.lake.keys(TABLE, lowered, ["a"]) == {
        KeyName("tax", TABLE, "L3"),
        KeyName("tax", TABLE, "footer"),
    }
    assert home.lake.keys(TABLE, lowered, ["k"]) == frozenset()


def test_a_column_that_moves_to_another_group_needs_both_keys(home: Home) -> None:
    home.append(_spec(_column(True, "a")), _rows(k=[1], a=["x"]))
    moved = replace(_column(True, "a"), group="L4")
    snapshot = home.append(_spec(moved), _rows(k=[2], a=["y"]))
    assert {key.group for key in home.lake.keys(TABLE, snapshot, ["a"])} == {"L3", "L4", "footer"}
    assert [row["a"] for row in _read(home, snapshot, "a")] == ["x", "y"]


def test_where_may_speak_of_columns_that_are_not_asked_for(home: Home, encrypted: bool) -> None:
    snapshot = home.append(_spec(_column(encrypted, "a")), _rows(k=[1, 2, 3], a=["x", "y", None]))
    grant = home.grant(TABLE, snapshot, ["a"])
    scanned = home.lake.scan(TABLE, snapshot, ["k"], grant_id=grant.id, where="a IS NULL OR \"a\" = 'y'")
    assert sorted(scanned.read_all().column("k").to_pylist()) == [2, 3]
    if encrypted:
        with pytest.raises(Refused):
            home.lake.scan(TABLE, snapshot, ["k"], where="a = 'y'")


def test_names_and_types_that_need_quoting_go_round(home: Home, encrypted: bool) -> None:
    columns = [_column(encrypted, name) for name in ('with "quotes"', "select", "中文 名", "it's")]
    rows = {column.name: [f"v{i}"] for i, column in enumerate(columns)}
    snapshot = home.append(_spec(*columns), _rows(k=[1], **rows))
    assert _read(home, snapshot, *rows) == [{"k": 1, **{name: values[0] for name, values in rows.items()}}]


def test_all_types_go_round_with_nulls(home: Home, encrypted: bool) -> None:
    values = {
        "s": pa.array(["a", None]),
        "b": pa.array([True, None]),
        "d": pa.array([19_000, None], pa.int32()).cast(pa.date32()),
        "t": pa.array([1_700_000_000_000_001, None], pa.timestamp("us")),
        "f": pa.array([0.1, None]),
        "x": pa.array([b"0" * 12, None], pa.binary(12)),
        "l": pa.array([["p", None], None], pa.list_(pa.string())),
        "m": pa.array([12, None], pa.int64()).cast(pa.decimal128(21, 2)).cast(pa.decimal128(20, 2)),
    }
    kinds = ("string", "boolean", "date", "timestamp", "double", "fixed[12]", "list<string>", "decimal(20, 2)")
    spec = _spec(*(_column(encrypted, name, kind) for name, kind in zip(values, kinds, strict=True)))
    rows = pa.table({"k": [1, 2], **values})
    snapshot = home.append(spec, rows)
    assert _read(home, snapshot, *values) == rows.to_pylist()


def test_an_empty_table_reads_as_no_rows_of_the_right_types(home: Home, encrypted: bool) -> None:
    spec = _spec(_column(encrypted, "m", "decimal(20, 2)"), _column(encrypted, "l", "list<string>"))
    home.lake.ensure(spec)
    snapshot = home.commit(TableChange(TABLE))[TABLE]
    for at in (snapshot, None):
        empty = home.lake.scan(TABLE, at, ["k", "m", "l"]).read_all()
        assert empty.num_rows == 0
        assert empty.schema.types[:2] == [pa.int64(), pa.decimal128(20, 2)]


def test_without_the_right_keys_no_file_is_opened(home: Home) -> None:
    spec = stored_spec(invoices())
    snapshot = home.append(spec, invoice_rows(0, 3))
    narrow = home.grant(spec.name, snapshot, ["name"])
    with home.database.unit_of_work() as tx:
        footer_only = grants.issue(tx, actor=ACTOR, keys=[spec.footer_key], database=home.database)
    for file in home.lake.files(spec.name, snapshot):
        (home.settings.lake / file.path).unlink()
    for grant_id in (None, "nobody", narrow.id, footer_only.id):
        with pytest.raises(Refused):
            home.lake.scan(spec.name, snapshot, ["name", "payer"], grant_id=grant_id)


def test_a_revoked_grant_opens_nothing(home: Home) -> None:
    spec = stored_spec(invoices())
    snapshot = home.append(spec, invoice_rows(0, 3))
    grant = home.grant(spec.name, snapshot, ["name"])
    with home.database.unit_of_work() as tx:
        grants.revoke(tx, grant.id, actor=ACTOR, database=home.database)
    with pytest.raises(Refused):
        home.lake.scan(spec.name, snapshot, ["name"], grant_id=grant.id)


def test_a_running_scan_ends_with_its_grant(home: Home) -> None:
    spec = stored_spec(invoices())
    snapshot = home.append(spec, invoice_rows(0, 250_000))
    grant = home.grant(spec.name, snapshot, ["name"])
    scan = home.lake.scan(spec.name, snapshot, ["name"], grant_id=grant.id)
    assert scan.read_next_batch().num_rows > 0
    with home.database.unit_of_work() as tx:
        grants.revoke(tx, grant.id, actor=ACTOR, database=home.database)
    time.sleep(GRANT_SECONDS)
    with pytest.raises(Refused, match="does not hold"):
        scan.read_next_batch()


def test_a_writer_for_a_former_schema_is_refused(home: Home) -> None:
    home.lake.ensure(_spec(ColumnSpec("a", "string")))
    home.lake.ensure(_spec(ColumnSpec("b", "string")))
    with pytest.raises(Conflict, match="ensure it again"):
        home.lake.writer(_spec(ColumnSpec("a", "string")), "batch")
