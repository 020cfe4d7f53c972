"""A lake copied without its keyring: what a thief gets out of every encrypted column, with our own reader and with plain PyArrow.

The thief is given everything but the keys: the lake, the landed originals and the state database, so that grants can be forged at will.
The same reader is then given the keys too: it must read every column, else its failure as a thief would prove nothing.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from governance import workers
from governance.config import Settings
from governance.errors import GovernanceError
from governance.workers import Limits

LIMITS = Limits(memory_mb=2048, seconds=120)


@dataclass(frozen=True, slots=True)
class Theft:
    """How many encrypted columns (file by file) were tried, and how many gave a value."""

    columns: int
    given_to_our_reader: int
    given_to_plain_pyarrow: int
    given_with_the_keys: int
    """The control: columns that the same reader reads with the keyring. Columns of tables, not of files, like `given_to_our_reader`."""
    columns_of_tables: int


def steal(settings: Settings) -> Theft:
    """Copy the lake and the state of `settings` without the keyring, and try to read every encrypted column of it."""
    with tempfile.TemporaryDirectory(prefix="stolen-") as folder:
        home = _copy(settings, Path(folder))
        columns = encrypted_columns(home)
        request = {
            "lake": str(home.lake),
            "columns": columns,
            "database_url": home.database_url,
            "home": str(home.home),
            "keyring": str(home.keyring),
        }
        owner = {**request, "keyring": str(settings.keyring)}
        attempts = ((request, with_our_reader), (request, with_plain_pyarrow), (owner, with_our_reader))
        with ThreadPoolExecutor(2) as side_by_side:
            ours, plain, control = side_by_side.map(_given, *zip(*attempts, strict=True))
    return Theft(len(columns), ours, plain, control, len({(table, column) for table, _, column in columns}))


def encrypted_columns(settings: Settings) -> list[tuple[str, str, str]]:
    """(table, file relative to the lake, column) of every encrypted column of every file that a snapshot of now names."""
    from sqlalchemy import select

    from governance.keys.keyring import Keyring
    from governance.lake.lake import Lake
    from governance.state.database import Database
    from governance.state.tables_lake import lake_file

    database = Database(settings.database_url)
    lake = Lake(settings, database, Keyring(settings.keyring, database))
    with database.read() as connection:
        tables = sorted(connection.execute(select(lake_file.c.table_name).distinct()).scalars())
    found = [
        (table, file.path, column)
        for table in tables
        for file in lake.files(table, lake.snapshot(table))
        for column in file.encrypted
    ]
    database.close()
    return found


def with_our_reader(request: dict[str, Any], _inputs: Mapping[str, Any], _emit: Callable[..., None]) -> dict[str, Any]:
    """A worker's entry: read each column through `Lake.scan` under a grant that the thief wrote, with an empty keyring."""
    from governance.keys import grants
    from governance.keys.keyring import Keyring
    from governance.lake.lake import Lake
    from governance.state.database import Database
    from governance.state.values import Actor

    settings = replace(
        _thief(Path(request["home"]), Path(request["lake"]), request["database_url"]), keyring=Path(request["keyring"])
    )
    database = Database(settings.database_url)
    lake = Lake(settings, database, Keyring(settings.keyring, database))
    given = 0
    for table, column in sorted({(table, column) for table, _, column in request["columns"]}):
        snapshot = lake.snapshot(table)
        assert snapshot is not None
        with database.unit_of_work() as tx:
            keys = lake.keys(table, snapshot, [column])
            grant = grants.issue(tx, actor=Actor("user:thief", "theft", "theft"), keys=keys, database=database)
        try:
            given += sum(batch.num_rows for batch in lake.scan(table, snapshot, [column], grant_id=grant.id)) > 0
        except (GovernanceError, OSError, RuntimeError):
            continue
    return {"given": given}


def with_plain_pyarrow(
    request: dict[str, Any], _inputs: Mapping[str, Any], _emit: Callable[..., None]
) -> dict[str, Any]:
    """A worker's entry: read each column of each file with PyArrow alone."""
    import pyarrow.parquet as pq

    given = 0
    for _, path, column in request["columns"]:
        try:
            given += pq.ParquetFile(Path(request["lake"]) / path).read(columns=[column]).num_rows > 0
        except (OSError, RuntimeError):
            continue
    return {"given": given}


def _given(request: dict[str, Any], entry: Callable[..., dict[str, Any]]) -> int:
    """What a child got. Raises WorkerFailed when it died: then nobody knows."""
    with workers.start(f"{__name__}:{entry.__name__}", request, limits=LIMITS) as worker:
        return int(worker.result()["given"])


def _copy(settings: Settings, folder: Path) -> Settings:
    shutil.copytree(settings.lake, folder / "lake")
    url = settings.database_url
    if url.startswith("sqlite:///"):
        database = Path(url.removeprefix("sqlite:///"))
        for file in database.parent.glob(database.name + "*"):
            shutil.copy(file, folder / file.name)
        url = f"sqlite:///{folder / database.name}"
    thief = _thief(folder, folder / "lake", url)
    return replace(thief, var=folder)


def _thief(home: Path, lake: Path, url: str) -> Settings:
    return Settings(
        home=home,
        catalog=home / "catalog",
        expectations=home / "expectations",
        var=lake.parent,
        keyring=home / "no-keys",
        database_url=url,
    )
