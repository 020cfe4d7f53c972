"""The worker that runs a suite by GX's own engine: reads the columns under its grant into pandas, in a process that ends with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from governance.config import from_request
from governance.keys.open import open_keystore
from governance.lake.lake import Lake
from governance.state.database import Database


def scan(
    request: dict[str, Any],
    inputs: Mapping[str, pa.RecordBatchReader],
    emit: Callable[[pa.RecordBatchReader], None],
) -> dict[str, Any]:
    """Request: settings, table, snapshot, columns, current, grant, expectations. Result: `results` of `manage.gx_engine`, and `rows`."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    from governance.manage.gx_engine import run_pandas

    settings = from_request(request["settings"])
    database = Database(settings.database_url)
    lake = Lake(settings, database, open_keystore(settings, database))
    current = True if request["current"] else None
    with lake.scan(
        request["table"], request["snapshot"], request["columns"], grant_id=request["grant"], current=current
    ) as reader:
        table = reader.read_all()
    floats = pa.schema(
        [pa.field(f.name, pa.float64() if pa.types.is_decimal(f.type) else f.type) for f in table.schema]
    )
    return {"rows": table.num_rows, "results": run_pandas(table.cast(floats), request["expectations"])}
