"""Imports the engines once in the scheduler, so that forked tasks inherit them: saves about five CPU-seconds a task."""

from __future__ import annotations

import gc
import sys


def preload() -> None:
    """Import what tasks need, in the scheduler alone; does nothing in every other process."""
    if "scheduler" not in sys.argv[1:2]:
        return
    import governance.lake.iceberg
    import governance.pipeline.context
    import governance.pipeline.curate
    import governance.pipeline.ingest
    import governance.pipeline.publish  # noqa: F401
    from governance import manage

    manage.preload(wait=True)
    gc.freeze()
