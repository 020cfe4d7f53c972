"""JSON lines: one object a line. A line that is no JSON object stays in its place, marked by its raw text."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import duckdb
import pyarrow as pa

from governance.catalog.types import Field
from governance.store.parsers.csv_file import rejects
from governance.store.parsers.relation import LINE, Relation, literal, quoted, raw_name
from governance.store.parsers.text import pipe, utf8_chunks

_NO_DELIMITER = "\x01"
"""No JSON text holds it: a line that does is rejected, and kept."""

_LOOK_LINES = 1_000


@contextmanager
def open_jsonl(
    con: duckdb.DuckDBPyConnection,
    source: BinaryIO,
    fields: Sequence[Field],
    *,
    encoding: str,
    scratch: Path,
    where: str,
) -> Iterator[Relation]:
    """The relation of one file of JSON objects; values come as their JSON text, objects and lists included, null as NULL.

    A field that no object of the file has is a missing column (see `doubtful`); blank lines do not count.
    """
    chunks = utf8_chunks(source, encoding, where)
    start = next(chunks, b"")
    present = _names(start)
    absent = frozenset(f.name for f in fields if f.source_name not in present)
    ignored = tuple(sorted(present - {f.source_name for f in fields}))
    with pipe(itertools.chain([start], chunks), scratch) as feeder:

        def rejected() -> pa.Table:
            feeder.finish()
            return rejects(con, header=False)

        con.execute("DROP TABLE IF EXISTS reject_errors; DROP TABLE IF EXISTS reject_scans")
        yield Relation(
            _select(feeder.path, fields),
            rejected,
            has_lines=True,
            ignored=ignored,
            source_error=feeder.source_error,
            doubtful=absent if present else frozenset(),
        )


def _names(start: bytes) -> set[str]:
    """Names that the first objects of the file have; none when the first lines hold no object."""
    names: set[str] = set()
    for line in start.splitlines()[:_LOOK_LINES]:
        try:
            found = json.loads(line)
        except ValueError:
            continue
        names |= set(found) if isinstance(found, dict) else set()
    return names


def _select(path: Path, fields: Sequence[Field]) -> str:
    lines = (
        f"SELECT line FROM read_csv({literal(str(path))}, auto_detect = false, header = false, columns = {{'line': 'VARCHAR'}},"  # noqa: S608
        f" delim = {literal(_NO_DELIMITER)}, quote = '', escape = '', strict_mode = true, store_rejects = true, rejects_limit = 0)"
        " WHERE trim(line) <> ''"
    )
    is_object = "coalesce(json_valid(line) AND json_type(CASE WHEN json_valid(line) THEN line END) = 'OBJECT', FALSE)"
    checked = f"SELECT line, {is_object} AS ok FROM ({lines})"  # noqa: S608
    paths = ", ".join(literal(f'$."{f.source_name}"') for f in fields)
    parsed = f"SELECT line, ok, json_extract_string(CASE WHEN ok THEN line END, [{paths}]) AS v FROM ({checked})"  # noqa: S608
    columns = ", ".join(f"v[{n + 1}] AS {quoted(raw_name(n))}" for n in range(len(fields)))
    return f"SELECT {columns}, CASE WHEN NOT ok THEN line END AS {quoted(LINE)} FROM ({parsed})"  # noqa: S608
