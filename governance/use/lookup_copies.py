"""Makes the copies that lookups and attestations read, in a process and under a grant of their own."""

from __future__ import annotations

import uuid
from dataclasses import replace

from governance.config import Settings, as_request
from governance.errors import NotReady, Refused
from governance.keys import grants
from governance.lake import serving
from governance.lake.lake import Lake
from governance.state.database import Database
from governance.state.values import Actor
from governance.use import release
from governance.use.lookup_open import worker_limits
from governance.workers import start

NO_COPY = "the copy that lookups read is not there yet"
COPIER, BUILD_SECONDS = "service:serve@curated", 4 * 3600


def ensure_layout(table: str, by: str, snapshot: int, *, settings: Settings, database: Database, lake: Lake) -> None:
    """Make the serving layout of a snapshot when it is not there, in a process and under a grant of its own; what is
    not published any more goes.
    """
    with database.read() as connection:
        if serving.find(connection, table, by, snapshot) is not None:
            return
        live = release.live(connection)
    serving.remove_stale(lake, release.snapshots_of(live[1]) if live else {})
    actor = Actor(COPIER, "pipeline.serving", uuid.uuid4().hex)
    columns = [column.name for column in lake.schema(table, snapshot).columns]
    with database.unit_of_work() as tx:
        keys = lake.keys(table, snapshot, columns)
        grant = grants.issue(tx, actor=actor, keys=keys, seconds=BUILD_SECONDS, database=database)
    request = {
        "settings": as_request(settings),
        "table": table,
        "by": by,
        "snapshot": snapshot,
        "grant": grant.id,
        "actor": [actor.subject, actor.purpose, actor.run],
    }
    try:
        limits = replace(worker_limits(settings), seconds=BUILD_SECONDS)
        with start("governance.use.lookup_worker:build", request, limits=limits) as worker:
            worker.result()
    except Refused:
        if settings.key_socket is None:
            raise
        raise NotReady(NO_COPY, do="gov serving, as the system user of serve") from None
    finally:
        with database.unit_of_work() as tx:
            grants.revoke(tx, grant.id, actor=actor, database=database)
