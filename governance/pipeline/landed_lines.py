"""Lines of records in landed text files, counted as the parser counts: a worker opens the originals under a grant on their
key and gives numbers alone.

A record ends at a line end outside quotes (CSV) or at every line end (JSON lines); blank lines are none, and a CSV's first
record is its header. Lines that no parser accepted are left out by their numbers, which the quarantine has; in a CSV those
are sure only where every record is one line. What is left must be as many as the store pass parsed, else nothing is told
of the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from governance.config import from_request
from governance.errors import GovernanceError
from governance.keys.frames import open_decrypted
from governance.keys.names import KeyName
from governance.keys.open import open_keystore
from governance.state.database import Database
from governance.store.parsers.text import utf8_chunks

FOUND = pa.schema(
    [("batch", pa.string()), ("row", pa.int64()), ("file", pa.int32()), ("record", pa.int64()), ("line", pa.int64())]
)
_NEWLINE, _QUOTE = 10, 34
_SPACE = np.isin(np.arange(256), np.frombuffer(b" \t\r\n\x0b\x0c", dtype=np.uint8))

Ints = npt.NDArray[np.int64]


def lines(
    request: dict[str, Any],
    inputs: Mapping[str, pa.RecordBatchReader],
    emit: Callable[[pa.RecordBatchReader], None],
) -> dict[str, Any]:
    """Entry of the worker. Request: `settings`, `grant`, `batches` (id, format, encoding, parsed, unparsed (numbers), rows (-n: made of line n by correction),
    and files with path, wrapped_key and key, in the order of their names). Emits FOUND for the rows of batches that could be counted.
    """
    settings = from_request(request["settings"])
    database = Database(settings.database_url)
    keystore = open_keystore(settings, database)
    made = [FOUND.empty_table()]
    try:
        for batch in request["batches"]:

            def opened(file: Mapping[str, str]) -> Iterator[bytes]:
                key = KeyName.parse(file["key"])
                path = Path(request["root"]) / file["path"]
                with open_decrypted(
                    path, file["wrapped_key"], keystore=keystore, key=key, grant_id=request["grant"]
                ) as source:
                    yield from utf8_chunks(source, batch["encoding"], batch["id"])  # noqa: B023 - used at once

            counted = [starts(opened(file), quotes=batch["format"] == "csv") for file in batch["files"]]
            made.append(placed(batch, counted))
    finally:
        database.close()
    emit(pa.concat_tables(made).combine_chunks().to_reader())
    return {}


@dataclass(frozen=True, slots=True)
class Starts:
    """The line at which each record of a file starts, from 1, and which records are blank."""

    line: Ints
    blank: npt.NDArray[np.bool_]


def starts(chunks: Iterable[bytes], *, quotes: bool) -> Starts:
    """Starts of all records of one text.

    >>> starts([b'a,b\\n1,"x\\ny"\\n\\n2', b',z'], quotes=True).line.tolist()
    [1, 2, 4, 5]
    """
    line_parts, blank_parts = [], []
    inside, lines_before, begun, filled = 0, 0, 1, 0
    for chunk in chunks:
        data = np.frombuffer(chunk, dtype=np.uint8)
        if not data.size:
            continue
        newlines = np.flatnonzero(data == _NEWLINE)
        ends = newlines
        if quotes:
            depth = (np.cumsum(data == _QUOTE) + inside) & 1
            ends = newlines[depth[newlines] == 0]
            inside = int(depth[-1])
        solid = np.concatenate([[0], np.cumsum(~_SPACE[data])])
        if ends.size:
            after = lines_before + np.searchsorted(newlines, ends, side="right") + 1
            line_parts.append(np.concatenate([[begun], after[:-1]]))
            before = np.concatenate([[0], ends[:-1] + 1])
            held = solid[ends] - solid[before]
            held[0] += filled
            blank_parts.append(held == 0)
            begun, filled = int(after[-1]), int(solid[-1] - solid[ends[-1]])
        else:
            filled += int(solid[-1])
        lines_before += newlines.size
    if filled:
        line_parts.append(np.array([begun]))
        blank_parts.append(np.array([False]))
    empty: list[Any] = [np.zeros(0, dtype=np.int64)]
    return Starts(np.concatenate([*empty, *line_parts]), np.concatenate([np.zeros(0, dtype=bool), *blank_parts]))


def placed(batch: Mapping[str, Any], counted: Sequence[Starts]) -> pa.Table:
    """FOUND of one batch; nothing when the records do not add up."""
    header = 1 if batch["format"] == "csv" else 0
    files = whole = [found.line[~found.blank][header:] for found in counted]
    unparsed = np.array(sorted(batch["unparsed"]), dtype=np.int64)
    if unparsed.size:
        if header and any((np.diff(found.line) != 1).any() or found.blank.any() for found in counted):
            return FOUND.empty_table()
        ends = np.cumsum([0, *(lines.size for lines in files)])
        files = [
            np.delete(own, unparsed[(unparsed > a) & (unparsed <= b)] - a - 1)
            for own, a, b in zip(files, ends, ends[1:], strict=False)
        ]
    if sum(lines.size for lines in files) != batch["parsed"]:
        return FOUND.empty_table()
    rows = np.array(sorted(row for row in batch["rows"] if row > 0), dtype=np.int64)
    ends = np.cumsum([lines.size for lines in files])
    which = np.searchsorted(ends, rows)  # row n is the n-th record over all files
    if rows.size and which[-1] >= len(files):
        raise GovernanceError("a row beyond the records of its batch", where=batch["id"])
    record = rows - np.concatenate([[0], ends])[which]
    line = [int(files[f][r - 1]) for f, r in zip(which, record, strict=True)]
    told = pa.table([pa.array(rows), pa.array(which, pa.int32()), record, pa.array(line, pa.int64())], FOUND.names[1:])
    told = pa.concat_tables([told.cast(pa.schema(list(FOUND)[1:])), _corrected(batch, whole)])
    return told.add_column(0, FOUND.field(0), pa.array([batch["id"]] * told.num_rows, pa.string()))


def _corrected(batch: Mapping[str, Any], files: Sequence[Ints]) -> pa.Table:
    """FOUND without its batch, of rows that were made of lines by correction: their lines, and no number among the parsed records."""
    numbers = np.array(sorted(-row for row in batch["rows"] if row < 0), dtype=np.int64)
    ends = np.cumsum([lines.size for lines in files])
    which = np.searchsorted(ends, numbers)
    if numbers.size and which[-1] >= len(files):
        raise GovernanceError("a line beyond the records of its batch", where=batch["id"])
    place = numbers - np.concatenate([[0], ends])[which]
    line = [int(files[f][n - 1]) for f, n in zip(which, place, strict=True)]
    columns = [-numbers, which.astype(np.int32), pa.nulls(len(line), pa.int64()), pa.array(line, pa.int64())]
    return pa.table(columns, schema=pa.schema(list(FOUND)[1:]))
