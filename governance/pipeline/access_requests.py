"""Requests of access under Airflow: which wait, what an approver is shown of one, and their signed answer.

The reason that somebody gave stays in the state database (`gov access list`): Airflow's database keeps what passes
through it, and a reason may name a person.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from governance.errors import Refused
from governance.pipeline.context import Context
from governance.policy.access import instant
from governance.policy.lattice import Outcome
from governance.state.values import Actor
from governance.use.request_state import Request, find, read_all
from governance.use.request_state import instant as text_of
from governance.use.requests import Narrowing, approve, decline

APPROVE, DECLINE = "Approve", "Decline"
SHOWN = 50
"""Fields that are named; the request has all of them."""


def waiting(context: Context) -> tuple[str, ...]:
    """Ids of the requests that nobody has decided on, oldest first."""
    at = context.database.clock()
    with context.database.read() as connection:
        return tuple(r.id for r in read_all(connection, kind="request") if r.status(at) == "asked")


def described(context: Context, request_id: str) -> str:
    """What an approver is asked, as Markdown: no reason and no value."""
    with context.database.read() as connection:
        request = find(connection, request_id)
    more = len(request.names) - SHOWN
    lines = [
        f"- who: {request.subject}, purpose: {request.purpose}",
        f"- action: {request.action}",
        f"- from {text_of(request.valid_from)} to {text_of(request.valid_to)}",
        *(f"- `{name}` ({_level(request, name)})" for name in request.names[:SHOWN]),
        *([f"- and {more} more" if more > 0 else ""]),
    ]
    told = "\n".join(line for line in lines if line)
    signs = f"gov access sign {request.id} --key KEY.pem"
    return (
        f"{told}\n\nThe reason is in `gov access list`. To approve, sign with `{signs}` (`--action`, `--only` and `--until` "
        "give less) and paste the signature; give the same action, fields and end below. To decline, sign with "
        "`--decline --because WHY` and give the same reason below."
    )


def decide(
    context: Context, request_id: str, *, subject: str, chosen: str, answer: Mapping[str, str], run: str = ""
) -> str:
    """Record what `subject` answered: by `use.requests.approve`, which wants their signature over exactly what is given,
    or `decline`, which wants it as well; returns which. Recording the same answer again changes nothing.

    `answer`: signature, action, only (fields, comma between), until, because; all text, empty where nothing was given.
    Raises Refused.
    """
    actor = Actor(subject, "use.access", run or uuid.uuid4().hex)
    if chosen == DECLINE:
        decline(
            request_id,
            subject=subject,
            because=answer.get("because", ""),
            signature=answer.get("signature", "").strip(),
            catalogue=context.catalogue,
            database=context.database,
            actor=actor,
        )
        return "declined"
    if chosen != APPROVE:
        raise Refused("neither approved nor declined", allowed=f"{APPROVE}, {DECLINE}", do="answer with one of the two")
    approve(
        request_id,
        subject=subject,
        signature=answer.get("signature", "").strip(),
        narrowing=_narrowing(answer),
        catalogue=context.catalogue,
        database=context.database,
        actor=actor,
    )
    return "approved"


def _narrowing(answer: Mapping[str, str]) -> Narrowing:
    action, until = answer.get("action", "").strip(), answer.get("until", "").strip()
    only = tuple(name for part in answer.get("only", "").split(",") if (name := part.strip()))
    try:
        return Narrowing(Outcome.parse(action) if action else None, only, instant(until) if until else None)
    except ValueError as error:
        raise Refused(str(error), where="the answer", do="answer again, as it was signed") from None


def _level(request: Request, name: str) -> str:
    table, _, field = name.rpartition(".")
    return request.fields[table][field]
