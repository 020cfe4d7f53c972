"""The base rules that follow from a contract by themselves, each with the GX expectation that reports it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from governance.catalog.rules import CodeSetRule, ReferenceRule, RowRule, Rule, UniqueRule
from governance.catalog.types import CodeSet, Dataset, Field, Severity
from governance.errors import Fault
from governance.manage.patterns import as_ecma_reads
from governance.manage.row_types import length_outside, matches
from governance.manage.semantics import check_rules, divides
from governance.manage.sql import (
    Unfit,
    all_of,
    any_of,
    bad,
    between,
    bound,
    cast,
    column,
    is_null,
    needs_order,
    needs_string,
    negate,
    not_null,
    render,
)

GOV_RULE = "expect_gov_rule_to_hold"
"""Our own expectation type, for rules that GX has no type for."""

Pair = tuple[Rule, dict[str, Any]]
"""A rule and its expectation's `type` and `kwargs`."""


def contract_rules(dataset: Dataset, code_sets: Mapping[str, CodeSet]) -> tuple[tuple[Pair, ...], tuple[Fault, ...]]:
    """All base rules in the order of fields, then of kinds; and what of the contract cannot be judged."""
    pairs: list[Pair] = []
    faults: list[Fault] = []
    for field in dataset.fields:
        for name, make in _KINDS:
            try:
                pairs += make(dataset, field, code_sets)
            except Unfit as unfit:
                faults.append(
                    Fault(dataset.file, field.line, f"{field.name}: {name}", unfit.found, unfit.allowed, unfit.do)
                )
    key = dataset.key
    if len(key) > 1:
        pairs.append(_compound_key(key))
    return tuple(pairs), tuple(faults)


def is_curated(dataset: Dataset) -> bool:
    """Curated tables are made of typed columns: nothing in them can fail to convert."""
    return dataset.name.startswith("curated.")


def _type(dataset: Dataset, field: Field, _: Mapping[str, CodeSet]) -> list[Pair]:
    if field.type.kind == "string" or is_curated(dataset):
        return []
    there = render(any_of([not_null(column(field.name)), bad(field.name)]))
    rule = RowRule(f"type:{field.name}", _severity(field, "type"), (field.name,), render(bad(field.name)), there)
    return [(rule, _gov(rule, type=field.type.kind))]


def _required(dataset: Dataset, field: Field, _: Mapping[str, CodeSet]) -> list[Pair]:
    """A value that is there but did not convert is not missing: store leaves it to the `type` rule."""
    if not field.required and not field.primary_key_position:
        return []
    missing = render(is_null(column(field.name)))
    rule = RowRule(f"required:{field.name}", _severity(field, "required"), (field.name,), missing)
    return [(rule, _gx("expect_column_values_to_not_be_null", column=field.name))]


def _unique(dataset: Dataset, field: Field, _: Mapping[str, CodeSet]) -> list[Pair]:
    if not field.unique and [f.name for f in dataset.key] != [field.name]:
        return []
    present = render(not_null(column(field.name)))
    rule = UniqueRule(f"unique:{field.name}", _severity(field, "unique"), (field.name,), present)
    return [(rule, _gx("expect_column_values_to_be_unique", column=field.name))]


def _range(_: Dataset, field: Field, __: Mapping[str, CodeSet]) -> list[Pair]:
    if field.minimum is None and field.maximum is None:
        return []
    needs_order(field)
    low: Any = None if field.minimum is None else bound(field.minimum, field.type)
    high: Any = None if field.maximum is None else bound(field.maximum, field.type)
    strict_low, strict_high = field.exclusive_minimum, field.exclusive_maximum
    if low is not None and high is not None and (low > high or (low == high and (strict_low or strict_high))):
        raise Unfit(f"nothing is between {low} and {high}", "a range that some value fits", "correct one of them")
    outside, _inside = between(field, low, high, strict_low=strict_low, strict_high=strict_high)
    kwargs = {"min_value": low, "max_value": high, "strict_min": strict_low, "strict_max": strict_high}
    rule = RowRule(f"range:{field.name}", _severity(field, "range"), (field.name,), render(outside), _present(field))
    return [(rule, _gx("expect_column_values_to_be_between", column=field.name, **kwargs))]


def _length(_: Dataset, field: Field, __: Mapping[str, CodeSet]) -> list[Pair]:
    if field.min_length is None and field.max_length is None:
        return []
    needs_string(field)
    outside = render(length_outside(field, field.min_length, field.max_length))
    kwargs = {"min_value": field.min_length, "max_value": field.max_length}
    rule = RowRule(f"length:{field.name}", _severity(field, "length"), (field.name,), outside, _present(field))
    return [(rule, _gx("expect_column_value_lengths_to_be_between", column=field.name, **kwargs))]


def _pattern(_: Dataset, field: Field, __: Mapping[str, CodeSet]) -> list[Pair]:
    if field.pattern is None:
        return []
    unexpected = render(negate(matches(field, as_ecma_reads(field.pattern))))
    rule = RowRule(f"pattern:{field.name}", _severity(field, "pattern"), (field.name,), unexpected, _present(field))
    return [(rule, _gx("expect_column_values_to_match_regex", column=field.name, regex=field.pattern))]


def _code_set(_: Dataset, field: Field, code_sets: Mapping[str, CodeSet]) -> list[Pair]:
    if field.code_set is None or divides(field):
        return []
    if field.code_set not in code_sets:
        raise Unfit(f"there is no code set '{field.code_set}'", ", ".join(sorted(code_sets)) or "none is declared")
    key = "" if field.type.kind == "string" else render(cast(column(field.name), "VARCHAR"))
    rule = CodeSetRule(
        f"codeSet:{field.name}",
        _severity(field, "codeSet"),
        (field.name,),
        field.code_set,
        key=key,
        applies=_present(field),
    )
    return [(rule, _gov(rule, code_set=field.code_set))]


def _reference(dataset: Dataset, field: Field, _: Mapping[str, CodeSet]) -> list[Pair]:
    """References into another department are judged beside a model, at its pin."""
    target = field.references
    if target is None or target.dataset.partition(".")[0] != dataset.name.partition(".")[0]:
        return []
    rule = ReferenceRule(
        f"reference:{field.name}",
        _severity(field, "reference"),
        (field.name,),
        target.dataset,
        target.field,
        _present(field),
    )
    return [(rule, _gov(rule, reference=f"{target.dataset}.{target.field}"))]


def _check(dataset: Dataset, field: Field, code_sets: Mapping[str, CodeSet]) -> list[Pair]:
    return [(rule, _gov(rule, check=rule.id.split(":", 2)[2])) for rule in check_rules(dataset, field, code_sets)]


_KINDS: tuple[tuple[str, Callable[[Dataset, Field, Mapping[str, CodeSet]], list[Pair]]], ...] = (
    ("type", _type),
    ("required", _required),
    ("unique", _unique),
    ("range", _range),
    ("length", _length),
    ("pattern", _pattern),
    ("codeSet", _code_set),
    ("reference", _reference),
    ("check", _check),
)


def _compound_key(key: tuple[Field, ...]) -> Pair:
    names = tuple(f.name for f in key)
    severity = key[0].severities.get("unique", "quarantine")
    present = render(all_of([not_null(column(name)) for name in names]))
    rule = UniqueRule(f"key:{'+'.join(names)}", severity, names, present)
    kwargs = {"column_list": list(names), "ignore_row_if": "any_value_is_missing"}
    return rule, _gx("expect_compound_columns_to_be_unique", **kwargs)


def _severity(field: Field, kind: str) -> Severity:
    return field.severities.get(kind, "quarantine")


def _present(field: Field) -> str:
    return render(not_null(column(field.name)))


def _gx(name: str, **kwargs: Any) -> dict[str, Any]:
    return {"type": name, "kwargs": {k: v for k, v in kwargs.items() if v is not None and v is not False}}


def _gov(rule: Rule, **about: Any) -> dict[str, Any]:
    return {"type": GOV_RULE, "kwargs": {"column": rule.columns[0], "rule": rule.id, **about}}
