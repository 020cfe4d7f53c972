"""What one declaration says about another: names that must exist, and exist once. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from governance.catalog.types import CodeSet, Dataset, Field, Suite
from governance.errors import Fault


def duplicate_faults(datasets: Iterable[Dataset]) -> Iterator[Fault]:
    """Names that two contracts give; case does not count, as engines and file systems forget it."""
    seen: dict[str, Dataset] = {}
    for dataset in datasets:
        first = seen.setdefault(dataset.name.lower(), dataset)
        if first is not dataset:
            found = f"{dataset.name!r} is declared in {first.file} already"
            yield Fault(dataset.file, 1, "schema", found, "each name once", "rename or remove one")


def link_faults(
    tables: Mapping[str, Dataset], code_sets: Mapping[str, CodeSet], broken: frozenset[str]
) -> Iterator[Fault]:
    """Fields that name a code set or a field that does not exist. What stands in `broken` files counts as existing."""
    for dataset in tables.values():
        for field in dataset.fields:
            if field.code_set is not None and field.code_set not in code_sets and field.code_set not in broken:
                found = f"there is no code set {field.code_set!r}"
                yield _fault(
                    dataset,
                    field,
                    "gov.codeSet",
                    found,
                    ", ".join(sorted(code_sets)),
                    "add standards/<name>.csv or correct it",
                )
            if field.references is not None:
                yield from _reference_faults(dataset, field, tables, broken)


def suite_faults(suites: Mapping[str, Suite], tables: Mapping[str, Dataset], broken: frozenset[str]) -> Iterator[Fault]:
    """Suites of datasets that do not exist."""
    for suite in suites.values():
        if suite.dataset not in tables and suite.dataset not in broken:
            found = f"there is no dataset {suite.dataset!r}"
            yield Fault(
                suite.file,
                1,
                "",
                found,
                "expectations/<department>/<dataset>.json",
                "rename the file or add the contract",
            )


def _reference_faults(
    dataset: Dataset, field: Field, tables: Mapping[str, Dataset], broken: frozenset[str]
) -> Iterator[Fault]:
    reference = field.references
    assert reference is not None
    if reference.dataset in broken:
        return
    target = tables.get(reference.dataset)
    if target is None:
        found = f"there is no dataset {reference.dataset!r}"
        yield _fault(dataset, field, "relationships", found, "DEPARTMENT.DATASET.FIELD or DATASET.FIELD", "correct it")
        return
    fields = {f.name: f for f in target.fields}
    if reference.field not in fields:
        found = f"{reference.dataset!r} has no field {reference.field!r}"
        yield _fault(dataset, field, "relationships", found, ", ".join(fields), "correct it")
        return
    other = fields[reference.field]
    if other.domain != field.domain:
        found = f"identifier domain {field.domain!r}, but {other.domain!r} at {reference.dataset}.{reference.field}"
        yield _fault(
            dataset,
            field,
            "gov.domain",
            found,
            "the same on both sides: references compare tokens",
            "correct one of them",
        )
    elif other.domain is None and other.type.kind != field.type.kind:
        found = f"type {field.type.kind}, but {other.type.kind} at {reference.dataset}.{reference.field}"
        yield _fault(dataset, field, "logicalType", found, "the same on both sides", "correct one of them")


def _fault(dataset: Dataset, field: Field, what: str, found: str, allowed: str, do: str) -> Fault:
    return Fault(dataset.file, field.line or 1, f"{dataset.name}.{field.name}.{what}", found, allowed, do)
