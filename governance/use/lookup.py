"""`Lookups`: records by key, under policy, in batches.

    decision now -> session of (subject, purpose, decision, snapshot) -> ledger entry and budget -> scanner -> answer

Keys are values of an identifier, as the field holds them. The records come under the same restrictions as
`query.query` gives: a record that a row filter hides and one that is not there look alike. No user's SQL runs, so one
scanner process may serve a whole session; a session never crosses subject, purpose, decision or snapshot.

Looking up by a field joins a person whom the asker can name to a record. So it takes a field that the asker sees raw or
partly (`lookup_decided.BY_MASKS`): who gets tokens of it, its hash or nothing at all is kept from exactly that join.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from types import TracebackType

import pyarrow as pa

from governance.catalog.types import Catalogue
from governance.config import Settings
from governance.errors import GovernanceError, Refused
from governance.lake.lake import Lake
from governance.ledger.entry import Json, append
from governance.policy.restrictions import Restricted, Restrictions
from governance.state.database import Database
from governance.state.values import Actor
from governance.use import lookup_budget
from governance.use.lookup_copies import ensure_layout
from governance.use.lookup_decided import Decided, Decisions, Wanted
from governance.use.lookup_open import opened
from governance.use.lookup_session import Session

MAX_KEYS = 10_000
MAX_SESSIONS = 8
NO_EXPORT = "this may not be exported"
"""What is said to `export` under that obligation."""


@dataclass(frozen=True, slots=True)
class Found:
    """Records with `_key`, the position (from 1) of the key that each was found by, and the decision they stand under."""

    table: pa.Table
    restrictions: Restrictions
    release: str
    grant: str
    decision_hash: str

    @property
    def no_export(self) -> bool:
        """Whether an obligation forbids to keep the answer in a file."""
        return self.restrictions.no_export

    @property
    def fields(self) -> Mapping[str, str]:
        """field -> outcome, for the fields that were asked."""
        return {c.name: str(c.outcome) for c in self.restrictions.visible if c.name in self.table.column_names}


class Lookups:
    """The lookup service of one process. Use as a context manager; `lookup` may be called by many threads. A `catalogue`
    that changes is given as what gives it.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        catalogue: Catalogue | Callable[[], Catalogue],
        database: Database,
        lake: Lake,
        keys_per_hour: int = lookup_budget.KEYS_PER_HOUR,
    ) -> None:
        self._settings, self._database, self._lake = settings, database, lake
        self._decisions = Decisions(catalogue if callable(catalogue) else lambda: catalogue, database, lake)
        self._budget = keys_per_hour
        self._sessions: dict[Wanted, Session] = {}
        self._opening: dict[Wanted, threading.Lock] = {}
        self._lock = threading.Lock()
        self._closed = False
        self._starter = ThreadPoolExecutor(1, "lookups")

    def __enter__(self) -> Lookups:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all sessions and their grants."""
        self._closed = True
        with self._lock:
            sessions, self._sessions = list(self._sessions.values()), {}
        for session in sessions:
            session.close()
        self._starter.shutdown()

    def lookup(
        self,
        table: str,
        keys: Sequence[str],
        *,
        subject: str,
        purpose: str,
        fields: Sequence[str] | None = None,
        by: str | None = None,
        key_token: str | None = None,
        export: bool = False,
    ) -> Found:
        """The records of `table` whose field `by` is one of `keys`, as `subject` may see them for `purpose`.

        `fields` default to all that the subject has; `by` to the table's identifier, its primary key first. A key
        service is shown `key_token`, the subject's own, when a session opens (default: that of the settings). `export`
        says that the answer is to be kept in a file, which an obligation may forbid. Raises Refused (forbidden and
        absent read alike), NotReady when nothing is published. Every call is in the ledger.
        """
        run = uuid.uuid4().hex
        wanted = Wanted(subject, purpose, table, by or "")
        for last in (False, False, True):
            try:
                _check(keys)
                session = self._session(wanted, key_token)
                restrictions = session.decided.restrictions
                columns = _chosen(restrictions, fields)
                if export and restrictions.no_export:
                    raise Refused(NO_EXPORT, do="ask for an answer that is not kept")
            except Refused as refused:
                self._record_refusal(refused, len(keys), Actor(subject, purpose, run))
                raise
            try:
                found = session.ask(keys, columns, run)
            except Refused:
                if last or not session.closed or self._closed:
                    raise
                continue  # it had to make room, or a new decision took its place
            return Found(found, restrictions, session.decided.release, session.grant, session.decided.hash)
        raise AssertionError("unreachable")

    def _session(self, wanted: Wanted, key_token: str | None) -> Session:
        """The session that stands under what is decided now, else a new one in its place."""
        by = self._decisions.now(wanted).by  # whoever is refused leaves nothing behind
        wanted = wanted._replace(by=by)
        with self._lock:
            opening = self._opening.setdefault(wanted, threading.Lock())
        with opening:
            decided = self._decisions.now(wanted)
            with self._lock:
                session = self._sessions.pop(wanted, None)
                if session is not None and not session.over and session.decided.key == decided.key:
                    self._sessions[wanted] = session
                    return session
                gone = [own for own, old in self._sessions.items() if old.over]
                gone += [own for own in self._sessions if own not in gone][: -(MAX_SESSIONS - 1)]
                ended = [self._sessions.pop(own) for own in gone] + ([session] if session is not None else [])
            for old in ended:
                old.close()
            session = self._open(decided, key_token)
            with self._lock:
                self._sessions[wanted] = session
            return session

    def _open(self, decided: Decided, key_token: str | None) -> Session:
        restrictions = decided.restrictions
        actor = Actor(restrictions.subject, restrictions.purpose, "")
        with self._database.read() as connection:
            left = lookup_budget.left(connection, actor, budget=self._budget, at=self._database.clock())
        if left == 0:
            raise lookup_budget.spent()
        ensure_layout(
            restrictions.table,
            decided.by,
            restrictions.snapshot,
            settings=self._settings,
            database=self._database,
            lake=self._lake,
        )
        return self._starter.submit(
            opened,
            decided,
            budget=self._budget,
            left=left,
            settings=self._settings if key_token is None else replace(self._settings, key_token=key_token),
            database=self._database,
            lake=self._lake,
        ).result()

    def _record_refusal(self, refused: GovernanceError, keys: int, actor: Actor) -> None:
        facts: dict[str, Json] = {"keys": keys, "reason": refused.found}
        with self._database.unit_of_work() as tx:
            append(tx, "access_refused", facts, actor=actor, writer=self._database.writer, at=self._database.clock())


def _check(keys: Sequence[str]) -> None:
    if not 1 <= len(keys) <= MAX_KEYS:
        raise Refused("a lookup of no key, or of too many", allowed=f"1 to {MAX_KEYS:,} keys")
    try:
        pa.array(keys, pa.string())
    except (pa.ArrowException, UnicodeError, TypeError):
        raise Refused("a key that is no text", allowed="text") from None


def _chosen(restrictions: Restrictions, fields: Sequence[str] | None) -> tuple[Restricted, ...]:
    if fields is None:
        return restrictions.visible
    visible = {column.name: column for column in restrictions.visible}
    if not fields or not set(fields) <= set(visible):
        raise Refused("a field that is not there for you", do="gov explain lists what is")
    return tuple(visible[name] for name in dict.fromkeys(fields))
