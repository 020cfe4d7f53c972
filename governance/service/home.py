"""The home that is served, and what a caller sees of its published tables."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, NoReturn

from governance.catalog.load import read_catalogue
from governance.catalog.types import Catalogue
from governance.config import Settings
from governance.errors import Fault, GovernanceError
from governance.keys import grants
from governance.ledger.entry import append
from governance.pipeline.context import Context, open_context
from governance.policy.access import parse_access
from governance.policy.restrictions import Restrictions
from governance.service.problems import NO_EXPORT, NOT_THERE, Stopped
from governance.state.values import Actor
from governance.use import release
from governance.use.published import Published, read_published
from governance.use.query import Answer

_log = logging.getLogger(__name__)


def served_catalogue(settings: Settings) -> tuple[Catalogue, tuple[Fault, ...]]:
    """What is in order of the declarations, and the faults of all others. A published table is served by its own
    contract: a fault of what it was built from takes nothing from it.
    """
    loaded = read_catalogue(settings)
    return replace(loaded.catalogue, left_out=loaded.broken), loaded.faults


def open_served(settings: Settings) -> Context:
    """The home as it is served: its sound declarations, and in `faults` those of what is left out. Raises
    DeclarationError when the access rules are at fault: then nobody may see anything.
    """
    catalogue, faults = served_catalogue(settings)
    parse_access(catalogue.access_text, catalogue.access_file, catalogue)
    return replace(open_context(settings, catalogue=catalogue), faults=faults)


class Home:
    """A context whose declarations are loaded again, the sound ones, when another release has become the live one."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._catalogue = context.catalogue
        self._release = self._live()
        self._loading = threading.Lock()

    def catalogue(self) -> Catalogue:
        """The sound declarations of the live release; the ones from before while the files cannot be read (which opens nothing: policy in
        force is met in any case).
        """
        live = self._live()
        with self._loading:
            if live != self._release:
                try:
                    self._catalogue, faults = served_catalogue(self.context.settings)
                    for fault in faults:
                        _log.warning("left out: %s", fault)
                except GovernanceError as error:
                    _log.warning("the catalogue cannot be loaded again: %s", type(error).__name__)
                self._release = live
            return self._catalogue

    def published(self) -> Published:
        catalogue = self.catalogue()
        with self.context.database.read() as connection:
            return read_published(connection, catalogue=catalogue, lake=self.context.lake)

    def tables(self, subject: str, purpose: str | None) -> list[dict[str, Any]]:
        """Published tables of which `subject` sees a field, with the purposes for which."""
        published = self.published()
        found = []
        for table in sorted(published.snapshots):
            seen = [r.purpose for r in self._seen(published, table, subject, purpose)]
            if seen:
                found.append({"table": table, "purposes": seen})
        return found

    def table(self, name: str, subject: str, purpose: str | None) -> dict[str, Any]:
        """What `subject` sees of one table, by purpose. Raises Stopped, alike for a table that is not there and one that is closed."""
        published = self.published()
        seen = list(self._seen(published, name, subject, purpose)) if name in published.snapshots else []
        if not seen:
            raise Stopped(NOT_THERE)
        return {"table": name, "purposes": [_told(restrictions) for restrictions in seen]}

    def refuse_export(self, answer: Answer, subject: str, purpose: str) -> NoReturn:
        """End the answer's grant, with what was refused in the ledger. Raises Stopped."""
        database, actor = self.context.database, Actor(subject, purpose, uuid.uuid4().hex)
        with database.unit_of_work() as tx:
            grants.revoke(tx, answer.grant, actor=actor, database=database)
            facts = {"release": answer.release, "grant": answer.grant, "reason": "no export"}
            append(tx, "access_refused", facts, actor=actor, writer=database.writer, at=database.clock())
        raise Stopped(NO_EXPORT)

    def _seen(self, published: Published, table: str, subject: str, purpose: str | None) -> Iterable[Restrictions]:
        if published.access.subject(subject) is None:
            return
        at = self.context.database.clock()
        for each in published.access.purposes:
            if purpose in (None, each.id):
                restrictions = published.restrictions(subject, each.id, table, at=at)
                if any(column.opened for column in restrictions.columns):
                    yield restrictions

    def _live(self) -> str | None:
        with self.context.database.read() as connection:
            found = release.live(connection)
        return found[0] if found is not None else None


def _told(restrictions: Restrictions) -> dict[str, Any]:
    """The fields that are there, or may be aggregated, as `gov explain` says them; a closed one is not named."""
    return {
        "purpose": restrictions.purpose,
        "filtered": restrictions.row_filter is not None,
        "max_rows": restrictions.max_rows,
        "no_export": restrictions.no_export,
        "fields": [
            {
                "field": column.name,
                "type": column.type.duckdb(),
                "outcome": str(column.outcome),
                "rules": list(column.rules),
                "reason": column.reason,
            }
            for column in restrictions.columns
            if column.opened
        ],
    }
