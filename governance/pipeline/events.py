"""Lineage events leave the home's outbox for `var/lineage`, one JSON line each, after the commits that they tell of."""

from __future__ import annotations

import logging

from governance.errors import StorageError
from governance.lineage.outbox import mirror
from governance.pipeline.context import Context

log = logging.getLogger("governance")


def mirror_lineage(context: Context) -> int:
    """Append what is waiting to the home's OpenLineage file; how many events there were.

    A file that cannot be written fails nothing: the events stay in the outbox, and the next stage takes them along.
    """
    try:
        return mirror(context.database, context.settings.lineage)
    except StorageError as error:
        log.warning("%s", error)
        return 0
