"""How columns lie in the files: what is smaller must read as it was, by PyArrow and by DuckDB."""

from datetime import date, datetime
from decimal import Decimal

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from governance.catalog.types import ColumnType, Dataset, Field, Level
from governance.lake.encodings import encodings
from governance.lake.specs import stored_spec
from tests.lake.conftest import BATCH, Home

ROWS = 400


def _field(name: str, kind: ColumnType) -> Field:
    return Field(name, kind, name, classification=Level.L1)


NUMBERS = Dataset(
    "tax.numbers",
    "tax",
    "billing",
    "1.0.0",
    (
        _field("small", ColumnType("decimal", 9, 2)),
        _field("amount", ColumnType("decimal", 18, 2)),
        _field("wide", ColumnType("decimal", 20, 2)),
        _field("day", ColumnType("date")),
        _field("moment", ColumnType("timestamp")),
    ),
    None,
    "f",
    "h",
)


def test_decimals_of_up_to_18_digits_lie_as_integers_and_all_read_as_they_were(home: Home) -> None:
    cents = [None if n % 50 == 7 else Decimal((-1) ** n * (10**7 - n * 1013)).scaleb(-2) for n in range(ROWS)]
    rows = pa.table(
        {
            "small": pa.array(cents, pa.decimal128(9, 2)),
            "amount": pa.array(cents, pa.decimal128(18, 2)),
            "wide": pa.array(cents, pa.decimal128(20, 2)),
            "day": [date.fromordinal(1 + n * 9_000) for n in range(ROWS)],
            "moment": [datetime(1 + n * 20, 1, 1, 0, 0, n % 60, n) for n in range(ROWS)],
            "_batch": [BATCH] * ROWS,
            "_row": list(range(1, ROWS + 1)),
        }
    )
    (file,) = home.write(stored_spec(NUMBERS), rows)
    path = home.settings.lake / file.path
    group = pq.read_metadata(path).row_group(0)
    laid = {group.column(n).path_in_schema: group.column(n) for n in range(group.num_columns)}
    kinds = {name: laid[name].physical_type for name in ("small", "amount", "wide")}
    assert kinds == {"small": "INT32", "amount": "INT64", "wide": "FIXED_LEN_BYTE_ARRAY"}
    assert all("DELTA_BINARY_PACKED" in laid[name].encodings for name in ("small", "amount", "day", "moment"))
    names = ["small", "amount", "wide", "day", "moment"]
    assert pq.read_table(path, columns=names).to_pylist() == rows.select(names).to_pylist()
    with duckdb.connect() as con:
        read = con.read_parquet(str(path)).project(", ".join(names)).to_arrow_table()
        least = con.execute(
            "SELECT stats_min_value FROM parquet_metadata(?) WHERE path_in_schema = 'amount'", [str(path)]
        ).fetchall()
    assert read.to_pylist() == rows.select(names).to_pylist()
    assert Decimal(least[0][0]) == min(cent for cent in cents if cent is not None)


def test_a_column_with_a_dictionary_has_no_other_encoding() -> None:
    schema = pa.schema(
        [("n", pa.int64()), ("d", pa.decimal128(18, 2)), ("w", pa.decimal128(19, 2)), ("t", pa.string())]
    )
    assert set(encodings(schema, ["n"])) == {"d"}
    assert set(encodings(schema, [])) == {"n", "d"}
