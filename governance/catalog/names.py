"""What datasets, departments, models and fields may be called. Pure."""

from __future__ import annotations

import re

from governance.catalog.types import LINEAGE_COLUMNS, TOKEN_SUFFIX, VERSION_COLUMNS

CURATED = "curated"
STANDARDS = "standards"

RESERVED_COLUMNS = frozenset({*LINEAGE_COLUMNS, *VERSION_COLUMNS, "_reasons", "_rules_hash", "_raw", "_line", "_state"})
"""Columns that our own tables carry beside the contract's fields."""

_TABLE = re.compile(r"^[^\W\d]\w{0,99}$")
_FIELD = re.compile(r"^[^\x00-\x1f\x7f./\"]{1,200}$")


def name_fault(name: str) -> tuple[str, str] | None:
    """Why `name` cannot be a dataset, department or model: (found, allowed). None when it can.

    >>> name_fault("residents"), name_fault("a-b")
    (None, ('a sign that no table name has', 'letters, digits and _, a letter first, at most 100'))
    """
    if not _TABLE.match(name) or name.startswith("_"):
        return "a sign that no table name has", "letters, digits and _, a letter first, at most 100"
    if "__" in name:
        return "two _ together are ours (__quarantine)", "single _"
    return None


def column_fault(name: str, *, curated: bool) -> tuple[str, str] | None:
    """Why `name` cannot be a field: (found, allowed). None when it can. DuckDB knows no case in names, so none counts here.

    >>> column_fault("_ROW", curated=False)
    ('a name that our own columns have', 'any but _batch, _current, _held, _line, _raw, _reasons, _recorded_at, _row, _rowdigest, _rules_hash,
     _state, _valid_from, _valid_to')
    """
    if not _FIELD.match(name) or name != name.strip():
        return "a sign that no field name has", 'text without . / " and control characters, at most 200'
    if name.lower() in RESERVED_COLUMNS:
        return "a name that our own columns have", f"any but {', '.join(sorted(RESERVED_COLUMNS))}"
    if name.lower().endswith(TOKEN_SUFFIX) and not curated:
        return "a name that token columns have", f"any that does not end with {TOKEN_SUFFIX}"
    return None
