"""The outbox to an OpenLineage endpoint: each event posted by itself, in order, at least once, by a process of its own.

The pipeline only starts that process, and not while it is known that the endpoint does not answer: a dead or slow one
costs it nothing. What the endpoint refuses for good (400, 409, 413, 415, 422) stays in the outbox, is told by `standing`, and the rest goes on;
so does an event at which it fails again and again while it takes the next one.

    GOV_OPENLINEAGE_TOKEN   sent as a bearer token, if set
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from governance.config import Settings, load_settings
from governance.errors import NotReady
from governance.state.crash import crash_point
from governance.state.database import Database
from governance.state.tables import outbox
from governance.state.tables_lineage import outbox_endpoint, outbox_refused

TOKEN = "GOV_OPENLINEAGE_TOKEN"
REFUSED = frozenset({400, 409, 413, 415, 422})
TIMEOUT_SECONDS = 10.0
LONGEST_WAIT_SECONDS = 600
_AT_ONCE = 50
_DOUBTFUL = 5
"""Failures in a row after which an event that gets a 5xx is passed over, if the endpoint takes one after it."""
_LOCK = ".openlineage.http.lock"
_started: list[int] = []


@dataclass(frozen=True, slots=True)
class Sent:
    """What one delivery did. `error` says why it ended before the outbox was empty."""

    sent: int
    refused: int
    error: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """How delivery stands: events that wait, that were refused (by status), and since when the endpoint fails."""

    waiting: int
    refused: dict[int, int]
    failures: int
    error: str
    next_at: datetime | None


def send(database: Database, url: str, *, token: str = "", timeout_seconds: float = TIMEOUT_SECONDS) -> Sent:
    """Post every event that is not sent yet, oldest first. After a crash between an answer and its mark an event is sent again."""
    import httpx

    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    sent = refused = 0
    with httpx.Client(headers=headers, timeout=timeout_seconds, trust_env=False) as client:
        while True:
            with database.read() as connection:
                failures = _failures(connection, url)
                waiting = select(outbox.c.id, outbox.c.event).where(outbox.c.sent_at.is_(None))
                rows = connection.execute(waiting.order_by(outbox.c.id).limit(_AT_ONCE)).all()
            if not rows:
                return Sent(sent, refused)
            posted = _post_all(client, url, [(row.id, row.event) for row in rows], doubtful=failures >= _DOUBTFUL)
            crash_point("lineage.after_post")
            _mark(database, url, posted, failures)
            sent += len(posted.taken)
            refused += len(posted.refused)
            if posted.error:
                return Sent(sent, refused, posted.error)


def standing(connection: Connection, url: str) -> Standing:
    """How delivery to `url` stands."""
    waiting = connection.execute(
        select(func.count()).select_from(outbox).where(outbox.c.sent_at.is_(None))
    ).scalar_one()
    counts = select(outbox_refused.c.status, func.count()).group_by(outbox_refused.c.status)
    refused = {row[0]: row[1] for row in connection.execute(counts.order_by(outbox_refused.c.status))}
    row = connection.execute(select(outbox_endpoint).where(outbox_endpoint.c.endpoint == url)).one_or_none()
    if row is None:
        return Standing(waiting, refused, 0, "", None)
    return Standing(waiting, refused, row.failures, row.error, row.next_at)


def again(tx: Connection) -> int:
    """Let events that were refused be sent once more; how many."""
    refused = tx.execute(select(outbox_refused.c.outbox)).scalars().all()
    tx.execute(update(outbox).where(outbox.c.id.in_(select(outbox_refused.c.outbox))).values(sent_at=None))
    tx.execute(delete(outbox_refused))
    tx.execute(delete(outbox_endpoint))
    return len(refused)


def start_sending(settings: Settings, database: Database) -> int | None:
    """Start a process that sends what waits, without waiting for it; its id. None: no endpoint, nothing waits, somebody sends already,
    or the endpoint is not to be tried again yet.
    """
    url = settings.openlineage.get("url", "")
    if not url:
        return None
    with database.read() as connection:
        told = standing(connection, url)
    if not told.waiting or (told.next_at is not None and told.next_at > database.clock()):
        return None
    try:
        with _alone(settings.lineage):
            pass
    except NotReady:
        return None
    _reap()
    nowhere = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1, 2)]
    command = [sys.executable, "-m", "governance.lineage.outbox_http", str(settings.home)]
    process = os.posix_spawn(sys.executable, command, os.environ, file_actions=nowhere, setsid=True)
    _started.append(process)
    return process


def send_for(settings: Settings, database: Database) -> Sent:
    """Send for one home, one process at a time. Raises NotReady when another sends, or none is configured."""
    url = settings.openlineage.get("url", "")
    if not url:
        raise NotReady("no endpoint is configured", where="gov.toml", allowed='[openlineage] url = "https://…"')
    with _alone(settings.lineage):
        return send(database, url, token=os.environ.get(TOKEN, ""))


def follow(settings: Settings, database: Database, *, seconds: float = 2.0) -> Iterator[Sent]:
    """Send for ever, looking for new events every `seconds`, later after failures; yields what was done."""
    url = settings.openlineage.get("url", "")
    while True:
        with database.read() as connection:
            told = standing(connection, url)
        if told.waiting and (told.next_at is None or told.next_at <= database.clock()):
            yield send_for(settings, database)
        time.sleep(seconds)


@dataclass(slots=True)
class _Posted:
    taken: list[int] = field(default_factory=list)
    refused: dict[int, int] = field(default_factory=dict)
    error: str = ""


def _post_all(client: Any, url: str, rows: Sequence[tuple[int, str]], *, doubtful: bool) -> _Posted:
    """Post rows until one fails; a doubtful one is passed over until another is taken, which makes it refused."""
    import httpx

    posted = _Posted()
    passed: dict[int, int] = {}
    for number, event in rows:
        try:
            status = client.post(url, content=event.encode("utf-8")).status_code
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            posted.error = f"no answer: {type(error).__name__}"
            break
        if 200 <= status < 300:
            posted.taken.append(number)
            posted.refused |= passed
            passed, posted.error = {}, ""
        elif status in REFUSED:
            posted.refused[number] = status
        else:
            posted.error = f"status {status}"
            if not doubtful or status < 500:
                break
            passed[number] = status
    return posted


def _mark(database: Database, url: str, posted: _Posted, failures: int) -> None:
    at = database.clock()
    done = [*posted.taken, *posted.refused]
    with database.unit_of_work() as tx:
        if done:
            tx.execute(update(outbox).where(outbox.c.id.in_(done)).values(sent_at=at))
        if posted.refused:
            facts = [{"outbox": n, "endpoint": url, "status": status} for n, status in posted.refused.items()]
            tx.execute(insert(outbox_refused), [{**fact, "recorded_at": at} for fact in facts])
        tx.execute(delete(outbox_endpoint).where(outbox_endpoint.c.endpoint == url))
        if posted.error:
            failed = 1 if posted.taken else failures + 1
            wait = timedelta(seconds=min(2**failed, LONGEST_WAIT_SECONDS))
            values = {
                "endpoint": url,
                "failures": failed,
                "error": posted.error,
                "next_at": at + wait,
                "updated_at": at,
            }
            tx.execute(insert(outbox_endpoint).values(values))


def _failures(connection: Connection, url: str) -> int:
    failures = select(outbox_endpoint.c.failures).where(outbox_endpoint.c.endpoint == url)
    return connection.execute(failures).scalar_one_or_none() or 0


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Holds the lock of those who send. Raises NotReady when another does."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NotReady("another process sends lineage events", where=_LOCK) from None
        yield
    finally:
        os.close(descriptor)


def _reap() -> None:
    """Take leave of processes that we started and that have ended."""
    for process in list(_started):
        try:
            ended = os.waitpid(process, os.WNOHANG)[0] != 0
        except ChildProcessError:
            ended = True
        if ended:
            _started.remove(process)


def main(home: Path) -> None:
    settings = load_settings(home)
    database = Database(settings.database_url)
    try:
        send_for(settings, database)
    except NotReady:
        return
    finally:
        database.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
