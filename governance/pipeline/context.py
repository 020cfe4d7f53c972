"""`Context`: one home, opened. What every command, task and page works with."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import select

from governance.catalog.load import load_catalogue, read_catalogue, reads_broken
from governance.catalog.types import Catalogue
from governance.config import Settings
from governance.errors import Fault, GovernanceError
from governance.keys.names import KeyStore
from governance.keys.open import open_keystore
from governance.lake.lake import Lake
from governance.state import texts
from governance.state.database import Clock, Database, utc_now
from governance.state.tables_lake import iceberg_tables


@dataclass(frozen=True, slots=True)
class Context:
    """Settings, declarations and the three things with state: database, keystore, lake."""

    settings: Settings
    catalogue: Catalogue
    database: Database
    keystore: KeyStore
    lake: Lake
    faults: tuple[Fault, ...] = ()
    """Of declarations that are left out, in a home that was opened for its sound ones."""


def open_context(
    settings: Settings, *, clock: Clock = utc_now, catalogue: Catalogue | None = None, sound_only: bool = False
) -> Context:
    """Open a home: load its catalogue, bring its database up to date and record the declarations that are in force from now.

    `catalogue` is what the caller has loaded already and knows to be what the files say now. Raises DeclarationError with every fault of
    the catalogue; with `sound_only` the declarations at fault, and what reads them, are left out instead, and their faults are in `faults`.
    """
    faults: tuple[Fault, ...] = ()
    if catalogue is None and sound_only:
        catalogue, faults = sound_catalogue(settings)
    catalogue = catalogue or load_catalogue(settings)
    settings.var.mkdir(parents=True, exist_ok=True)
    database = Database(settings.database_url, clock=clock)
    database.create()
    keystore = open_keystore(settings, database)
    lake = Lake(settings, database, keystore)
    _require_in_place(settings, database)
    context = Context(settings, catalogue, database, keystore, lake, faults)
    record_declarations(context)
    return context


def sound_catalogue(settings: Settings) -> tuple[Catalogue, tuple[Fault, ...]]:
    """What is in order, models that read what is not left out, and all faults."""
    loaded = read_catalogue(settings)
    models = {name: m for name, m in loaded.catalogue.models.items() if not reads_broken(m, loaded.broken)}
    left_out = loaded.broken | (set(loaded.catalogue.models) - set(models))
    return replace(loaded.catalogue, models=models, left_out=frozenset(left_out)), loaded.faults


def _require_in_place(settings: Settings, database: Database) -> None:
    """Iceberg's metadata names its files by absolute paths: a copied home would read, and write into, the one that it was copied from."""
    with database.read() as connection:
        query = select(iceberg_tables.c.metadata_location).where(iceberg_tables.c.metadata_location.is_not(None))
        location = connection.execute(query.limit(1)).scalar_one_or_none()
    path = Path((location or "").removeprefix("file://"))
    if location and not path.is_relative_to(settings.lake):
        raise GovernanceError(
            "the lake's tables lie elsewhere: this home was copied or moved",
            where=str(settings.lake),
            allowed="the folder in which they were written",
            do="put the home back where it was, or begin a new one and run its sources again",
        )


def record_declarations(context: Context) -> None:
    """Keep the texts of all declarations and what is in force from now on."""
    found = declared(context.catalogue)
    with context.database.read() as connection:
        if not texts.differs(connection, found):
            return
    with context.database.unit_of_work() as connection:
        texts.record(connection, found, at=context.database.clock())


def declared(catalogue: Catalogue) -> dict[tuple[str, str], tuple[str, str]]:
    """(kind, name) -> (sha256, text) of every declaration: what the state keeps of a catalogue."""
    hashes: dict[tuple[str, str], str] = {}
    for dataset in catalogue.datasets.values():
        hashes["contract", dataset.name] = dataset.text_hash
    for suite in catalogue.suites.values():
        hashes["suite", suite.dataset] = suite.text_hash
    for code_set in catalogue.code_sets.values():
        hashes["code_set", code_set.name] = code_set.text_hash
    for model in catalogue.models.values():
        hashes["model", model.name] = model.text_hash
        hashes["contract", model.name] = model.contract.text_hash
        for check in model.checks:
            hashes["check", f"{model.name}.{check.name}"] = check.text_hash
    found = {key: (sha256, catalogue.texts[sha256]) for key, sha256 in hashes.items()}
    access_hash = hashlib.sha256(catalogue.access_text.encode("utf-8")).hexdigest()
    found["access", "access"] = (access_hash, catalogue.access_text)
    return found
