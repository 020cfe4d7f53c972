"""What to destroy so that nothing of a department, tag or dataset opens any more: its own keys, every other key under
which copies lie, what goes with them, and what stays readable all the same. Nothing is destroyed here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection

from governance.catalog.types import TOKEN_SUFFIX, Catalogue, Dataset
from governance.errors import Refused
from governance.keys.epochs import current_key
from governance.keys.names import DigestKeyName, KeyCustody, KeyName
from governance.keys.open import open_keyring
from governance.lake.specs import FOOTER_GROUP
from governance.ledger.entry import canonical
from governance.pipeline.context import Context
from governance.pipeline.copies import Copies, Node, read_copies

OUTSIDE = (
    "a backup of the keyring opens all that it held: destroy the keys there too",
    "freed blocks of the disk may hold the former keyring file until they are written over: keep it on an encrypted disk",
    "the source systems have what they sent",
    "what another department collected for itself is no copy, even where it says the same",
    "answers, exports and reports that have left are where they went",
    "tokens and other clear columns stay; they show that two rows speak of one person, not of whom",
)
"""What no destroyed key closes."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What is to be erased: everything of these departments, fields with these tags, these tables. `epoch` None: all.

    `only` leaves the keys of copies alone; the plan then lists them as what stays readable.
    """

    departments: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    epoch: int | None = None
    only: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What a selection means now. Keys by name; columns as `<table>.<column>`."""

    selection: Selection
    selected: tuple[str, ...]
    copies: Mapping[str, tuple[str, ...]]
    """Other keys, with the columns under each that have values of what was selected."""
    together: Mapping[str, tuple[str, ...]]
    """Keys that will be destroyed, with the columns under each that nobody asked for."""
    readable: tuple[str, ...]
    stopped: tuple[str, ...] = ()
    """Tables that cannot be written until they get a new epoch: a key that new files come under is destroyed."""

    @property
    def destroys(self) -> tuple[str, ...]:
        return tuple(sorted({*self.selected, *(() if self.selection.only else self.copies)}))

    @property
    def document(self) -> dict[str, Any]:
        return {"v": 1, "kind": "shred", **asdict(self), "destroys": list(self.destroys)}

    @property
    def hash(self) -> str:
        return hashlib.sha256(canonical(self.document)).hexdigest()


def plan(context: Context, selection: Selection) -> Plan:
    """What `selection` means now. Raises Refused when it selects nothing or names what there is not."""
    _require_known(context.catalogue, selection)
    live = frozenset(keyring_of(context).names())
    with context.database.read() as connection:
        copies = read_copies(connection)
    asked = frozenset(_asked(context.catalogue, selection, copies))
    reached = copies.downstream(asked)
    selected = frozenset(_selected(selection, asked, live, copies))
    if not selected:
        raise Refused("no key that exists is selected", do="gov keys list")
    found: dict[str, set[str]] = {}
    for node in reached:
        for key in copies.keys.get(node, frozenset()) & live - selected:
            found.setdefault(key, set()).add(_said(node))
    for key, what in _raw_keys({table for table, _ in asked}, live - selected).items():
        found[key] = {what}
    if selection.epoch is not None:
        found = {key: nodes for key, nodes in found.items() if not _other_epoch(key, selection.epoch, asked)}
    destroys = selected if selection.only else selected | found.keys()
    with context.database.read() as connection:
        stopped = _stopped(destroys, connection)
    return Plan(
        selection,
        tuple(sorted(selected)),
        {key: tuple(sorted(found[key])) for key in sorted(found)},
        dict(_together(destroys, reached, copies)),
        tuple(sorted(set(_readable(asked, reached, destroys, live, copies)))),
        stopped,
    )


def _require_known(catalogue: Catalogue, selection: Selection) -> None:
    tables = {*catalogue.datasets, *catalogue.models}
    departments = {*catalogue.departments, *(_owner(m.contract) for m in catalogue.models.values())}
    tags = {tag for name in tables for field in catalogue.table(name).fields for tag in field.tags}
    for what, named, known in (
        ("department", selection.departments, departments),
        ("tag", selection.tags, tags),
        ("table", selection.datasets, tables),
    ):
        unknown = sorted(set(named) - known)
        if unknown:
            raise Refused(f"no {what} {', '.join(unknown)}", allowed=", ".join(sorted(known)))


def _asked(catalogue: Catalogue, selection: Selection, copies: Copies) -> Iterator[Node]:
    """The columns that were asked for; of a whole table those too that its contract has dropped since."""
    former = frozenset(copies.keys) | copies.clear
    for name in (*catalogue.datasets, *catalogue.models):
        table = catalogue.table(name)
        if name in selection.datasets or _owner(table) in selection.departments:
            yield from ((name, field.name) for field in table.fields if not field.name.endswith(TOKEN_SUFFIX))
            yield from (node for node in former if node[0] == name and _is_own(node[1]))
        else:
            yield from ((name, field.name) for field in table.fields if set(field.tags).intersection(selection.tags))


def _is_own(column: str) -> bool:
    return not column.startswith("_") and not column.endswith(TOKEN_SUFFIX)


def _selected(selection: Selection, asked: Iterable[Node], live: frozenset[str], copies: Copies) -> Iterator[str]:
    """Keys that exist: all of a whole table or department; of a tag those that its own columns lie under.

    Footer keys stay: they open no value, and without one a table could not be written under another key group.
    """
    for key in live:
        if key.startswith("digest:"):
            name = DigestKeyName.parse(key)
            owner, table, epoch = name.name.partition(".")[0], name.name, name.epoch
            whole = name.kind == "rowdigest"
        else:
            own = KeyName.parse(key)
            owner, table, epoch = own.owner, own.table.removesuffix(".quarantine"), own.epoch
            whole = own.group != FOOTER_GROUP
        meant = whole and (owner in selection.departments or table in selection.datasets)
        if meant and selection.epoch in (None, epoch):
            yield key
    if selection.tags:
        own_keys = {key for node in asked for key in copies.keys.get(node, ())}
        yield from (key for key in own_keys & live if selection.epoch in (None, KeyName.parse(key).epoch))


def _raw_keys(tables: Iterable[str], live: Iterable[str]) -> Mapping[str, str]:
    """Keys of these datasets' landed originals and of their quarantines' raw text, with what lies under each."""
    named, kinds = set(tables), {"landed": "the landed originals", "raw": "raw text in quarantine"}
    own = {key: KeyName.parse(key) for key in live if not key.startswith("digest:")}
    return {
        key: kinds[name.group]
        for key, name in own.items()
        if name.group in kinds and name.table.removesuffix(".quarantine") in named
    }


def _other_epoch(key: str, epoch: int, asked: Iterable[Node]) -> bool:
    """Whether a key is of the selected tables themselves but of another epoch: other rows, no copies."""
    name = KeyName.parse(key)
    return name.epoch != epoch and name.table.removesuffix(".quarantine") in {table for table, _ in asked}


def _together(
    destroys: Iterable[str], reached: frozenset[Node], copies: Copies
) -> Iterator[tuple[str, tuple[str, ...]]]:
    for key in sorted(destroys):
        group = "" if key.startswith("digest:") else KeyName.parse(key).group
        others = sorted(_said(node) for node in copies.columns.get(key, frozenset()) - reached)
        if group == "landed":
            yield key, ("every column of the landed originals",)
        elif group != "raw" and others:
            yield key, tuple(others)


def _readable(
    asked: frozenset[Node], reached: frozenset[Node], destroys: Iterable[str], live: frozenset[str], copies: Copies
) -> Iterator[str]:
    """What opens after it, in words: clear columns, keys that stay, originals upstream."""
    gone = frozenset(destroys)
    for node in reached & copies.clear:
        yield f"{_said(node)}: in clear"
    for node in reached:
        yield from (f"{_said(node)}: under {key}" for key in (copies.keys.get(node, frozenset()) & live) - gone)
    for key, what in _raw_keys({table for table, _ in asked}, live - gone).items():
        yield f"{what}: under {key}"
    origins = copies.upstream(asked) - reached
    for node in origins:
        for key in (copies.keys.get(node, frozenset()) & live) - gone:
            yield f"{_said(node)}: under {key}, which it was made from"
    for key, what in _raw_keys({table for table, _ in origins}, live - gone).items():
        yield f"{what}: under {key}, which it was made from"
    for output in copies.incomplete:
        yield f"{output}: its lineage is not complete, it may hold copies"


def _stopped(destroys: Iterable[str], connection: Connection) -> tuple[str, ...]:
    """Tables of which a key is destroyed that new files come under. A destroyed name is never used again."""
    keys = (KeyName.parse(key) for key in destroys if not key.startswith("digest:"))
    present = (key for key in keys if current_key(connection, key) == key)
    return tuple(sorted({key.table.removesuffix(".quarantine") for key in present}))


def keyring_of(context: Context) -> KeyCustody:
    """The home's own keys; Refused where keys are with a service."""
    if context.settings.key_socket is not None:
        raise Refused("keys are destroyed where the keyring lies", do="run it there, as the key service's user")
    return open_keyring(context.settings, context.database)


def _owner(table: Dataset) -> str:
    return table.department or "curated"


def _said(node: Node) -> str:
    return ".".join(node)
