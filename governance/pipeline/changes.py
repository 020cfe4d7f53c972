"""`changes`: what differs between two catalogues, each change breaking or not. Pure, by the declarations alone.

Breaking is what can make something that worked stop, or say something else, for those who deliver, build, check or read: a table or
field that goes or has another name, a type that no longer holds all values, a rule that lets less in, NULLs where there
were none, a key that changes, a level that rises, or whoever saw a field and sees less of it. A new field or table, a wider type, a
lower level are not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from governance.catalog.types import Catalogue, ColumnType, Dataset, Field, Level, Suite
from governance.errors import DeclarationError
from governance.lineage.graph import ROWS
from governance.pipeline.change import Change, Kind
from governance.pipeline.changed_models import model_changes
from governance.policy import diff as policy_diff
from governance.policy.access import parse_access

_WIDER = {"integer": ("decimal", "double"), "date": ("timestamp",)}
_LEVELS: Mapping[Level | None, int] = {level: rank for rank, level in enumerate([*Level, None])}


def changes(old: Catalogue, new: Catalogue, *, at: datetime) -> tuple[Change, ...]:
    """All differences, sorted; access rules compared as they decide from `at` on."""
    found: set[Change] = set()
    before, after = _tables(old), _tables(new)
    for name in before.keys() | after.keys():
        if name not in after:
            found.add(Change(name, ROWS, "table dropped", True, "is not declared any more"))
        elif name not in before:
            found.add(Change(name, ROWS, "table added", False, f"{len(after[name].fields)} fields"))
        elif before[name].text_hash != after[name].text_hash:
            found.update(_contract(before[name], after[name]))
    for name in old.models.keys() & new.models.keys():
        found.update(model_changes(old.models[name], new.models[name], old, new))
    found.update(_suites(old, new))
    found.update(_codes(old, new))
    found.update(_sights(old, new, at))
    return tuple(sorted(found))


def _tables(catalogue: Catalogue) -> dict[str, Dataset]:
    return {**catalogue.datasets, **{name: model.contract for name, model in catalogue.models.items()}}


def _contract(old: Dataset, new: Dataset) -> Iterator[Change]:
    name = old.name
    after = {field.name: field for field in new.fields}
    renamed = _renamed(old, new)
    for field in old.fields:
        if field.name in after:
            yield from _field(name, field, after[field.name])
        elif field.name in renamed:
            other = renamed[field.name]
            yield Change(name, field.name, "field renamed", True, f"is now {other.name}")
            yield from _field(name, field, other)
        else:
            yield Change(name, field.name, "field dropped", True, "is not declared any more")
    known = {field.name for field in old.fields} | {field.name for field in renamed.values()}
    for field in new.fields:
        if field.name not in known:
            must = field.required and new.source is not None
            yield Change(name, field.name, "field added", must, "every delivery must have it" if must else "is new")
    if [f.name for f in old.key] != [f.name for f in new.key]:
        what = f"primary key {_listed(f.name for f in old.key)} -> {_listed(f.name for f in new.key)}"
        yield Change(name, ROWS, "key", True, what)
    if old.load_mode != new.load_mode:
        yield Change(name, ROWS, "load mode", True, f"{old.load_mode} -> {new.load_mode}")
    if old.source != new.source:
        yield Change(name, ROWS, "source", False, "is collected from another place or in another form")
    if new.max_quarantine < old.max_quarantine:
        yield Change(
            name,
            ROWS,
            "rule",
            True,
            f"stops beyond {new.max_quarantine:g} quarantined instead of {old.max_quarantine:g}",
        )


def _renamed(old: Dataset, new: Dataset) -> dict[str, Field]:
    """Old name -> field that is the same by its ODCS id, or by the only column of the source that it is read from."""
    gone = {f.name for f in old.fields}
    fresh = [f for f in new.fields if f.name not in gone]
    kept = {f.name for f in new.fields}
    found: dict[str, Field] = {}
    for field in old.fields:
        if field.name in kept:
            continue
        alike = [f for f in fresh if field.id and f.id == field.id]
        alike = alike or [
            f for f in fresh if not f.id and f.source_name == field.source_name and old.source is not None
        ]
        if len(alike) == 1:
            found[field.name] = alike[0]
    return found


def _field(table: str, old: Field, new: Field) -> Iterator[Change]:
    def change(kind: Kind, breaking: bool, what: str) -> Change:
        return Change(table, old.name, kind, breaking, what)

    if old.type != new.type:
        kind = _type_change(old.type, new.type)
        yield change(kind, kind != "type widened", f"{old.type.duckdb()} -> {new.type.duckdb()}")
    if old.required != new.required:
        what = "must be there now: less is let in" if new.required else "may be NULL now: readers meet NULLs"
        yield change("nullability", True, what)
    if _LEVELS[old.classification] != _LEVELS[new.classification]:
        raised = _LEVELS[new.classification] > _LEVELS[old.classification]
        what = f"{old.classification or 'unclassified'} -> {new.classification or 'unclassified'}"
        yield change("level raised" if raised else "level lowered", raised, what)
    if old.unique != new.unique:
        yield change(
            "key", True, "must be unique now" if new.unique else "is not unique any more: joins may repeat rows"
        )
    if old.references != new.references:
        yield change("reference", new.references is not None, f"{_target(old)} -> {_target(new)}")
    if old.domain != new.domain:
        yield change("token", True, f"identifier domain {old.domain or 'none'} -> {new.domain or 'none'}")
    if old.group != new.group and _LEVELS[old.classification] == _LEVELS[new.classification]:
        yield change("key group", False, f"{old.group} -> {new.group}")
    for what, tighter in _rules(old, new):
        yield change("rule", tighter, what)


def _type_change(old: ColumnType, new: ColumnType) -> Kind:
    """Narrowed where a value of the old type may not fit the new one.

    >>> _type_change(ColumnType("decimal", 18, 2), ColumnType("decimal", 12, 2))
    'type narrowed'
    >>> _type_change(ColumnType("integer"), ColumnType("decimal", 38, 0)), _type_change(ColumnType("date"), ColumnType("string"))
    ('type widened', 'type changed')
    """
    if old.kind == new.kind == "decimal":
        whole = (new.precision or 0) - (new.scale or 0) >= (old.precision or 0) - (old.scale or 0)
        return "type widened" if whole and (new.scale or 0) >= (old.scale or 0) else "type narrowed"
    if old.kind == "integer" and new.kind == "decimal":
        return "type widened" if (new.precision or 0) - (new.scale or 0) >= 19 else "type narrowed"
    if new.kind in _WIDER.get(old.kind, ()):
        return "type widened"
    return "type narrowed" if old.kind in _WIDER.get(new.kind, ()) else "type changed"


def _rules(old: Field, new: Field) -> Iterator[tuple[str, bool]]:
    """(what of the values changed, whether less may be let in)."""
    for name in ("code_set", "check", "pattern", "format"):
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            yield f"{name.replace('_', ' ')} {before or 'none'} -> {after or 'none'}", after is not None
    for name in ("minimum", "maximum", "min_length", "max_length", "exclusive_minimum", "exclusive_maximum"):
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            yield f"{name.replace('_', ' ')} {before} -> {after}", after not in (None, False)
    for rule in sorted(set(old.severities) | set(new.severities)):
        before, after = old.severities.get(rule, "quarantine"), new.severities.get(rule, "quarantine")
        if before != after:
            order = ("warn", "quarantine", "stop")
            yield f"severity of {rule} {before} -> {after}", order.index(after) > order.index(before)


def _suites(old: Catalogue, new: Catalogue) -> Iterator[Change]:
    for name in sorted(old.suites.keys() | new.suites.keys()):
        before, after = old.suites.get(name), new.suites.get(name)
        if before is None or after is None or before.text_hash != after.text_hash:
            told = "is gone" if after is None else "is new" if before is None else "is another"
            what = f"the suite {told}: gov judge says what it would hold back"
            if before is not None and after is not None and _expects(before) == _expects(after):
                what = "only the suite's text changed"
            yield Change(name, ROWS, "expectations", False, what)


def _expects(suite: Suite) -> object:
    """What a suite says; its text where that is no JSON."""
    try:
        return json.loads(suite.text)
    except ValueError:
        return suite.text


def _codes(old: Catalogue, new: Catalogue) -> Iterator[Change]:
    for name in sorted(old.code_sets.keys() & new.code_sets.keys()):
        gone = sorted(set(old.code_sets[name].codes) - set(new.code_sets[name].codes))
        if gone or old.code_sets[name].text_hash != new.code_sets[name].text_hash:
            for table in _tables(new).values():
                for field in table.fields:
                    if field.code_set == name:
                        what = f"{name}: {len(gone)} codes are gone" if gone else f"{name} has more to say"
                        yield Change(table.name, field.name, "codes", bool(gone), what)


def _sights(old: Catalogue, new: Catalogue, at: datetime) -> Iterator[Change]:
    """Fields that both have of which somebody sees less, or in another form: other rules, or other levels and tags under the same rules."""
    if old.access_text == new.access_text and all(
        old.models[name].contract.text_hash == new.models[name].contract.text_hash
        for name in old.models.keys() & new.models.keys()
    ):
        return
    before = parse_access(old.access_text, old.access_file, old)
    try:
        after = parse_access(new.access_text, new.access_file, new)
    except DeclarationError:
        return  # its faults are told as such
    lost: dict[tuple[str, str], set[str]] = {}
    gained: dict[tuple[str, str], set[str]] = {}
    kept = {(name, field.name) for name, model in new.models.items() for field in model.contract.fields}
    kept &= {(name, field.name) for name, model in old.models.items() for field in model.contract.fields}
    for change in policy_diff.diff(before, after, new, at=at, base=old):
        if (change.table, change.field) not in kept:
            continue  # it came or went, which is told
        side = gained if change.direction == "gains" else lost
        side.setdefault((change.table, change.field), set()).add(change.subject)
    for (table, field), subjects in lost.items():
        yield Change(table, field, "mask", True, f"{len(subjects)} subjects see less of it, or in another form")
    for (table, field), subjects in gained.items():
        yield Change(table, field, "mask", False, f"{len(subjects)} subjects see more of it: gov policy diff")


def _target(field: Field) -> str:
    return f"{field.references.dataset}.{field.references.field}" if field.references else "none"


def _listed(names: Iterable[str]) -> str:
    return "(" + ", ".join(names) + ")"
