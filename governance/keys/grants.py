"""Grants: issued and revoked in the caller's unit of work with their ledger entry, asked before every use of a key.

A right on a column opens its table's footer too (PyArrow unwraps the footer's key first, and it opens nothing by
itself), so `issue` adds the footer keys by itself.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Integer, Row, String, bindparam, insert, select, update

from governance.errors import Refused
from governance.keys.names import DigestKeyName, Grant, KeyName
from governance.ledger.entry import Json, append
from governance.state.database import Database
from governance.state.tables import grant as grant_table
from governance.state.values import Actor

_BLOCK_BYTES = 16
FOOTER = "footer"
_NO_TABLE_GROUPS = frozenset({FOOTER, "landed"})
_WANTED, _TAKE = bindparam("wanted", type_=String), bindparam("taken", type_=Integer)
_OF_ID = select(grant_table).where(grant_table.c.id == _WANTED)
_TAKEN = (
    update(grant_table)
    .where(grant_table.c.id == _WANTED, grant_table.c.digest_budget >= _TAKE, grant_table.c.revoked_at.is_(None))
    .values(digest_budget=grant_table.c.digest_budget - _TAKE)
)
"""Built once: they run for every use of a key."""


def issue(
    tx: Connection,
    *,
    actor: Actor,
    keys: Iterable[KeyName],
    digest_keys: Iterable[DigestKeyName] = (),
    digest_budget: int = 0,
    decision_hash: str = "",
    seconds: int = 3600,
    database: Database,
) -> Grant:
    """A new grant for `actor`, with its ledger entry, both in `tx`: usable once `tx` is committed."""
    at = database.clock()
    names = frozenset(map(str, _with_footers(keys))) | frozenset(map(str, digest_keys))
    made = Grant(
        id=secrets.token_hex(16),
        subject=actor.subject,
        purpose=actor.purpose,
        run=actor.run,
        keys=names,
        digest_budget=digest_budget,
        expires_at=at + timedelta(seconds=seconds),
    )
    tx.execute(
        insert(grant_table).values(
            id=made.id,
            subject=made.subject,
            purpose=made.purpose,
            run=made.run,
            keys=json.dumps(sorted(names)),
            digest_budget=digest_budget,
            decision_hash=decision_hash,
            issued_at=at,
            expires_at=made.expires_at,
        )
    )
    facts: dict[str, Json] = {
        "grant": made.id,
        "keys": sorted(names),
        "digest_budget": digest_budget,
        "decision_hash": decision_hash,
        "expires_at": made.expires_at.isoformat(timespec="microseconds"),
    }
    append(tx, "grant", facts, actor=actor, writer=database.writer, at=at)
    return made


def revoke(tx: Connection, grant_id: str, *, actor: Actor, database: Database) -> None:
    """End a grant now, with its ledger entry. Revoking it again changes nothing; an unknown grant raises Refused."""
    at = database.clock()
    ended = tx.execute(
        update(grant_table)
        .where(grant_table.c.id == grant_id, grant_table.c.revoked_at.is_(None))
        .values(revoked_at=at)
    )
    if ended.rowcount == 0:
        if find(tx, grant_id) is None:
            raise Refused(f"no grant {grant_id}", where="keystore")
        return
    append(tx, "grant_revoked", {"grant": grant_id}, actor=actor, writer=database.writer, at=at)


def find(connection: Connection, grant_id: str) -> Grant | None:
    """The grant as it was issued, with what is left of its budget; None when there is none. Says nothing about whether
    it holds now.
    """
    row = connection.execute(_OF_ID, {"wanted": grant_id}).one_or_none()
    return _grant(row) if row is not None else None


def require(connection: Connection, grant_id: str, names: Sequence[str], *, at: datetime) -> Grant:
    """The grant, when it holds at `at` and names every key of `names`; else Refused, naming the first key that is not
    open.
    """
    row = connection.execute(_OF_ID, {"wanted": grant_id}).one_or_none()
    held = _grant(row) if row is not None else None
    holds = row is not None and row.revoked_at is None and row.expires_at > at
    for name in names:
        if held is None or not holds or name not in held.keys:
            raise Refused(f"key {name} cannot be used under grant {grant_id}", where="keystore")
    if held is None or not holds:
        raise Refused(f"grant {grant_id} does not hold", where="keystore")
    return held


def spend(tx: Connection, grant_id: str, name: str, values: int, *, at: datetime, ahead: int = 0) -> int:
    """Take `values` from the grant's digest budget inside `tx`, or up to `ahead` if that is more and there; how many
    were taken. Refused when the grant does not hold or the budget does not last.
    """
    held = require(tx, grant_id, [name], at=at)
    taken = max(values, min(ahead, held.digest_budget))
    if tx.execute(_TAKEN, {"wanted": grant_id, "taken": taken}).rowcount != 1:
        raise Refused(f"key {name} cannot be used under grant {grant_id}: its digest budget is spent", where="keystore")
    return taken


class Spending:
    """Takes values off the digest budgets of grants, committed before they are digested; `ahead` of them at a time, for
    a process that alone uses its grant: then most digests only ask whether it holds. Never more than the budget.
    """

    def __init__(self, database: Database, *, ahead: int = 0) -> None:
        self._database, self._ahead = database, ahead
        self._left: dict[str, int] = {}
        self._lock = threading.Lock()

    def spend(self, grant_id: str, name: str, blocks: bytes) -> int:
        """Take the 16-byte `blocks`; how many they are. Raises ValueError for what is no whole number of blocks,
        Refused as `grants.spend` does; nothing is taken, and nothing asked, for none.
        """
        values, rest = divmod(len(blocks), _BLOCK_BYTES)
        if rest:
            raise ValueError("blocks are 16 bytes each")
        if not values:
            return 0
        if self._ahead:
            with self._lock:
                left = self._left.get(grant_id, 0)
                self._left[grant_id] = left + self._taken(grant_id, name, values - left) - values
        else:
            self._taken(grant_id, name, values)
        return values

    def _taken(self, grant_id: str, name: str, values: int) -> int:
        """How many values were taken; for none that are needed it only asks whether the grant holds."""
        at = self._database.clock()
        if values <= 0:
            with self._database.read() as connection:
                require(connection, grant_id, [name], at=at)
            return 0
        with self._database.unit_of_work() as tx:
            return spend(tx, grant_id, name, values, at=at, ahead=self._ahead)


def _grant(row: Row[Any]) -> Grant:
    return Grant(
        id=row.id,
        subject=row.subject,
        purpose=row.purpose,
        run=row.run,
        keys=frozenset(json.loads(row.keys)),
        digest_budget=row.digest_budget,
        expires_at=row.expires_at,
    )


def _with_footers(keys: Iterable[KeyName]) -> set[KeyName]:
    given = set(keys)
    footers = {KeyName(k.owner, k.table, FOOTER, k.epoch) for k in given if k.group not in _NO_TABLE_GROUPS}
    return given | footers
