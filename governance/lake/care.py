"""Lake care: remove files that nothing names. A crash or a refused swap leaves such files; nothing else does."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection, select

from governance.lake.lake import Lake
from governance.lake.plan import CATALOG
from governance.state.tables import batch, build
from governance.state.tables_lake import iceberg_tables, lake_file
from governance.state.values import BUILT, STORED


def remove_unreferenced(lake: Lake, *, older_than: timedelta) -> tuple[str, ...]:
    """Remove data, manifest and metadata files that are older and that no snapshot, batch or build names; their paths,
    sorted.

    `older_than` must be longer than any write takes: files of a running writer are named by nothing yet. Landed
    originals are not touched.
    """
    from governance.lake import iceberg

    before = lake.database.clock() - older_than
    with lake.database.read() as connection:
        tables = _tables(connection)
        named = {lake.root / path for path in _named(connection)}
    for table in tables:
        named |= iceberg.referenced(lake.database, lake.root, table)
    removed = []
    for table in tables:
        namespace, _, name = table.partition(".")
        for file in _files(lake.root / namespace / name, before):
            if file not in named:
                file.unlink(missing_ok=True)
                removed.append(file.relative_to(lake.root).as_posix())
    return tuple(sorted(removed))


def _tables(connection: Connection) -> tuple[str, ...]:
    columns = iceberg_tables.c
    rows = connection.execute(
        select(columns.table_namespace, columns.table_name).where(columns.catalog_name == CATALOG)
    )
    return tuple(f"{namespace}.{name}" for namespace, name in rows)


def _named(connection: Connection) -> Iterator[str]:
    """Paths that the plan, batches waiting for their verdict (stopped ones too) and builds name."""
    yield from connection.execute(select(lake_file.c.path)).scalars()
    for text in connection.execute(select(batch.c.stored).where(batch.c.stored.is_not(None))).scalars():
        stored = STORED.validate_json(text)
        yield from (file.path for file in (*stored.passed_files, *stored.quarantine_files))
    for text in connection.execute(select(build.c.built)).scalars():
        yield from (file.path for file in BUILT.validate_json(text).files)


def _files(folder: Path, before: datetime) -> Iterator[Path]:
    for file in folder.rglob("*"):
        if file.is_file() and file.stat().st_mtime < before.timestamp():
            yield file
