"""Configuration of every DuckDB that meets a user's text: no files, no extensions, no secrets, no Python objects, no
spill.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import duckdb

LOCKED: Mapping[str, Any] = {
    "enable_external_access": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "allow_unsigned_extensions": False,
    "allow_persistent_secrets": False,
    "allow_unredacted_secrets": False,
    "enable_external_file_cache": False,
    "python_enable_replacements": False,
    "temp_directory": "",
}


def is_select(statement: duckdb.Statement) -> bool:
    """Whether DuckDB's parser says SELECT. A kind that its Python enumeration lacks (UPDATE EXTENSIONS) is none."""
    try:
        return bool(statement.type == duckdb.StatementType.SELECT)
    except ValueError:
        return False
