"""A command that writes into the ledger signs it when it ends, whether it did what was asked or refused."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from governance.pipeline.context import Context


def at_the_end(context: Context) -> Context:
    """The same context; when the running command ends, its entries get their positions and a checkpoint."""
    from governance.pipeline.sequencing import sequence_now

    click.get_current_context().call_on_close(partial(sequence_now, context))
    return context
