"""Imports the engines once in the scheduler, so that forked tasks inherit them: saves about five CPU-seconds a task."""

from __future__ import annotations

import gc
import logging
import sys


def preload() -> None:
    """Import what tasks need, in the scheduler alone; does nothing in every other process."""
    if "scheduler" not in sys.argv[1:2]:
        return
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    import duckdb  # noqa: F401
    import great_expectations  # noqa: F401
    import pyarrow.dataset
    import pyarrow.parquet  # noqa: F401
    import pyiceberg.catalog.sql  # noqa: F401
    import sqlglot.optimizer  # noqa: F401

    import governance.pipeline.context
    import governance.pipeline.curate
    import governance.pipeline.ingest
    import governance.pipeline.publish  # noqa: F401

    gc.freeze()
