"""`blast_radius`: the share of sensitive cells that each key, service credential, subject and role reaches: "one point
breached" as a number.

A sensitive cell is one row of one encrypted column of a table at its current snapshot, quarantine included. Counts
come from the plan of the lake, so no key is used and no value read; a NULL counts as a cell. A landed original counts
as every cell of its dataset, stored and quarantined: it is a copy of them.

A service credential reaches what the code of its stage is granted; `build` reaches the keys that the lineage of all
models names, since code that runs as `build` may ask for each of them; `serve` those of the curated tables that it
copies for lookups. Subjects and roles reach what policy gives them
*raw* on the live release, for all their purposes together; cells that they see masked are counted apart. A row filter
over clear columns is counted exactly, one over encrypted columns as if it let every row pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, select

from governance.develop import analyse, analyse_check
from governance.errors import NotReady
from governance.keys.epochs import base_name
from governance.keys.names import KeyName
from governance.lake import plan
from governance.pipeline.context import Context
from governance.policy import filters
from governance.policy.restrictions import Restrictions
from governance.state.tables import batch
from governance.state.tables_lake import iceberg_tables
from governance.state.values import LANDED
from governance.use.published import Published, read_published

LANDED_GROUP = "landed"
Kind = Literal["key", "service", "model", "subject", "role"]

BEYOND = (
    "the keyring file, or root where it lies: every cell (closing it: an HSM behind the key service)",
    "write access to the state database with the embedded keyring: every cell, since a grant is a row there (closing it: the "
    "key service, which decides for itself and asks a consumer for its own token)",
    "root on a machine that works: the memory of what runs there, so what its grants open just then",
    "code running as build: the keys of every model, not of one (counted above as service:build@curated)",
    "clear columns, tokens and counts: open to whoever reads the lake; they are no sensitive cells here",
)
"""What no number above speaks of, with what it would reach."""


@dataclass(frozen=True, slots=True)
class Column:
    """The sensitive cells of one column: rows by the key that they lie under."""

    table: str
    name: str
    rows: Mapping[str, int]

    @property
    def cells(self) -> int:
        return sum(self.rows.values())


@dataclass(frozen=True, slots=True)
class Reach:
    """What one credential reaches. `masked` are cells that it sees in another form only."""

    kind: Kind
    name: str
    cells: int
    share: float
    masked: int = 0


@dataclass(frozen=True, slots=True)
class Radius:
    """All reaches, widest first; `total` is the number of sensitive cells of the home."""

    total: int
    reaches: tuple[Reach, ...]

    def beyond(self, limit: float) -> tuple[Reach, ...]:
        """Credentials whose share passes `limit`."""
        return tuple(reach for reach in self.reaches if reach.share > limit)


def blast_radius(context: Context) -> Radius:
    """What every key, service, model, subject and role of the home reaches now."""
    with context.database.read() as connection:
        columns = sensitive_columns(context, connection)
        landed = _landed(context, connection)
    counter = Counter(context, columns)
    found = [
        *_keys(columns, landed, counter),
        *_services(context, columns, landed, counter),
        *_people(context, columns, counter),
    ]
    return Radius(counter.total, tuple(sorted(found, key=lambda r: (-r.share, r.kind, r.name))))


def sensitive_columns(context: Context, connection: Connection) -> tuple[Column, ...]:
    """Every encrypted column of every table of the lake at its current snapshot, with its rows by key."""
    tables = select(iceberg_tables.c.table_namespace, iceberg_tables.c.table_name).where(
        iceberg_tables.c.catalog_name == plan.CATALOG
    )
    found: dict[tuple[str, str], dict[str, int]] = {}
    for namespace, name in connection.execute(tables).all():
        table = f"{namespace}.{name}"
        snapshot = context.lake.snapshot(table, connection)
        files = plan.files_of(connection, table, snapshot) if snapshot is not None else ()
        if files is None:
            raise NotReady("its snapshot was made by somebody else", where=table, do="build or store it once more")
        for file in files:
            for field, key in file.keys.items():
                if field in file.names:
                    rows = found.setdefault((table, file.names[field]), {})
                    rows[key] = rows.get(key, 0) + file.file.rows
    return tuple(Column(table, name, rows) for (table, name), rows in sorted(found.items()))


def _landed(context: Context, connection: Connection) -> Mapping[str, str]:
    """Landed key -> dataset, of datasets that have landed originals; every epoch that an original is under."""
    manifests = connection.execute(select(batch.c.dataset, batch.c.landed).where(batch.c.landed.is_not(None)))
    owners = {d.name: d.department for d in context.catalogue.datasets.values()}
    found: dict[str, str] = {}
    for name, text in manifests:
        first = str(KeyName(owners.get(name, name.partition(".")[0]), name, LANDED_GROUP))
        found |= {file.key or first: name for file in LANDED.validate_json(text).files}
    return found


def _keys(columns: Iterable[Column], landed: Mapping[str, str], counter: Counter) -> Iterator[Reach]:
    names = {key for column in columns for key in column.rows}
    for key in sorted(names | set(landed)):
        yield counter.of_keys("key", key, {key}, landed)


def _services(
    context: Context, columns: tuple[Column, ...], landed: Mapping[str, str], counter: Counter
) -> Iterator[Reach]:
    catalogue = context.catalogue
    for department in catalogue.departments:
        own = {d.name for d in catalogue.datasets.values() if d.department == department}
        originals = {key for key, dataset in landed.items() if dataset in own}
        stored = {key for column in columns if column.table in own for key in column.rows}
        yield Reach("service", f"service:collect@{department}", 0, 0.0)
        yield counter.of_keys("service", f"service:store@{department}", originals | stored, landed)
        yield Reach("service", f"service:manage@{department}", 0, 0.0)
    every: set[str] = set()
    for model in catalogue.models.values():
        analyses = [analyse(model, catalogue), *(analyse_check(check, catalogue) for check in model.checks)]
        read = {base_name(key) for analysis in analyses for key in analysis.keys}
        keys = {key for column in columns for key in column.rows if base_name(KeyName.parse(key)) in read}
        every |= keys
        yield counter.of_keys("model", model.name, keys, landed)
    yield counter.of_keys("service", "service:build@curated", every, landed)
    yield counter.of_keys("service", "service:trace@curated", every, landed)
    copied = {m.name for m in catalogue.models.values() if any(field.domain for field in m.contract.fields)}
    served = {key for column in columns if column.table in copied for key in column.rows}
    yield counter.of_keys("service", "service:serve@curated", served, landed)


def _people(context: Context, columns: Iterable[Column], counter: Counter) -> Iterator[Reach]:
    """Subjects, roles, and the query service as a whole: it is granted what it shows raw or masked."""
    with context.database.read() as connection:
        try:
            published = read_published(connection, catalogue=context.catalogue, lake=context.lake)
        except NotReady:
            return
    encrypted = {(column.table, column.name) for column in columns}
    seen = {subject.name: _seen(context, published, subject.name, encrypted) for subject in published.access.subjects}
    for name, (raw, masked) in seen.items():
        yield counter.of_sights("subject", name, raw, masked)
    for role in published.access.roles:
        holders = [seen[s.name] for s in published.access.subjects if role.id in s.roles]
        raw, masked = united(r for r, _ in holders), united(m for _, m in holders)
        yield counter.of_sights("role", role.id, raw, masked)
    opened = {place: frozenset({""}) for raw, masked in seen.values() for place in (*raw, *masked)}
    yield counter.of_sights("service", "service:scan (the query service)", opened, {})


Sights = Mapping[tuple[str, str], frozenset[str]]
"""(table, column) -> conditions of which one must hold for the row; the empty condition holds for every row."""


def _seen(
    context: Context, published: Published, subject: str, encrypted: set[tuple[str, str]]
) -> tuple[Sights, Sights]:
    raw: dict[tuple[str, str], frozenset[str]] = {}
    masked: dict[tuple[str, str], frozenset[str]] = {}
    for purpose in published.access.purposes:
        for table in published.snapshots:
            restrictions = published.restrictions(subject, purpose.id, table, at=context.database.clock())
            condition = condition_of(restrictions, encrypted)
            for column in restrictions.visible:
                place = (table, column.name)
                if place in encrypted:
                    sights = raw if column.outcome.kind == "raw" else masked
                    sights[place] = sights.get(place, frozenset()) | {condition}
    return raw, masked


def condition_of(restrictions: Restrictions, encrypted: set[tuple[str, str]]) -> str:
    """The row filter as SQL; empty without one, or when it asks an encrypted column or for consent."""
    row_filter = restrictions.row_filter
    if row_filter is None or restrictions.consents:
        return ""
    if any((restrictions.table, c.column) in encrypted for c in filters.comparisons(row_filter)):
        return ""
    types = {column.name: column.type for column in restrictions.columns}
    return filters.condition(row_filter, types).sql("duckdb")


def united(sights: Iterable[Sights]) -> Sights:
    """What somebody sees who has all of them."""
    found: dict[tuple[str, str], frozenset[str]] = {}
    for one in sights:
        for place, conditions in one.items():
            found[place] = found.get(place, frozenset()) | conditions
    return found


class Counter:
    """Counts cells; the rows behind a condition are counted once."""

    def __init__(self, context: Context, columns: tuple[Column, ...]) -> None:
        self._context, self._columns = context, columns
        self.total = sum(column.cells for column in columns)
        self._rows: dict[tuple[str, frozenset[str]], int] = {}

    def of_keys(self, kind: Kind, name: str, keys: Iterable[str], landed: Mapping[str, str]) -> Reach:
        held = set(keys)
        datasets = {dataset for key, dataset in landed.items() if key in held}
        copied = datasets | {f"{dataset}__quarantine" for dataset in datasets}
        cells = sum(
            rows
            for column in self._columns
            for key, rows in column.rows.items()
            if column.table in copied or key in held
        )
        return Reach(kind, name, cells, self._share(cells))

    def of_sights(self, kind: Kind, name: str, raw: Sights, masked: Sights) -> Reach:
        cells = sum(self._cells(place, conditions) for place, conditions in raw.items())
        hidden = sum(self._cells(place, conditions) for place, conditions in masked.items() if place not in raw)
        return Reach(kind, name, cells, self._share(cells), hidden)

    def _cells(self, place: tuple[str, str], conditions: frozenset[str]) -> int:
        table = place[0]
        whole = next(column.cells for column in self._columns if (column.table, column.name) == place)
        if "" in conditions:
            return whole
        if (table, conditions) not in self._rows:
            self._rows[table, conditions] = self._counted(table, conditions)
        return min(whole, self._rows[table, conditions])

    def _counted(self, table: str, conditions: frozenset[str]) -> int:
        """Rows of the current snapshot for which one of the conditions holds; they ask clear columns only."""
        lake = self._context.lake
        snapshot = lake.snapshot(table)
        assert snapshot is not None
        encrypted = {column.name for column in self._columns if column.table == table}
        clear = next(c.name for c in lake.schema(table, snapshot).columns if c.name not in encrypted)
        where = " OR ".join(f"({condition})" for condition in sorted(conditions))
        with lake.scan(table, snapshot, [clear], where=where) as reader:
            return sum(part.num_rows for part in reader)

    def _share(self, cells: int) -> float:
        return cells / self.total if self.total else 0.0
