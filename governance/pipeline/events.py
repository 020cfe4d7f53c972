"""What follows a stage's commits: lineage events leave the outbox for `var/lineage`, failing expectations become incidents, ledger entries get
their positions and a checkpoint.

All of it can be late without harm, since the commits hold everything: entries that have no position yet are reported as such.
"""

from __future__ import annotations

import logging

from governance.errors import StorageError
from governance.lineage.outbox import mirror
from governance.lineage.outbox_http import start_sending
from governance.pipeline.alerts import deliver
from governance.pipeline.context import Context
from governance.pipeline.incidents import settle
from governance.pipeline.levels import judge_levels
from governance.pipeline.sequencing import sequence_now

log = logging.getLogger("governance")


def after_commits(context: Context) -> None:
    """Mirror the lineage, judge service levels, open and close incidents and tell of them, then sequence and sign the ledger unless another
    process does, or the key service's machine is to.
    """
    mirror_lineage(context)
    judge_levels(context)
    settle(context)
    deliver(context)
    sequence_now(context)


def mirror_lineage(context: Context) -> int:
    """Append what is waiting to the home's OpenLineage file, and have it sent to the endpoint if there is one; how many events there were.

    A file that cannot be written fails nothing: the events stay in the outbox, and the next stage takes them along.
    """
    try:
        mirrored = mirror(context.database, context.settings.lineage)
    except StorageError as error:
        log.warning("%s", error)
        return 0
    start_sending(context.settings, context.database)
    return mirrored
