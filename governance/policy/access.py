"""`access.yaml`: who may see what, for which purpose. Parsed to a frozen `Access`; every fault of the file is
reported at once.

Written on tags and levels; table names may narrow a rule. What no rule opens stays closed. Where several rules apply
to a field, the most restrictive outcome wins (`lattice.py`), so write the `where` of different masks apart
(`without_tags` helps).

    version: 1
    roles:
      - {id: statistician, description: counts people}
      - {id: caseworker, max_reach: 0.2}    # fails gov check when it reaches more of the sensitive cells
    purposes:
      - {id: statistics, description: yearly statistics, legal_basis: Statistics Law article 7}
      - {id: benefits}
    subjects:
      - name: user:li                 # user:<name> or service:<name>
        roles: [statistician]
        department: bureau_of_statistics
        clearance: L3                 # default L2; a field above it is never seen raw
        attributes: {districts: ["110101", "110102"]}
        public_key: 2152f8d19b791d24453242e15f2eab6cb7cffa7b6a5ed30097960e069881db12    # Ed25519, 64 hex digits: what
                                      # they sign themselves (break-glass, withdrawal) counts; without it they break none
      - {name: user:wang, department: bureau_of_statistics}
    approvers:                        # whose Ed25519 signature over a release hash counts; 64 hex digits
      - {subject: user:wang, public_key: 3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29}
    rules:
      - id: statistics-clear
        roles: [statistician]         # and/or subjects: [user:li]; at least one
        purposes: [statistics]        # at least one
        where: {levels: [L1, L2]}     # levels, tags, without_tags, tables: each narrows
        action: raw                   # raw | none | aggregate_only(10) | mask:<mask> | mask:number-bucket(1000)
      - id: statistics-names
        roles: [statistician]
        purposes: [statistics]
        where: {tags: [name], levels: [L3]}
        action: "mask:chinese-name"   # the masks: masks.py
      - id: case-district
        roles: [caseworker]
        purposes: [benefits]
        where: {tables: [curated.person], levels: [L1, L2, L3]}
        action: raw
        row_filter: {column: district, op: in, session: districts}     # the grammar: filters.py
        valid_from: 2026-01-01        # a day (00:00 UTC) or an instant with its zone; half-open
        valid_to: 2027-01-01
        obligations: {no_export: true, max_rows: 10000}
      - id: cohort
        roles: [statistician]
        purposes: [statistics]
        where: {tags: [birth]}
        action: raw
        consent: cohort-2026          # only rows of persons who consented to it: gov access consent
    break_glass: {roles: [caseworker], purposes: [benefits], max_level: L3, max_hours: 4}    # permits.py
    administrators: {system: [user:zhang], security: [user:qian], audit: [user:sun]}         # administrators.py

A rule with a row filter opens only tables that have the filter's columns. All row filters of the rules that open a
table to a subject hold together, consents with them. A rule with `consent: <scope>` (or `{scope: ..., domain: ...}`,
the domain is `person` otherwise) opens only tables with exactly one field of that identifier domain. `action: none`
closes, whatever other rules open. `aggregate_only` gives groups and never a row, to at
most `aggregates_a_day` statements of a subject and table (an obligation; `docs/USE.md`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, field_validator, model_validator
from pydantic import Field as Constraint

from governance.catalog.types import Catalogue, Level
from governance.errors import DeclarationError, Fault
from governance.policy.access_faults import meaning_faults
from governance.policy.administrators import Administrators, administrator_faults
from governance.policy.filters import Written, without_forms
from governance.policy.lattice import Outcome
from governance.policy.permits import BreakGlass
from governance.policy.shapes import rest_of, shape_faults
from governance.policy.source import Source, read_yaml

Names = tuple[str, ...]
_NAMED = {"roles": "id", "purposes": "id", "subjects": "name"}
"""Sections whose entries others name."""
_CONSENT = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Role(_Model):
    id: str
    description: str = ""
    max_reach: Annotated[float, Constraint(ge=0, le=1)] | None = None
    """The share of all sensitive cells that the role may see raw: `gov check` holds the rules to it."""


class Purpose(_Model):
    id: str
    description: str = ""
    legal_basis: str = ""


class Subject(_Model):
    name: Annotated[str, Constraint(pattern=r"^(user|service):[^\s\"\\]+$")]
    roles: Names = ()
    department: str = ""
    clearance: Level = Level.L2
    attributes: Mapping[str, str | int | tuple[str | int, ...]] = {}
    public_key: Annotated[str, Constraint(pattern=r"^[0-9a-f]{64}$")] | None = None

    @property
    def session(self) -> Mapping[str, Any]:
        """What row filters may ask for."""
        own = {"name": self.name, **({"department": self.department} if self.department else {})}
        return {**self.attributes, **own}


class Approver(_Model):
    subject: str
    public_key: Annotated[str, Constraint(pattern=r"^[0-9a-f]{64}$")]


class Where(_Model):
    levels: tuple[Level, ...] = ()
    tags: Names = ()
    without_tags: Names = ()
    tables: Names = ()

    @model_validator(mode="after")
    def _says_something(self) -> Where:
        if not (self.levels or self.tags or self.tables):
            raise ValueError("names nothing; give levels, tags or tables")
        return self

    def holds(self, table: str, level: Level | None, tags: Iterable[str]) -> bool:
        """Whether a field of `table` with this level and these tags is meant."""
        tag_set = set(tags)
        return (
            (not self.levels or level in self.levels)
            and (not self.tags or bool(tag_set.intersection(self.tags)))
            and not tag_set.intersection(self.without_tags)
            and (not self.tables or table in self.tables)
        )


class Obligations(_Model):
    no_export: bool = False
    max_rows: Annotated[int, Constraint(ge=1)] | None = None
    aggregates_a_day: Annotated[int, Constraint(ge=1)] | None = None


class Consent(_Model):
    """What persons must have consented to; they are known by their token of the identifier domain."""

    scope: Annotated[str, Constraint(pattern=_CONSENT)]
    domain: Annotated[str, Constraint(pattern=_CONSENT)] = "person"

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: object) -> object:
        return {"scope": value} if isinstance(value, str) else value


class Rule(_Model):
    id: Annotated[str, Constraint(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    description: str = ""
    roles: Names = ()
    subjects: Names = ()
    purposes: Annotated[Names, Constraint(min_length=1)]
    where: Where
    action: Outcome
    row_filter: Written | None = None
    consent: Consent | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    obligations: Obligations = Obligations()

    @field_validator("action", mode="before")
    @classmethod
    def _action(cls, value: object) -> object:
        if not isinstance(value, str):
            raise ValueError("not an action; allowed: text")
        return Outcome.parse(value)

    @field_validator("valid_from", "valid_to", mode="before")
    @classmethod
    def _instant(cls, value: object) -> object:
        return instant(value)

    @model_validator(mode="after")
    def _is_for_somebody(self) -> Rule:
        if not (self.roles or self.subjects):
            raise ValueError("is for nobody; give roles or subjects")
        if self.valid_from and self.valid_to and self.valid_from >= self.valid_to:
            raise ValueError("ends before it begins")
        if (self.row_filter is not None or self.consent is not None) and self.action.kind == "none":
            raise ValueError("action none takes no row_filter and no consent")
        return self


class Access(_Model):
    """All of access.yaml, without a fault."""

    version: Literal[1] = 1
    roles: tuple[Role, ...] = ()
    purposes: tuple[Purpose, ...] = ()
    subjects: tuple[Subject, ...] = ()
    approvers: tuple[Approver, ...] = ()
    administrators: Administrators | None = None
    break_glass: BreakGlass | None = None
    rules: tuple[Rule, ...] = ()

    def subject(self, name: str) -> Subject | None:
        return next((subject for subject in self.subjects if subject.name == name), None)

    def office(self, subject: str) -> str | None:
        """Which administrator `subject` is; None when they are none."""
        return self.administrators.office(subject) if self.administrators else None

    def rule(self, rule_id: str) -> Rule:
        """KeyError if there is none."""
        for rule in self.rules:
            if rule.id == rule_id:
                return rule
        raise KeyError(rule_id)


def instant(value: object) -> datetime:
    """A day (00:00 UTC) or an instant with its zone. Raises ValueError with what is allowed.

    >>> instant("2026-01-31").isoformat()
    '2026-01-31T00:00:00+00:00'
    """
    if isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        value += "T00:00:00+00:00"
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        found = None
    if found is not None and found.tzinfo is not None:
        return found
    raise ValueError("not an instant; allowed: a day like 2026-01-31, or an instant with its zone")


def parse_access(text: str, file: str, catalogue: Catalogue) -> Access:
    """The access rules in `text`. Raises DeclarationError with every fault, each with `file` and line; empty text
    opens nothing.
    """
    source = read_yaml(text, file)
    try:
        access = Access.model_validate(source.data)
    except ValidationError as error:
        raise DeclarationError(
            (*shape_faults(source, error, place_of=without_forms), *_of_the_rest(source, error, catalogue))
        ) from None
    faults = _meaning(access, source, catalogue)
    if faults:
        raise DeclarationError(faults)
    return access


def read_approvers(text: str, file: str) -> tuple[Approver, ...]:
    """The approvers of an access.yaml, whatever else stands in it. Raises DeclarationError where they are not well formed."""
    source = read_yaml(text, file)
    given = source.data.get("approvers", ()) if isinstance(source.data, dict) else ()
    try:
        return TypeAdapter(tuple[Approver, ...]).validate_python(given)
    except ValidationError as error:
        raise DeclarationError(shape_faults(source, error, place_of=lambda place: ("approvers", *place))) from None


def _meaning(access: Access, source: Source, catalogue: Catalogue) -> tuple[Fault, ...]:
    return tuple(
        dict.fromkeys((*meaning_faults(access, source, catalogue), *administrator_faults(access, source, catalogue)))
    )


def _of_the_rest(source: Source, error: ValidationError, catalogue: Catalogue) -> tuple[Fault, ...]:
    """Faults of meaning in what has the right shape, where that can be told apart."""
    rest = rest_of(source, [item["loc"] for item in error.errors(include_url=False)], named=_NAMED)
    try:
        return _meaning(Access.model_validate(rest.data), rest, catalogue) if rest is not None else ()
    except ValidationError:
        return ()
