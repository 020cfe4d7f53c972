"""The landed originals of a batch, decrypted on the way into their parser. Nothing of them is written to disk."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import duckdb

from governance.catalog.types import DatabaseSource, Dataset, FileSource
from governance.errors import Damaged, SourceContentError
from governance.keys.frames import open_decrypted
from governance.keys.names import KeyName, KeyStore
from governance.state.values import Landed, LandedFile
from governance.store.parsers.arrow_file import open_arrow, open_excel, open_parquet
from governance.store.parsers.csv_file import open_csv
from governance.store.parsers.jsonl_file import open_jsonl
from governance.store.parsers.relation import Relation
from governance.store.parsers.text import GZIP_MAGIC

log = logging.getLogger("governance.store")

LANDED_GROUP = "landed"


def key_of(file: LandedFile, dataset: Dataset) -> KeyName:
    """The dataset's landed key at the epoch that the file is under. Damaged when its manifest names any other key."""
    first = KeyName(dataset.department, dataset.name, LANDED_GROUP)
    key = KeyName.parse(file.key) if file.key else first
    if replace(key, epoch=1) != first:
        raise Damaged("its manifest names a key that is not the dataset's", where=file.path)
    return key


@dataclass(frozen=True, slots=True)
class Originals:
    """A batch's landed files and the grant under which they are read. Calling it gives each file, opened for a connection."""

    landed: Landed
    dataset: Dataset
    root: Path
    scratch: Path
    keystore: KeyStore
    grant_id: str
    look_first: bool = True
    """Whether delimited files are looked at before they are read; if not, reading one may raise `Guessed`."""

    def __call__(self, con: duckdb.DuckDBPyConnection) -> Iterator[AbstractContextManager[Relation]]:
        if not self.landed.files:
            raise SourceContentError("nothing was landed", where=self.landed.batch, do="collect it again")
        for file in sorted(self.landed.files, key=lambda f: f.name):
            yield self._opened(con, file)

    def most_rows(self) -> int:
        """No batch has more rows than this: a record takes at least a byte a column, and gzip shrinks at most 1,032 times."""
        return sum(self._most_rows(file) for file in self.landed.files)

    def _most_rows(self, file: LandedFile) -> int:
        if file.rows is not None:
            return file.rows
        packed = self.landed.format in ("excel", "parquet")
        if not packed:
            with self._open(file) as source:
                packed = source.read(2) == GZIP_MAGIC
        return file.size_bytes * (1_032 if packed else 1) // max(2, len(self.dataset.fields)) + 1

    def _open(self, file: LandedFile) -> BinaryIO:
        key = key_of(file, self.dataset)
        path = self.root / file.path
        return open_decrypted(path, file.wrapped_key, keystore=self.keystore, key=key, grant_id=self.grant_id)

    @contextmanager
    def _opened(self, con: duckdb.DuckDBPyConnection, file: LandedFile) -> Iterator[Relation]:
        with ExitStack() as stack:
            source = stack.enter_context(self._open(file))
            relation = stack.enter_context(self._parsed(con, source, file))
            if relation.ignored:
                log.info(
                    "%s: columns that the contract does not name: %s", self.landed.batch, ", ".join(relation.ignored)
                )
            try:
                yield relation
            except duckdb.Error:
                error = relation.source_error()
                if error is None:
                    raise
                raise error from None

    def _parsed(
        self, con: duckdb.DuckDBPyConnection, source: BinaryIO, file: LandedFile
    ) -> AbstractContextManager[Relation]:
        where = f"{self.dataset.name}: {file.name}"
        fields = self.dataset.fields
        described = self.dataset.source
        encoding, delimiter, sheet = "utf-8", ",", None
        if described is not None and not isinstance(described, DatabaseSource):
            encoding, delimiter = described.encoding, described.delimiter
            sheet = described.sheet if isinstance(described, FileSource) else None
        if file.size_bytes == 0:
            raise SourceContentError(
                "the file is empty", where=where, do="land it again when the source has written it"
            )
        match self.landed.format:
            case "csv":
                return open_csv(
                    con,
                    source,
                    fields,
                    encoding=encoding,
                    delimiter=delimiter,
                    scratch=self.scratch,
                    where=where,
                    look_first=self.look_first,
                )
            case "jsonl":
                return open_jsonl(con, source, fields, encoding=encoding, scratch=self.scratch, where=where)
            case "excel":
                return open_excel(con, source, fields, sheet=sheet, where=where)
            case "parquet":
                return open_parquet(con, source, fields, where=where)
            case "arrow":
                return open_arrow(con, source, fields, where=where)
