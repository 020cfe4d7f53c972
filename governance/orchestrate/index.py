"""What DAG files know: the home's compiled index, a few JSON files. Imports no engine and no parser."""

from __future__ import annotations

import functools
from pathlib import Path

from airflow.sdk import get_parsing_context

from governance.catalog.index import read_department, read_index
from governance.config import Settings, load_settings


@functools.cache
def settings() -> Settings:
    """The home that this Airflow serves: `$GOV_HOME`, else the folder above the DAG files."""
    return load_settings()


def wanted(dag_id: str) -> bool:
    """Whether this parse needs that DAG: a task's process asks for its own DAG alone."""
    asked = get_parsing_context().dag_id
    return asked is None or asked == dag_id


def index_folder() -> Path:
    return settings().index


__all__ = ["index_folder", "read_department", "read_index", "settings", "wanted"]
