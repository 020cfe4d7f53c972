"""`HomeRules`: the policy of the key service, from declarations that it loads itself.

Of the state database only what is signed widens anything: the live release, when an approver of the service's own
access.yaml signed it. Rules that somebody recorded as in force are met with the service's own, so they can only narrow.

What the state says of requests that ended is compared with the ledger (`use.history`), and the newest of these entries is
written into the service's own ledger within a second of its being there: the state cannot go back behind it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from governance.catalog.load import load_catalogue
from governance.catalog.stamps import quick_stamp
from governance.catalog.types import Catalogue, Dataset
from governance.config import Settings
from governance.develop import analyse, analyse_check
from governance.errors import DeclarationError, GovernanceError, NotReady, Refused
from governance.keys.authority import Facts
from governance.keys.custody import CustodyLedger
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
from governance.use import history, release, scanner
from governance.use.lookup_decided import may_look_up_by
from governance.use.published import read_published
from governance.use.questions import AgeAtLeast, Questions, Relation, read_questions

log = logging.getLogger("governance")
_LOOK_SECONDS = 0.5
QUARANTINE = ".quarantine"


class HomeRules:
    """`keys.authority.Rules` over a home's catalogue, read again when one of its files changed."""

    def __init__(
        self, settings: Settings, database: Database, keystore: KeyStore, ledger: CustodyLedger | None = None
    ) -> None:
        self._settings, self._database, self._ledger = settings, database, ledger
        kept = ledger.newest("history") if ledger is not None else None
        self._noted = int(kept["events"]) if kept else 0
        if kept:
            history.remember(database.engine, self._noted, bytes.fromhex(kept["head"]))
        self._lake = Lake(settings, database, keystore)
        self._lock = threading.Lock()
        self._looked = 0.0
        self._stamp = ""
        self._loaded: tuple[Catalogue, Access, Facts, Questions] | None = None

    def facts(self) -> Facts:
        return self._now()[2]

    def shows(self, subject: str, purpose: str, tables: Iterable[str], at: datetime) -> frozenset[str]:
        catalogue, access, _, questions = self._now()
        asked = set(tables)
        found: set[str] = set()
        if asked:
            found.update(self._published(catalogue, access, subject, purpose, asked, at))
        for question in questions.questions:
            if question.open_to(access, subject, purpose):
                found.update(_answered(catalogue, question, asked))
        for name in sorted(asked):
            dataset = catalogue.datasets.get(name.removesuffix(QUARANTINE))
            if name.endswith(QUARANTINE) and dataset is not None:
                found.update(_quarantine(catalogue, access, dataset, subject, purpose, at))
        return frozenset(found)

    def traces(self, subject: str, purpose: str, table: str, at: datetime) -> frozenset[str]:
        catalogue, access, _, _ = self._now()
        if table not in catalogue.models or not any(self._restricted(catalogue, access, subject, purpose, {table}, at)):
            return frozenset()
        return frozenset(_behind(catalogue, table))

    def look(self) -> None:
        """Write down the newest entry about access, when it is new. Raises when the state went back behind the last."""
        with self._database.read() as connection:
            found = history.read(connection)
        with self._lock:
            if self._ledger is not None and found.events > self._noted:
                self._ledger.append("history", {"events": found.events, "head": found.head.hex()})
                self._noted = found.events

    def follow(self, stop: threading.Event) -> None:
        """`look` every half second until `stop`. What it cannot read now it reads later; nobody is served by it meanwhile."""
        while not stop.wait(_LOOK_SECONDS):
            try:
                self.look()
            except (GovernanceError, SQLAlchemyError) as error:
                log.error("the record of access cannot be read: %s", type(error).__name__)

    def _published(
        self, catalogue: Catalogue, access: Access, subject: str, purpose: str, asked: set[str], at: datetime
    ) -> Iterator[str]:
        for shown, reviewed in self._restricted(catalogue, access, subject, purpose, asked, at):
            yield from _shown(catalogue.models[shown.table].contract, shown, reviewed)

    def _restricted(
        self, catalogue: Catalogue, access: Access, subject: str, purpose: str, asked: set[str], at: datetime
    ) -> Iterator[tuple[Restrictions, dict[str, Any]]]:
        """Of published tables of which the consumer sees something: what that is, and the fields that were reviewed."""
        self.look()
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
            if any(column.opened for column in shown.columns):
                yield shown, found[1]["tables"][table]["fields"]

    def _now(self) -> tuple[Catalogue, Access, Facts, Questions]:
        """The declarations as they are; Refused while they have a fault."""
        with self._lock:
            if time.monotonic() - self._looked >= _LOOK_SECONDS:
                stamp = quick_stamp((self._settings.catalog, self._settings.expectations))
                if stamp != self._stamp:
                    self._loaded = self._load()
                    self._stamp = stamp
                self._looked = time.monotonic()
            if self._loaded is None:
                raise Refused("the key service's own declarations have faults", do="gov check, where it runs")
            return self._loaded

    def _load(self) -> tuple[Catalogue, Access, Facts, Questions] | None:
        try:
            catalogue = load_catalogue(self._settings)
            access = parse_access(catalogue.access_text, catalogue.access_file, catalogue)
            questions = read_questions(self._settings, catalogue)
        except DeclarationError:
            return None
        return catalogue, access, facts_of(catalogue), questions


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
        frozenset(_serves(catalogue)),
    )


def _behind(catalogue: Catalogue, table: str) -> Iterator[str]:
    """Keys of all that a curated table was made from: columns that its lineage reads, through curated tables; no originals. A model with
    faults was made from nothing.
    """
    waiting, seen = [table], set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen or name not in catalogue.models:
            continue
        seen.add(name)
        analysis = analyse(catalogue.models[name], catalogue)
        if not analysis.faults:
            yield from map(base_name, analysis.keys)
            waiting += analysis.inputs


def _serves(catalogue: Catalogue) -> Iterator[str]:
    """Keys of curated tables with an identifier: what their copies for lookups are made under."""
    for model in catalogue.models.values():
        groups = {field.group for field in model.contract.fields if field.encrypted}
        identified = any(field.domain for field in model.contract.fields)
        for group in (*groups, FOOTER_GROUP) if identified and groups else ():
            yield base_name(KeyName(model.contract.department or "curated", model.name, group))


def _answered(catalogue: Catalogue, question: Relation | AgeAtLeast, asked: set[str]) -> Iterator[str]:
    """Keys that a question is answered under: of the column that it reads, of the tokens of those it is about."""
    contract = catalogue.models[question.table].contract
    read = question.relation if isinstance(question, Relation) else question.birth_date
    people = {question.person, question.relative} if isinstance(question, Relation) else {question.person}
    for field in contract.fields:
        if field.name == read and field.encrypted and question.table in asked:
            for group in (field.group, FOOTER_GROUP):
                yield base_name(KeyName(contract.department or "curated", contract.name, group))
        if field.name in people:
            yield f"digest:domain/{field.domain}"
    yield f"digest:purpose/{question.purpose}"


def _shown(contract: Dataset, shown: Restrictions, reviewed: dict[str, Any]) -> Iterator[str]:
    """Keys of the columns that a scan under these restrictions reads: under the group of now, or of the reviewed level."""
    owner = contract.department or "curated"
    encrypted = {field.name: field for field in contract.fields if field.encrypted}
    if any(scanner.is_keyed(column.outcome) for column in shown.visible):
        yield f"digest:purpose/{shown.purpose}"
    domains = {field.name: field.domain for field in contract.fields if field.domain}
    for column in shown.visible:
        if column.name in domains and may_look_up_by(column.outcome):
            yield f"digest:domain/{domains[column.name]}"
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
    if any(scanner.is_keyed(column.outcome) for column in shown.visible):
        yield f"digest:purpose/{purpose}"
    for group in (*groups, *([FOOTER_GROUP] if groups else [])):
        yield base_name(KeyName(dataset.department, dataset.name + QUARANTINE, group))
