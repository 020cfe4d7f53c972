"""How many identifiers a subject may look up for a purpose in an hour, over all processes and sessions.

Who may look up any number of identifiers can try them all: resident numbers have few free digits. The keystore holds each
session to the same number by its grant's digest budget.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from governance.errors import Conflict, Refused
from governance.state.tables_use import lookup_spent
from governance.state.values import Actor

KEYS_PER_HOUR = 100_000


def left(connection: Connection, actor: Actor, *, budget: int, at: datetime) -> int:
    """What is left of this hour's budget."""
    return max(0, budget - (_spent(connection, actor, at) or 0))


def spend(tx: Connection, actor: Actor, keys: int, *, budget: int, at: datetime) -> bool:
    """Take `keys` off this hour's budget inside `tx`; False, and nothing taken, when it does not last."""
    columns = lookup_spent.c
    own = (columns.subject == actor.subject, columns.purpose == actor.purpose, columns.hour == _hour(at))
    taken = tx.execute(
        update(lookup_spent).where(*own, columns["keys"] + keys <= budget).values(keys=columns["keys"] + keys)
    )
    if taken.rowcount == 1:
        return True
    if _spent(tx, actor, at) is not None or keys > budget:
        return False
    try:
        tx.execute(insert(lookup_spent).values(subject=actor.subject, purpose=actor.purpose, hour=_hour(at), keys=keys))
    except IntegrityError:
        raise Conflict("another process looks up for the same subject", do="ask again") from None
    return True


def spent() -> Refused:
    """What is said when it does not last."""
    return Refused("the budget of lookups of this hour is spent", do="ask the steward, or wait for the next hour")


def _spent(connection: Connection, actor: Actor, at: datetime) -> int | None:
    columns = lookup_spent.c
    query = select(columns["keys"]).where(
        columns.subject == actor.subject, columns.purpose == actor.purpose, columns.hour == _hour(at)
    )
    found: int | None = connection.execute(query).scalar_one_or_none()
    return found


def _hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)
