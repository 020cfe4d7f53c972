"""Reading a snapshot: which reader for which file, and the SQL that joins them under the schema of that snapshot.

A file is read by DuckDB, by field id, when none of the columns asked for is encrypted in it; else by a
`pyarrow.dataset` that decrypts (files of one schema and one set of keys make one dataset, columns are named by id). The
key rights are checked before any file is opened, because PyArrow aborts the process on a denied key.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
from sqlglot import exp

from governance.errors import Refused
from governance.keys.names import KeyStore
from governance.lake.kms import decryption
from governance.lake.plan import PlannedFile
from governance.lake.schema import LakeColumn, LakeSchema, Metadata, arrow_schema, duckdb_type
from governance.lake.writer import FOOTER_ID


@dataclass(frozen=True, slots=True)
class Reading:
    """One table to read: the wanted columns of the snapshot's schema, files that need no key, and groups of files that
    do.
    """

    columns: tuple[LakeColumn, ...]
    clear: tuple[PlannedFile, ...]
    encrypted: tuple[tuple[PlannedFile, ...], ...]

    @property
    def keys(self) -> frozenset[str]:
        """Names of exactly the keys that this reading unwraps, the footers' among them."""
        wanted = {column.id for column in self.columns} | {FOOTER_ID}
        return frozenset(
            name for group in self.encrypted for file in group for key, name in file.keys.items() if key in wanted
        )


def reading(schema: LakeSchema, files: Sequence[PlannedFile], columns: Sequence[str]) -> Reading:
    """Choose the reader of each file. Raises Refused for a column that the snapshot's schema does not have."""
    known = {column.name: column for column in schema.columns}
    if absent := sorted(set(columns) - set(known)):
        raise Refused(f"no column {', '.join(absent)}", where="lake", allowed="columns of the snapshot's schema")
    wanted = tuple(known[name] for name in columns)
    ids = {column.id for column in wanted}
    clear: list[PlannedFile] = []
    groups: dict[tuple[object, ...], list[PlannedFile]] = {}
    for file in files:
        if ids.isdisjoint(file.keys):
            clear.append(file)
        else:
            groups.setdefault((file.schema_id, *sorted(file.keys.items())), []).append(file)
    return Reading(wanted, tuple(clear), tuple(map(tuple, groups.values())))


class Decrypting(ds.UnionDataset):  # type: ignore[misc]
    """A dataset whose scan starts without the interpreter's lock.

    `Scanner.to_reader` starts its threads while it holds that lock and may wait for one that unwraps a key, which needs
    it: a deadlock, met with two encrypted files. `to_batches` lets go of it.
    """

    def scanner(self, **options: object) -> _Scan:
        """A scan, as DuckDB takes it, that reads little ahead: what is decrypted and not yet used stays small."""
        return _Scan(super().scanner(**{**options, "batch_readahead": 4, "fragment_readahead": 2}))


@dataclass(frozen=True, slots=True)
class _Scan:
    scanner: ds.Scanner

    def to_reader(self) -> pa.RecordBatchReader:
        return pa.RecordBatchReader.from_batches(self.scanner.projected_schema, self.scanner.to_batches())


def attach(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    read: Reading,
    metadata: Metadata,
    *,
    root: Path,
    keystore: KeyStore,
    grant_id: str | None,
) -> str:
    """A SELECT over all files, for `connection`, where the datasets that decrypt are registered under names made from
    `name`.
    """
    selects = []
    if read.clear:
        selects.append(_clear(read, root))
    if read.encrypted:
        if grant_id is None:
            raise Refused("encrypted columns are read under a grant only", where="lake")
        config = decryption(keystore, grant_id)
        for number, group in enumerate(read.encrypted):
            schema = metadata.schemas[group[0].schema_id]
            registered = f"__lake_{name}_{number}"
            files = _dataset(group, schema, root, config)
            connection.register(registered, Decrypting(files.schema, [files]))
            selects.append(_decrypted(read, schema, group[0], registered))
    if not selects:
        selects.append(exp.select(*_empty(read.columns)).where(exp.false()).sql("duckdb"))
    return " UNION ALL ".join(selects)


def _clear(read: Reading, root: Path) -> str:
    """DuckDB by field id: renamed columns are found, added ones are NULL, narrower ones widened."""
    files = ", ".join(_text(str(root / file.file.path)) for file in read.clear)
    entries = ", ".join(
        f"{column.id}: {{name: {_text(column.name)}, type: {_text(duckdb_type(column.type))}, default_value: NULL}}"
        for column in read.columns
    )
    names = ", ".join(quoted(column.name) for column in read.columns)
    # S608: quoted identifiers and literals only
    return f"SELECT {names} FROM read_parquet([{files}], schema = MAP {{{entries}}})"  # noqa: S608


def _decrypted(read: Reading, written: LakeSchema, file: PlannedFile, registered: str) -> str:
    there = written.by_id()
    parts = []
    for column in read.columns:
        source = quoted(there[column.id].name) if column.id in there else "NULL"
        parts.append(f"CAST({source} AS {duckdb_type(column.type)}) AS {quoted(column.name)}")
    return f"SELECT {', '.join(parts)} FROM {quoted(registered)}"  # noqa: S608


def _dataset(
    group: Sequence[PlannedFile], schema: LakeSchema, root: Path, config: ds.ParquetDecryptionConfig
) -> ds.Dataset:
    options = ds.ParquetFragmentScanOptions(decryption_config=config)
    paths = [str(root / file.file.path) for file in group]
    return ds.dataset(
        paths, schema=arrow_schema(schema), format=ds.ParquetFileFormat(default_fragment_scan_options=options)
    )


def _empty(columns: Sequence[LakeColumn]) -> Iterator[exp.Expr]:
    for column in columns:
        kind = exp.DataType.build(duckdb_type(column.type), dialect="duckdb")
        yield exp.alias_(exp.Cast(this=exp.null(), to=kind), column.name, quoted=True)


def quoted(name: str) -> str:
    """A DuckDB identifier."""
    return exp.to_identifier(name, quoted=True).sql("duckdb")


def _text(value: str) -> str:
    return exp.Literal.string(value).sql("duckdb")
