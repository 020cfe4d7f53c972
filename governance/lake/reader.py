"""Reading a snapshot: the SQL that reads all its files under the schema of that snapshot.

DuckDB reads every file, by field id: renamed columns are found, added ones are NULL, narrower ones widened. Files in
which none of the columns asked for is encrypted are opened as they lie; of the others DuckDB is given a decrypted view
(`sealed.py`). The key rights are checked before any file is opened.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
from sqlglot import exp

from governance.errors import Refused
from governance.keys.names import KeyStore
from governance.lake.plan import PlannedFile
from governance.lake.schema import LakeColumn, LakeSchema, duckdb_type
from governance.lake.writer import FOOTER_ID


@dataclass(frozen=True, slots=True)
class Reading:
    """One table to read: the wanted columns of the snapshot's schema, files that need no key, and those that do."""

    columns: tuple[LakeColumn, ...]
    clear: tuple[PlannedFile, ...]
    encrypted: tuple[PlannedFile, ...]

    @property
    def keys(self) -> frozenset[str]:
        """Names of exactly the keys that this reading unwraps, the footers' among them."""
        wanted = {column.id for column in self.columns} | {FOOTER_ID}
        return frozenset(name for file in self.encrypted for key, name in file.keys.items() if key in wanted)


def reading(schema: LakeSchema, files: Sequence[PlannedFile], columns: Sequence[str]) -> Reading:
    """What is to be read. Raises Refused for a column that the snapshot's schema does not have."""
    known = {column.name: column for column in schema.columns}
    if absent := sorted(set(columns) - set(known)):
        raise Refused(f"no column {', '.join(absent)}", where="lake", allowed="columns of the snapshot's schema")
    wanted = tuple(known[name] for name in columns)
    ids = {column.id for column in wanted}
    clear = tuple(file for file in files if ids.isdisjoint(file.keys))
    return Reading(wanted, clear, tuple(file for file in files if not ids.isdisjoint(file.keys)))


def attach(
    connection: duckdb.DuckDBPyConnection, read: Reading, *, root: Path, keystore: KeyStore, grant_id: str | None
) -> str:
    """A SELECT over all files, for `connection`, which sees decrypted views of files as long as it lives."""
    paths = [str(root / file.file.path) for file in read.clear]
    if read.encrypted:
        if grant_id is None:
            raise Refused("encrypted columns are read under a grant only", where="lake")
        from governance.lake import plain_files
        from governance.lake.sealed import DataKeys

        wanted = {column.id for column in read.columns}
        files = [
            (root / file.file.path, {file.names[key] for key in file.keys if key in wanted}) for file in read.encrypted
        ]
        paths += plain_files.register(connection, files, DataKeys(keystore, grant_id))
    if not paths:
        return exp.select(*_empty(read.columns)).where(exp.false()).sql("duckdb")
    return _select(read.columns, paths)


def _select(columns: Sequence[LakeColumn], paths: Sequence[str]) -> str:
    entries = ", ".join(
        f"{column.id}: {{name: {_text(column.name)}, type: {_text(duckdb_type(column.type))}, default_value: NULL}}"
        for column in columns
    )
    names = ", ".join(quoted(column.name) for column in columns)
    # S608: quoted identifiers and literals only
    return f"SELECT {names} FROM read_parquet([{', '.join(map(_text, paths))}], schema = MAP {{{entries}}})"  # noqa: S608


def _empty(columns: Sequence[LakeColumn]) -> Iterator[exp.Expr]:
    for column in columns:
        kind = exp.DataType.build(duckdb_type(column.type), dialect="duckdb")
        yield exp.alias_(exp.Cast(this=exp.null(), to=kind), column.name, quoted=True)


def quoted(name: str) -> str:
    """A DuckDB identifier."""
    return exp.to_identifier(name, quoted=True).sql("duckdb")


def _text(value: str) -> str:
    return exp.Literal.string(value).sql("duckdb")
