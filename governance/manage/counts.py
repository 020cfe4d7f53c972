"""The conservation law's two sides: what the parser counted, and what the written files hold by their own account."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from governance.catalog.types import Dataset
from governance.errors import Damaged, StorageError
from governance.state.values import Counts, DataFile, Stored


def count(stored: Stored, dataset: Dataset, root: Path) -> Counts:
    """The batch's counts: parsed and unparsed as the parser said, passed and quarantined read from the files under `root`, without a key.

    Where versions are kept, files also hold rows of earlier batches, so those of this batch are counted by their `_batch`.
    Raises Damaged when a file is gone, holds another number of rows than it was written with, or the two sides differ.
    """
    quarantined = _footer_rows(stored.quarantine_files, root)
    passed = _footer_rows(stored.passed_files, root)
    if dataset.keeps_versions:
        passed = _own_rows(stored.passed_files, stored.batch, root)
    counts = Counts(stored.parsed, stored.unparsed, passed, quarantined, 0, stored.duplicates)
    if not counts.balanced:
        raise Damaged(
            f"{counts.parsed} records parsed and {counts.unparsed} lines unparsed, but {passed} passed, {quarantined} quarantined and"
            f" {counts.duplicates} declared duplicates",
            where=stored.batch,
            allowed="equal sums",
            do="store the batch again; nothing of it was let in",
        )
    return counts


def _footer_rows(files: Sequence[DataFile], root: Path) -> int:
    """Rows by the plain part of the Parquet footers."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    total = 0
    for file in files:
        try:
            rows = int(pq.read_metadata(root / file.path).num_rows)
        except FileNotFoundError:
            raise Damaged("a file of the batch is gone", where=file.path, do="store the batch again") from None
        except OSError as error:
            raise StorageError("a file of the batch cannot be read", where=file.path, do="try again") from error
        except pa.ArrowException:
            raise Damaged("a file of the batch is not Parquet", where=file.path, do="store the batch again") from None
        if rows != file.rows:
            raise Damaged(
                f"{rows} rows in the footer, {file.rows} were written", where=file.path, do="store the batch again"
            )
        total += rows
    return total


def _own_rows(files: Sequence[DataFile], batch: str, root: Path) -> int:
    """Rows whose clear column `_batch` names the batch."""
    import duckdb

    if not files:
        return 0
    query = "SELECT count(*) FROM read_parquet($files, hive_partitioning = false) WHERE _batch = $batch"
    with duckdb.connect(config={"temp_directory": ""}) as connection:
        row = connection.execute(query, {"files": [str(root / f.path) for f in files], "batch": batch}).fetchone()
    return int(row[0]) if row else 0
