"""Delimited text: DuckDB's parser on the decrypted file, or behind a named pipe when its text is transcoded or unpacked on the way.

Lines that the parser rejects are kept with their record number.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import duckdb
import pyarrow as pa
import sqlglot
from sqlglot import exp

from governance.catalog.types import Field
from governance.errors import SourceContentError
from governance.store.parsers.quoted_lines import ONE_PIECE_BYTES, Look, looked
from governance.store.parsers.relation import UNPARSED, Relation, literal, places, quoted, raw_name
from governance.store.parsers.seekable import seekable
from governance.store.parsers.text import is_plain, pipe, utf8_chunks

_LONGEST_HEADER_BYTES = 1 << 20


@contextmanager
def open_csv(
    con: duckdb.DuckDBPyConnection,
    source: BinaryIO,
    fields: Sequence[Field],
    *,
    encoding: str,
    delimiter: str,
    scratch: Path,
    where: str,
    look_first: bool = True,
) -> Iterator[Relation]:
    """The relation of one delimited file whose first record names the columns. Without `look_first` reading it may raise `Guessed`."""
    direct = is_plain(source, encoding)
    following = Look() if direct and not look_first and source.seek(0, io.SEEK_END) > ONE_PIECE_BYTES else None
    source.seek(0)
    chunks = utf8_chunks(source, encoding, where)
    if following is not None:
        serial = False
    elif direct:
        look = looked(source)
        look.require_closed(where)
        serial = look.serial
    else:
        chunks, serial = _seen(chunks, where)
    start, header = _header(chunks, delimiter, where)
    found, ignored = places(header, fields, where)
    columns = ", ".join(
        f"{quoted(_column(found[f.name]))} AS {quoted(raw_name(position))}" for position, f in enumerate(fields)
    )
    con.execute("DROP TABLE IF EXISTS reject_errors; DROP TABLE IF EXISTS reject_scans")
    with ExitStack() as stack:
        path, finish, source_error = stack.enter_context(
            _sought(con, source, following) if direct else _piped(itertools.chain([start], chunks), scratch)
        )

        def rejected() -> pa.Table:
            finish()
            return rejects(con)

        yield Relation(
            f"SELECT {columns} FROM {_read_csv(path, len(header), delimiter, serial=serial)}",  # noqa: S608
            rejected,
            ignored=ignored,
            source_error=source_error,
        )


def _seen(chunks: Iterator[bytes], where: str) -> tuple[Iterator[bytes], bool]:
    """The chunks, and whether they are to be read serially: a file that is longer than one piece is looked at while it goes through."""
    look, held = Look(), list[bytes]()
    for chunk in chunks:
        look.feed(chunk)
        held.append(chunk)
        if look.size > ONE_PIECE_BYTES:
            break
    else:
        return iter(held), look.serial

    def rest() -> Iterator[bytes]:
        for chunk in chunks:
            look.feed(chunk)
            yield chunk
        look.require_closed(where)

    return itertools.chain(held, rest()), True


_Opened = tuple[str, Callable[[], None], Callable[[], BaseException | None]]
"""Path for the parser; what to call at the end, which raises what broke the source off; what the source raised so far."""


@contextmanager
def _sought(con: duckdb.DuckDBPyConnection, source: BinaryIO, following: Look | None) -> Iterator[_Opened]:
    with seekable(con, source, following) as opened:

        def finish() -> None:
            if opened.error is not None:
                raise opened.error
            if following is not None:
                following.require_followed(opened.size_bytes)

        yield opened.path, finish, lambda: opened.error


@contextmanager
def _piped(chunks: Iterator[bytes], scratch: Path) -> Iterator[_Opened]:
    with pipe(chunks, scratch) as feeder:
        yield str(feeder.path), feeder.finish, feeder.source_error


def _read_csv(path: str, width: int, delimiter: str, *, serial: bool) -> str:
    """The table function; `serial`: one thread reads from the first record to the last, so that none is guessed."""
    columns = ", ".join(f"{literal(_column(position))}: 'VARCHAR'" for position in range(width))
    return (
        f"read_csv({literal(path)}, auto_detect = false, header = true, columns = {{{columns}}}, delim = {literal(delimiter)},"
        " quote = '\"', escape = '\"', nullstr = '', strict_mode = true, null_padding = false, store_rejects = true, rejects_limit = 0,"
        f" parallel = {str(not serial).lower()})"
    )


def _column(position: int) -> str:
    return f"f{position}"


def _header(chunks: Iterator[bytes], delimiter: str, where: str) -> tuple[bytes, list[str]]:
    """The start of the file up to a chunk that holds the whole first record, and that record."""
    start = b""
    for chunk in chunks:
        start += chunk
        end = _end_of_record(start)
        if end is not None or len(start) > _LONGEST_HEADER_BYTES:
            break
    else:
        end = len(start)
    try:
        header = next(csv.reader([start[:end].decode("utf-8")], delimiter=delimiter, strict=True), [])
    except (UnicodeDecodeError, csv.Error):
        raise SourceContentError(
            "the first line is no line of column names in this encoding",
            where=where,
            do="correct gov.encoding or gov.delimiter in the contract",
        ) from None
    if not any(name.strip() for name in header):
        raise SourceContentError("the first line names no columns", where=where, do="land a file with a header")
    return start, header


def _end_of_record(text: bytes) -> int | None:
    """Where the first record ends (a line end outside quotes), or None when it goes on."""
    end = -1
    while (end := text.find(b"\n", end + 1)) >= 0:
        if text.count(b'"', 0, end) % 2 == 0:
            return end
    return None


def rejects(con: duckdb.DuckDBPyConnection, *, header: bool = True) -> pa.Table:
    """One row per rejected record, whatever the number of its errors; record numbers do not count the header."""
    there = con.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'reject_errors'").fetchall()
    if there[0][0] == 0:
        return UNPARSED.empty_table()
    record = exp.cast(exp.column("line", quoted=True), "BIGINT") - exp.Literal.number(int(header))
    raw = "trim(any_value(csv_line), chr(10) || chr(13))"
    query = exp.select(record.as_("record"), sqlglot.parse_one(raw, dialect="duckdb").as_("raw"))
    rows = con.sql(query.from_("reject_errors").group_by("1").order_by("1").sql("duckdb"))
    return rows.to_arrow_table().rename_columns(UNPARSED.names).cast(UNPARSED)
