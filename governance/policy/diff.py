"""`diff`: who gains or loses what between two access rules, in subjects × purposes × fields. Pure.

Both are decided by Cedar exactly as the query service decides them, at `at` and at every later instant at which a rule
of either begins or ends: a change of next month is reported today. Fields that no rule can tell apart are decided
once, and so are subjects: the cost follows the rules, not the size of the catalogue.

Widening is whatever is not provably narrower: two masks, two row filters or a mixture that cannot be compared count
as widening.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from governance.catalog.types import TOKEN_SUFFIX, Catalogue, ColumnType, Dataset, Level
from governance.policy import filters
from governance.policy.access import Access, Rule, Subject
from governance.policy.compare import Direction, Sight, compare
from governance.policy.decide import Column, Decider, Decision


@dataclass(frozen=True, slots=True)
class Change:
    """What one field becomes to one subject for one purpose, from `since` on."""

    subject: str
    purpose: str
    table: str
    field: str
    direction: Direction
    before: Sight
    after: Sight
    since: datetime

    @property
    def widens(self) -> bool:
        return self.direction != "loses"


class _Class(NamedTuple):
    """Fields of a table that no rule can tell apart."""

    level: Level | None
    tags: frozenset[str]


class _Shape(NamedTuple):
    """Tables that no rule can tell apart: `name` only when a rule names it, `filtered` its columns that filters use, and
    `persons` the identifier domains by which consent can be asked.
    """

    name: str
    filtered: frozenset[tuple[str, ColumnType]]
    persons: frozenset[str]
    classes: frozenset[_Class]


Sights = Mapping[_Class, Sight]
_Both = tuple[_Class | None, _Class | None]
_Tables = list[tuple[str, Mapping[_Both, tuple[str, ...]]]]
_Shapes = dict[_Shape, list[tuple[str, Mapping[_Class, tuple[str, ...]]]]]
_Place = tuple[str, frozenset[tuple[str, ColumnType]], frozenset[str]]


def diff(
    old: Access, new: Access, catalogue: Catalogue, *, at: datetime, base: Catalogue | None = None
) -> tuple[Change, ...]:
    """Every change for every subject of either, over the curated tables of `catalogue`; sorted by subject, purpose,
    table and field. What both decide alike is left out. With `base` the old rules decide over its tables, and what both have is
    compared: levels and tags may have changed too.
    """
    rules = (*old.rules, *new.rules)
    shapes = _shapes(catalogue, rules)
    former = shapes if base is None else _shapes(base, rules)
    sides = (_Side(old, former), _Side(new, shapes))
    pairs = _pairs(former, shapes)
    found: list[Change] = []
    for since in _instants((*old.rules, *new.rules), at):
        for subject in sorted({s.name for side in (old, new) for s in side.subjects}):
            for purpose in sorted({p.id for side in (old, new) for p in side.purposes}):
                if any(side.concerns(subject, purpose) for side in sides):
                    for pair, tables in pairs.items():
                        before, after = (
                            side.sights(subject, purpose, s, since) for side, s in zip(sides, pair, strict=True)
                        )
                        found += _changes(subject, purpose, tables, before, after, since)
    first: dict[object, Change] = {}
    for change in found:
        first.setdefault(
            (change.subject, change.purpose, change.table, change.field, change.before, change.after), change
        )
    return tuple(sorted(first.values(), key=lambda c: (c.subject, c.purpose, c.table, c.field, c.since)))


def new_approvers(old: Access, new: Access) -> tuple[str, ...]:
    """Subjects whose signature counts in `new` under a key that did not count in `old`: they may widen anything."""
    before = {(a.subject, a.public_key) for a in old.approvers}
    return tuple(sorted({a.subject for a in new.approvers if (a.subject, a.public_key) not in before}))


def wider_break_glass(old: Access, new: Access) -> tuple[str, ...]:
    """Who may break the glass further, longer, for more purposes or with a later review than in `old`, in words."""
    before, after = _glasses(old), _glasses(new)
    found = []
    for (subject, purpose), (level, hours, days) in sorted(after.items()):
        was = before.get((subject, purpose))
        if was is None or level > was[0] or hours > was[1] or days > was[2]:
            limits = f"up to {level}, for {hours} hours, with a review within {days} days"
            found.append(f"{subject} may break the glass for {purpose} {limits}")
    return tuple(found)


def counted(changes: Iterable[Change]) -> Mapping[str, int]:
    """How many changes go in each direction, and how many subjects and fields they concern."""
    every = tuple(changes)
    directions = {name: sum(c.direction == name for c in every) for name in ("gains", "loses", "differs")}
    subjects, fields = {c.subject for c in every}, {(c.table, c.field) for c in every}
    return {**directions, "subjects": len(subjects), "fields": len(fields)}


def _glasses(access: Access) -> dict[tuple[str, str], tuple[Level, int, int]]:
    """(subject, purpose) -> how far they may break the glass: whoever has a role for it and a key to sign with; of the three
    administrators up to L2, since nothing opens more to them.
    """
    section = access.break_glass
    if section is None:
        return {}
    signing = {approver.subject for approver in access.approvers}
    signing |= {subject.name for subject in access.subjects if subject.public_key is not None}
    members = [s.name for s in access.subjects if set(s.roles).intersection(section.roles) and s.name in signing]
    levels = {name: min(section.max_level, Level.L2) if access.office(name) else section.max_level for name in members}
    return {
        (member, purpose): (levels[member], section.max_hours, section.review_days)
        for member in members
        for purpose in section.purposes
    }


class _Side:
    """One of the two access rules, with what it was asked before."""

    def __init__(self, access: Access, shapes: Iterable[_Shape]) -> None:
        self.access = access
        self._deciders: dict[tuple[str, ...], Decider] = {}
        self._named = frozenset(name for rule in access.rules for name in rule.subjects)
        self._attributes = sorted(_session_names(access.rules))
        self._classes: dict[_Place, frozenset[_Class]] = {}
        for shape in shapes:
            place = shape.name, shape.filtered, shape.persons
            self._classes[place] = self._classes.get(place, frozenset()) | shape.classes
        self._concerned: dict[tuple[str, str], bool] = {}
        self._decisions: dict[object, Mapping[_Class, Decision]] = {}
        self._sights: dict[object, Sights] = {}

    def concerns(self, subject: str, purpose: str) -> bool:
        """Whether any rule speaks of them at all."""
        if (subject, purpose) not in self._concerned:
            known = self.access.subject(subject)
            self._concerned[subject, purpose] = known is not None and bool(self._rules(known, purpose))
        return self._concerned[subject, purpose]

    def sights(self, name: str, purpose: str, shape: _Shape, at: datetime) -> Sights:
        subject = self.access.subject(name)
        if subject is None or not self.concerns(name, purpose):
            return {}
        alike = self._alike(subject)
        key = (alike, purpose, shape, at)
        if key not in self._sights:
            place = shape.name, shape.filtered, shape.persons
            if (alike, purpose, place, at) not in self._decisions:
                self._decisions[alike, purpose, place, at] = self._decided(subject, purpose, place, at)
            decisions = self._decisions[alike, purpose, place, at]
            self._sights[key] = self._seen({own: decisions[own] for own in shape.classes})
        return self._sights[key]

    def _alike(self, subject: Subject) -> object:
        own = tuple(repr(subject.session.get(name)) for name in self._attributes)
        return subject.name if subject.name in self._named else "", frozenset(subject.roles), subject.clearance, own

    def _decided(self, subject: Subject, purpose: str, place: _Place, at: datetime) -> Mapping[_Class, Decision]:
        table, filtered, persons = place
        names = {f"field {number}": own for number, own in enumerate(sorted(self._classes[place], key=repr))}
        text = ColumnType("string")
        asked = [Column(name, text, own.level, tuple(sorted(own.tags))) for name, own in names.items()]
        asked += [Column(name, kind, None) for name, kind in filtered]
        asked += [Column(f"person {domain}", text, None, domain=domain) for domain in persons]
        decisions = self._decider(subject, purpose).decide(subject.name, purpose, table, asked, at=at)
        return {own: decisions[name] for name, own in names.items()}

    def _decider(self, subject: Subject, purpose: str) -> Decider:
        """Knows only the rules that speak of them: the others cannot apply, and Cedar reads all that it is given each time."""
        rules = self._rules(subject, purpose)
        ids = tuple(rule.id for rule in rules)
        if ids not in self._deciders:
            self._deciders[ids] = Decider(self.access.model_copy(update={"rules": rules}))
        return self._deciders[ids]

    def _rules(self, subject: Subject, purpose: str) -> tuple[Rule, ...]:
        roles = set(subject.roles)
        return tuple(
            rule
            for rule in self.access.rules
            if purpose in rule.purposes and (subject.name in rule.subjects or roles.intersection(rule.roles))
        )

    def _seen(self, decisions: Mapping[_Class, Decision]) -> Sights:
        """Row filters and obligations of all rules that open a field hold for the whole table."""
        own_sights = {own: Sight(decision.outcome, decision.rules) for own, decision in decisions.items()}
        visible = [decision for own, decision in decisions.items() if own_sights[own].visible]
        rows = frozenset(_written(row_filter) for decision in visible for row_filter in decision.row_filters)
        held = [self.access.rule(rule).obligations for decision in visible for rule in decision.rules]
        no_export = any(o.no_export for o in held)
        max_rows = min((o.max_rows for o in held if o.max_rows is not None), default=None)
        aggregates = min((o.aggregates_a_day for o in held if o.aggregates_a_day is not None), default=None)
        return {
            own: sight._replace(rows=rows, no_export=no_export, max_rows=max_rows, aggregates_a_day=aggregates)
            if sight.visible
            else sight
            for own, sight in own_sights.items()
        }


def _changes(
    subject: str,
    purpose: str,
    tables: _Tables,
    before: Sights,
    after: Sights,
    since: datetime,
) -> Iterator[Change]:
    changed: dict[_Both, tuple[Direction, Sight, Sight]] = {}
    for both in {both for _, classes in tables for both in classes}:
        was, becomes = (
            Sight() if own is None else s.get(own, Sight()) for own, s in zip(both, (before, after), strict=True)
        )
        direction = compare(was, becomes)
        if direction is not None:
            changed[both] = direction, was, becomes
    if not changed:
        return
    for table, classes in tables:
        for both, fields in classes.items():
            if both in changed:
                direction, was, becomes = changed[both]
                for field in fields:
                    yield Change(subject, purpose, table, field, direction, was, becomes, since)


def _pairs(former: _Shapes, shapes: _Shapes) -> dict[tuple[_Shape, _Shape], _Tables]:
    """Tables that both sides have by their two shapes, each with its fields by their two classes; None: closed to all."""
    was = {name: (shape, classes) for shape, tables in former.items() for name, classes in tables}
    found: dict[tuple[_Shape, _Shape], _Tables] = {}
    for shape, tables in shapes.items():
        for name, classes in tables:
            if name not in was:
                continue
            sides = [{field: own for own, fields in c.items() for field in fields} for c in (was[name][1], classes)]
            both: dict[_Both, tuple[str, ...]] = {}
            for field in sorted(sides[0].keys() | sides[1].keys()):
                own = sides[0].get(field), sides[1].get(field)
                both[own] = (*both.get(own, ()), field)
            found.setdefault((was[name][0], shape), []).append((name, both))
    return found


def _shapes(catalogue: Catalogue, rules: Iterable[Rule]) -> _Shapes:
    """Curated tables by shape, each with its fields by class."""
    rules = tuple(rules)
    tags = {tag for rule in rules for tag in (*rule.where.tags, *rule.where.without_tags)}
    named = {table for rule in rules for table in rule.where.tables}
    domains = {rule.consent.domain for rule in rules if rule.consent is not None}
    compared = {c.column for rule in rules if rule.row_filter for c in filters.comparisons(rule.row_filter)}
    found: _Shapes = {}
    for name, model in catalogue.models.items():
        classes = _classes(model.contract, tags)
        filtered = frozenset((f.name, f.type) for f in model.contract.fields if f.name in compared)
        persons = frozenset(d for d in domains if sum(f.domain == d for f in model.contract.fields) == 1)
        shape = _Shape(name if name in named else "", filtered, persons, frozenset(classes))
        found.setdefault(shape, []).append((name, classes))
    return found


def _classes(table: Dataset, tags: set[str]) -> Mapping[_Class, tuple[str, ...]]:
    """Fields of one table by class; columns of the lake itself and what nobody classified are closed to all."""
    found: dict[_Class, tuple[str, ...]] = {}
    for field in table.fields:
        if (
            field.classification is not None
            and not field.name.startswith("_")
            and not field.name.endswith(TOKEN_SUFFIX)
        ):
            own = _Class(field.classification, frozenset(tags.intersection(field.tags)))
            found[own] = (*found.get(own, ()), field.name)
    return found


def _instants(rules: Iterable[Rule], at: datetime) -> list[datetime]:
    ends = {instant for rule in rules for instant in (rule.valid_from, rule.valid_to) if instant is not None}
    return [at, *sorted(instant for instant in ends if instant > at)]


def _session_names(rules: Iterable[Rule]) -> frozenset[str]:
    compares = (c for rule in rules if rule.row_filter is not None for c in filters.comparisons(rule.row_filter))
    return frozenset(c.session for c in compares if c.session is not None)


def _written(row_filter: filters.RowFilter) -> str:
    return json.dumps(row_filter.model_dump(mode="json", by_alias=True, exclude_defaults=True), ensure_ascii=False)
