"""How many statements of a subject may aggregate a table's aggregate-only columns in one UTC day, over all purposes and
processes.

Each answer is rounded, and yet enough answers over sets that overlap narrow down what is in one of them. The budget
keeps them few; a rule's obligation `aggregates_a_day` sets it.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, insert, update
from sqlalchemy.exc import IntegrityError

from governance.errors import Conflict, Refused
from governance.state.tables_use import aggregate_spent
from governance.state.values import Actor

STATEMENTS_A_DAY = 100


def spend(tx: Connection, actor: Actor, table: str, *, budget: int | None, at: datetime) -> None:
    """Take one statement off the day's budget inside `tx`. Raises Refused when nothing is left."""
    columns, day = aggregate_spent.c, at.replace(hour=0, minute=0, second=0, microsecond=0)
    own = update(aggregate_spent).where(
        columns.subject == actor.subject, columns.table_name == table, columns.day == day
    )
    spent = columns.statements + 1
    allowed = STATEMENTS_A_DAY if budget is None else budget
    if tx.execute(own.where(spent <= allowed).values(statements=spent)).rowcount == 1:
        return
    if tx.execute(own.values(statements=columns.statements)).rowcount == 1:
        raise Refused(
            "the statement failed: aggregate_only: the day's budget of such statements is spent",
            allowed=f"{allowed} a day",
            do="ask the steward, or wait for the next day",
        )
    try:
        tx.execute(insert(aggregate_spent).values(subject=actor.subject, table_name=table, day=day, statements=1))
    except IntegrityError:
        raise Conflict("another process asks for the same subject", do="ask again") from None
