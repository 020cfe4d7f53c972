"""Which requests of access count for one subject, purpose and table at this moment, and whether they still do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from sqlalchemy import Connection, select

from governance.catalog.types import Dataset, Level
from governance.policy.access import Access
from governance.policy.lattice import RAW, Outcome
from governance.policy.permits import Permit
from governance.state.tables_use import access_step
from governance.use import history, signatures
from governance.use.openable import above, why_not
from governance.use.request_state import Request, read_all


def read_standing(connection: Connection, *, subject: str | None = None) -> tuple[Request, ...]:
    """Requests (of `subject` only, if given) that were approved, and break-glasses, and that nobody withdrew."""
    return tuple(
        request
        for request in read_all(connection, subject=subject)
        if request.approval is not None or (request.kind == "break_glass" and request.step("withdrawn") is None)
    )


def permits(
    standing: Iterable[Request],
    *,
    subject: str,
    purpose: str,
    contract: Dataset,
    rules: Sequence[Access],
    at: datetime,
) -> tuple[Permit, ...]:
    """What of `standing` counts at `at` on the table of `contract`.

    An approval counts while its signer is an approver of all `rules` under the key that signed, a break-glass while they
    all have the key of its subject that signed it: of the released rules, which were signed for, and of those now. A field whose
    level rose since it was asked for, or to which the mask does not fit any more, is closed again.
    """
    found = (
        made
        for request in standing
        if (request.subject, request.purpose) == (subject, purpose) and contract.name in request.fields
        for made in _permit(request, contract, rules)
    )
    return tuple(permit for permit in found if permit.fields and permit.valid_from <= at < permit.valid_to)


def still_hold(connection: Connection, given: Sequence[Permit], *, at: datetime) -> bool:
    """Whether none of the permits is over or withdrawn, by its rows or by the ledger. Raises what `history.read` does."""
    if any(at >= permit.valid_to for permit in given):
        return False
    steps = history.read(connection).steps if given else {}
    if any("withdrawn" in dict(steps.get(permit.request, ())) for permit in given):
        return False
    ended = select(access_step.c.id).where(
        access_step.c.request.in_([permit.request for permit in given]), access_step.c.step == "withdrawn"
    )
    return not given or connection.execute(ended.limit(1)).first() is None


def _permit(request: Request, contract: Dataset, rules: Sequence[Access]) -> Iterator[Permit]:
    if request.kind == "break_glass":
        said = request.step("stated")
        if said is None or said.signature is None or said.facts != {"v": 1, "what": "statement", "request": request.id}:
            return
        words = (signatures.BREAKS, said.hash, said.signature)
        if not all(signatures.holds_own(own, request.subject, *words) for own in rules):
            return
        kept = request.fields[contract.name]
        yield Permit(
            request.id,
            request.id,
            request.subject,
            request.purpose,
            contract.name,
            tuple(_unchanged(request, contract, kept, RAW)),
            RAW,
            request.valid_from,
            request.valid_to,
            emergency=True,
        )
        return
    step = request.approval
    if step is None or step.signature is None or step.facts["request"] != request.id:
        return
    if not all(signatures.holds(own, step.subject, signatures.APPROVES, step.hash, step.signature) for own in rules):
        return
    facts = step.facts
    action = Outcome.parse(facts["action"])
    yield Permit(
        request.id,
        step.hash,
        request.subject,
        request.purpose,
        contract.name,
        tuple(_unchanged(request, contract, facts["fields"].get(contract.name, ()), action)),
        action,
        datetime.fromisoformat(facts["from"]),
        datetime.fromisoformat(facts["to"]),
    )


def _unchanged(request: Request, contract: Dataset, kept: Iterable[str], action: Outcome) -> Iterator[str]:
    """Fields of `kept` that are what they were when they were asked for. Clearances are for the decision to ask."""
    asked = request.fields[contract.name]
    fields = {field.name: field for field in contract.fields}
    for name in kept:
        field = fields.get(name)
        if field is None or field.classification is None or name not in asked:
            continue
        if not above(field.classification, Level(asked[name])) and not why_not(field, action, Level.L4):
            yield name
