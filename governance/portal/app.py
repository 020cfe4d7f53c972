"""The portal: the report's static pages, the catalogue as JSON, a health answer."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException

from governance.pipeline.context import Context
from governance.pipeline.report import write_report
from governance.pipeline.report.pages import page_names

FRESH_SECONDS = 30.0


def portal(context: Context) -> FastAPI:
    """The application for one home. Pages are made again when they are older than `FRESH_SECONDS`."""
    app = FastAPI(title="Data governance portal 数据治理门户", docs_url=None, redoc_url=None)
    folder = context.settings.reports / "portal"
    contracts = [*context.catalogue.datasets.values(), *(m.contract for m in context.catalogue.models.values())]
    names = page_names(sorted({c.department for c in contracts}), [c.name for c in contracts])
    pages = {name: folder / name for name in names}
    making = threading.Lock()

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "well"}

    @app.get("/api/v1/catalogue")
    def catalogue() -> JSONResponse:
        return JSONResponse(_catalogue(context))

    @app.get("/")
    def index() -> HTMLResponse:
        return page("index.html")

    @app.get("/{name:path}")
    def page(name: str) -> HTMLResponse:
        if name not in pages:  # names that we made are served, never a path that somebody asks for
            raise HTTPException(404)
        with making:
            _refresh(context, folder)
            return HTMLResponse(pages[name].read_bytes())

    return app


def serve(context: Context, host: str, port: int) -> None:
    """Serve until stopped."""
    import uvicorn

    uvicorn.run(portal(context), host=host, port=port, log_level="warning")


def _refresh(context: Context, folder: Path) -> None:
    index = folder / "index.html"
    if not index.exists() or time.time() - index.stat().st_mtime > FRESH_SECONDS:
        write_report(context, folder)


def _catalogue(context: Context) -> dict[str, Any]:
    tables = {**context.catalogue.datasets, **{m.name: m.contract for m in context.catalogue.models.values()}}
    return {
        name: {
            "department": table.department,
            "steward": table.owner,
            "fields": [
                {
                    "name": f.name,
                    "type": f.type.duckdb(),
                    "classification": f.classification.value if f.classification else "unclassified",
                    "tags": list(f.tags),
                    "sharing": f.sharing,
                }
                for f in table.fields
            ],
        }
        for name, table in sorted(tables.items())
    }
