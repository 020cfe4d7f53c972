"""From analyses and a pin to the request of a build, and the keys that it is granted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from governance.catalog.rules import CodeSetRule, ReferenceRule, RowRules
from governance.catalog.types import Catalogue, Dataset, Model
from governance.config import Settings
from governance.develop.analyse import analyse, analyse_check
from governance.develop.analysis import Analysis
from governance.develop.request import BuildRequest, CheckRequest, Input, Target
from governance.develop.schema import table_columns
from governance.errors import DeclarationError
from governance.keys.names import KeyName
from governance.lake.lake import Lake
from governance.state.values import Pin


def sound(model: Model, catalogue: Catalogue) -> tuple[Analysis, dict[str, Analysis]]:
    """The analyses of a model and of its checks by name; DeclarationError with all their faults."""
    analysis = analyse(model, catalogue)
    checks = {check.name: analyse_check(check, catalogue) for check in model.checks}
    faults = [*analysis.faults, *(f for a in checks.values() for f in a.faults)]
    if faults:
        raise DeclarationError(tuple(faults))
    return analysis, checks


def pinned_tables(
    model: Model, analysis: Analysis, checks: Mapping[str, Analysis], rules: RowRules, catalogue: Catalogue
) -> tuple[str, ...]:
    """Every table that a build of `model` may read: inputs of the SELECT and of its checks, and what its rules refer
    to.

    The model itself is never pinned: a check that reads it sees the rows that the build makes.
    """
    known = {*catalogue.datasets, *catalogue.models}
    tables = {*analysis.inputs, *(i for check in checks.values() for i in check.inputs)}
    tables |= {r.dataset for r in rules.rules if isinstance(r, ReferenceRule) and r.dataset in known}
    return tuple(sorted(tables - {model.name}))


def request_of(
    model: Model,
    rules: RowRules,
    analysis: Analysis,
    checks: Mapping[str, Analysis],
    pin: Pin,
    catalogue: Catalogue,
    settings: Settings,
    *,
    write: bool = True,
) -> BuildRequest:
    """The request of a build of `model` at `pin`, without a grant yet."""
    code_sets = {r.code_set for r in rules.rules if isinstance(r, CodeSetRule)}
    return BuildRequest(
        settings=settings,
        run=pin.run,
        grant_id=None,
        sensitive=analysis.needs_worker or any(a.needs_worker for a in checks.values()),
        write=write,
        model=model,
        rules=rules,
        inputs=_inputs([analysis], pin, catalogue),
        code_sets={name: c for name, c in catalogue.code_sets.items() if name in code_sets},
        targets=_targets(model, rules, pin, catalogue),
        checks=tuple(_check(c.name, c.sql, checks[c.name], analysis, pin, catalogue) for c in model.checks),
    )


def grant_keys(job: BuildRequest, lake: Lake) -> frozenset[KeyName]:
    """The keys that reading the request's columns takes: those of the lineage, at the groups that the files are
    under."""
    sources = list(job.inputs) if job.write else []
    sources += [source for check in job.checks for source in check.inputs]
    keys: set[KeyName] = set()
    for source in sources:
        there = {column.name for column in lake.schema(source.table, source.snapshot).columns}
        reads = [c for c in source.reads if c in there]
        keys |= lake.keys(source.table, source.snapshot, reads) if reads else frozenset()
    return frozenset(keys)


def _inputs(analyses: Iterable[Analysis], pin: Pin, catalogue: Catalogue) -> tuple[Input, ...]:
    """The pinned inputs of these statements together, each with the columns that any of them reads."""
    reads: dict[str, set[str]] = {}
    for analysis in analyses:
        for name in analysis.inputs:
            reads.setdefault(name, set()).update(analysis.reads.get(name, ()))
    found = []
    for name in sorted(set(reads) & set(pin.snapshots)):
        columns = table_columns(catalogue.table(name))
        wanted = tuple(c for c in columns if c in reads[name])
        current = _current(catalogue.table(name))
        found.append(Input(name, pin.snapshots[name], wanted, tuple(columns.items()), current))
    return tuple(found)


def _check(name: str, sql: str, check: Analysis, analysis: Analysis, pin: Pin, catalogue: Catalogue) -> CheckRequest:
    own = pin.model in check.inputs
    return CheckRequest(name, sql, _inputs([check, analysis] if own else [check], pin, catalogue), own)


def _targets(model: Model, rules: RowRules, pin: Pin, catalogue: Catalogue) -> dict[str, Target]:
    """Where reference rules look: the token column when both sides are of one domain, else a clear column; nothing
    else."""
    targets = {}
    for rule in rules.rules:
        if not isinstance(rule, ReferenceRule) or rule.dataset not in pin.snapshots:
            continue
        dataset = catalogue.table(rule.dataset)
        own, other = model.contract.field(rule.columns[0]), dataset.field(rule.field)
        snapshot, current = pin.snapshots[rule.dataset], _current(dataset)
        if own.token_name and other.token_name and own.domain == other.domain:
            targets[rule.id] = Target(rule.dataset, snapshot, other.token_name, own.token_name, current)
        elif not other.encrypted:
            targets[rule.id] = Target(rule.dataset, snapshot, other.name, own.name, current)
    return targets


def _current(dataset: Dataset) -> bool | None:
    return True if dataset.keeps_versions else None
