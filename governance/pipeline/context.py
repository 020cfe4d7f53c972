"""`Context`: one home, opened. What every command, task and page works with."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from governance.catalog.load import load_catalogue
from governance.catalog.types import Catalogue
from governance.config import Settings
from governance.keys.names import KeyStore
from governance.keys.open import open_keystore
from governance.lake.lake import Lake
from governance.state import texts
from governance.state.database import Clock, Database, utc_now


@dataclass(frozen=True, slots=True)
class Context:
    """Settings, declarations and the three things with state: database, keystore, lake."""

    settings: Settings
    catalogue: Catalogue
    database: Database
    keystore: KeyStore
    lake: Lake


def open_context(settings: Settings, *, clock: Clock = utc_now, catalogue: Catalogue | None = None) -> Context:
    """Open a home: load its catalogue, bring its database up to date and record the declarations that are in force from now.

    `catalogue` is what the caller has loaded already and knows to be what the files say now. Raises DeclarationError with every fault of
    the catalogue.
    """
    catalogue = catalogue or load_catalogue(settings)
    settings.var.mkdir(parents=True, exist_ok=True)
    database = Database(settings.database_url, clock=clock)
    database.create()
    keystore = open_keystore(settings, database)
    lake = Lake(settings, database, keystore)
    context = Context(settings, catalogue, database, keystore, lake)
    record_declarations(context)
    return context


def record_declarations(context: Context) -> None:
    """Keep the texts of all declarations and what is in force from now on."""
    declared = _declared(context.catalogue)
    with context.database.read() as connection:
        if not texts.differs(connection, declared):
            return
    with context.database.unit_of_work() as connection:
        texts.record(connection, declared, at=context.database.clock())


def _declared(catalogue: Catalogue) -> dict[tuple[str, str], tuple[str, str]]:
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
    declared = {key: (sha256, catalogue.texts[sha256]) for key, sha256 in hashes.items()}
    access_hash = hashlib.sha256(catalogue.access_text.encode("utf-8")).hexdigest()
    declared["access", "access"] = (access_hash, catalogue.access_text)
    return declared
