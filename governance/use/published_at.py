"""What was published at a past instant, under the policy of then: its release, the rules in force, requests and consents
as they stood. For answers about the past; nothing is opened by it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection, func, select

from governance.catalog.types import Catalogue
from governance.errors import NotReady, Refused
from governance.lake.lake import Lake
from governance.policy.access import Access, parse_access
from governance.policy.decide import Decider
from governance.state import texts
from governance.state.tables_use import consent_change
from governance.use import release
from governance.use.published import Published
from governance.use.release_past import live_at
from governance.use.request_state import Request, read_all


def published_at(connection: Connection, at: datetime, *, catalogue: Catalogue, lake: Lake) -> Published:
    """The release that was live at `at`, met with the rules of `catalogue`, which is that of the same instant. Raises
    NotReady when nothing was published then, Refused when rules that held are not kept.
    """
    found = live_at(connection, at)
    if found is None:
        raise NotReady(f"nothing was published at {at.isoformat()}", do="gov release list")
    release_id, document = found
    access = parse_access(catalogue.access_text, catalogue.access_file, catalogue)
    rules = hashlib.sha256(catalogue.access_text.encode("utf-8")).hexdigest()
    reviewed = access if document["access"] == rules else _kept(connection, document["access"], catalogue)
    snapshots = {name: n for name, n in release.snapshots_of(document).items() if name in catalogue.models}
    deciders = ((Decider(reviewed), document["access"]), (Decider(access), rules))
    return Published(
        release_id,
        snapshots,
        access,
        rules,
        document,
        deciders,
        _standing(connection, at),
        _consents(connection, at),
        catalogue,
        lake,
    )


def _kept(connection: Connection, access_hash: str, catalogue: Catalogue) -> Access:
    body = texts.kept(connection, access_hash)
    if body is None:
        raise Refused("access rules that held then are not kept", where=access_hash)
    return parse_access(body, f"access rules {access_hash[:12]}", catalogue)


def _standing(connection: Connection, at: datetime) -> tuple[Request, ...]:
    """Requests and break-glasses as they stood: without what was done about them later."""
    then = (
        replace(request, steps=tuple(step for step in request.steps if step.at <= at))
        for request in read_all(connection)
        if request.asked_at <= at
    )
    return tuple(
        request
        for request in then
        if request.approval is not None or (request.kind == "break_glass" and request.step("withdrawn") is None)
    )


def _consents(connection: Connection, at: datetime) -> Mapping[tuple[str, str], str]:
    """(scope, domain) -> version of the set at `at`."""
    latest = (
        select(func.max(consent_change.c.id))
        .where(consent_change.c.recorded_at <= at)
        .group_by(consent_change.c.scope, consent_change.c.domain)
    )
    rows = connection.execute(select(consent_change).where(consent_change.c.id.in_(latest)))
    return {(row.scope, row.domain): row.version for row in rows}
