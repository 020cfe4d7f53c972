"""What the key service's policies open is what this page says in Python; and no condition of theirs can be left out unseen."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import product

import pytest

from governance.errors import Refused
from governance.keys.authority import POLICIES, TRACER, Authority, Facts, trace_purpose
from governance.keys.names import Grant

AT = datetime(2026, 3, 1, tzinfo=UTC)
FACTS = Facts(
    tables={"tax": frozenset({"tax.invoices", "tax.invoices.quarantine"}), "water": frozenset({"water.meters"})},
    digests={"tax": frozenset({"digest:domain/enterprise"}), "water": frozenset({"digest:domain/person"})},
    reads=frozenset({"tax/tax.invoices/L3", "water/water.meters/L4"}),
    serves=frozenset({"curated/curated.person/L3"}),
)
SHOWS = frozenset({"curated/curated.person/L3", "digest:purpose/care", "curated/curated.person/landed"})
SUBJECTS = (
    *(f"service:{role}@{place}" for role in ("collect", "store", "manage", "build", "serve")
      for place in ("tax", "water", "curated")),
    "service:store@", "service:", TRACER, "user:li", "user:wang", "user:", "li", "",
)  # fmt: skip
KEYS = (
    "tax/tax.invoices/L3/1", "tax/tax.invoices/L3/7", "tax/tax.invoices/L4/1", "tax/tax.invoices/landed/1",
    "tax/tax.invoices.quarantine/raw/1", "tax/water.meters/L3/1", "water/tax.invoices/L3/1", "water/water.meters/L4/1",
    "water/water.meters/landed/1", "water/water.secret/L3/1", "curated/curated.person/L3/1", "curated/curated.person/L4/1",
    "curated/curated.person/landed/1", "digest:domain/person/1", "digest:domain/enterprise/1", "digest:purpose/care/1",
    "digest:purpose/other/1", "digest:rowdigest/tax.invoices/1",
)  # fmt: skip
MATRIX = [
    case for case in product(SUBJECTS, KEYS, (True, False)) if not case[2] or case[0].startswith(("user:", TRACER))
]
TRACES = frozenset({"tax/tax.invoices/L3", "tax/tax.invoices/landed"})


@dataclass
class Fixed:
    def facts(self) -> Facts:
        return FACTS

    def shows(self, subject: str, purpose: str, tables: Iterable[str], at: datetime) -> frozenset[str]:
        return SHOWS if subject == "user:li" else frozenset()

    def traces(self, subject: str, purpose: str, table: str, at: datetime) -> frozenset[str]:
        return TRACES if (subject, purpose, table) == ("user:li", "care", "curated.person") else frozenset()


def opens(subject: str, key: str, proven: bool) -> bool:
    """The same, said without Cedar."""
    base = key.rpartition("/")[0]
    if subject == "user:li":
        return proven and base in SHOWS and not base.endswith("/landed")
    if subject == TRACER:
        return proven and base in TRACES and not base.endswith("/landed")
    role, _, place = subject.removeprefix("service:").partition("@")
    if not subject.startswith("service:"):
        return False
    if key.startswith("digest:"):
        return role in ("store", "manage") and base in FACTS.digests.get(place, ())
    owner, table, group = base.split("/")
    if role == "store":
        return owner == place and table in FACTS.tables.get(place, ())
    if role == "manage":
        return owner == place and table in FACTS.tables.get(place, ()) and group != "landed"
    if place != "curated":
        return False
    return (role == "build" and base in FACTS.reads) or (role == "serve" and base in FACTS.serves)


@cache
def decided(policies: str = POLICIES) -> dict[tuple[str, str, bool], bool]:
    authority = Authority(Fixed(), policies)
    found = {}
    for subject, key, proven in MATRIX:
        purpose = trace_purpose("user:li", "care", "curated.person") if subject == TRACER else "care"
        grant = Grant("g", subject, purpose, "r", frozenset({key}), 0, AT + timedelta(hours=1))
        try:
            authority.require(grant, proven=proven, at=AT)
            found[subject, key, proven] = True
        except Refused:
            found[subject, key, proven] = False
    return found


def mutants() -> Iterator[str]:
    """The policies without one condition, without one policy, or with one `permit` for every action."""
    for match in re.finditer(r"when \{(.*?)\};", POLICIES, re.DOTALL):
        conditions = match.group(1).split("&&")
        for at in range(len(conditions)):
            left = "&&".join([*conditions[:at], *conditions[at + 1 :]]) or " true "
            yield POLICIES[: match.start(1)] + left + POLICIES[match.end(1) :]
    for match in re.finditer(r"@id.*?\};", POLICIES, re.DOTALL):
        yield POLICIES.replace(match.group(0), "")


def test_every_subject_opens_exactly_what_is_said_here() -> None:
    wanted = {case: opens(*case) for case in MATRIX}
    assert decided() == wanted
    assert 20 < sum(wanted.values()) < len(wanted) / 10


@pytest.mark.parametrize("number", range(len(list(mutants()))))
def test_no_condition_can_be_left_out_unseen(number: int) -> None:
    assert decided(list(mutants())[number]) != decided()


def test_policies_that_cannot_be_evaluated_open_nothing() -> None:
    broken = POLICIES.replace("resource.owner", "resource.nothing")
    assert not any(
        is_open for (subject, key, _), is_open in decided(broken).items() if "store" in subject and ":" not in key
    )


@pytest.mark.parametrize(
    "purpose", ["care", "trace", "trace curated.person user:li", "trace curated.firm user:li care"]
)
def test_a_trace_for_nobody_or_of_another_table_opens_nothing(purpose: str) -> None:
    grant = Grant("g", TRACER, purpose, "r", frozenset({"tax/tax.invoices/L3/1"}), 0, AT + timedelta(hours=1))
    with pytest.raises(Refused):
        Authority(Fixed()).require(grant, proven=True, at=AT)
