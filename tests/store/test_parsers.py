from __future__ import annotations

import gzip
import io
import json
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from governance.catalog.types import ColumnType, Dataset, Field, FileSource, Level
from governance.errors import SourceContentError
from tests.store.conftest import Format, Home, arrow_stream, dataset_of, rules_of

ID = Field("id", ColumnType("integer"), "ID", classification=Level.L1)
NAME = Field("name", ColumnType("string"), "姓名")
DAY = Field("day", ColumnType("date"), "Day", classification=Level.L1)
FIELDS = (ID, NAME, DAY)
DATASET = dataset_of(*FIELDS)
RULES = rules_of()
TEXT = "ID,姓名,Day\n1,张三,2026-01-01\n2,李四,2026-01-02\n"
EXPECTED = [(1, "张三", date(2026, 1, 1)), (2, "李四", date(2026, 1, 2))]


def described(**facts: str) -> Dataset:
    return dataset_of(*FIELDS, source=FileSource("unused", **{"format": "csv", **facts}))  # type: ignore[arg-type]


def read(home: Home, content: bytes, format: Format = "csv", dataset: Dataset = DATASET) -> list[tuple[object, ...]]:
    home.load(dataset, RULES, {"data": content}, format=format)
    return home.rows(dataset, ["id", "name", "day"])


def refused(home: Home, content: bytes, message: str, format: Format = "csv", dataset: Dataset = DATASET) -> None:
    with pytest.raises(SourceContentError, match=message):
        home.store(home.land(dataset, {"data": content}, format=format), dataset, RULES)


@pytest.mark.parametrize(
    "content", [TEXT.encode(), b"\xef\xbb\xbf" + TEXT.encode(), TEXT.replace("\n", "\r\n").encode()]
)
def test_utf8_with_and_without_mark_and_either_line_end(home: Home, content: bytes) -> None:
    assert read(home, content) == EXPECTED


@pytest.mark.parametrize("encoding", ["gb18030", "gbk", "utf-16", "utf-8-sig"])
def test_other_encodings_are_transcoded(home: Home, encoding: str) -> None:
    assert read(home, TEXT.encode(encoding), dataset=described(encoding=encoding)) == EXPECTED


def test_gzip_is_known_by_its_first_bytes_and_members_follow_one_another(home: Home) -> None:
    half = len(TEXT) // 2
    packed = gzip.compress(TEXT[:half].encode()) + gzip.compress(TEXT[half:].encode())
    assert read(home, packed) == EXPECTED


def test_another_delimiter(home: Home) -> None:
    assert read(home, TEXT.replace(",", "|").encode(), dataset=described(delimiter="|")) == EXPECTED


def test_files_are_read_in_the_order_of_their_names_and_counted_through(home: Home) -> None:
    head = "ID,姓名,Day\n"
    files = {"b.csv": f"{head}3,c,\nbroken\n4,d,\n".encode(), "a.csv": "Day,ID,姓名\n,1,a\n,2,b,x,\n".encode()}
    stored = home.load(DATASET, RULES, files)
    assert home.rows(DATASET, ["id", "_row"]) == [(1, 1), (3, 2), (4, 3)]
    lines = home.quarantined(stored, DATASET, ["_row", "_line"])
    assert lines == [(2, ",2,b,x,"), (4, "broken")]
    assert (stored.parsed, stored.unparsed) == (3, 2)


def test_a_line_that_is_no_text_in_the_encoding_is_kept_and_the_others_pass(home: Home) -> None:
    for encoding in ("utf-8", "gb18030"):
        dataset = dataset_of(*FIELDS, name=f"d.{encoding.replace('-', '')}", source=FileSource("x", "csv", encoding))
        lines = TEXT.splitlines(keepends=True)
        content = (lines[0] + lines[1]).encode(encoding) + b"9,\xff\xff,\n" + lines[2].encode(encoding)
        stored = home.load(dataset, rules_of(dataset=dataset.name), content)
        assert (stored.parsed, stored.unparsed) == (2, 1)
        assert home.quarantined(stored, dataset, ["_row"]) == [(2,)]


def test_a_quoted_value_may_hold_lines_and_delimiters(home: Home) -> None:
    assert read(home, 'ID,姓名,Day\n1,"a,\n""b""",\n'.encode()) == [(1, 'a,\n"b"', None)]


def test_json_lines_keep_broken_ones_with_their_number(home: Home) -> None:
    lines = [
        json.dumps({"ID": 1, "姓名": "张三", "Day": "2026-01-01", "more": [1]}, ensure_ascii=False),
        '{"ID": 2, "姓名"',
        "",
        "[1, 2]",
        json.dumps({"Day": "2026-01-02", "ID": "2", "姓名": {"a": 1}}),
        json.dumps({"ID": None, "姓名": ""}),
    ]
    stored = home.load(DATASET, RULES, gzip.compress("\n".join(lines).encode()), format="jsonl")
    assert (stored.parsed, stored.unparsed) == (3, 2)
    assert home.rows(DATASET, ["id", "name", "day", "_row"]) == [
        (1, "张三", date(2026, 1, 1), 1),
        (2, '{"a":1}', date(2026, 1, 2), 2),
        (None, None, None, 3),
    ]
    assert home.quarantined(stored, DATASET, ["_row", "_line"]) == [(2, '{"ID": 2, "姓名"'), (3, "[1, 2]")]


def test_excel_sheets_give_text_that_is_typed_like_any_other(home: Home) -> None:
    book = openpyxl.Workbook()
    book.create_sheet("Cover", 0).append(["cover"])
    sheet = book.create_sheet("People")
    sheet.append(["ID", "姓名", "Day"])
    sheet.append([1.0, "张三", date(2026, 1, 1)])
    sheet.append([None, None, None])
    sheet.append([2, "李四", "2026-01-02"])
    target = io.BytesIO()
    book.save(target)
    dataset = described(format="excel", sheet="People")
    assert read(home, target.getvalue(), "excel", dataset) == EXPECTED
    refused(
        home,
        target.getvalue(),
        "no sheet",
        "excel",
        dataset_of(*FIELDS, name="d.x", source=FileSource("x", "excel", sheet="Nobody")),
    )


def test_database_reads_keep_their_types(home: Home) -> None:
    fields = (ID, Field("amount", ColumnType("decimal", 18, 2), "amount"), Field("at", ColumnType("timestamp"), "at"))
    table = pa.table(
        {
            "AMOUNT": pa.array([Decimal("1.50"), None], pa.decimal128(12, 3)),
            "id": pa.array([1, 2], pa.int32()),
            "at": pa.array([datetime(2026, 1, 1, 8), None], pa.timestamp("us", "Asia/Shanghai")),
        }
    )
    dataset = dataset_of(*fields)
    home.load(dataset, RULES, arrow_stream(table), format="arrow", rows=2)
    assert home.rows(dataset, ["id", "amount", "at"]) == [
        (1, Decimal("1.50"), datetime(2026, 1, 1, 8)),
        (2, None, None),
    ]


def test_a_database_table_without_rows_is_an_empty_table(home: Home) -> None:
    schema = pa.schema([("ID", pa.int64()), ("姓名", pa.string()), ("Day", pa.string())])
    stored = home.load(DATASET, RULES, arrow_stream(schema.empty_table()), format="arrow", rows=0)
    assert (stored.parsed, stored.passed_files, stored.quarantine_files) == (0, (), ())


def test_parquet_files_are_read_by_column(home: Home, tmp_path: Path) -> None:
    table = pa.table(
        {"Day": [date(2026, 1, 1), date(2026, 1, 2)], "x": [0, 0], "姓名": ["张三", "李四"], "ID": ["1", "2"]}
    )
    target = io.BytesIO()
    pq.write_table(table, target)
    assert read(home, target.getvalue(), "parquet") == EXPECTED


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (gzip.compress(b"", mtime=0), "the file is empty"),
        (gzip.compress(TEXT.encode() * 1000, mtime=0)[:-20], "gzip file is truncated"),
        (gzip.compress(TEXT.encode(), mtime=0)[:-8] + bytes(8), "gzip file is damaged"),
        (b"\n\n", "names no columns"),
        (TEXT.encode("gb18030"), "no line of column names"),
        (b"ID,Day\n1,\n", "no column 姓名"),
        (TEXT.partition("\n")[0].encode() + ",姓名\n1,x,,y\n".encode(), "more than one column 姓名"),
    ],
)
def test_an_original_that_cannot_be_used_is_named_without_its_values(home: Home, content: bytes, message: str) -> None:
    refused(home, content, message)
    assert not list(home.lake.root.glob("d/t/data/**/*.parquet"))


def test_an_unknown_encoding_is_named(home: Home) -> None:
    refused(home, TEXT.encode(), "unknown encoding 'klingon'", dataset=described(encoding="klingon"))


def test_other_formats_that_are_broken_are_named(home: Home) -> None:
    refused(home, b"no workbook", "not an Excel workbook", "excel")
    for number, (content, format, message) in enumerate(
        [
            (b"PAR1 no", "parquet", "not a whole Parquet file"),
            (b"no stream at all", "arrow", "not a whole Arrow stream"),
            (b'{"ID": 1, "Day": null}\n', "jsonl", "no column 姓名"),
        ]
    ):
        dataset = dataset_of(*FIELDS, name=f"d.broken{number}")
        refused(home, content, message, format, dataset)  # type: ignore[arg-type]


def test_a_stream_that_was_cut_off_is_not_a_short_table(home: Home) -> None:
    names = pa.array([f"name {n}" for n in range(10_000)])
    table = pa.table({"ID": pa.array(range(10_000)), "姓名": names, "Day": pa.nulls(10_000, pa.string())})
    whole = arrow_stream(table)
    refused(home, whole[: len(whole) // 2], "not a whole Arrow stream", "arrow")
