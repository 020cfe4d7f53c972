"""`analyse`: what a model reads, makes and may do, from its text and the catalogue alone. Pure.

Inherited classification of an output column is the highest level of its DIRECT sources (aggregates included:
`max(id_number)` is an id number); unclassified is above L4. A column without DIRECT sources, such as `count(*)`,
inherits L1. A token column has its field's level. Where lineage is declared, each output column inherits from all that
the model reads. The contract must declare at least that, or the model's head lowers
it with evidence: `-- gov.declassify: total L2 because ...`.

A contract field `f` with an identifier domain needs the model to select `f__token` too, so that others can join on it
without a key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from governance.catalog.types import TOKEN_SUFFIX, Catalogue, Check, Dataset, Level, Model
from governance.develop.analysis import Analysis
from governance.develop.declared import declared_tables, step_columns, token_faults, undeclared, with_declared
from governance.develop.deps import Dep, Trace
from governance.develop.keys import keys_of
from governance.develop.output import check_faults, contract_faults, output_types
from governance.develop.overlooked import overlooked, unnamed
from governance.develop.parse import Parsed, line_of, parse_select
from governance.develop.repeat import repeat_faults
from governance.develop.schema import schema_of
from governance.develop.trace import Tracer
from governance.develop.uses import Use
from governance.errors import Fault
from governance.lineage.edges import Edge, EdgeSet

_ORDER: tuple[Level | None, ...] = (Level.L1, Level.L2, Level.L3, Level.L4, None)
"""The lattice of levels: a chain with unclassified on top."""


def analyse(model: Model, catalogue: Catalogue) -> Analysis:
    """The analysis of one model; what is wrong with it is in `faults`, at the line of its SQL or of its contract's
    field."""
    if model.language == "python":
        return _analyse_step(model, catalogue)
    parsed = parse_select(model.sql, model.file, catalogue)
    if parsed.scope is None:
        return _broken(model.name, parsed)
    trace, unknown = _traced(parsed, model.file)
    columns, bind_faults = output_types(model.sql, model.file, parsed.schema)
    trace, unmatched = _named(trace, columns, model.file)
    names = [name for name, _ in columns]
    lacking = [*unknown, *unmatched]
    trace, unknown = with_declared(model, trace, lacking, names, parsed.schema.columns)
    everything = _all_read(trace) if lacking else frozenset[Dep]()
    classification = {name: _inherited(deps | everything, catalogue) for name, deps in trace.columns.items()}
    faults = [*unknown, *bind_faults, *contract_faults(columns, model), *_level_faults(classification, model)]
    if model.tolerance is None:
        faults += repeat_faults(parsed, model.file, catalogue)
    edges = EdgeSet(model.name, "develop", _edges(trace), complete=not unknown)
    return _analysis(parsed, trace, edges, catalogue, classification=classification, faults=faults, columns=columns)


def analyse_check(check: Check, catalogue: Catalogue) -> Analysis:
    """The analysis of a check: the same reading, but its output is positions only (`token`, `left_batch`, `left_row`,
    ...)."""
    parsed = parse_select(check.sql, check.file, catalogue)
    output = f"{check.model}.{check.name}"
    if parsed.scope is None:
        return _broken(output, parsed)
    trace, unknown = _traced(parsed, check.file)
    columns, bind_faults = output_types(check.sql, check.file, parsed.schema)
    trace, unmatched = _named(trace, columns, check.file)
    unknown += unmatched
    faults = [
        *unknown,
        *bind_faults,
        *check_faults(trace, columns, check),
        *repeat_faults(parsed, check.file, catalogue),
    ]
    edges = EdgeSet(output, "check", _edges(trace), complete=not unknown)
    return _analysis(parsed, trace, edges, catalogue, classification={}, faults=faults, columns=columns)


def order(models: Mapping[str, Model], analyses: Mapping[str, Analysis]) -> tuple[tuple[str, ...], tuple[Fault, ...]]:
    """Models in an order in which each comes after the curated tables that it reads; a cycle gives no order and one
    fault."""
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for name in sorted(models):
        sorter.add(name, *(i for i in analyses[name].inputs if i in models))
    try:
        return tuple(sorter.static_order()), ()
    except CycleError as error:
        cycle = tuple(reversed(error.args[1]))
        found = "a cycle: " + " reads ".join(cycle)
        return (), (
            Fault(models[cycle[0]].file, 1, cycle[0], found, "models that do not read themselves", "break the cycle"),
        )


def highest(levels: Iterable[Level | None]) -> Level | None:
    """The join of levels; L1 of none at all.

    >>> highest([Level.L2, Level.L4]), highest([Level.L4, None]), highest([])
    (<Level.L4: 'L4'>, None, <Level.L1: 'L1'>)
    """
    return max(levels, key=_ORDER.index, default=Level.L1)


def _analyse_step(model: Model, catalogue: Catalogue) -> Analysis:
    """A Python step reads what it declares and nothing else, and gives what its contract says: nothing of it is found."""
    inputs = declared_tables(model, catalogue)
    parsed = Parsed(inputs, schema_of(catalogue, inputs), None, ())
    columns = step_columns(model)
    trace, faults = with_declared(
        model, Trace(), undeclared(model), [name for name, _ in columns], parsed.schema.columns
    )
    everything = _all_read(trace)
    classification = {name: _inherited(deps | everything, catalogue) for name, deps in trace.columns.items()}
    complete = not faults
    faults += [*_level_faults(classification, model), *token_faults(model, catalogue)]
    edges = EdgeSet(model.name, "develop", _edges(trace), complete=complete)
    return _analysis(parsed, trace, edges, catalogue, classification=classification, faults=faults, columns=columns)


def _traced(parsed: Parsed, file: str) -> tuple[Trace, list[Fault]]:
    tracer = Tracer(parsed.schema.tables, parsed.schema.columns)
    assert parsed.scope is not None
    trace = tracer.trace(parsed.scope)
    unknown = [(u.found, u.node) for u in tracer.unknown]
    for column in overlooked(parsed.scope.expression, tracer.followed):
        unknown.append((f"the use of {column.sql('duckdb')} could not be followed", column))
    unknown += unnamed(parsed.scope.expression)
    allowed, do = "SQL whose columns can be followed", "write it plainly"
    return trace, sorted({Fault(file, line_of(node), "lineage", found, allowed, do) for found, node in unknown})


def _named(trace: Trace, columns: tuple[tuple[str, str], ...], file: str) -> tuple[Trace, list[Fault]]:
    """The trace under the names that DuckDB gives (sqlglot writes all names in lower case); a fault when they differ
    otherwise."""
    if not columns:
        return trace, []
    names = [name for name, _ in columns]
    if [n.lower() for n in names] != [n.lower() for n in trace.columns]:
        found, do = "output columns that cannot be told apart", "give every output column a name of its own"
        return trace, [Fault(file, 1, "lineage", found, "distinct names", do)]
    return Trace(dict(zip(names, trace.columns.values(), strict=True)), trace.rows), []


def _edges(trace: Trace) -> tuple[Edge, ...]:
    found = {_edge(dep, column) for column, deps in trace.columns.items() for dep in deps}
    return tuple(sorted(found | {_edge(dep, "*") for dep in trace.rows}))


def _edge(dep: Dep, column: str) -> Edge:
    return Edge(dep.input, dep.column, column, dep.use.kind, dep.use.subtype, dep.use.masking)


def _all_read(trace: Trace) -> frozenset[Dep]:
    """Every column that is read, as if values came from it: what is declared is a person's word, and a column that is read to
    filter or to join can come out by what nobody could follow.
    """
    every = trace.rows.union(*trace.columns.values())
    return frozenset(dep._replace(use=Use("DIRECT", "TRANSFORMATION")) for dep in every)


def _inherited(deps: Iterable[Dep], catalogue: Catalogue) -> Level | None:
    direct = {(d.input, d.column) for d in deps if d.use.kind == "DIRECT"}
    return highest(_level(catalogue.table(table), column) for table, column in direct)


def _level(dataset: Dataset, column: str) -> Level | None:
    """Level of a readable column; positions are open (L1)."""
    if column in ("_batch", "_row"):
        return Level.L1
    names = {f.name: f.classification for f in dataset.fields}
    return names[column] if column in names else names[column.removesuffix(TOKEN_SUFFIX)]


def _level_faults(classification: Mapping[str, Level | None], model: Model) -> list[Fault]:
    faults = []
    for field in model.contract.fields:
        if field.name not in classification:
            continue
        needed, why = classification[field.name], "inherited from its sources"
        if field.name in model.declassify:
            lowered, evidence = model.declassify[field.name]
            if evidence.strip():
                needed, why = min(needed, lowered, key=_ORDER.index), "declassified in the model's head"
        if _ORDER.index(field.classification) < _ORDER.index(needed):
            found = f"{field.classification or 'no classification'}, but {needed or 'unclassified'} is {why}"
            do = f"raise it, or declare `-- gov.declassify: {field.name} LEVEL because ...` in {model.file}"
            path = f"{field.name}.classification"
            faults.append(
                Fault(model.contract.file, field.line or 1, path, found, f"at least {needed or 'unclassified'}", do)
            )
    unknown = sorted(set(model.declassify) - set(classification))
    faults += [
        Fault(model.file, 1, "gov.declassify", f"{n!r} is not a column", ", ".join(classification), "correct the name")
        for n in unknown
    ]
    return faults


def _analysis(
    parsed: Parsed,
    trace: Trace,
    edges: EdgeSet,
    catalogue: Catalogue,
    *,
    classification: Mapping[str, Level | None],
    faults: Sequence[Fault],
    columns: tuple[tuple[str, str], ...],
) -> Analysis:
    reads: dict[str, set[str]] = {name: set() for name in parsed.inputs}
    every = {name: set(named.values()) for name, named in parsed.schema.columns.items()}
    for edge in edges.edges:
        reads[edge.input].add(edge.input_column)
    keys, encrypted = keys_of(catalogue, reads)
    return Analysis(
        inputs=parsed.inputs,
        edges=edges,
        keys=keys,
        classification=classification,
        faults=tuple(sorted(set(faults))),
        needs_worker=encrypted,
        reads={name: _in_order(parsed, name, found) for name, found in reads.items()},
        unread={name: _in_order(parsed, name, every[name] - found) for name, found in reads.items()},
        columns=columns,
    )


def _in_order(parsed: Parsed, table: str, found: set[str]) -> tuple[str, ...]:
    return tuple(c for c in parsed.schema.columns[table].values() if c in found)


def _broken(output: str, parsed: Parsed) -> Analysis:
    edges = EdgeSet(output, "develop", (), complete=False)
    return Analysis(parsed.inputs, edges, (), {}, tuple(sorted(parsed.faults)), needs_worker=False)
