"""A home in `tmp_path` with a real state database and keyring, and makers of datasets for every kind of source."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from governance.catalog.types import ColumnType, Dataset, Field, LoadMode, Source
from governance.collect import collect
from governance.config import Settings
from governance.keys import grants
from governance.keys.frames import open_decrypted
from governance.keys.keyring import Keyring
from governance.keys.names import KeyName
from governance.state.database import Database
from governance.state.values import Actor, Landed, LandedFile, Window

DAY = datetime(2026, 3, 1, tzinfo=UTC)
KEY = KeyName("water", "water.meters", "landed")


def day(number: int) -> Window:
    """The window of one day, counted from 0."""
    return Window(DAY + timedelta(days=number), DAY + timedelta(days=number + 1))


def meters(source: Source | None, load_mode: LoadMode = "full", watermark: str | None = None) -> Dataset:
    """A dataset with three fields, one of which has another name in its source."""
    fields = (
        Field("meter", ColumnType("integer"), "Meter", required=True, primary_key_position=1),
        Field("holder", ColumnType("string"), "holder"),
        Field("read_at", ColumnType("timestamp"), "ReadAt"),
    )
    return Dataset(
        name="water.meters",
        department="water",
        system="metering",
        version="1.0.0",
        fields=fields,
        source=source,
        file="catalog/water/meters.odcs.yaml",
        text_hash="0" * 64,
        load_mode=load_mode,
        watermark=watermark,
    )


@dataclass(frozen=True)
class Home:
    """What a test collects into."""

    settings: Settings
    database: Database
    keystore: Keyring
    runs: Iterator[int]

    def collect(self, dataset: Dataset, window: Window | None = None, *, run: str = "", **options: Any) -> Landed:
        """Collect the first day, or `window`, in a run of its own or in the named one."""
        actor = Actor("service:collect@water", "pipeline.collect", run or f"run-{next(self.runs)}")
        parts = {"settings": self.settings, "database": self.database, "keystore": self.keystore, "actor": actor}
        return collect(dataset, window or day(0), **parts, **options)

    def opened(self, path: Path, wrapped_key: str) -> bytes:
        """What an encrypted file holds."""
        actor = Actor("service:store@water", "pipeline.store", "reading")
        with self.database.unit_of_work() as tx:
            grant = grants.issue(tx, actor=actor, keys=[KEY], database=self.database)
        with open_decrypted(path, wrapped_key, keystore=self.keystore, key=KEY, grant_id=grant.id) as stream:
            return stream.read()

    def bytes_of(self, file: LandedFile) -> bytes:
        return self.opened(self.settings.lake / file.path, file.wrapped_key)

    def landed_files(self) -> list[str]:
        """Every file below the landing folder, without the ones kept aside."""
        files = (p.relative_to(self.settings.landed) for p in self.settings.landed.rglob("*") if p.is_file())
        return sorted(p.as_posix() for p in files if p.parts[0] != "_rejected")


def open_home(folder: Path) -> Home:
    var = folder / "var"
    settings = Settings(
        home=folder,
        catalog=folder / "catalog",
        expectations=folder / "expectations",
        var=var,
        keyring=folder / "keys",
        database_url=f"sqlite:///{var / 'state.sqlite'}",
    )
    database = Database(settings.database_url)
    database.create()
    return Home(settings, database, Keyring(settings.keyring, database), itertools.count(1))
