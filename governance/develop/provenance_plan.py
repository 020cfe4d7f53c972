"""From a built model to the statement that names the source rows of its rows: its text at its pin, through the curated
tables that it reads, each at the pin of its own build. Pure.

What only decides which rows there are is read as well (joins, groups, filters), other columns are not: a trace by token
often needs no key at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from sqlglot import exp
from sqlglot.optimizer.scope import build_scope

from governance.catalog.types import Catalogue, Model
from governance.develop.deps import Dep, Trace
from governance.develop.parse import parse_select
from governance.develop.provenance import rewrite
from governance.develop.provenance_trees import PLAIN, PROVENANCE, SOURCES, counted, source_table
from governance.develop.schema import table_columns
from governance.develop.trace import Tracer
from governance.develop.uses import Use
from governance.errors import DeclarationError, NotReady


@dataclass(frozen=True, slots=True)
class Version:
    """A model as it was built: its text and contract with the catalogue of then, and the snapshots that it read."""

    model: Model
    catalogue: Catalogue
    snapshots: Mapping[str, int]


VersionOf = Callable[[str, int], Version]
"""(curated table, snapshot) -> the build that made it."""


@dataclass(frozen=True, slots=True)
class Source:
    """One stored table as the statement reads it; `reads` are the columns that it needs, the others may be NULL."""

    table: str
    snapshot: int
    through: tuple[str, ...]
    """Curated tables between the traced one and this one."""
    columns: tuple[tuple[str, str], ...]
    current: bool | None
    reads: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TracePlan:
    """`sql` gives the model's columns and PROVENANCE over `__source.s0`, `__source.s1`, ... (`sources`)."""

    sql: str
    sources: tuple[Source, ...]
    values: frozenset[int]
    """Sources from which values came; what is of the others only decided that the row is there."""
    whole: Mapping[int, str]
    """Sources of which a superset is given (the whole table), with the reason."""
    anchors: tuple[str, ...] = ()
    """Output columns that stand for what rows are joined or grouped by: comparing with them finds a row's sources soon."""
    opened: Mapping[int, frozenset[str]] = field(default_factory=dict)
    """Source -> output columns that have values of its columns; a count of its rows is none."""


def plan_trace(
    table: str, snapshot: int, version_of: VersionOf, *, column: str | None, read: Iterable[str]
) -> TracePlan:
    """The plan for `table` at `snapshot`; with `column` for that column's value alone. `read` are output columns that
    the caller compares. Raises NotReady when a build on the way is not known, DeclarationError when its text is not
    sound.
    """
    placer = _Placer(version_of)
    tree = placer.typed(version_of(table, snapshot), ())
    wanted = set(read) | ({column} if column else set())
    made = rewrite(tree, needed=None if column is None else wanted)
    trace = _traced(counted(made.tree), placer.sources)
    if unknown := wanted - trace.columns.keys():
        found = f"the lineage of {', '.join(sorted(unknown))} is declared, not found: its rows cannot be followed"
        raise NotReady(found, where=table, do="read gov lineage; trace the tables that it names")
    outputs = [name for name in trace.columns if name != PROVENANCE]
    values = {name: _direct(trace.columns[name]) for name in outputs}
    asked = values[column] if column is not None else frozenset[int]().union(*values.values())
    every = frozenset(range(len(placer.sources)))
    needed = trace.rows.union(*(trace.columns[name] for name in (PROVENANCE, *read)))
    sources = tuple(_with_reads(source, number, needed) for number, source in enumerate(placer.sources))
    shown = _traced(made.tree, placer.sources).columns
    opened = {n: frozenset(name for name in outputs if n in _direct(shown[name])) for n in every}
    anchors = tuple(name for name in outputs if _carries(trace.columns[name], needed))
    return TracePlan(made.tree.sql("duckdb"), sources, asked or every, made.whole, anchors, opened)


class _Placer:
    """Puts numbered sources in the place of tables, and the text of curated tables in the place of their names."""

    def __init__(self, version_of: VersionOf) -> None:
        self._version_of = version_of
        self.sources: list[Source] = []

    def typed(self, version: Version, path: tuple[str, ...]) -> exp.Select:
        """The model's rows at its contract's types."""
        model = version.model
        parsed = parse_select(model.sql, model.file, version.catalogue)
        if parsed.scope is None:
            raise DeclarationError(parsed.faults)
        tree = parsed.scope.expression
        assert isinstance(tree, exp.Query)
        types = {f.name.lower(): f.type.duckdb() for f in model.contract.fields if not f.name.endswith("__token")}
        self._place(tree, version, parsed.schema.tables, path)
        parts = []
        for name in tree.named_selects:
            column: exp.Expr = exp.column(name, table="__model", quoted=True)
            made = exp.cast(column, types[name.lower()], dialect="duckdb") if name.lower() in types else column
            parts.append(exp.alias_(made, name, quoted=True))
        return exp.select(*parts).from_(tree.subquery("__model"))

    def _place(
        self, tree: exp.Query, version: Version, tables: Mapping[tuple[str, str], str], path: tuple[str, ...]
    ) -> None:
        for node in list(tree.find_all(exp.Table)):
            name = tables.get((node.db.lower(), node.name.lower()))
            if name is None or isinstance(node.this, exp.Func):
                continue
            if name not in version.snapshots:
                raise NotReady("its build does not name a snapshot of it", where=name, do="build the model again")
            alias = node.alias_or_name
            if name in version.catalogue.models:
                inner = self.typed(self._version_of(name, version.snapshots[name]), (*path, name))
                made: exp.Expr = inner.subquery(alias)
            else:
                made = exp.alias_(source_table(len(self.sources)), alias, table=True, quoted=True)
                self.sources.append(_source(name, version, path))
            for part in ("joins", "pivots"):
                if node.args.get(part):
                    made.set(part, node.args[part])
            node.replace(made)


def _source(name: str, version: Version, path: tuple[str, ...]) -> Source:
    dataset = version.catalogue.table(name)
    columns = tuple((c.lower(), kind) for c, kind in table_columns(dataset).items())
    return Source(name, version.snapshots[name], path, columns, True if dataset.keeps_versions else None)


def _traced(tree: exp.Query, sources: Iterable[Source]) -> Trace:
    """Column lineage of the rewritten statement, sources by number."""
    tables: dict[tuple[str, str], str] = {}
    columns: dict[str, dict[str, str]] = {}
    for number, source in enumerate(sources):
        tables |= {(SOURCES, f"s{number}"): str(number), (PLAIN, f"s{number}"): str(number)}
        columns[str(number)] = {name: name for name in (*dict(source.columns), PROVENANCE)}
    scope = build_scope(tree)
    assert scope is not None
    tracer = Tracer(tables, columns)
    trace = tracer.trace(scope)
    if tracer.unknown:
        every = frozenset(
            Dep(number, name, Use("INDIRECT", "FILTER")) for number, own in columns.items() for name in own
        )
        return Trace(trace.columns, trace.rows | every)
    return trace


def _direct(deps: Iterable[Dep]) -> frozenset[int]:
    return frozenset(int(dep.input) for dep in deps if dep.use.kind == "DIRECT")


def _carries(deps: Iterable[Dep], needed: Iterable[Dep]) -> bool:
    """Whether a column is, as it stands, one of those that are read anyway."""
    read = {(dep.input, dep.column) for dep in needed}
    direct = [dep for dep in deps if dep.use.kind == "DIRECT"]
    return len(direct) == 1 and direct[0].use.subtype != "AGGREGATION" and (direct[0].input, direct[0].column) in read


def _with_reads(source: Source, number: int, deps: Iterable[Dep]) -> Source:
    names = {dep.column for dep in deps if dep.input == str(number)}
    reads = tuple(name for name, _ in source.columns if name in names or name in ("_batch", "_row"))
    return Source(source.table, source.snapshot, source.through, source.columns, source.current, reads)
