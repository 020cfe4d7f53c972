"""What a record trace stands on, decided before anything is opened: the auditor's sight of the table, and the plan from
the text and the pin of the build that made the published snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select
from sqlglot import exp

from governance.catalog.types import TOKEN_SUFFIX
from governance.develop.provenance_declared import Version
from governance.develop.provenance_plan import TracePlan, plan_trace
from governance.errors import NotReady, Refused
from governance.pipeline.asof import catalogue_at, declared_at
from governance.pipeline.context import Context, declared
from governance.policy import filters
from governance.policy.restrictions import Restricted, Restrictions
from governance.state.tables import build as build_table
from governance.state.values import BUILT, Actor
from governance.use.lookup_decided import identifier, may_look_up_by
from governance.use.published import read_published

MAX_KEYS = 100


@dataclass(frozen=True, slots=True)
class Asked:
    """What is traced, under what."""

    restrictions: Restrictions
    release: str
    by: tuple[Restricted, ...]
    column: str | None
    plan: TracePlan
    domains: Mapping[str, str]
    """Field -> identifier domain."""
    anchors: tuple[str, ...]
    """Clear columns of the published table by which a row's sources are found soon; no doubles, whose last digit may differ."""

    @property
    def compared(self) -> list[str]:
        """The published table's columns that key and row filter ask."""
        return compared_columns(self.restrictions, self.by, self.domains)

    def told(self, number: int) -> bool:
        """Whether source `number` is named to the subject."""
        fields = {c.name for c in self.restrictions.columns if not c.name.startswith("_")}
        opened = {c.name for c in self.restrictions.columns if c.opened}
        made = {name.removesuffix(TOKEN_SUFFIX) for name in self.plan.opened[number]}
        everything = {name for name in fields if not name.endswith(TOKEN_SUFFIX)}
        return bool(made & opened) if made else everything <= opened


def decided(
    context: Context,
    table: str,
    keys: Sequence[Sequence[str | None]],
    actor: Actor,
    column: str | None,
    by: tuple[str, ...],
    as_of: datetime | None,
) -> Asked:
    if not 1 <= len(keys) <= MAX_KEYS:
        raise Refused("a trace of no key, or of too many", allowed=f"1 to {MAX_KEYS} keys")
    database = context.database
    with database.read() as connection:
        published = read_published(
            connection, catalogue=context.catalogue, lake=context.lake, subject=actor.subject, as_of=as_of
        )
    purposes = {purpose.id for purpose in published.access.purposes}
    if published.access.subject(actor.subject) is None or actor.purpose not in purposes:
        raise Refused("unknown subject or purpose", do="ask the steward for access")
    absent = Refused("the table is not there for you", do="gov explain lists what is")
    if table not in published.snapshots:
        raise absent
    restrictions = published.restrictions(actor.subject, actor.purpose, table, at=database.clock())
    if not restrictions.visible:
        raise absent
    seen = {c.name: c for c in restrictions.columns if c.opened}
    names = by or tuple(filter(None, [identifier(context.catalogue, table)]))
    if not names or not {*names, *([column] if column else [])} <= set(seen):
        raise Refused("a field that is not there for you", do="gov explain lists what is; name the key's with --by")
    if any(len(key) != len(names) for key in keys):
        raise Refused(
            "a key that has not one part a field", allowed=", ".join(names), do="one line a key, tabs between"
        )
    domains = {f.name: f.domain for f in context.catalogue.models[table].contract.fields if f.domain}
    compared = [seen[name] for name in names]
    for each in compared:
        if how_of(each, domains) == "":
            raise Refused("the key's field is not seen as it must be", allowed="raw, a part of it, or its token")
    snapshot = restrictions.snapshot
    with database.read() as connection:
        plan = plan_trace(
            table,
            snapshot,
            lambda name, at: version_of(context, connection, name, at),
            column=column,
            read=compared_columns(restrictions, compared, domains),
        )
    files = context.lake.files(table, snapshot)
    encrypted = {name for file in files for name in file.encrypted}
    doubles = {c.name for c in context.lake.schema(table, snapshot).columns if c.type == "double"}
    anchors = tuple(name for name in plan.anchors if name not in encrypted | doubles)
    return Asked(restrictions, published.release, tuple(compared), column, plan, domains, anchors)


def how_of(column: Restricted, domains: Mapping[str, str]) -> str:
    """In which form the key is compared: an identifier by its value or by the purpose's token, other fields raw."""
    if column.name in domains:
        if column.outcome.mask is not None and column.outcome.mask.kind == "token":
            return "token"
        return "identifier" if may_look_up_by(column.outcome) else ""
    return "value" if column.outcome.kind == "raw" else ""


def column_of(column: Restricted, domains: Mapping[str, str]) -> str:
    return column.name + TOKEN_SUFFIX if column.name in domains else column.name


def compared_columns(restrictions: Restrictions, by: Iterable[Restricted], domains: Mapping[str, str]) -> list[str]:
    """The table's columns that the key and the row filter ask."""
    where = where_of(restrictions)
    asked = [c.name for c in where.find_all(exp.Column)] if where is not None else []
    return list(dict.fromkeys([*(column_of(c, domains) for c in by), *asked]))


def where_of(restrictions: Restrictions) -> exp.Expr | None:
    """The row filter as a condition."""
    if restrictions.row_filter is None:
        return None
    return filters.condition(restrictions.row_filter, {c.name: c.type for c in restrictions.columns})


def version_of(context: Context, connection: Connection, table: str, snapshot: int) -> Version:
    """The build that made a snapshot: its text and contract and the catalogue of its instant, and its pin. Raises
    NotReady when the state does not know it.
    """
    query = select(build_table).where(build_table.c.model == table, build_table.c.snapshot == snapshot)
    row = connection.execute(query.order_by(build_table.c.id.desc())).first()
    if row is None:
        raise NotReady(f"no build of snapshot {snapshot} is known", where=table, do="build and publish it again")
    built = BUILT.validate_json(row.built)
    names = (table, *built.pin.snapshots)
    then = declared_at(connection, row.recorded_at)
    now = {key: sha256 for key, (sha256, _) in declared(context.catalogue).items()}
    kinds = [(kind, name) for kind in ("model", "contract") for name in names]
    same = all(then.get(key) == now.get(key) for key in kinds)
    catalogue = context.catalogue if same else catalogue_at(connection, row.recorded_at, context.settings)
    return Version(catalogue.models[table], catalogue, built.pin.snapshots)
