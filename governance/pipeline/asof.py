"""What was in force at a past instant, from the texts and rows that the state keeps: declarations, release, runs, verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, select

from governance.catalog.load import catalogue_of_texts
from governance.catalog.types import Catalogue
from governance.config import Settings
from governance.errors import DeclarationError, NotReady
from governance.state.tables import in_force, text


def declared_at(connection: Connection, at: datetime) -> Mapping[tuple[str, str], str]:
    """(kind, name) -> sha256 of every declaration that was in force at `at`."""
    rows = connection.execute(
        select(in_force.c.kind, in_force.c.name, in_force.c.sha256)
        .where(in_force.c.valid_from <= at)
        .where(in_force.c.valid_to.is_(None) | (in_force.c.valid_to > at))
    )
    return {(row.kind, row.name): row.sha256 for row in rows}


def catalogue_at(connection: Connection, at: datetime, settings: Settings) -> Catalogue:
    """The catalogue of that instant, parsed again from its texts.

    Raises NotReady when nothing was declared then, DeclarationError when this version of the program does not read a
    text that was in force.
    """
    query = (
        select(in_force.c.kind, in_force.c.name, text.c.text)
        .join(text, in_force.c.sha256 == text.c.sha256)
        .where(in_force.c.valid_from <= at)
        .where(in_force.c.valid_to.is_(None) | (in_force.c.valid_to > at))
    )
    texts = {(row.kind, row.name): row.text for row in connection.execute(query)}
    if not texts:
        raise NotReady(f"nothing was declared at {at.isoformat()}", do="ask for a later instant")
    loaded = catalogue_of_texts(texts, settings)
    if loaded.faults:
        raise DeclarationError(loaded.faults)
    return loaded.catalogue
