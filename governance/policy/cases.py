"""Stewards' own cases beside the policy, `catalog/access.cases.yaml`: what a subject must see of a field, and what not.

    version: 1
    cases:
      - {subject: "user:li", purpose: statistics, field: curated.person.resident_no, expect: none}
      - {subject: "user:wang", purpose: benefits, field: curated.person.name, expect: raw, rows: some}
      - subject: "user:he"
        purpose: research
        field: curated.person.birth_date
        expect: "mask:truncate-to-year"     # the words of access.yaml: raw, none, aggregate_only(k), mask:<mask>
        at: 2026-06-01                      # default: now; a case about a rule that ends needs its instant
        because: the ethics board allows years only

`rows: some` asks that a row filter holds for the subject on that table, `rows: all` that none does. A case that names
an unknown subject, purpose or field is a fault too: it would otherwise pass for ever. A case of the wrong shape hides neither its own
names nor the other cases.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from governance.catalog.types import Catalogue
from governance.errors import DeclarationError, Fault
from governance.policy.access import Access, Rule
from governance.policy.decide import Column, Decider, Decision
from governance.policy.lattice import Outcome
from governance.policy.shapes import rest_of, shape_faults
from governance.policy.source import Source, read_yaml

FILE = "access.cases.yaml"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Case(_Model):
    """One case. `field` is `<schema>.<table>.<column>`."""

    subject: str
    purpose: str
    field: str
    expect: Outcome
    rows: Literal["all", "some"] | None = None
    at: datetime | None = None
    because: str = ""

    @field_validator("expect", mode="before")
    @classmethod
    def _outcome(cls, value: object) -> object:
        if not isinstance(value, str):
            raise ValueError("not an outcome; allowed: text")
        return Outcome.parse(value)

    @field_validator("at", mode="before")
    @classmethod
    def _instant(cls, value: object) -> object:
        return Rule._instant(value)  # the same form as valid_from

    @property
    def table(self) -> str:
        return self.field.rpartition(".")[0]

    @property
    def column(self) -> str:
        return self.field.rpartition(".")[2]


class Cases(_Model):
    """All of access.cases.yaml."""

    version: Literal[1] = 1
    cases: tuple[Case, ...] = ()


def failures(text: str, file: str, access: Access, catalogue: Catalogue, *, now: datetime) -> tuple[Fault, ...]:
    """Every case of `text` that does not hold under `access`, with file and line; empty text has none.

    What is wrong with the file itself comes in the same form.
    """
    try:
        source = read_yaml(text, file)
    except DeclarationError as error:
        return error.faults
    try:
        return _judged(source, Cases.model_validate(source.data), access, catalogue, now)
    except ValidationError as error:
        places = [item["loc"] for item in error.errors(include_url=False)]
        shapes = shape_faults(source, error)
        wrong = {place[1] for place in places if len(place) > 1 and place[0] == "cases" and isinstance(place[1], int)}
        names = [f for number in sorted(wrong) for f in _unknown_of(source, number, access, catalogue)]
        rest = rest_of(source, places, named={})
        others = _judged(rest, Cases.model_validate(rest.data), access, catalogue, now) if rest is not None else ()
        return tuple(sorted({*shapes, *names, *others}))


def parse_cases(text: str, file: str) -> tuple[Source, Cases]:
    """The cases in `text` with their lines. Raises DeclarationError with every fault of form."""
    source = read_yaml(text, file)
    try:
        return source, Cases.model_validate(source.data)
    except ValidationError as error:
        raise DeclarationError(shape_faults(source, error)) from None


def _judged(source: Source, cases: Cases, access: Access, catalogue: Catalogue, now: datetime) -> tuple[Fault, ...]:
    decide = partial(_decisions, {}, Decider(access), catalogue, now)
    found: list[Fault] = []
    for number, case in enumerate(cases.cases):
        names = {"subject": case.subject, "purpose": case.purpose, "field": case.field}
        found += [*_unknown(source, number, names, access, catalogue)] or _failed(source, number, case, decide(case))
    return tuple(found)


def _unknown_of(source: Source, number: int, access: Access, catalogue: Catalogue) -> Iterator[Fault]:
    """What a case of the wrong shape names and nobody knows; what is no text is told of already."""
    case = source.data["cases"][number]
    names = {key: case[key] for key in ("subject", "purpose", "field") if isinstance(case, dict) and key in case}
    texts = {key: value for key, value in names.items() if isinstance(value, str)}
    yield from _unknown(source, number, texts, access, catalogue)


def _unknown(
    source: Source, number: int, names: Mapping[str, str], access: Access, catalogue: Catalogue
) -> Iterator[Fault]:
    place = ("cases", number)
    if "subject" in names and access.subject(names["subject"]) is None:
        yield source.fault((*place, "subject"), "no such subject in access.yaml", do="correct it")
    if "purpose" in names and names["purpose"] not in {purpose.id for purpose in access.purposes}:
        yield source.fault((*place, "purpose"), "no such purpose in access.yaml", do="correct it")
    table, _, column = names.get("field", "").rpartition(".")
    fields = catalogue.models[table].contract.fields if table in catalogue.models else ()
    if "field" in names and column not in {field.name for field in fields}:
        allowed = "<curated.table>.<column>"
        yield source.fault((*place, "field"), "no such field of a curated table", allowed, "correct it")


def _failed(source: Source, number: int, case: Case, decisions: Mapping[str, Decision]) -> list[Fault]:
    decision, place = decisions[case.column], ("cases", number)
    because = f"; the case stands because {case.because}" if case.because else ""
    found = []
    if decision.outcome != case.expect:
        what = f"{case.subject} for {case.purpose} gets {decision.outcome} of {case.field} ({decision.reason})"
        do = f"correct the rule or the case{because}"
        found.append(source.fault((*place, "expect"), what, str(case.expect), do))
    if case.rows is not None:
        opened = (d for d in decisions.values() if d.outcome.kind != "none")
        rows = "some" if any(d.row_filters for d in opened) else "all"
        if rows != case.rows:
            what = f"{case.subject} for {case.purpose} gets {rows} rows of {case.table}"
            found.append(source.fault((*place, "rows"), what, case.rows, f"correct the rule or the case{because}"))
    return found


_Key = tuple[str, str, str, datetime]


def _decisions(
    known: dict[_Key, Mapping[str, Decision]], decider: Decider, catalogue: Catalogue, now: datetime, case: Case
) -> Mapping[str, Decision]:
    """The decisions for all columns of the case's table, made once for many cases."""
    at = case.at or now
    key = (case.subject, case.purpose, case.table, at)
    if key not in known:
        columns = [Column.of(field) for field in catalogue.models[case.table].contract.fields]
        known[key] = decider.decide(case.subject, case.purpose, case.table, columns, at=at)
    return known[key]
