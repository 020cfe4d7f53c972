"""Values with line ends in them, over the places where the parser begins anew: read as a reader that starts at the first byte reads them."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.catalog.types import ColumnType, Field
from governance.errors import SourceContentError
from governance.store.parsers import quoted_lines
from governance.store.parsers.csv_file import open_csv
from governance.store.parsers.quoted_lines import ONE_PIECE_BYTES, Guessed, Look, looked

FIELDS = (Field("n", ColumnType("integer"), "n"), Field("note", ColumnType("string"), "note"))
NOTE = 'a "quoted" word,\nthen a line like a record,\n' * 4_000
ROWS = 220


def written(rows: list[tuple[object, ...]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC).writerows([("n", "note"), *rows])
    return text.getvalue().encode()


def read(
    content: bytes, scratch: Path, encoding: str = "utf-8", *, look_first: bool = True
) -> tuple[tuple[object, ...], int]:
    """Count, sum of numbers and bytes of notes of what is parsed; and how many lines are not."""
    with (
        duckdb.connect(config={"threads": 2, "temp_directory": ""}) as con,
        open_csv(
            con,
            io.BytesIO(content),
            FIELDS,
            encoding=encoding,
            delimiter=",",
            scratch=scratch,
            where="x",
            look_first=look_first,
        ) as relation,
    ):
        totals = "count(*), sum(TRY_CAST(__c0 AS BIGINT)), sum(strlen(__c1))"
        (told,) = con.execute(f"SELECT {totals} FROM ({relation.sql})").fetchall()  # noqa: S608
        return told, relation.rejected().num_rows


@pytest.mark.parametrize("packed", [False, True])
def test_a_large_file_with_lines_in_its_values_is_read_whole(packed: bool, tmp_path: Path) -> None:
    content = written([(n, NOTE) for n in range(ROWS)])
    assert len(content) > 34_000_000  # the parser begins anew after 32 MB
    told = read(gzip.compress(content, 1) if packed else content, tmp_path)
    assert told == ((ROWS, sum(range(ROWS)), ROWS * len(NOTE)), 0)


def test_only_files_without_lines_in_values_are_parsed_by_all_threads(
    tmp_path: Path,
) -> None:
    def statement(content: bytes, encoding: str = "utf-8") -> str:
        with (
            duckdb.connect() as con,
            open_csv(
                con, io.BytesIO(content), FIELDS, encoding=encoding, delimiter=",", scratch=tmp_path, where="x"
            ) as relation,
        ):
            con.sql(relation.sql).fetchall()
            relation.rejected()
            return relation.sql

    assert "parallel = true" in statement(written([(1, "one, two")]))
    assert "parallel = false" in statement(written([(1, "one\ntwo")]))
    assert "parallel = true" in statement(written([(1, "one, two")]), "gb18030")
    assert "parallel = false" in statement(written([(1, "one\ntwo")]), "gb18030")


@given(
    st.lists(st.text('ab",\n\r', max_size=6), max_size=8),
    st.integers(1, 9),
)
def test_a_line_end_in_a_value_is_seen_wherever_the_file_is_cut(values: list[str], chunk: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quoted_lines, "_CHUNK_BYTES", chunk)
        source = io.BytesIO(written([(n, value) for n, value in enumerate(values)]))
        look = looked(source)
        assert (look.quoted, look.inside) == (any("\n" in value or "\r" in value for value in values), False)
        assert source.tell() == 0


@given(st.lists(st.text('ab",\n\r', max_size=6), max_size=8), st.lists(st.integers(1, 40), max_size=6))
def test_what_a_parser_reads_is_looked_at_wherever_it_begins_again(values: list[str], sizes: list[int]) -> None:
    content = written([(n, value) for n, value in enumerate(values)])
    look, at, guessed = Look(), 0, False
    try:
        for size in [*sizes, len(content)]:
            look.follow(content[at : at + size], at)
            look.follow(content[:at], 0)  # read once more: nothing new
            at = min(at + size, len(content))
        look.require_followed(len(content))
    except Guessed:
        guessed = True
    assert guessed == any("\n" in value or "\r" in value for value in values)
    with pytest.raises(Guessed):
        Look().follow(content, 1)  # a place that was never read
    with pytest.raises(Guessed):
        Look().require_followed(1)


def test_a_long_file_is_looked_at_while_it_is_read(tmp_path: Path) -> None:
    rows = [(n, "x" * 1_000_000) for n in range(33)]
    assert read(written(rows), tmp_path, look_first=False) == ((33, sum(range(33)), 33_000_000), 0)
    with pytest.raises(duckdb.Error, match="Guessed"):
        read(written([*rows, (33, "one\ntwo")]), tmp_path, look_first=False)
    with pytest.raises((Guessed, duckdb.Error)):
        read(written(rows) + b'33,"cut', tmp_path, look_first=False)


CUT = b'1,"one\ntwo"\n2,"thr'


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_a_last_record_whose_quote_is_not_closed_is_kept_as_a_line(encoding: str, tmp_path: Path) -> None:
    """A reader that begins at the first byte leaves it out, without a word."""
    for end in (b"", b"\n"):
        assert read(b"n,note\n" + CUT + end, tmp_path, encoding) == ((1, 1, 7), 1)


@pytest.mark.parametrize("packed", [False, True])
def test_a_long_file_that_ends_within_quotes_is_refused(packed: bool, tmp_path: Path) -> None:
    content = written([(n, "x" * 1_000_000) for n in range(32)]) + b'32,"cut'
    assert len(content) > ONE_PIECE_BYTES
    with pytest.raises(SourceContentError, match="an odd number of quotes"):
        read(gzip.compress(content, 1) if packed else content, tmp_path)
