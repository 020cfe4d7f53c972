"""The portal: the report's static pages, the catalogue as JSON, a health answer."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import FileResponse, JSONResponse
from starlette.exceptions import HTTPException

from governance.pipeline.context import Context
from governance.pipeline.report import write_report

FRESH_SECONDS = 30.0


def portal(context: Context) -> FastAPI:
    """The application for one home. Pages are made again when they are older than `FRESH_SECONDS`."""
    app = FastAPI(title="Data governance portal 数据治理门户", docs_url=None, redoc_url=None)
    folder = context.settings.reports / "portal"

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "well"}

    @app.get("/api/v1/catalogue")
    def catalogue() -> JSONResponse:
        return JSONResponse(_catalogue(context))

    @app.get("/")
    def index() -> FileResponse:
        return FileResponse(_fresh(context, folder))

    @app.get("/{page:path}")
    def page(page: str) -> FileResponse:
        _fresh(context, folder)
        path = (folder / page).resolve()
        if not path.is_relative_to(folder.resolve()) or not path.is_file():
            raise HTTPException(404)
        return FileResponse(path)

    return app


def serve(context: Context, host: str, port: int) -> None:
    """Serve until stopped."""
    import uvicorn

    uvicorn.run(portal(context), host=host, port=port, log_level="warning")


def _fresh(context: Context, folder: Path) -> Path:
    index = folder / "index.html"
    if not index.exists() or time.time() - index.stat().st_mtime > FRESH_SECONDS:
        write_report(context, folder)
    return index


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
