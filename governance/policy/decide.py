"""Decisions: access rules compiled to Cedar, asked once for each (field, action), met in the lattice, with the rules
that decided.

Actions are distinct (`read_raw`, `read_masked_<mask>`, `aggregate_only`), so that a proof or a review can speak of "who may ever read raw".
A rule becomes one `permit`, a rule with action none a `forbid`; `read_raw` also asks for the clearance. Cedar skips a
policy that errors, which would open what a `forbid` closes: therefore any error, and anything but Allow, is a no.
Approved requests and break-glasses (`permits.py`) are policies beside those of the rules.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import cedarpy

from governance.catalog.types import SENSITIVE, TOKEN_SUFFIX, ColumnType, Field, Level
from governance.errors import Refused
from governance.policy import filters
from governance.policy.access import Access, Obligations, Rule, Subject
from governance.policy.filters import Consented, RowFilter
from governance.policy.lattice import NONE, RAW, Outcome, meet
from governance.policy.permits import BreakGlass, Permit

_RANK = {level: rank for rank, level in enumerate(Level, start=1)}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table as policy sees it. `level` None: nobody classified it, and nobody sees it."""

    name: str
    type: ColumnType
    level: Level | None
    tags: tuple[str, ...] = ()
    domain: str | None = None

    @classmethod
    def of(cls, field: Field) -> Column:
        return cls(field.name, field.type, field.classification, field.tags, field.domain)


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome for one column, the rules that opened (or closed) it, the bound row filters of those rules, and why
    in words.
    """

    outcome: Outcome
    rules: tuple[str, ...]
    reason: str
    row_filters: tuple[RowFilter, ...] = ()


class Decider:
    """The rules of one `Access`, compiled once."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._actions = {_action(rule.action): rule.action for rule in access.rules if rule.action != NONE}
        self._policies = tuple((rule, _policy(rule)) for rule in access.rules)
        self._permits: Mapping[str, Permit] = {}

    def with_permits(self, permits: Iterable[Permit]) -> Decider:
        """These rules with `permits` beside them; a break-glass that the rules do not provide for is left out."""
        section = self.access.break_glass
        made = copy.copy(self)
        made._permits = {permit.id: permit for permit in permits if permit.counts_under(section)}
        if made._permits:
            own = made._permits.values()
            made._actions = self._actions | {_action(permit.action): permit.action for permit in own}
        return made

    def permit(self, rule_id: str) -> Permit | None:
        """The permit that a decision names as one of its rules; None when that is a rule of access.yaml."""
        return self._permits.get(rule_id)

    def obligations(self, rule_id: str) -> Obligations:
        """What a rule or permit that a decision names asks of the reader."""
        permit = self._permits.get(rule_id)
        return Obligations(no_export=permit.no_export) if permit else self.access.rule(rule_id).obligations

    def decide(
        self, subject: str, purpose: str, table: str, columns: Sequence[Column], *, at: datetime
    ) -> dict[str, Decision]:
        """The decision for every column of `table`, by name. An unknown subject or purpose gets `none` throughout."""
        known = self.access.subject(subject)
        if known is None or purpose not in {p.id for p in self.access.purposes}:
            return {column.name: Decision(NONE, (), "unknown subject or purpose") for column in columns}
        asked = [column for column in columns if not _closed_always(column)]
        answers = self._ask(known, purpose, table, asked, at)
        table_columns = {column.name: column for column in columns}
        made: dict[str, Decision] = {}
        for column in columns:
            why = _closed_always(column)
            made[column.name] = (
                Decision(NONE, (), why) if why else self._combine(known, column, answers[column.name], table_columns)
            )
        return made

    def _ask(
        self, subject: Subject, purpose: str, table: str, columns: Sequence[Column], at: datetime
    ) -> dict[str, list[tuple[Outcome, bool, tuple[str, ...]]]]:
        """column -> for each action: its outcome, whether it is allowed, the rules that said so."""
        context = {"purpose": purpose, "now": _micros(at)}
        alike = self._alike(columns)
        asked = [next(iter(group)) for group in alike.values()]
        requests = [
            {
                "principal": _uid("User", subject.name),
                "action": _uid("Action", action),
                "resource": _uid("Column", f"{table}.{column.name}"),
                "context": context,
            }
            for column in asked
            for action in self._actions
        ]
        answers: dict[str, list[tuple[Outcome, bool, tuple[str, ...]]]] = {column.name: [] for column in columns}
        if not requests:
            return answers
        names, policies = self._concerning(subject)
        results = cedarpy.is_authorized_batch(requests, _parsed(policies), _entities(subject, table, asked))
        places = [(column.name, outcome) for column in asked for outcome in self._actions.values()]
        for (name, outcome), result in zip(places, results, strict=True):
            if result.diagnostics.errors:
                answers[name].append((outcome, False, ("",)))
                continue
            reasons = tuple(names[int(reason.removeprefix("policy"))] for reason in result.diagnostics.reasons)
            answers[name].append((outcome, result.decision == cedarpy.Decision.Allow, tuple(sorted(reasons))))
        for first, *others in alike.values():
            answers.update({other.name: answers[first.name] for other in others})
        return answers

    def _concerning(self, subject: Subject) -> tuple[list[str], str]:
        """Names and text of the policies: all that close something, and those that open it to somebody else left out."""
        own = [
            (rule.id, text)
            for rule, text in self._policies
            if rule.action == NONE or subject.name in rule.subjects or not set(subject.roles).isdisjoint(rule.roles)
        ]
        section = self.access.break_glass
        own += [(name, _permit_policy(permit, section)) for name, permit in self._permits.items()]
        return [name for name, _ in own], "\n".join(text for _, text in own)

    def _alike(self, columns: Sequence[Column]) -> dict[tuple[object, ...], list[Column]]:
        """Columns of which no policy can tell one from another: rules know level and tags, permits names as well."""
        named = {name for permit in self._permits.values() for name in permit.fields}
        groups: dict[tuple[object, ...], list[Column]] = {}
        for column in columns:
            own = column.name if column.name in named else None
            groups.setdefault((column.level, frozenset(column.tags), own), []).append(column)
        return groups

    def _combine(
        self,
        subject: Subject,
        column: Column,
        answers: Iterable[tuple[Outcome, bool, tuple[str, ...]]],
        columns: Mapping[str, Column],
    ) -> Decision:
        office = self.access.office(subject.name)
        if office is not None and column.level in SENSITIVE:
            return Decision(NONE, (), f"the {office} administrator reads nothing sensitive")
        opened: dict[str, Outcome] = {}
        closed: set[str] = set()
        for outcome, allowed, rules in answers:
            if allowed:
                opened.update(dict.fromkeys(rules, outcome))
            else:
                closed.update(rules)
        closing = tuple(sorted(closed - {""}))
        if closing:
            return Decision(NONE, closing, f"closed by {', '.join(closing)}")
        if "" in closed:
            return Decision(NONE, (), "the decision met an error")
        row_filters: list[RowFilter] = []
        for rule_id in sorted(set(opened) - set(self._permits)):
            try:
                own = _row_filters(self.access.rule(rule_id), subject, columns)
            except Refused as refused:
                return Decision(NONE, (rule_id,), f"{rule_id}: {refused.found}")
            if own is None:
                del opened[rule_id]
            else:
                row_filters += own
        broken = [
            own for rule_id, own in opened.items() if rule_id in self._permits and self._permits[rule_id].emergency
        ]
        outcome = meet(broken or opened.values())
        rules = tuple(sorted(opened))
        if not opened and column.level is not None and _RANK[column.level] > _RANK[subject.clearance]:
            return Decision(NONE, (), f"no rule opens it to the clearance {subject.clearance}")
        return Decision(outcome, rules, _reason(outcome, opened), tuple(dict.fromkeys(row_filters)))


@lru_cache(maxsize=64)
def _parsed(policies: str) -> cedarpy.PolicySet:
    """The policies of a text, parsed once. No decision is kept, and another text is other policies."""
    return cedarpy.PolicySet.from_str(policies)


def _row_filters(rule: Rule, subject: Subject, columns: Mapping[str, Column]) -> list[RowFilter] | None:
    """What the rule asks of rows; None when the table has not the columns for it, so that the rule does not open it."""
    found: list[RowFilter] = []
    if rule.row_filter is not None:
        if any(compare.column not in columns for compare in filters.comparisons(rule.row_filter)):
            return None
        types = {name: column.type for name, column in columns.items()}
        found.append(filters.bind(rule.row_filter, subject.session, types))
    if rule.consent is not None:
        persons = [name for name, column in columns.items() if column.domain == rule.consent.domain]
        if len(persons) != 1:
            return None
        column = persons[0] + TOKEN_SUFFIX
        found.append(Consented(scope=rule.consent.scope, domain=rule.consent.domain, column=column))
    return found


def _reason(outcome: Outcome, opened: Mapping[str, Outcome]) -> str:
    if not opened:
        return "no rule opens it"
    if outcome == NONE:
        return f"masks that cannot be compared: {', '.join(sorted(opened))}"
    deciding = sorted(rule for rule, own in opened.items() if own == outcome)
    return f"{outcome} by {', '.join(deciding)}"


def _closed_always(column: Column) -> str:
    if column.name.endswith(TOKEN_SUFFIX) or column.name.startswith("_"):
        return "a column of the lake itself"
    return "" if column.level is not None else "not classified"


def _policy(rule: Rule) -> str:
    effect = "forbid" if rule.action == NONE else "permit"
    scope = "action" if rule.action == NONE else f"action == {_uid('Action', _action(rule.action))}"
    who = [_uid("Role", role) for role in rule.roles] + [_uid("User", name) for name in rule.subjects]
    tests = [f"principal in [{', '.join(who)}]", f"[{', '.join(map(_text, rule.purposes))}].contains(context.purpose)"]
    for kind, names in (("Level", rule.where.levels), ("Tag", rule.where.tags), ("Table", rule.where.tables)):
        if names:
            tests.append(f"resource in [{', '.join(_uid(kind, name) for name in names)}]")
    if rule.action == RAW:
        tests.append("resource.rank <= principal.clearance")
    tests += [f"!(resource in {_uid('Tag', tag)})" for tag in rule.where.without_tags]
    if rule.valid_from:
        tests.append(f"context.now >= {_micros(rule.valid_from)}")
    if rule.valid_to:
        tests.append(f"context.now < {_micros(rule.valid_to)}")
    return f"{effect}(principal, {scope}, resource) when {{ {' && '.join(tests)} }};"


def _permit_policy(permit: Permit, section: BreakGlass | None) -> str:
    columns = ", ".join(_uid("Column", f"{permit.table}.{field}") for field in permit.fields)
    tests = [f"resource in [{columns}]", f"context.purpose == {_text(permit.purpose)}"]
    tests += [f"context.now >= {_micros(permit.valid_from)}", f"context.now < {_micros(permit.valid_to)}"]
    if permit.emergency:
        assert section is not None
        tests.append(f"principal in [{', '.join(_uid('Role', role) for role in section.roles)}]")
        tests.append(f"resource.rank <= {_RANK[section.max_level]}")
    elif permit.action == RAW:
        tests.append("resource.rank <= principal.clearance")
    scope = f"principal == {_uid('User', permit.subject)}, action == {_uid('Action', _action(permit.action))}"
    return f"permit({scope}, resource) when {{ {' && '.join(tests)} }};"


def _entities(subject: Subject, table: str, columns: Sequence[Column]) -> list[dict[str, Any]]:
    roles = [{"type": "Role", "id": role} for role in subject.roles]
    made = [_entity("User", subject.name, roles, clearance=_RANK[subject.clearance])]
    for column in columns:
        assert column.level is not None
        parents = [{"type": "Level", "id": column.level.value}, {"type": "Table", "id": table}]
        parents += [{"type": "Tag", "id": tag} for tag in column.tags]
        made.append(_entity("Column", f"{table}.{column.name}", parents, rank=_RANK[column.level]))
    return made


def _entity(kind: str, name: str, parents: list[dict[str, str]], **attributes: int) -> dict[str, Any]:
    return {"uid": {"type": kind, "id": name}, "attrs": attributes, "parents": parents}


def _action(outcome: Outcome) -> str:
    match outcome.kind:
        case "raw":
            return "read_raw"
        case "mask":
            return f"read_masked_{outcome.mask}"
        case _:
            return str(outcome)


def _uid(kind: str, name: str) -> str:
    return f"{kind}::{_text(name)}"


def _text(value: str) -> str:
    """A Cedar string literal, in the one form that Cedar takes for an entity's name: with quotes of both kinds escaped."""
    if any(ord(character) < 32 for character in value):
        raise Refused("a name in the access rules holds a control character", do="correct the name")
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("'", "\\'") + '"'


def _micros(at: datetime) -> int:
    return int(at.astimezone(UTC).timestamp() * 1_000_000)
