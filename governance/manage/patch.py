"""A steward's patch file: a CSV with `_batch`, `_row` and the columns to correct, as `gov quarantine export` writes it.

    cell with text      the value, as the source would have sent it (dates in ISO 8601 or in the contract's format)
    empty cell          stays as it is; of an unparsed line: no value (a line with empty cells only is left alone)
    \\N                  no value; what else is marked in a cell: `patch_cells.py`
    column not there    stays as it is

Columns whose name ends with ` (masked)`, `_reasons`, `_state` and `_line` tell the steward something and are not read.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv

from governance.catalog.types import Dataset
from governance.errors import SourceContentError

MASKED = " (masked)"
TOLD = ("_reasons", "_state", "_line")


def read_patch(file: Path, dataset: Dataset) -> pa.Table:
    """The patch as text columns: `batch`, `key` (int64, see `items`), and the fields that it has, named `f<position in the contract>`.

    Raises SourceContentError for a file that is no patch, names a column or row wrongly, or names a row twice; never with a value of it.
    """
    table = _read(file)
    names = {f.name: position for position, f in enumerate(dataset.fields)}
    unknown = [n for n in table.column_names if n not in ("_batch", "_row", *TOLD, *names) and not n.endswith(MASKED)]
    if missing := [n for n in ("_batch", "_row") if n not in table.column_names]:
        raise _wrong(file, f"no column {', '.join(missing)}", "begin with what gov quarantine export writes")
    if len(set(table.column_names)) < len(table.column_names):
        raise _wrong(file, "a column is there twice", "keep one")
    if unknown:
        found = f"{len(unknown)} columns that the contract does not name"
        raise SourceContentError(found, where=file.name, allowed=", ".join(names), do="correct the header")
    fields = [n for n in table.column_names if n in names]
    given = {"batch": table.column("_batch"), "key": _keys(table.column("_row"))}
    patch = pa.table({**given, **{f"f{names[n]}": table.column(n) for n in fields}})
    if patch.column("key").null_count:
        at = pc.index(pc.is_null(patch.column("key")), True).as_py() + 2
        raise _wrong(file, f"record {at} has no row number", "write 12, or L12 for an unparsed line")
    if patch.group_by(["batch", "key"]).aggregate([]).num_rows < patch.num_rows:
        raise _wrong(file, "a row is there twice", "keep one")
    return _without_untouched_lines(patch)


def fields_of(patch: pa.Table, dataset: Dataset) -> tuple[str, ...]:
    """Names of the fields that the patch corrects, in the contract's order."""
    return tuple(f.name for position, f in enumerate(dataset.fields) if f"f{position}" in patch.column_names)


def _read(file: Path) -> pa.Table:
    try:
        with file.open("rb") as source:
            names = csv.open_csv(source, parse_options=_PARSE).schema.names
        types = dict.fromkeys(names, pa.string())
        convert = csv.ConvertOptions(column_types=types, strings_can_be_null=False)
        return csv.read_csv(file, parse_options=_PARSE, convert_options=convert)
    except OSError:
        raise SourceContentError("cannot be read", where=file.name, do="give a CSV file") from None
    except (pa.ArrowException, UnicodeDecodeError):
        raise SourceContentError("is not a CSV file in UTF-8", where=file.name, do="save it as CSV UTF-8") from None


_PARSE = csv.ParseOptions(newlines_in_values=True)


def _keys(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Row numbers as keys; NULL where the text is none."""
    with duckdb.connect(config={"temp_directory": ""}) as con:
        con.register("given", pa.table({"t": texts}))
        query = """
            SELECT CASE WHEN regexp_full_match(t, 'L[0-9]{1,18}') THEN -TRY_CAST(substr(t, 2) AS BIGINT)
                        WHEN regexp_full_match(t, '[0-9]{1,18}') THEN TRY_CAST(t AS BIGINT) END AS key
            FROM (SELECT trim(t) AS t FROM given)"""
        return con.sql(query).to_arrow_table().column("key")


def _without_untouched_lines(patch: pa.Table) -> pa.Table:
    """Unparsed lines of which no cell is filled in are as they were exported: the patch does not speak of them."""
    touched = pc.greater(patch.column("key"), 0)
    for name in patch.column_names[2:]:
        touched = pc.or_(touched, pc.not_equal(patch.column(name), ""))
    return patch.filter(touched)


def _wrong(file: Path, found: str, do: str) -> SourceContentError:
    return SourceContentError(found, where=file.name, do=do)
