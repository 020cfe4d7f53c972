"""From a built model to the statement that names the source rows of its rows: its text at its pin, through the curated
tables that it reads, each at the pin of its own build. Pure.

What only decides which rows there are is read as well (joins, groups, filters), other columns are not: a trace by token
often needs no key at all.

A curated table whose lineage a person declares is read as it was published; its rows stand for all of the stored tables that
are declared (`provenance_declared`): a superset from there on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sqlglot import exp
from sqlglot.optimizer.scope import build_scope

from governance.develop.declared import ROWS
from governance.develop.deps import Dep, Trace
from governance.develop.parse import parse_select
from governance.develop.provenance import rewrite
from governance.develop.provenance_declared import Behind, Stored, Version, VersionOf, stored_behind
from governance.develop.provenance_trees import PLAIN, PROVENANCE, SOURCES, counted, source_table
from governance.develop.schema import table_columns
from governance.develop.trace import Tracer
from governance.develop.uses import Use
from governance.errors import DeclarationError, NotReady


@dataclass(frozen=True, slots=True)
class Source:
    """One table as the statement reads it; `reads` are the columns that it needs, the others may be NULL. Without `columns`
    the statement does not read it: it stands behind one whose lineage is declared.
    """

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
    stands: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    """Source that is a curated table of declared lineage -> the sources that any row of it may be from, all of them."""

    @property
    def named(self) -> tuple[int, ...]:
        """Sources that an answer may name: stored tables."""
        return tuple(number for number in range(len(self.sources)) if number not in self.stands)

    def stored(self, number: int) -> tuple[int, ...]:
        """The stored tables that an entry of source `number` is of."""
        return self.stands.get(number, (number,))


def plan_trace(
    table: str, snapshot: int, version_of: VersionOf, *, column: str | None, read: Iterable[str]
) -> TracePlan:
    """The plan for `table` at `snapshot`; with `column` for that column's value alone. `read` are output columns that
    the caller compares. Raises NotReady when a build on the way is not known, DeclarationError when its text is not
    sound.
    """
    placer, version = _Placer(version_of), version_of(table, snapshot)
    real = {name.lower(): name for name in table_columns(version.model.contract)}
    column, read = column.lower() if column is not None else None, [name.lower() for name in read]
    tree = placer.typed(version, (), snapshot)
    wanted = {*read, *([column] if column is not None else [])}
    made = rewrite(tree, needed=None if column is None else wanted)
    trace = _traced(counted(made.tree), placer.sources)
    if unknown := wanted - trace.columns.keys():
        found = f"the rows of {', '.join(sorted(unknown))} cannot be followed"
        raise NotReady(found, where=table, do="read gov lineage; trace the tables that it names")
    outputs = [name for name in trace.columns if name != PROVENANCE]
    needed = trace.rows.union(*(trace.columns[name] for name in (PROVENANCE, *read)))
    asked = (
        trace.columns[column] if column is not None else frozenset[Dep]().union(*(trace.columns[n] for n in outputs))
    )
    declared = _Declared(placer, asked | trace.rows | trace.columns[PROVENANCE], version_of)
    sources = tuple(_with_reads(source, number, needed) for number, source in enumerate(placer.sources))
    every = frozenset(range(len(sources) + len(declared.stored))) - declared.stands.keys()
    shown = {name: declared.direct(deps) for name, deps in _traced(made.tree, placer.sources).columns.items()}
    return TracePlan(
        sql=made.tree.sql("duckdb"),
        sources=(*sources, *(Source(s.table, s.snapshot, s.through, (), s.current) for s in declared.stored)),
        values=declared.direct(asked) or every,
        whole={n: reason for n, reason in made.whole.items() if n not in declared.stands} | declared.reasons,
        anchors=tuple(real.get(name, name) for name in outputs if _carries(trace.columns[name], needed)),
        opened={n: frozenset(real.get(name, name) for name in outputs if n in shown[name]) for n in every},
        stands=declared.stands,
    )


class _Placer:
    """Puts numbered sources in the place of tables, and the text of curated tables in the place of their names."""

    def __init__(self, version_of: VersionOf) -> None:
        self._version_of = version_of
        self.sources: list[Source] = []
        self.declared: dict[int, tuple[Version, tuple[str, ...]]] = {}
        """Number of a source whose lineage is declared -> the build that made it, and the way to what it reads."""

    def typed(self, version: Version, path: tuple[str, ...], snapshot: int) -> exp.Select:
        """The model's rows at its contract's types; those that are published when its text cannot be followed."""
        model = version.model
        if model.lineage:
            return self._published(version, path, snapshot)
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

    def _published(self, version: Version, path: tuple[str, ...], snapshot: int) -> exp.Select:
        name, number = version.model.name, len(self.sources)
        columns = tuple((c.lower(), kind) for c, kind in table_columns(version.model.contract).items())
        self.sources.append(Source(name, snapshot, path[:-1], columns, None))
        self.declared[number] = (version, path)
        source = exp.alias_(source_table(number), "__model", table=True, quoted=True)
        shown = [exp.alias_(exp.column(c, table="__model", quoted=True), c, quoted=True) for c, _ in columns]
        return exp.select(*shown).from_(source)

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
                at = version.snapshots[name]
                inner = self.typed(self._version_of(name, at), (*path, name), at)
                made: exp.Expr = inner.subquery(alias)
            else:
                made = exp.alias_(source_table(len(self.sources)), alias, table=True, quoted=True)
                self.sources.append(_source(name, version, path))
            for part in ("joins", "pivots"):
                if node.args.get(part):
                    made.set(part, node.args[part])
            node.replace(made)


class _Declared:
    """The stored tables behind sources of declared lineage, numbered after the sources; of the columns that matter."""

    def __init__(self, placer: _Placer, relevant: Iterable[Dep], version_of: VersionOf) -> None:
        self.stored: list[Stored] = []
        self.stands: dict[int, tuple[int, ...]] = {}
        self.reasons: dict[int, str] = {}
        self._behind: dict[tuple[int, str], dict[Stored, Behind]] = {}
        self._placer, self._version_of = placer, version_of
        self._numbers: dict[tuple[int, Stored], int] = {}
        for source in placer.declared:
            columns = {ROWS, *(dep.column for dep in relevant if dep.input == str(source))} - {PROVENANCE}
            self.stands[source] = self._numbered(source, sorted(columns))

    def direct(self, deps: Iterable[Dep]) -> frozenset[int]:
        """Sources that values come from."""
        found: set[int] = set()
        for dep in deps:
            source = int(dep.input)
            if dep.use.kind != "DIRECT":
                continue
            if source not in self.stands:
                found.add(source)
            elif dep.column == PROVENANCE:  # a count of its rows
                found |= {*self.stands[source]}
            else:
                behind = self._of(source, dep.column).items()
                found |= {self._numbers[source, s] for s, b in behind if b.value and (source, s) in self._numbers}
        return frozenset(found)

    def _numbered(self, source: int, columns: Iterable[str]) -> tuple[int, ...]:
        merged: dict[Stored, Behind] = {}
        for column in columns:
            for stored, behind in self._of(source, column).items():
                merged[stored] = merged[stored] | behind if stored in merged else behind
        for stored, behind in merged.items():
            number = self._numbers[source, stored] = len(self._placer.sources) + len(self.stored)
            self.stored.append(stored)
            self.reasons[number] = behind.reason
        return tuple(self._numbers[source, stored] for stored in merged)

    def _of(self, source: int, column: str) -> dict[Stored, Behind]:
        if (source, column) not in self._behind:
            version, path = self._placer.declared[source]
            self._behind[source, column] = stored_behind(version, column, path, self._version_of)
        return self._behind[source, column]


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


def _carries(deps: Iterable[Dep], needed: Iterable[Dep]) -> bool:
    """Whether a column is, as it stands, one of those that are read anyway."""
    read = {(dep.input, dep.column) for dep in needed}
    direct = [dep for dep in deps if dep.use.kind == "DIRECT"]
    return len(direct) == 1 and direct[0].use.subtype != "AGGREGATION" and (direct[0].input, direct[0].column) in read


def _with_reads(source: Source, number: int, deps: Iterable[Dep]) -> Source:
    names = {dep.column for dep in deps if dep.input == str(number)}
    reads = tuple(name for name, _ in source.columns if name in names or name in ("_batch", "_row"))
    return Source(source.table, source.snapshot, source.through, source.columns, source.current, reads)
