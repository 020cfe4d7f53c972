"""The three administrators (三员分立): who runs the system, who keeps the keys, who audits. Nobody is two of them, none
reads a sensitive field, none approves.

    administrators:                   # absent: nobody is told apart
      system: [user:zhang, service:gov-airflow]    # at least one each; what stands after the colon is the system user
      security: [user:qian, service:gov-keys]
      audit: [user:sun]

`gov check` refuses rules that open a sensitive field (L3, L4) to one of them, be it masked or to aggregates; a decision
closes it whatever else would open it, requests and a broken glass included. Which command is whose:
`governance/cli/administrators.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic import Field as Constraint

from governance.catalog.types import SENSITIVE, Catalogue
from governance.errors import DeclarationError, Fault
from governance.policy.source import Source, read_yaml

if TYPE_CHECKING:
    from governance.policy.access import Access

Office = Literal["system", "security", "audit"]
OFFICES: tuple[Office, ...] = get_args(Office)
_Name = Annotated[str, Constraint(pattern=r"^(user|service):[^\s\"\\]+$")]
_Names = Annotated[tuple[_Name, ...], Constraint(min_length=1)]


class Administrators(BaseModel):
    """Who holds each office, as subjects; `user:qian` is the system user `qian`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    system: _Names
    security: _Names
    audit: _Names

    def holders(self, office: Office) -> tuple[str, ...]:
        match office:
            case "system":
                return self.system
            case "security":
                return self.security
            case "audit":
                return self.audit

    def office(self, subject: str) -> Office | None:
        """The office of `subject`; None when they hold none."""
        return next((office for office in OFFICES if subject in self.holders(office)), None)


def read_administrators(text: str, file: str) -> Administrators | None:
    """The section of an access.yaml alone, None without one. Raises DeclarationError when it is not well formed."""
    source = read_yaml(text, file)
    section = source.data.get("administrators") if isinstance(source.data, dict) else None
    if section is None:
        return None
    try:
        return Administrators.model_validate(section)
    except ValidationError:
        fault = source.fault(("administrators",), "not well formed", ", ".join(OFFICES), "gov check says what is wrong")
        raise DeclarationError((fault,)) from None


def administrator_faults(access: Access, source: Source, catalogue: Catalogue) -> Iterator[Fault]:
    """Two offices in one hand, an administrator who approves, and whatever would open a sensitive field to one."""
    section = access.administrators
    if section is None:
        return
    named = [(office, name) for office in OFFICES for name in section.holders(office)]
    seen: dict[str, Office] = {}
    for office, name in named:
        if name in seen:
            found = f"{name} is the {seen[name]} administrator already"
            yield source.fault(("administrators", office), found, do="nobody holds two: name somebody else")
        seen.setdefault(name, office)
    for at, approver in enumerate(access.approvers):
        if approver.subject in seen:
            found = f"{approver.subject} is the {seen[approver.subject]} administrator"
            yield source.fault(("approvers", at, "subject"), found, do="an administrator approves nothing")
    yield from _openings(access, source, catalogue, seen)


def _openings(access: Access, source: Source, catalogue: Catalogue, offices: dict[str, Office]) -> Iterator[Fault]:
    roles = {subject.name: set(subject.roles) for subject in access.subjects if subject.name in offices}
    tables = [*catalogue.datasets.values(), *(model.contract for model in catalogue.models.values())]
    for at, rule in enumerate(access.rules):
        held = [name for name in offices if name in rule.subjects or roles.get(name, set()).intersection(rule.roles)]
        if not held or rule.action.kind == "none":
            continue
        opened = next(
            (
                f"{table.name}.{field.name}"
                for table in tables
                for field in table.fields
                if field.classification in SENSITIVE and rule.where.holds(table.name, field.classification, field.tags)
            ),
            None,
        )
        if opened is not None:
            found = f"opens {opened} to {held[0]}, the {offices[held[0]]} administrator"
            yield source.fault(("rules", at), found, "fields of L1 and L2", "take the role away, or narrow the rule")
    glass = set(access.break_glass.roles) if access.break_glass else set()
    for name in sorted(name for name, own in roles.items() if own & glass):
        found = f"{name}, the {offices[name]} administrator, might break the glass"
        yield source.fault(("break_glass", "roles"), found, do="take the role away")
