"""Faults of meaning in access.yaml: unknown names, masks that do not fit, row filters that cannot hold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from governance.catalog.types import Catalogue, Dataset, Field
from governance.errors import Fault
from governance.policy import filters, masks
from governance.policy.operands import says_something
from governance.policy.source import Place, Source

if TYPE_CHECKING:
    from governance.policy.access import Access, Rule


def meaning_faults(access: Access, source: Source, catalogue: Catalogue) -> Iterator[Fault]:
    """Every name that is not known, and every rule that cannot mean what it says. What only a table that is left out
    could know is no fault: a rule on it opens nothing of the others.
    """
    roles, purposes = {role.id for role in access.roles}, {purpose.id for purpose in access.purposes}
    subjects = {subject.name for subject in access.subjects}
    yield from _twice(source, "roles", "id", [role.id for role in access.roles])
    yield from _twice(source, "purposes", "id", [purpose.id for purpose in access.purposes])
    yield from _twice(source, "subjects", "name", [subject.name for subject in access.subjects])
    yield from _twice(source, "rules", "id", [rule.id for rule in access.rules])
    for at, subject in enumerate(access.subjects):
        yield from _unknown(source, ("subjects", at, "roles"), "role", subject.roles, roles)
    for at, approver in enumerate(access.approvers):
        yield from _unknown(source, ("approvers", at, "subject"), "subject", (approver.subject,), subjects)
    yield from _break_glass_faults(access, source, roles, purposes)
    tables = {**catalogue.datasets, **{name: model.contract for name, model in catalogue.models.items()}}
    tags = {tag for table in tables.values() for field in table.fields for tag in field.tags}
    if catalogue.left_out:
        tags |= {tag for rule in access.rules for tag in (*rule.where.tags, *rule.where.without_tags)}
    for at, rule in enumerate(access.rules):
        place: Place = ("rules", at)
        yield from _unknown(source, (*place, "roles"), "role", rule.roles, roles)
        yield from _unknown(source, (*place, "subjects"), "subject", rule.subjects, subjects)
        yield from _unknown(source, (*place, "purposes"), "purpose", rule.purposes, purposes)
        yield from _unknown(source, (*place, "where", "tags"), "tag", rule.where.tags, tags)
        yield from _unknown(source, (*place, "where", "without_tags"), "tag", rule.where.without_tags, tags)
        yield from _unknown(
            source, (*place, "where", "tables"), "table", rule.where.tables, {*tables, *catalogue.left_out}
        )
        meant = [table for name, table in tables.items() if name in (rule.where.tables or catalogue.models)]
        yield from _mask_faults(rule, place, source, meant)
        yield from _filter_faults(rule, place, source, meant, access, catalogue)
        if meant or not catalogue.left_out:
            yield from _consent_faults(rule, (*place, "consent"), source, meant)


def _break_glass_faults(access: Access, source: Source, roles: set[str], purposes: set[str]) -> Iterator[Fault]:
    section = access.break_glass
    if section is None:
        return
    place: Place = ("break_glass",)
    yield from _unknown(source, (*place, "roles"), "role", section.roles, roles)
    yield from _unknown(source, (*place, "purposes"), "purpose", section.purposes, purposes)
    if not access.approvers:
        yield source.fault(place, "nobody can review it", do="name an approver under approvers")


def _mask_faults(rule: Rule, place: Place, source: Source, tables: Iterable[Dataset]) -> Iterator[Fault]:
    if rule.action.mask is None:
        return
    for table in tables:
        for field in table.fields:
            if not rule.where.holds(table.name, field.classification, field.tags):
                continue
            why = masks.fault(rule.action.mask, field)
            if why:
                do = "narrow the rule's where, or choose another mask"
                yield source.fault((*place, "action"), f"on {table.name}.{field.name}: {why}", do=do)


def _filter_faults(
    rule: Rule, place: Place, source: Source, tables: Iterable[Dataset], access: Access, catalogue: Catalogue
) -> Iterator[Fault]:
    if rule.row_filter is None:
        return
    place = (*place, "row_filter")
    if filters.depth(rule.row_filter) > filters.MAX_DEPTH:
        yield source.fault(place, "is nested too deeply", f"{filters.MAX_DEPTH} levels", "simplify it")
    compares = tuple(filters.comparisons(rule.row_filter))
    if len(compares) > filters.MAX_NODES:
        yield source.fault(place, "has too many parts", f"{filters.MAX_NODES} comparisons", "simplify it")
    fields = {table.name: {field.name: field for field in table.fields} for table in tables}
    for compare in compares:
        having = [columns[compare.column] for columns in fields.values() if compare.column in columns]
        lacking = [name for name, columns in fields.items() if compare.column not in columns]
        if (not having and not catalogue.left_out) or (rule.where.tables and lacking):
            where = ", ".join(lacking) or "any curated table"
            yield source.fault(place, f"no column {compare.column} in {where}", do="correct the column")
        given = compare.values or (() if compare.value is None else (compare.value,))
        why = _misfit(compare.column, given, having, catalogue)
        if why:
            yield source.fault(place, why, do="correct the value")
        if compare.session is not None:
            yield from _attribute_faults(compare, rule, place, source, having, access, catalogue)


def _consent_faults(rule: Rule, place: Place, source: Source, tables: Iterable[Dataset]) -> Iterator[Fault]:
    if rule.consent is None:
        return
    domain = rule.consent.domain
    counts = {table.name: sum(field.domain == domain for field in table.fields) for table in tables}
    lacking = [name for name, count in counts.items() if count != 1]
    if len(lacking) == len(counts) or (rule.where.tables and lacking):
        where = ", ".join(lacking) or "any curated table"
        found = f"not exactly one field of the identifier domain {domain} in {where}"
        yield source.fault(place, found, do="correct the domain, or name other tables")


def _misfit(column: str, given: Iterable[object], fields: Iterable[Field], catalogue: Catalogue) -> str:
    """Why one of the values can never be one of the column's; empty when each may be."""
    values = tuple(given)
    for field in fields:
        if not all(filters.fits(value, field.type) for value in values):
            return f"a value does not fit {column}, which is {field.type.kind}{_form(field)}"
        codes = catalogue.code_sets.get(field.code_set or "")
        if codes is not None and not set(codes.codes).issuperset(values):
            return f"a value is no code of {codes.name}, which {column} takes its values from"
    return ""


def _form(field: Field) -> str:
    return " (in NFC, nothing around or invisible in it)" if field.type.kind == "string" else ""


def _attribute_faults(
    compare: filters.Compare,
    rule: Rule,
    place: Place,
    source: Source,
    having: Iterable[Field],
    access: Access,
    catalogue: Catalogue,
) -> Iterator[Fault]:
    """Attributes of the rule's subjects that can be no value of the column. Whoever lacks the attribute, or has an empty
    one, gets nothing by the rule (`filters.bind`).
    """
    name = compare.session
    assert name is not None
    fields = tuple(having)
    meant = [
        (at, subject)
        for at, subject in enumerate(access.subjects)
        if subject.name in rule.subjects or set(subject.roles).intersection(rule.roles)
    ]
    if meant and not any(name in subject.session for _, subject in meant):
        yield source.fault(place, f"no subject of the rule has the attribute {name}", do="correct it")
    for at, subject in meant:
        value = subject.attributes.get(name)
        if value is None or name not in subject.session:
            continue
        items = [item for item in (value if isinstance(value, tuple) else (value,)) if says_something(item)]
        if why := _misfit(compare.column, items, fields, catalogue):
            here: Place = ("subjects", at, "attributes", name)
            yield source.fault(here, f"{why} (asked by {rule.id})", do="correct the attribute")


def _unknown(source: Source, place: Place, what: str, named: Iterable[str], known: Iterable[str]) -> Iterator[Fault]:
    known = set(known)
    for name in named:
        if name not in known:
            shown = re.sub(r"[^\w:.@-]", "?", name)
            yield source.fault(
                place, f"unknown {what} {shown}", ", ".join(sorted(known)[:20]) or "none is declared", "correct it"
            )


def _twice(source: Source, section: str, key: str, names: list[str]) -> Iterator[Fault]:
    for at, name in enumerate(names):
        if name in names[:at]:
            yield source.fault((section, at, key), f"{name} is declared twice", do="keep one")
