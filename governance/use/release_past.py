"""Which release was live at a past instant: as the ledger's entries say, which were written with each publication."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from governance.errors import Damaged
from governance.state.tables import ledger_entry, release


def live_at(connection: Connection, at: datetime) -> tuple[str, dict[str, Any]] | None:
    """Id and document of the release that was live at `at`; None when nothing was published then. Raises Damaged when
    the document is not what was approved.
    """
    published = select(ledger_entry.c.body).where(
        ledger_entry.c.kind == "release_published", ledger_entry.c.recorded_at <= at
    )
    body = connection.execute(published.order_by(ledger_entry.c.id.desc()).limit(1)).scalar_one_or_none()
    if body is None:
        return None
    release_id = str(json.loads(body)["facts"]["release"])
    document = connection.execute(select(release.c.document).where(release.c.id == release_id)).scalar_one_or_none()
    if document is None or hashlib.sha256(document.encode("utf-8")).hexdigest() != release_id:
        raise Damaged("the release document is not what its id says", where=release_id)
    return release_id, json.loads(document)
