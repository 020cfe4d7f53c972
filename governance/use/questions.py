"""`catalog/attestations.yaml`: the closed list of questions that may be answered with yes, no or unknown, about whom it
speaks from which columns, for which purpose and to whom. Every fault of the file is reported at once.

    version: 1
    questions:
      - id: kinship
        kind: relation                    # does RELATIVE stand in a relation to PERSON?
        table: curated.family             # one row a relation
        person: resident_no               # identifiers: fields with a domain
        relative: relative_no
        relation: relation
        relations: {mother: ["05"], parent: ["04", "05"]}   # what may be claimed, and the codes that mean it
        purpose: benefits                 # the one purpose it may be asked for
        roles: [caseworker]               # and/or subjects: [user:li]; at least one
        valid_minutes: 60                 # how long an answer stands; default a day
      - id: age
        kind: age_at_least                # is PERSON at least so old?
        table: curated.person
        person: resident_no
        birth_date: birth_date
        ages: [18, 60]                    # only these: a free choice would find out the birth date
        purpose: benefits
        roles: [caseworker]

A question is a right of its own: it needs no rule that opens its columns, and shows none of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from governance.catalog.types import Catalogue
from governance.catalog.types import Field as Column
from governance.config import Settings
from governance.errors import DeclarationError, Fault
from governance.policy.access import Access, parse_access
from governance.policy.shapes import shape_faults
from governance.policy.source import Source, read_yaml

FILE = "attestations.yaml"
_Minutes = Annotated[int, Field(ge=1, le=525_600)]
_Age = Annotated[int, Field(ge=1, le=150)]
_Code = Annotated[str, Field(min_length=1, max_length=64)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Question(_Model):
    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
    table: str
    person: str
    purpose: str
    roles: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    valid_minutes: _Minutes = 1440
    description: str = ""

    def open_to(self, access: Access, subject: str, purpose: str) -> bool:
        """Whether `subject`, as these access rules know them, may ask it for `purpose`."""
        known = access.subject(subject)
        if known is None or purpose != self.purpose or purpose not in {p.id for p in access.purposes}:
            return False
        return subject in self.subjects or not set(self.roles).isdisjoint(known.roles)


class Relation(_Question):
    """Does RELATIVE stand in a relation to PERSON?"""

    kind: Literal["relation"]
    relative: str
    relation: str
    relations: Annotated[Mapping[str, Annotated[tuple[_Code, ...], Field(min_length=1)]], Field(min_length=1)]

    @property
    def claims(self) -> tuple[str, ...]:
        return tuple(self.relations)


class AgeAtLeast(_Question):
    """Is PERSON at least so many years old?"""

    kind: Literal["age_at_least"]
    birth_date: str
    ages: Annotated[tuple[_Age, ...], Field(min_length=1)]

    @property
    def claims(self) -> tuple[str, ...]:
        return tuple(map(str, self.ages))


Question = Annotated[Relation | AgeAtLeast, Field(discriminator="kind")]


class Questions(_Model):
    """All of attestations.yaml."""

    version: Literal[1] = 1
    questions: tuple[Question, ...] = ()

    def question(self, name: str) -> Relation | AgeAtLeast | None:
        return next((question for question in self.questions if question.id == name), None)


def read_questions(settings: Settings, catalogue: Catalogue) -> Questions:
    """What the home declares now; none without the file. Raises DeclarationError with every fault of it."""
    file = settings.catalog / FILE
    if not file.is_file():
        return Questions()
    access = parse_access(catalogue.access_text, catalogue.access_file, catalogue)
    text = file.read_text(encoding="utf-8-sig", errors="replace")
    return parse_questions(text, _file_name(settings), catalogue, access)


def question_hash(question: Relation | AgeAtLeast) -> str:
    """SHA-256 of the question as it was declared: what an answer was given to."""
    return hashlib.sha256(question.model_dump_json().encode("utf-8")).hexdigest()


def parse_questions(text: str, file: str, catalogue: Catalogue, access: Access) -> Questions:
    """The questions in `text`. Raises DeclarationError with every fault; empty text has no question."""
    source = read_yaml(text, file)
    try:
        parsed = Questions.model_validate(source.data)
    except ValidationError as error:
        raise DeclarationError(shape_faults(source, error, place_of=lambda place: (*place[:2], *place[3:]))) from None
    faults = [fault for number, _ in enumerate(parsed.questions) for fault in _faults(source, parsed, number)]
    for number, question in enumerate(parsed.questions):
        faults += _beside(source, question, ("questions", number), catalogue, access)
    if faults:
        raise DeclarationError(tuple(faults))
    return parsed


def _faults(source: Source, parsed: Questions, number: int) -> Iterator[Fault]:
    question = parsed.questions[number]
    if question.id in {other.id for other in parsed.questions[:number]}:
        yield source.fault(("questions", number, "id"), "an id that stands twice", do="give it another")
    if not question.roles and not question.subjects:
        yield source.fault(("questions", number), "a question that nobody may ask", "roles, subjects", "name who may")


def _beside(
    source: Source, question: Relation | AgeAtLeast, place: tuple[str, int], catalogue: Catalogue, access: Access
) -> Iterator[Fault]:
    """What does not fit the catalogue or the access rules."""
    purposes, roles = {p.id for p in access.purposes}, {role.id for role in access.roles}
    if question.purpose not in purposes:
        yield source.fault((*place, "purpose"), "no such purpose", ", ".join(sorted(purposes)), "correct it")
    if unknown := set(question.roles) - roles:
        yield source.fault((*place, "roles"), f"no such role: {', '.join(sorted(unknown))}", do="correct it")
    if any(access.subject(name) is None for name in question.subjects):
        yield source.fault((*place, "subjects"), "a subject that access.yaml does not know", do="correct it")
    if question.table in catalogue.left_out:
        return  # nobody can ask it, and the others stand
    if question.table not in catalogue.models:
        yield source.fault((*place, "table"), "no such curated table", ", ".join(catalogue.models), "correct it")
        return
    fields = {field.name: field for field in catalogue.models[question.table].contract.fields}
    identifiers = [("person", question.person)]
    if isinstance(question, Relation):
        identifiers.append(("relative", question.relative))
        yield from _relation_faults(source, question, place, fields, catalogue)
    elif question.birth_date not in fields or fields[question.birth_date].type.kind != "date":
        yield source.fault((*place, "birth_date"), "no such field that is a date", do="correct it")
    for key, name in identifiers:
        if name not in fields or fields[name].domain is None:
            yield source.fault((*place, key), "no such field with an identifier domain", do="correct it")


def _relation_faults(
    source: Source,
    question: Relation,
    place: tuple[str, int],
    fields: Mapping[str, Column],
    catalogue: Catalogue,
) -> Iterator[Fault]:
    field = fields.get(question.relation)
    if field is None or field.type.kind != "string":
        yield source.fault((*place, "relation"), "no such field that is text", do="correct it")
        return
    code_set = catalogue.code_sets.get(field.code_set or "")
    for claim, codes in question.relations.items():
        if code_set is not None and (unknown := set(codes) - set(code_set.codes)):
            found = f"not in code set {code_set.name}: {', '.join(sorted(unknown))}"
            yield source.fault((*place, "relations", claim), found, do="correct it")


def _file_name(settings: Settings) -> str:
    """The file as people name it: relative to the home where it lies in it."""
    file = settings.catalog / FILE
    return file.relative_to(settings.home).as_posix() if file.is_relative_to(settings.home) else file.name
