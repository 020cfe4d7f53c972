"""Ask a home, as a test would: rows, or the error's class and text."""

from __future__ import annotations

import json

from sqlalchemy import select

from governance.errors import GovernanceError
from governance.state.tables import ledger_entry
from governance.use.query import query


def opened(home, sql, subject="user:li", purpose="statistics", **given):
    """The answer itself, to be read and closed."""
    return query(
        sql,
        subject=subject,
        purpose=purpose,
        settings=home.settings,
        catalogue=home.catalogue,
        database=home.database,
        lake=home.lake,
        keystore=home.keystore,
        **given,
    )


def ask(home, sql, subject="user:li", purpose="statistics", **given):
    """The answer as a table."""
    with opened(home, sql, subject, purpose, **given) as answer:
        return answer.table()


def under_way(home, subject="user:li", purpose="statistics"):
    """An answer without end, with its first batch read."""
    answer = opened(home, "SELECT a.x FROM curated.person, range(100000000000) AS a(x)", subject, purpose)
    assert answer.stream().read_next_batch().num_rows
    return answer


def rows(home, sql, *who):
    return [tuple(row.values()) for row in ask(home, sql, *who).to_pylist()]


def observed(home, sql, *who):
    """Everything that the asker can see of it: schema and rows, or class and text of the error."""
    try:
        table = ask(home, sql, *who)
    except GovernanceError as error:
        return type(error).__name__, str(error)
    return str(table.schema), table.to_pylist()


def ledger(home, kind):
    """Facts of all entries of a kind, in order."""
    with home.database.read() as connection:
        found = connection.execute(
            select(ledger_entry.c.body).where(ledger_entry.c.kind == kind).order_by(ledger_entry.c.id)
        ).scalars()
        return [json.loads(body) for body in found]
