"""What of a catalogue speaks of some of its columns: checks, expectations, references, access rules. By the declarations alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from governance.catalog.types import TOKEN_SUFFIX, Catalogue, Field
from governance.develop import analyse_check
from governance.keys.names import KeyName
from governance.lineage.graph import ROWS, Node
from governance.policy import filters
from governance.policy.access import Rule, parse_access
from governance.policy.decide import Column, Decider
from governance.policy.lattice import NONE

Touched = Mapping[str, frozenset[str]]
"""Declared tables with the names of their fields that are meant."""
_COLUMNS = ("column", "column_A", "column_B")


def touched(catalogue: Catalogue, nodes: Iterable[Node]) -> Touched:
    """Declared tables with the names of their fields that are touched; of a table whose rows are, every field."""
    found: dict[str, set[str]] = {}
    declared = {**catalogue.datasets, **{name: model.contract for name, model in catalogue.models.items()}}
    for node in nodes:
        if node.table in declared:
            names = {field.name for field in declared[node.table].fields}
            own = names if node.column == ROWS else {node.column.removesuffix(TOKEN_SUFFIX)}
            found.setdefault(node.table, set()).update(own & names)
    return {table: frozenset(names) for table, names in found.items()}


def _fields(catalogue: Catalogue, columns: Touched) -> Iterator[tuple[str, Field]]:
    for table, names in columns.items():
        for field in catalogue.table(table).fields:
            if field.name in names:
                yield table, field


def checks(catalogue: Catalogue, columns: Touched) -> Iterator[str]:
    """Checks between departments that read a touched column."""
    for model in catalogue.models.values():
        for check in model.checks:
            if any(table.rpartition(".")[2] in check.sql for table in columns):
                reads = analyse_check(check, catalogue).reads
                if any(columns.get(table, frozenset()).intersection(names) for table, names in reads.items()):
                    yield f"{model.name}.{check.name}"


def expectations(catalogue: Catalogue, columns: Touched) -> Iterator[str]:
    """Expectations of suites that name a touched column."""
    for table, names in columns.items():
        suite = catalogue.suites.get(table)
        for each in json.loads(suite.text)["expectations"] if suite is not None else ():
            kwargs = each.get("kwargs", {})
            read = {kwargs.get(name) for name in _COLUMNS} | set(kwargs.get("column_list") or ())
            for name in sorted(names & {name for name in read if isinstance(name, str)}):
                yield f"{table}: {each['type']}({name})"


def references(catalogue: Catalogue, columns: Touched) -> Iterator[str]:
    """Fields whose contract says that their values are those of a touched one."""
    for dataset in (*catalogue.datasets.values(), *(model.contract for model in catalogue.models.values())):
        for field in dataset.fields:
            target = field.references
            if target is not None and target.field in columns.get(target.dataset, frozenset()):
                yield f"{dataset.name}.{field.name}"


def policies(catalogue: Catalogue, columns: Touched) -> Iterator[str]:
    """Access rules that open or close a field that is meant, or filter by one."""
    for rule in parse_access(catalogue.access_text, catalogue.access_file, catalogue).rules:
        if _speaks_of(rule, catalogue, columns):
            yield rule.id


def keys(catalogue: Catalogue, columns: Touched) -> Iterator[str]:
    """Master keys of the encrypted fields that are meant, in their first epoch, as the contracts give them."""
    for table, field in _fields(catalogue, columns):
        if field.encrypted:
            yield str(KeyName(catalogue.table(table).department or "curated", table, field.group))


def readers(catalogue: Catalogue, columns: Touched, *, at: datetime) -> Iterator[str]:
    """Who sees a curated field that is meant by the access rules, and for which purpose."""
    access = parse_access(catalogue.access_text, catalogue.access_file, catalogue)
    decider = Decider(access)
    for subject in access.subjects:
        for purpose in access.purposes:
            for table in sorted(set(columns) & set(catalogue.models)):
                own = [Column.of(field) for field in catalogue.table(table).fields]
                decided = decider.decide(subject.name, purpose.id, table, own, at=at)
                if any(decided[name].outcome != NONE for name in columns[table]):
                    yield f"{subject.name} for {purpose.id}"
                    break


def _speaks_of(rule: Rule, catalogue: Catalogue, columns: Touched) -> bool:
    """Whether a rule opens or closes a touched field, or filters by one."""
    asked = {c.column for c in filters.comparisons(rule.row_filter)} if rule.row_filter is not None else set()
    for table, field in _fields(catalogue, columns):
        if rule.where.holds(table, field.classification, field.tags):
            return True
        own = catalogue.table(table).fields
        if field.name in asked and any(rule.where.holds(table, f.classification, f.tags) for f in own):
            return True
    return False
