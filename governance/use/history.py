"""What the ledger says of access that was asked for, given and ended, and whether the state's rows say the same.

Each of these entries counts on (`event`) and names the leaf hash of the one before (`before`), over all requests and
consents of the home. An access reads them: a row that is missing, added or changed beside them is found then, and so is an
entry that was taken out of their middle. What a process has seen it does not forget, so none that runs can be shown an
older state; the key service keeps the newest in its own ledger, over its restarts too. Elsewhere a process that is started
afterwards cannot see that their end was cut off; `gov ledger verify` and kept checkpoints find that.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, Row, func, literal_column, select

from governance.errors import Damaged, Refused
from governance.ledger.entry import Json, append, leaf_hash
from governance.state.database import Database
from governance.state.schema import BIG
from governance.state.tables import ledger_entry
from governance.state.tables_use import OF_ACCESS
from governance.state.values import Actor
from governance.use.request_state import Request

STEPS: Mapping[str, str] = {
    "access_asked": "",
    "access_approved": "approved",
    "access_declined": "declined",
    "access_withdrawn": "withdrawn",
    "break_glass": "stated",
    "break_glass_reviewed": "reviewed",
}
"""Kind of an entry -> the step that is kept beside it."""
_CONSENTS = frozenset({"consent_given", "consent_withdrawn"})
_ID = literal_column("+ledger_entry.id", BIG)
_KINDS = _CONSENTS | set(STEPS)
_LOCK_KEY = 0x676F762E61636365  # any constant: PostgreSQL's advisory lock under which events are numbered
_DO = "gov ledger verify, and compare with a kept checkpoint; somebody wrote the state database by hand"


@dataclass(frozen=True, slots=True)
class History:
    """The events so far. `steps`: request -> (step, SHA-256 of its document) in order; `consents`: (scope, domain) ->
    version.
    """

    events: int = 0
    head: bytes = b""
    id: int = 0
    steps: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    consents: Mapping[tuple[str, str], str] = field(default_factory=dict)


_seen: WeakKeyDictionary[Engine, History] = WeakKeyDictionary()
_floors: WeakKeyDictionary[Engine, tuple[int, bytes]] = WeakKeyDictionary()
_lock = threading.Lock()


def record(
    tx: Connection, kind: str, facts: Mapping[str, Json], *, actor: Actor, database: Database, at: datetime
) -> None:
    """Append the entry of one event, in the caller's unit of work. `facts` name the `request` and the hash of the `step`'s
    document, or scope, domain and version of consents.
    """
    if tx.dialect.name == "postgresql":  # SQLite has one write transaction at a time
        tx.execute(select(func.pg_advisory_xact_lock(_LOCK_KEY)))
    before = _read(tx)  # not remembered: this unit of work may be rolled back
    own: dict[str, Json] = {"event": before.events + 1, "before": before.head.hex()}
    append(tx, kind, {**facts, **own}, actor=actor, writer=database.writer, at=at)


def remember(engine: Engine, events: int, head: bytes) -> None:
    """What somebody kept of the history elsewhere: `read` refuses one in which event `events` is not there with this leaf
    hash. Tell it before the first `read` of a process.
    """
    with _lock:
        _floors[engine] = (events, head)


def read(connection: Connection) -> History:
    """All events. Raises Damaged when they do not follow one another, Refused when they are fewer than this process has seen."""
    found = _read(connection)
    with _lock:
        if found.events > _seen.get(connection.engine, History()).events:
            _seen[connection.engine] = found
    return found


def _read(connection: Connection) -> History:
    engine = connection.engine
    with _lock:
        known = _seen.get(engine, History())
        kept, head = _floors.get(engine, (0, b""))
    rows = connection.execute(_events(known.id)).all()
    if known.events:
        if not rows or rows[0].leaf_hash != known.head or leaf_hash(rows[0].body) != known.head:
            raise Refused("the record of access is not the one that was there before", do=f"ask again; else {_DO}")
        rows = rows[1:]
    found = known
    for row in rows:
        found = _after(found, row)
        if found.events == kept and found.head != head:
            raise Damaged("the record of access is not the one that was kept", where=f"event {kept}", do=_DO)
    if found.events < kept:
        raise Damaged("the record of access ends before what was kept of it", where=f"event {kept}", do=_DO)
    return found


def require(history: History, requests: Iterable[Request]) -> None:
    """Raises Damaged unless what is kept of each request is exactly what the ledger says of it."""
    for request in requests:
        kept = [(step.name, step.hash) for step in request.steps]
        asked = [("", request.id)] if request.kind == "request" else []
        if history.steps.get(request.id) != (*asked, *kept):
            raise Damaged("what is kept of a request is not what the ledger says", where=request.id[:16], do=_DO)


def missing(history: History, requests: Iterable[Request]) -> tuple[str, ...]:
    """Ids of requests and break-glasses that the ledger has and the state has not, or not as they were."""
    held = {request.id: request for request in requests}
    wrong = []
    for request_id in history.steps:
        try:
            require(history, [held[request_id]])
        except (KeyError, Damaged):
            wrong.append(request_id)
    return (*wrong, *(request_id for request_id in held if request_id not in history.steps))


def require_consents(history: History, versions: Mapping[tuple[str, str], str]) -> None:
    """Raises Damaged unless the consents are in the versions that the ledger says."""
    for (scope, domain), version in history.consents.items():
        if versions.get((scope, domain)) != version:
            raise Damaged(
                "the consents that are kept are not those of the ledger", where=f"{scope} of {domain}", do=_DO
            )
    if unknown := sorted(set(versions) - set(history.consents)):
        raise Damaged("the ledger knows nothing of consents that are kept", where=" of ".join(unknown[0]), do=_DO)


def _events(since: int) -> Any:
    """Entries of access from id `since`, in order; by their own index, which `id` itself would keep SQLite from using."""
    columns = (ledger_entry.c.id, ledger_entry.c.body, ledger_entry.c.leaf_hash)
    return select(*columns).where(OF_ACCESS, since <= _ID).order_by(_ID)


def _after(before: History, row: Row[Any]) -> History:
    gap = Damaged("the record of access has a gap", where=f"event {before.events + 1}", do=_DO)
    if not isinstance(row.body, bytes) or leaf_hash(row.body) != row.leaf_hash:
        raise gap
    said = json.loads(row.body)  # it is what was appended: canonical JSON
    facts, kind = said["facts"], said["kind"]
    if facts.get("event") != before.events + 1 or facts.get("before") != before.head.hex() or kind not in _KINDS:
        raise gap
    found = replace(before, events=before.events + 1, head=row.leaf_hash, id=row.id)
    if kind in _CONSENTS:
        return replace(found, consents={**before.consents, (facts["scope"], facts["domain"]): facts["version"]})
    request = facts["request"]
    steps = (*before.steps.get(request, ()), (STEPS[kind], facts["step"]))
    return replace(found, steps={**before.steps, request: steps})
