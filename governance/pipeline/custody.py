"""`HomeRules`: the policy of the key service, from declarations that it loads itself.

Of the state database only what is signed widens anything: the live release, when an approver of the service's own
access.yaml signed it. Rules that somebody recorded as in force are met with the service's own, so they can only narrow.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from governance.catalog.load import load_catalogue
from governance.catalog.types import Catalogue, Dataset
from governance.config import Settings
from governance.develop import analyse, analyse_check
from governance.errors import DeclarationError, NotReady, Refused
from governance.keys.authority import Facts
from governance.keys.epochs import base_name
from governance.keys.names import KeyName, KeyStore
from governance.lake.lake import Lake
from governance.lake.specs import FOOTER_GROUP, RAW_GROUP
from governance.manage.repair import require_steward
from governance.policy import filters
from governance.policy.access import Access, parse_access
from governance.policy.decide import Column, Decider
from governance.policy.restrictions import Policy, Restrictions, compile_restrictions
from governance.state.database import Database
from governance.use import release, scanner
from governance.use.published import read_published

_LOOK_SECONDS = 0.5
QUARANTINE = ".quarantine"


class HomeRules:
    """`keys.authority.Rules` over a home's catalogue, read again when one of its files changed."""

    def __init__(self, settings: Settings, database: Database, keystore: KeyStore) -> None:
        self._settings, self._database = settings, database
        self._lake = Lake(settings, database, keystore)
        self._lock = threading.Lock()
        self._looked = 0.0
        self._stamp: tuple[tuple[str, int, int], ...] | None = None
        self._loaded: tuple[Catalogue, Access, Facts] | None = None

    def facts(self) -> Facts:
        return self._now()[2]

    def shows(self, subject: str, purpose: str, tables: Iterable[str], at: datetime) -> frozenset[str]:
        catalogue, access, _ = self._now()
        asked = set(tables)
        found: set[str] = set()
        if asked:
            found.update(self._published(catalogue, access, subject, purpose, asked, at))
        for name in sorted(asked):
            dataset = catalogue.datasets.get(name.removesuffix(QUARANTINE))
            if name.endswith(QUARANTINE) and dataset is not None:
                found.update(_quarantine(catalogue, access, dataset, subject, purpose, at))
        return frozenset(found)

    def _published(
        self, catalogue: Catalogue, access: Access, subject: str, purpose: str, asked: set[str], at: datetime
    ) -> Iterator[str]:
        with self._database.read() as connection:
            try:
                published = read_published(connection, catalogue=catalogue, lake=self._lake)
            except NotReady:
                return
            found = release.live(connection)
            if found is None or not release.approvers_now(connection, access, published.release):
                raise Refused("the live release is not signed by an approver of the key service's rules")
        every = "" in asked  # a purpose's digest key is of no table: any that shows a token under the purpose will do
        for table in sorted(published.snapshots if every else asked & set(published.snapshots)):
            shown = published.restrictions(subject, purpose, table, at=at)
            reviewed = found[1]["tables"][table]["fields"]
            yield from _shown(catalogue.models[table].contract, shown, reviewed)

    def _now(self) -> tuple[Catalogue, Access, Facts]:
        """The declarations as they are; Refused while they have a fault."""
        with self._lock:
            if time.monotonic() - self._looked >= _LOOK_SECONDS:
                stamp = self._stamped()
                if stamp != self._stamp:
                    self._loaded = self._load()
                    self._stamp = stamp
                self._looked = time.monotonic()
            if self._loaded is None:
                raise Refused("the key service's own declarations have faults", do="gov check, where it runs")
            return self._loaded

    def _load(self) -> tuple[Catalogue, Access, Facts] | None:
        try:
            catalogue = load_catalogue(self._settings)
            access = parse_access(catalogue.access_text, catalogue.access_file, catalogue)
        except DeclarationError:
            return None
        return catalogue, access, facts_of(catalogue)

    def _stamped(self) -> tuple[tuple[str, int, int], ...]:
        found = []
        for folder in (self._settings.catalog, self._settings.expectations):
            for path in sorted(folder.rglob("*")):
                stat = path.stat()
                found.append((str(path), stat.st_mtime_ns, stat.st_size))
        return tuple(found)


def facts_of(catalogue: Catalogue) -> Facts:
    """What services may open by these declarations. A model with faults opens nothing."""
    tables: dict[str, set[str]] = {}
    digests: dict[str, set[str]] = {}
    for dataset in catalogue.datasets.values():
        tables.setdefault(dataset.department, set()).update((dataset.name, dataset.name + QUARANTINE))
        own = digests.setdefault(dataset.department, set())
        own.update(f"digest:domain/{field.domain}" for field in dataset.fields if field.domain)
        if dataset.keeps_versions:
            own.add(f"digest:rowdigest/{dataset.name}")
    reads: set[str] = set()
    for model in catalogue.models.values():
        analyses = [analyse(model, catalogue), *(analyse_check(check, catalogue) for check in model.checks)]
        if not any(analysis.faults for analysis in analyses):
            reads.update(base_name(key) for analysis in analyses for key in analysis.keys)
    return Facts(
        {name: frozenset(found) for name, found in tables.items()},
        {name: frozenset(found) for name, found in digests.items()},
        frozenset(reads),
    )


def _shown(contract: Dataset, shown: Restrictions, reviewed: dict[str, Any]) -> Iterator[str]:
    """Keys of the columns that a scan under these restrictions reads: under the group of now, or of the reviewed level."""
    owner = contract.department or "curated"
    encrypted = {field.name: field for field in contract.fields if field.encrypted}
    if any(column.outcome.mask is not None and column.outcome.mask.kind == "token" for column in shown.visible):
        yield f"digest:purpose/{shown.purpose}"
    for name in _reads(shown):
        level = reviewed.get(name, {}).get("level")
        groups = {encrypted[name].group} if name in encrypted else set()
        if level in ("L3", "L4"):
            groups.add(level)
        for group in (*groups, *([FOOTER_GROUP] if groups else [])):
            yield base_name(KeyName(owner, contract.name, group))


def _reads(shown: Restrictions) -> list[str]:
    """Columns that a scan opens: what is shown or counted in groups, and what the row filter asks."""
    opened = [column for column in shown.columns if column.opened]
    if not opened:
        return []
    where = None
    if shown.row_filter is not None:
        where = filters.condition(shown.row_filter, {column.name: column.type for column in shown.columns})
    return scanner.needed([(column.name, column.type, column.outcome) for column in opened], where)


def _quarantine(
    catalogue: Catalogue, access: Access, dataset: Dataset, subject: str, purpose: str, at: datetime
) -> Iterator[str]:
    """Keys of a dataset's quarantine for its steward: groups of the fields that the rules show, and raw text where one is
    raw.
    """
    try:
        require_steward(access, subject, dataset)
    except Refused:
        return
    columns = tuple(map(Column.of, dataset.fields))
    shown = compile_restrictions(
        [Policy(Decider(access), columns, "")],
        subject=subject,
        purpose=purpose,
        table=dataset.name,
        snapshot=0,
        field_ids={column.name: at for at, column in enumerate(columns, 1)},
        at=at,
    )
    encrypted = {field.name: field.group for field in dataset.fields if field.encrypted}
    groups = {encrypted[name] for name in _reads(shown) if name in encrypted}
    if any(column.outcome.kind == "raw" for column in shown.visible):
        groups.add(RAW_GROUP)
    if any(column.outcome.mask is not None and column.outcome.mask.kind == "token" for column in shown.visible):
        yield f"digest:purpose/{purpose}"
    for group in (*groups, *([FOOTER_GROUP] if groups else [])):
        yield base_name(KeyName(dataset.department, dataset.name + QUARANTINE, group))
